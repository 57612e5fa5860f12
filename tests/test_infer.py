"""States from packets: what is inferred is what the machine did, wherever packets determine it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcpclose.protocol.fsm import Row
from tcpclose.protocol.stack import Stack
from tcpclose.trace import figure
from tcpclose.trace.figure import play_figure
from tcpclose.trace.infer import Observer, infer

FIGURES = sorted((Path(__file__).parent / "figures").rglob("*.txt"))


class Watched(Stack):
    """A stack that keeps the packets it saw and the rows that fired, by the order in which they happened."""

    def __init__(self, *args):
        super().__init__(*args)
        self.packets, self.rows = [], []
        everything.append(self)

    def segment_arrives(self, datagram, now):
        self.packets.append((now, "received", datagram.segment))
        super().segment_arrives(datagram, now)

    def datagrams_to_send(self):
        datagrams = super().datagrams_to_send()
        self.packets += [(0, "sent", datagram.segment) for datagram in datagrams]
        return datagrams

    def news(self):
        news = super().news()
        self.rows += [item.what for item in news if isinstance(item.what, Row)]
        return news


everything: list[Watched] = []


def passed(steps):
    return [(str(step.old), str(step.new)) for step in steps]


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figure(path, monkeypatch):
    everything.clear()
    monkeypatch.setattr(figure, "Stack", Watched)
    play_figure(path.read_text())
    for stack in everything:
        true = [(str(row.state), str(row.next)) for row in stack.rows if row.state is not row.next]
        assert passed(infer(stack.packets).here) == true
