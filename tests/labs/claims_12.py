"""Lab 12, read a capture."""

from __future__ import annotations

import pytest
from claims import claim, told

from tcpclose.classify import classify
from tcpclose.protocol.segment import RST, format_ctl
from tcpclose.trace.events import End, FaultTaken
from tcpclose.wire import decode_ethernet, decode_tcp, read_pcap

READ = "12-read-a-capture"
DROPPED = "middlebox.m1.answer=drop"
SILENT = "host.h1.tcp.timeout_reset=false"
LATER = "step.28.after=300ms"
PROMPT = "host.h2.tcp.delayed_ack=0ms"
LINUX = (
    *("host.h1.stack=linux", "host.h1.tcp=", "host.h1.tcp.user_timeout=2800ms"),
    "connection.c3.client_iss=",
)

#: What `classify` says of the capture at h1: kind and cause.
SAID = {
    "c1": ("graceful", ""),
    "c2": ("half-closed", ""),
    "c3": ("refused", "refused"),
    "c4": ("simultaneous", ""),
    "c5": ("reset", "middlebox suspected"),
    "c6": ("three-segment", ""),
    "c7": ("reset", "abort"),
    "c8": ("reset", "unread data"),
    "c9": ("reset", "retransmission gave up"),
    "c10": ("unanswered", ""),
    "c11": ("reset", "stale segment after reboot"),
}


def said(run, host="h1"):
    """What `classify` says of the capture at a host, by connection: ports are 40000 and its number."""
    return {f"c{release.sport - 40000}": release for release in classify(run.folder / f"{host}-eth0.pcap")}


def kinds(run):
    return {name: (release.kind, release.cause) for name, release in said(run).items()}


def rows(output):
    """A table's lines, each by the port of its client."""
    lines = [line for line in output.splitlines() if ":4" in line]
    return {int(line.split()[1].partition(":")[2]): line for line in lines}


def packets(run, connection, interface="h1-eth0"):
    """(from h1, control bits, TTL) of each packet of a connection at an interface."""
    port = 40000 + int(connection[1:])
    for _, octets in read_pcap(run.folder / f"{interface}.pcap"):
        packet = decode_ethernet(octets)
        source, target, segment = decode_tcp(packet.payload).datagram
        if port in (source.port, target.port):
            yield source.port == port, segment, packet.payload[8]


def last(run, connection, count):
    """The last packets of a connection at h1, as the handout writes them."""
    found = [f"{'>' if mine else '<'} {format_ctl(segment.ctl)}" for mine, segment, _ in packets(run, connection)]
    return found[-count:]


@claim(READ)
def named(run):
    """Eleven connections are in it, and no two of them ended in the same way."""
    assert kinds(run) == SAID
    assert len(set(SAID.values())) == 11


@claim(READ)
def the_table_of_endings(run):
    """Which packets end each of these, as captured at `h1`?"""
    assert last(run, "c1", 4) == ["< FIN,ACK", "> ACK", "> FIN,ACK", "< ACK"]
    assert last(run, "c6", 3) == ["> FIN,ACK", "< FIN,ACK", "> ACK"]
    assert last(run, "c4", 4)[:2] in (["> FIN,ACK", "< FIN,ACK"], ["< FIN,ACK", "> FIN,ACK"])
    assert sorted(last(run, "c4", 2)) == ["< ACK", "> ACK"]
    assert last(run, "c3", 2) == ["> SYN", "< RST,ACK"]
    assert last(run, "c7", 1) == ["> RST,ACK"]
    assert last(run, "c10", 9) == ["> SYN", "> SYN"]


@claim(READ)
def faults(run):
    """From 3.4 to 6.7 s nothing passes between `m1` and `r1`, and nobody is told."""
    down, up, crash, reboot = run.trace.of(FaultTaken)
    assert [down.fault, up.fault, crash.fault, reboot.fault] == ["link_down", "link_up", "crash", "reboot"]
    assert [down.t / 1e6, up.t / 1e6, crash.t / 1e6, reboot.t / 1e6] == run.at(3.4, 6.7, 7.4, 7.8)


@claim(READ)
def ttl(run):
    """With which TTL do packets of `h2` arrive at `h1`?"""
    theirs = {name: [t for mine, _, t in packets(run, name) if not mine] for name in SAID}
    assert theirs.pop("c5") == [62, 62, 63]
    assert {ttl for ttls in theirs.values() for ttl in ttls} == {62}


@claim(READ)
def unheard(run):
    """Which captures will have that RST: at `h1`, at `r1`, at `h2`?"""
    places = {
        place: any(segment.ctl & RST for _, segment, _ in packets(run, "c9", place))
        for place in ("h1-eth0", "r1-eth0", "h2-eth0")
    }
    assert places == {"h1-eth0": True, "r1-eth0": False, "h2-eth0": False}


@claim(READ)
def believed(run):
    """What does each end believe a second later?"""
    assert [run.state(host, 4_000_000, "c5") for host in ("h1", "h2")] == ["CLOSED", "ESTABLISHED"]


@claim(READ)
def one_sided(run):
    """In this list, two conversations have no packet, or a single one, in one direction."""
    answers = {name: [segment for mine, segment, _ in packets(run, name) if not mine] for name in SAID}
    assert answers["c10"] == []
    assert [segment.len for segment in answers["c3"]] == [0]
    assert all(len(found) > 1 for name, found in answers.items() if name not in ("c3", "c10"))


@claim(READ)
def along_the_way(run):
    """between which two places does one of them begin, and where does another one end?"""
    seen = {
        place: [name for name in SAID if any(segment.ctl & RST for _, segment, _ in packets(run, name, place))]
        for place in ("h1-eth0", "m1-eth0", "m1-eth1", "r1-eth0", "h2-eth0")
    }
    inside, outside = ["c3", "c5", "c7", "c8", "c9", "c11"], ["c3", "c7", "c8", "c11"]
    assert list(seen.values()) == [inside, inside, inside, outside, outside]


@claim(READ)
def other_side(run):
    """At `h2` one connection is missing, and two that were reset at `h1` are still open."""
    found = said(run, "h2")
    assert SAID.keys() - found.keys() == {"c10"}
    assert [name for name in SAID if name in found and found[name].kind == "open"] == ["c5", "c9"]


@claim(READ)
def wrong(run):
    """One cause of `classify` is wrong, although every packet fits:"""
    assert said(run)["c8"].cause == "unread data"
    assert run.causes("c8") == {"h1": "reset by peer", "h2": "aborted"}
    assert run.causes("c7") == {"h1": "aborted", "h2": "reset by peer"}
    assert run.causes("c9") == {"h1": "user timeout"}
    assert {end.connection for end in run.trace.of(End)} == SAID.keys() - {"c2"}


@claim(READ)
def half_closed(run):
    """is all that can be said of one connection."""
    assert (said(run)["c2"].kind, said(run)["c2"].closed_first) == ("half-closed", "orig")
    assert run.received("c2")["h1"] == 1500


@told(READ, "./lab classify $run/h1-eth0.pcap")
def a_line_each(output):
    """One line for each connection; the first column is the number of its first packet."""
    assert len(rows(output)) == 11
    assert rows(output)[40005].startswith("1 ")


@told(READ, "./lab classify $run/h1-eth0.pcap --summary")
def summary(output):
    """Now let a program answer."""
    assert output.startswith("11 connections\n")
    assert sum(int(line.split()[-2]) for line in output.split("\n\n")[1].splitlines()[1:]) == 11


@told(READ, "./lab classify $run/h1-eth0.pcap --filter 'kind == reset and confidence != high'")
def not_sure(output):
    """Three resets are not explained with high confidence."""
    assert sorted(rows(output)) == [40005, 40008, 40011]
    assert all("(medium)" in line for line in rows(output).values())


@told(READ, "./lab classify $run/h1-eth0.pcap --connection 1 --chart $run/first.svg")
def figure(output):
    """As the RST is taken for that of a middlebox, peer B stays in ESTABLISHED:"""
    assert "middlebox suspected: medium confidence" in output
    assert output.rstrip().splitlines()[-2].split()[-2:] == ["<--", "ESTABLISHED"]


@told(READ, "./lab classify $run/h2-eth0.pcap")
def at_h2(output):
    """**From the other side.**"""
    assert len(rows(output)) == 10
    assert all(" open " in rows(output)[port] for port in (40005, 40009))


@claim(READ, DROPPED)
def dropped(run):
    """How does the connection from port 40005 end at `h1`, and what does `classify` say of it?"""
    assert run.causes("c5")["h1"] == "user timeout"
    assert kinds(run) == SAID | {"c5": ("reset", "retransmission gave up")}


@claim(READ, SILENT)
def no_reset(run):
    """Which kind of release is it now, and which cause?"""
    assert kinds(run) == SAID | {"c9": ("timed out", "peer silent")}
    assert run.causes("c9") == {"h1": "user timeout"}


@claim(READ, LATER)
def not_sure_either(run):
    """Which cause does `classify` give now, and why is it not sure of it either?"""
    assert kinds(run) == SAID | {"c8": ("reset", "abort")}
    assert said(run)["c8"].confidence == "low"
    assert run.causes("c8") == {"h1": "reset by peer", "h2": "aborted"}


@claim(READ, PROMPT)
def prompt(run):
    """One release has another kind now."""
    changed = {name for name, found in kinds(run).items() if found[0] != SAID[name][0]}
    assert changed == {"c6"}
    assert said(run)["c6"].kind == "graceful"


@claim(READ, *LINUX)
def linux(run):
    """Linux gives up in silence, whatever the user timeout."""
    assert kinds(run) == SAID | {"c9": ("timed out", "peer silent")}
    assert run.causes("c9") == {"h1": "user timeout"}
    assert [run.ended("h1", "c9")] == pytest.approx([6.4], abs=0.7)
