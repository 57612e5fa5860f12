"""TCP_INFO of a connection, as assertions ask for it: Linux's names, numbers and units."""

from __future__ import annotations

from typing import Any

from tcpclose.drill.asserts import CONSTANTS
from tcpclose.drill.dialect import Profile
from tcpclose.protocol.connection import Connection
from tcpclose.protocol.fsm import State
from tcpclose.protocol.segment import seq_diff

_LINUX = {
    State.CLOSED: "CLOSE",
    State.LISTEN: "LISTEN",
    State.SYN_SENT: "SYN_SENT",
    State.SYN_RECEIVED: "SYN_RECV",
    State.ESTABLISHED: "ESTABLISHED",
    State.FIN_WAIT_1: "FIN_WAIT1",
    State.FIN_WAIT_2: "FIN_WAIT2",
    State.CLOSE_WAIT: "CLOSE_WAIT",
    State.CLOSING: "CLOSING",
    State.LAST_ACK: "LAST_ACK",
    State.TIME_WAIT: "TIME_WAIT",
}
#: Names of BSD's states, with its numbers.
_BSD = "CLOSED LISTEN SYN_SENT SYN_RECEIVED ESTABLISHED CLOSE_WAIT FIN_WAIT_1 CLOSING LAST_ACK FIN_WAIT_2 TIME_WAIT"
_BSD_NUMBERS = {State(name.replace("_", "-")): number for number, name in enumerate(_BSD.split())}
_BSD_CONSTANTS = {f"TCPS_{name}": number for number, name in enumerate(_BSD.split())}
_BSD_CONSTANTS["TCPS_CLOSED"] = 0


def state_symbol(state: State, profile: Profile) -> str:
    """What assertions call a state."""
    if profile == "bsd":
        return f"TCPS_{state.value.replace('-', '_')}"
    closed = profile == "linux" and state.lingers
    return f"TCP_{_LINUX[State.CLOSED if closed else state]}"


def tcp_info(connection: Connection | None, profile: Profile) -> dict[str, Any]:
    """What is known of a connection; None is one that is gone. Linux's sockets know nothing of their TIME-WAIT."""
    state = State.CLOSED if connection is None else connection.state
    if profile == "linux" and state.lingers:
        state, connection = State.CLOSED, None
    if profile == "bsd":
        info: dict[str, Any] = {"tcpi_state": _BSD_NUMBERS[state], **_BSD_CONSTANTS}
    else:
        info = {"tcpi_state": CONSTANTS[f"TCP_{_LINUX[state]}"]}
    if connection is None:
        return info
    sender, tcb = connection.sender, connection.tcb
    in_flight = seq_diff(tcb.snd_nxt, tcb.snd_una)
    phase = "Loss" if sender.lost is not None else "Open" if sender.recover is None else "Recovery"
    return info | {
        "tcpi_ca_state": CONSTANTS[f"TCP_CA_{phase}"],
        "tcpi_retransmits": connection.retransmissions,
        "tcpi_backoff": connection.retransmissions,
        "tcpi_probes": connection.keepalive.probes if connection.keepalive else 0,
        "tcpi_options": (connection.timestamps is not None)
        | (sender.board is not None) << 1
        | bool(tcb.snd_shift or tcb.rcv_shift) << 2,
        "tcpi_snd_wscale": tcb.snd_shift,
        "tcpi_rcv_wscale": tcb.rcv_shift,
        "tcpi_rto": sender.rto,
        "tcpi_snd_mss": sender.mss,
        "tcpi_advmss": connection.config.mss,
        "tcpi_unacked": -(-in_flight // sender.mss),
        "tcpi_sacked": sum(-(-seq_diff(b, a) // sender.mss) for a, b in (sender.board.ranges if sender.board else ())),
        "tcpi_rtt": sender.srtt or 0,
        "tcpi_rttvar": sender.rttvar,
        "tcpi_snd_ssthresh": 0x7FFFFFFF if sender.ssthresh >= 1 << 30 else sender.ssthresh // sender.mss,
        "tcpi_snd_cwnd": sender.cwnd // sender.mss,
        "tcpi_reordering": 3,
        "tcpi_notsent_bytes": max(seq_diff(sender.end, tcb.snd_nxt), 0),
        "tcpi_snd_wnd": tcb.snd_wnd,
        "tcpi_rcv_wnd": connection.receiver.window,
    }
