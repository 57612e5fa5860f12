"""Captures of every kind of file, read block by block."""

from __future__ import annotations

from pathlib import Path

from scapy.all import IP, TCP, Ether, wrpcap

from tcpclose.classify.files import blocks


def test_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    wrpcap(str(path), Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=80, flags="S") / b"hello")
    (block,) = blocks(path)
    packets = block.packets
    assert packets.src_lo.tolist() == [0xFFFF_0A00_0001]
    assert packets.length.tolist() == [5]
    assert packets.check.tolist() == [1]
