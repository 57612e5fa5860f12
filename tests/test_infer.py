"""States from packets: what is inferred is what the machine did, wherever packets determine it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import scenarios

from tcpclose import runs
from tcpclose.protocol.config import TcpConfig
from tcpclose.protocol.fsm import Event, Row, State
from tcpclose.protocol.segment import parse_segment
from tcpclose.protocol.stack import Pair, Stack
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace import playing
from tcpclose.trace.events import Change, FaultTaken
from tcpclose.trace.infer import Observer, infer
from tcpclose.trace.playing import play_figure
from tcpclose.wire import decode_ethernet, decode_tcp, read_pcap

FIGURES = sorted((Path(__file__).parent / "figures").rglob("*.txt"))

#: What ends a connection and sends nothing. Of these, packets show at most later that it has happened.
SILENT = {"TIME_WAIT_TIMEOUT", "USER_TIMEOUT", "FIN_WAIT_2_TIMEOUT", "RETRANSMISSION_LIMIT"}


def told(steps):
    return [(str(step.old), str(step.new)) for step in steps]


class Watched(Stack):
    """A stack that keeps its packets, and the rows that fired. Time counts what happened."""

    def __init__(self, *args):
        super().__init__(*args)
        self.packets, self.rows = [], []
        self.all.append(self)

    def segment_arrives(self, datagram, now):
        self.packets.append((len(self.packets), "received", datagram.segment))
        super().segment_arrives(datagram, now)

    def datagrams_to_send(self):
        datagrams = super().datagrams_to_send()
        self.packets += [(len(self.packets), "sent", datagram.segment) for datagram in datagrams]
        return datagrams

    def news(self):
        news = super().news()
        self.rows += [item.what for item in news if isinstance(item.what, Row) and item.what.state != item.what.next]
        return news


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figure(path, monkeypatch):
    """Each end of each figure, seen at its own host: the states, and the rows where a packet tells them."""
    Watched.all = []
    monkeypatch.setattr(playing, "Stack", Watched)
    play_figure(path.read_text())
    assert len(Watched.all) >= 2
    for stack in Watched.all:
        steps, rows = infer(stack.packets, stack.config).here, stack.rows
        if rows and len(rows) == len(steps) + 1:
            assert rows.pop().event.name in SILENT
        assert told(steps) == [(row.state.value, row.next.value) for row in rows]
        for step, row in zip(steps, rows, strict=True):
            if step.row is not None and Event.ABORT not in (step.row.event, row.event):  # a RST does not say why
                assert step.row is row


def talk(seed, profile, end):
    """Both send, h1 closes, and h2 ends it: "MOMENT: ACTION"; over a link that loses some of it."""
    tables = f"""
host.h1 = {{ profile = "{profile}", tcp.msl = "2s" }}
host.h2.profile = "{profile}"
link.h1-s1 = {{ delay = "5ms", loss = "4%" }}
"""
    return scenarios.scenario(
        "0s: h2 listen",
        "100ms: h1 open",
        "h2 in ESTABLISHED: h2 send 40kB",
        "h1 in ESTABLISHED: h1 send 100kB",
        "h1 sees SENT: h1 close",
        end,
        tables=tables,
        seed=seed,
    )


def captured(scenario, folder):
    """Run it in the simulator; the trace, and the packets of each end of each connection, from the captures."""
    network = load_network(scenario)
    trace = simulate(scenario, network, captures=folder)
    packets = defaultdict(list)
    for host, interface in network.hosts.items():
        for time, octets in read_pcap(folder / f"{interface.name}.pcap"):
            datagram = decode_tcp(decode_ethernet(octets).payload).datagram
            ours = datagram.src.address == interface.address
            pair = Pair(*(datagram[:2] if ours else datagram[1::-1]))
            packets[host, str(pair)].append((time // 1000, "sent" if ours else "received", datagram.segment))
    return trace, packets


def changes(trace, host, connection):
    """The changes of state of one end, as they were."""
    return [c for c in trace.of(Change) if (c.host, c.connection) == (host, connection) and c.old != c.new]


def agree(steps, changes):
    """The steps are all that happened, but for an end in silence."""
    if len(changes) == len(steps) + 1 and changes[-1].event in SILENT:
        changes = changes[:-1]
    return told(steps) == [(change.old, change.new) for change in changes]


def ends(scenario, trace, packets):
    """For each end: the packets seen at its host, what was true there, and what was true at the other end."""
    network = load_network(scenario)
    for name, connection in scenario.connection.items():
        sockets = [f"{network.hosts[host].address}:{port}" for host, port in connection.ends]
        hosts = connection.client, connection.server
        for here, there, pair in ((0, 1, sockets), (1, 0, sockets[::-1])):
            seen = packets[hosts[here], " > ".join(pair)]
            yield seen, changes(trace, hosts[here], name), changes(trace, hosts[there], name)


@pytest.mark.parametrize("lab", sorted(path.parent.name for path in runs.LABS.glob("*/scenario.toml")))
def test_lab(lab, tmp_path):
    """Times too: an end changes its state with a packet, or shortly before the one that its call sends.

    A host that crashes forgets its ends, and packets show that late or never.
    """
    scenario = Scenario.load(runs.LABS / lab / "scenario.toml")
    trace, packets = captured(scenario, tmp_path)
    crashed = {fault.target for fault in trace.of(FaultTaken) if fault.fault in ("crash", "reboot")}
    for seen, here, _ in ends(scenario, trace, packets):
        if here and here[0].host in crashed:
            continue
        steps = infer(seen).here
        assert agree(steps, here)
        assert [step.t for step in steps] == [change.t for change in here[: len(steps)]]


@pytest.mark.parametrize("profile", ["rfc9293", "linux", "bsd"])
@pytest.mark.parametrize(
    ("when", "call"),
    [("sees EOF", "close"), ("received 60kB", "close"), ("received 50kB", "abort"), ("in CLOSE-WAIT", "abort")],
)
def test_lossy_captures_tell_the_states_of_both_ends(profile, when, call, tmp_path):
    """The other end's too, but for what was lost on its way, and never acknowledged."""
    guessed = right = 0
    for seed in range(4):
        scenario = talk(seed, profile, f"h2 {when}: h2 {call}")
        for seen, here, there in ends(scenario, *captured(scenario, tmp_path)):
            inference = infer(seen)
            assert agree(inference.here, here)
            guessed += 1
            right += agree(inference.there, there)
    assert right >= guessed - 2


def observe(*lines, config=None, start=""):
    """An observer that was shown segments: `>` was sent, `<` received."""
    observer = Observer(config)
    for number, line in enumerate((start + " ".join(lines)).split()):
        segment = parse_segment(line[1:])
        segment.wnd = 1000
        (observer.sent if line[0] == ">" else observer.received)(segment, number)
    return observer


OPENED = "><SEQ=9><CTL=SYN> <<SEQ=49><ACK=10><CTL=SYN,ACK> ><SEQ=10><ACK=50><CTL=ACK> "
CLOSED = OPENED + ("><SEQ=10><ACK=50><CTL=FIN,ACK> <<SEQ=50><ACK=11><CTL=FIN,ACK> ><SEQ=11><ACK=51><CTL=ACK> ")


def test_a_state_that_lasts_no_longer_than_a_segment_is_seen():
    news = observe(CLOSED).news()
    assert [str(step.new) for step in news] == ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]
    assert [step.t for step in news] == [0, 1, 3, 4, 4]


def test_a_capture_that_begins_later():
    assert observe("<<SEQ=50><ACK=10><CTL=ACK>").state is State.CLOSED  # nothing says that somebody is there
    text = observe("<<SEQ=50><ACK=10><CTL=ACK><DATA=5> ><SEQ=10><ACK=55><CTL=ACK>")
    assert told(text.news()) == [("CLOSED", "ESTABLISHED")]
    fin = observe("<<SEQ=50><ACK=10><CTL=FIN,ACK> ><SEQ=10><ACK=51><CTL=ACK> ><SEQ=10><ACK=51><CTL=FIN,ACK>")
    assert [str(step.new) for step in fin.news()] == ["ESTABLISHED", "CLOSE-WAIT", "LAST-ACK"]


def test_who_is_not_there_any_more_has_heard_nothing():
    """A FIN that is answered by "no such connection" has led to no CLOSE-WAIT: that end was over before."""
    observer = observe(OPENED, "<<SEQ=50><ACK=10><CTL=FIN,ACK> ><SEQ=10><CTL=RST>")
    steps = observer.news()
    assert told(steps)[-1] == ("ESTABLISHED", "CLOSED")
    assert steps[-1].row is None


def test_the_end_of_time_wait_is_known_when_something_else_follows():
    steps = observe(CLOSED, "><SEQ=900><CTL=SYN>").news()
    assert [(str(step.new), step.row.event) for step in steps[-2:]] == [
        ("CLOSED", Event.TIME_WAIT_TIMEOUT),
        ("SYN-SENT", Event.OPEN_ACTIVE),
    ]


def test_a_crash_is_known_when_something_else_follows():
    steps = observe(OPENED, "><SEQ=900><CTL=SYN>").news()
    assert told(steps)[2:] == [("ESTABLISHED", "CLOSED"), ("CLOSED", "SYN-SENT")]
    assert steps[2].row is None


@pytest.mark.parametrize(("choice", "state"), [("close", State.CLOSED), ("ignore", State.TIME_WAIT)])
def test_what_an_implementation_may_choose_is_asked_of_the_configuration(choice, state):
    assert observe(CLOSED, "<<SEQ=51><CTL=RST>", config=TcpConfig(time_wait_rst=choice)).state is state


@pytest.mark.parametrize(("validity", "state"), [("exact", State.ESTABLISHED), ("window", State.CLOSED)])
def test_a_reset_within_the_window(validity, state):
    assert observe(OPENED, "<<SEQ=60><CTL=RST>", config=TcpConfig(reset_validity=validity)).state is state


def test_a_reset_beyond_the_window_is_none():
    assert observe(OPENED, "<<SEQ=5000><CTL=RST>", config=TcpConfig(reset_validity="window")).state is State.ESTABLISHED


HALF_OPEN = "<<SEQ=49><CTL=SYN> ><SEQ=9><ACK=50><CTL=SYN,ACK> "


def test_a_handshake_that_is_not_completed():
    assert observe(HALF_OPEN).state is State.SYN_RECEIVED
    assert observe(HALF_OPEN, "<<SEQ=40><ACK=10><CTL=ACK><DATA=3>").state is State.SYN_RECEIVED  # of another connection
    assert observe(HALF_OPEN, "<<SEQ=55><CTL=SYN>").state is State.LISTEN
    assert observe(HALF_OPEN, "<<SEQ=50><CTL=RST> <<SEQ=50><ACK=10><CTL=ACK> ><SEQ=10><CTL=RST>").state is State.LISTEN
    assert observe(HALF_OPEN, "<<SEQ=50><CTL=RST> ><SEQ=99><CTL=RST>").state is State.LISTEN  # nothing of ours to end
    other = "<<SEQ=77><CTL=SYN> "  # came in between, and was not answered
    assert observe(HALF_OPEN.replace("> ", f"> {other}", 1), "<<SEQ=50><ACK=10><CTL=ACK>").state is State.ESTABLISHED
    assert told(observe("><SEQ=9><ACK=50><CTL=SYN,ACK>").news()) == [("LISTEN", "SYN-RECEIVED")]  # its SYN was not seen


def test_a_second_attempt_with_the_same_number():
    refused = "><SEQ=9><CTL=SYN> <<SEQ=0><ACK=10><CTL=RST,ACK> "
    assert [str(step.new) for step in observe(refused * 2).news()] == ["SYN-SENT", "CLOSED"] * 2


def test_what_is_heard_of_a_segment():
    """An ACK of what was never sent spoils it; the ACK on old text counts; a FIN may come with the SYN."""
    assert observe(OPENED, "<<SEQ=50><ACK=99><CTL=FIN,ACK>").state is State.ESTABLISHED
    text = "<<SEQ=50><ACK=10><CTL=ACK><DATA=3> ><SEQ=10><ACK=53><CTL=FIN,ACK> "
    assert observe(OPENED, text, "<<SEQ=50><ACK=11><CTL=ACK><DATA=3>").state is State.FIN_WAIT_2
    assert observe("><SEQ=9><CTL=SYN> <<SEQ=49><ACK=10><CTL=SYN,FIN,ACK>").state is State.CLOSE_WAIT


def test_what_left_has_arrived_there_when_it_was_acknowledged():
    lines = [*OPENED.split(), "><SEQ=10><ACK=50><CTL=FIN,ACK>"]
    packets = [(0, "sent" if line[0] == ">" else "received", parse_segment(line[1:])) for line in lines]
    assert infer(packets).there[-1].new is State.ESTABLISHED
    packets.append((1, "received", parse_segment("<SEQ=50><ACK=11><CTL=ACK>")))
    assert infer(packets).there[-1].new is State.CLOSE_WAIT


def test_text_that_nobody_will_read():
    """The RST of such an end has the form of "no such connection", and FIN-WAIT-2 was passed nevertheless."""
    steps = observe(
        OPENED, "><SEQ=10><ACK=50><CTL=FIN,ACK> <<SEQ=50><ACK=11><CTL=ACK><DATA=3> ><SEQ=11><CTL=RST>"
    ).news()
    assert [step.row.event for step in steps[-2:]] == [Event.ACK_OF_FIN, Event.UNWANTED_TEXT]


def test_somebody_knows_better():
    observer = observe(OPENED)
    assert not observer.outstanding
    observer.happened(Event.CLOSE, 7)  # text is queued: the FIN comes later
    assert (observer.state, observer.news()[-1].t) == (State.FIN_WAIT_1, 7)
    observer.correct(State.CLOSED, None, 8)
    assert told(observer.news()) == [("FIN-WAIT-1", "CLOSED")]
