"""Octets to `Datagram` and back: Ethernet, IPv4, IPv6, TCP, ICMP and ICMPv6 headers, and capture files."""

from .damage import damage
from .ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, decode_ethernet, ethernet_header
from .icmp import IcmpError, decode_icmp, encode_icmp_error
from .octets import Malformed
from .pcap import EN10MB, RAW, Capture, PcapWriter, read_pcap
from .tcp import Packet, decode_tcp, encode_tcp

__all__ = [
    "EN10MB",
    "ETHERTYPE_IPV4",
    "ETHERTYPE_IPV6",
    "RAW",
    "Capture",
    "Frame",
    "IcmpError",
    "Malformed",
    "Packet",
    "PcapWriter",
    "damage",
    "decode_ethernet",
    "decode_icmp",
    "decode_tcp",
    "encode_icmp_error",
    "encode_tcp",
    "ethernet_header",
    "read_pcap",
]
