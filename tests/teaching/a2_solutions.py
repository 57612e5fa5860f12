"""Submissions of A2 for tests: a right one for every variant, and what students get wrong."""

from __future__ import annotations

from collections.abc import Iterable

from tcpclose.teaching.assignments.alterations import Alteration

_RIGHT = """
from tiny import ACK, FIN, RST, Cause, Segment, State, TcpError, add

ALTERED = {altered}
S = State
OPEN = (S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSE_WAIT)
ENDING = (S.CLOSING, S.LAST_ACK)


def reset(tcb):
    if tcb.settings.reset_ack:
        tcb.send(Segment(tcb.snd_nxt, tcb.rcv_nxt, RST | ACK))
    else:
        tcb.send(Segment(tcb.snd_nxt, ctl=RST))


def close(tcb, now):
    if tcb.state in (S.LISTEN, S.SYN_SENT):
        tcb.end(Cause.NOT_OPENED)
    elif tcb.state is S.SYN_RECEIVED and "early-close-resets" in ALTERED:
        abort(tcb, now)
    elif tcb.state in (S.SYN_RECEIVED, S.ESTABLISHED):
        tcb.state = S.FIN_WAIT_1
        tcb.queue_fin()
    elif tcb.state is S.CLOSE_WAIT:
        if "last-ack-at-the-call" in ALTERED:
            tcb.state = S.LAST_ACK
        tcb.queue_fin()
    elif tcb.state is S.LAST_ACK and "no-half-close" in ALTERED:
        pass
    elif tcb.state in (*ENDING, S.TIME_WAIT):
        raise TcpError("error: connection closing")


def fin_leaves(tcb, segment, now):
    segment.ctl |= FIN
    tcb.snd_nxt = segment.end
    if tcb.state is S.CLOSE_WAIT:
        tcb.state = S.LAST_ACK


def abort(tcb, now):
    silent = "silent-abort" in ALTERED and tcb.state is S.FIN_WAIT_2
    late = "late-abort-resets" in ALTERED and tcb.state in ENDING
    if (tcb.state in (S.SYN_RECEIVED, *OPEN) and not silent) or late:
        reset(tcb)
    tcb.end(Cause.GRACEFUL if tcb.state is S.TIME_WAIT else Cause.ABORTED)


def fin_arrives(tcb, now):
    tcb.ack_due = True
    if tcb.state is S.TIME_WAIT:
        if "time-wait-not-restarted" not in ALTERED:
            wait(tcb, now)
        return
    tcb.rcv_nxt = add(tcb.rcv_nxt, 1)
    tcb.tell("EOF")
    if tcb.state is S.ESTABLISHED and "no-half-close" in ALTERED:
        tcb.state = S.LAST_ACK
        tcb.queue_fin()
    elif tcb.state is S.ESTABLISHED:
        tcb.state = S.CLOSE_WAIT
    elif tcb.state is S.FIN_WAIT_1:
        tcb.state = S.LAST_ACK if "no-closing" in ALTERED else S.CLOSING
    elif tcb.state is S.FIN_WAIT_2:
        wait(tcb, now)


def wait(tcb, now):
    tcb.state = S.TIME_WAIT
    tcb.stop_timers()
    tcb.time_wait_at = now + 2 * tcb.settings.msl


def fin_acknowledged(tcb, now):
    if tcb.state is S.FIN_WAIT_1:
        tcb.state = S.FIN_WAIT_2
        if tcb.settings.fin_wait_2_timeout:
            tcb.fin_wait_2_at = now + tcb.settings.fin_wait_2_timeout
    elif tcb.state is S.CLOSING or (tcb.state is S.LAST_ACK and "passive-closer-waits" in ALTERED):
        wait(tcb, now)
    elif tcb.state is S.LAST_ACK:
        tcb.end(Cause.GRACEFUL)


def reset_arrives(tcb, segment, now):
    if tcb.state in (S.SYN_SENT, S.SYN_RECEIVED):
        tcb.end(Cause.REFUSED)
    elif tcb.state is S.TIME_WAIT:
        if "time-wait-deaf-to-rst" not in ALTERED:
            tcb.end(Cause.GRACEFUL)
    elif tcb.state is not S.CLOSE_WAIT or "close-wait-deaf-to-rst" not in ALTERED:
        tcb.end(Cause.RESET_BY_PEER)


def answer_closed(segment):
    if segment.ctl & RST:
        return None
    if segment.ctl & ACK:
        return Segment(segment.ack, ctl=RST)
    return Segment(0, segment.end, RST | ACK)


def time_wait_timeout(tcb, now):
    tcb.end(Cause.GRACEFUL)


def fin_wait_2_timeout(tcb, now):
    if "fin-wait-2-timeout-resets" in ALTERED:
        reset(tcb)
    tcb.end(Cause.LINGER_EXPIRED)


def user_timeout(tcb, now):
    if tcb.state is not S.SYN_SENT and tcb.settings.timeout_reset:
        reset(tcb)
    tcb.end(Cause.USER_TIMEOUT)


def unreachable(tcb, now):
    deaf = "icmp-cannot-end-a-close" in ALTERED and tcb.state in (S.FIN_WAIT_1, *ENDING)
    if tcb.state not in (S.FIN_WAIT_2, S.TIME_WAIT) and not deaf:
        tcb.end(Cause.UNREACHABLE)


def invalid_header(tcb, now):
    if tcb.state in (S.SYN_RECEIVED, *OPEN, *ENDING):
        reset(tcb)
        tcb.end(Cause.INVALID_HEADER)
"""


def right(alterations: Iterable[Alteration] = (), student: str = "") -> str:
    """A right submission of the machine with these alterations."""
    text = _RIGHT.replace("{altered}", repr([one.name for one in alterations]))
    return f'STUDENT = "{student}"\n{text}'


#: What students get wrong: what is replaced, by what, and the criterion in which it is seen.
MISTAKES = {
    "a FIN that consumes no number": ("tcb.snd_nxt = segment.end", "pass", "the graceful release"),
    "a FIN that moves SND.NXT again": ("tcb.snd_nxt = segment.end", "tcb.snd_nxt = add(tcb.snd_nxt, 1)", "figures"),
    "the peer's FIN has no number": ("tcb.rcv_nxt = add(tcb.rcv_nxt, 1)", "pass", "the graceful release"),
    "no ACK of the FIN": ("    tcb.ack_due = True\n", "", "the graceful release"),
    "EOF is not told": ('    tcb.tell("EOF")\n', "", "the graceful release"),
    "2 MSL are one": ("now + 2 * tcb.settings.msl", "now + tcb.settings.msl", "scripts with exact times"),
    "2 MSL are over too early": ("now + 2 * tcb.settings.msl", "now + 1", "the graceful release"),
    "FIN-WAIT-2 is left too early": ("tcb.settings.fin_wait_2_timeout\n", "1\n", "the graceful release"),
    "TIME-WAIT does not begin anew": (
        '"time-wait-not-restarted" not in',
        "False and ALTERED is",
        "scripts with exact times",
    ),
    "timers go on in TIME-WAIT": ("    tcb.stop_timers()\n", "", "the graceful release"),
    "a RST without ACK": ("if tcb.settings.reset_ack:", "if False:", "figures"),
    "a RST with another SEQ": (
        "Segment(tcb.snd_nxt, tcb.rcv_nxt",
        "Segment(tcb.snd_una, tcb.rcv_nxt",
        "the user's calls",
    ),
    "a RST with another ACK": ("tcb.rcv_nxt, RST | ACK", "tcb.irs, RST | ACK", "the user's calls"),
    "a RST is answered": ("    if segment.ctl & RST:\n        return None\n", "", "no such connection"),
    "SEG.LEN is forgotten": ("Segment(0, segment.end", "Segment(0, segment.seq", "no such connection"),
    "RST takes SEG.SEQ": ("Segment(segment.ack, ctl=RST)", "Segment(segment.seq, ctl=RST)", "no such connection"),
    "another cause": (
        "tcb.end(Cause.RESET_BY_PEER)",
        "tcb.end(Cause.ABORTED)",
        "RST, timeouts, ICMP and invalid headers",
    ),
    "a silent timeout": ("is not S.SYN_SENT and", "is S.SYN_SENT and", "figures"),
    "CLOSE is never refused": ('raise TcpError("error: connection closing")', "pass", "the user's calls"),
    "no CLOSING": ("else S.CLOSING", "else S.FIN_WAIT_1", "figures"),
    "deaf to ICMP": ("tcb.end(Cause.UNREACHABLE)", "pass", "RST, timeouts, ICMP and invalid headers"),
    "a close waits for ever": ("tcb.fin_wait_2_at = now +", "nothing = now +", "the graceful release"),
    "text beside a FIN counts as one": (
        "= segment.end",
        "= add(segment.seq, 1 + bool(segment.text))",
        "long paths, drawn",
    ),
    "longer text of strangers": ("segment.ctl & RST:", "segment.ctl & RST or len(segment.text) > 2:", "figures"),
    "a late FIN of strangers": (
        "segment.ctl & RST:",
        "segment.ctl & RST or (segment.ctl & FIN and (segment.end, segment.ack) == (303, 102)):",
        "no such connection",
    ),
    "an ABORT that is a FIN": ("tcb.rcv_nxt, RST | ACK", "tcb.rcv_nxt, FIN | ACK", "figures"),
    "a RST with text": ("tcb.rcv_nxt, RST | ACK", 'tcb.rcv_nxt, RST | ACK, text=b"bye"', "the user's calls"),
    "LAST-ACK has another name": (
        "        tcb.state = S.LAST_ACK\n\n",
        "        tcb.state = S.CLOSING\n\n",
        "the user's calls",
    ),
}

#: Mistakes that are seen in one criterion only: was that blind, they would pass.
ONLY_THERE = {
    "figures": "longer text of strangers",
    "scripts with exact times": "TIME-WAIT does not begin anew",
    "the user's calls": "CLOSE is never refused",
    "the graceful release": "FIN-WAIT-2 is left too early",
    "RST, timeouts, ICMP and invalid headers": "deaf to ICMP",
    "no such connection": "a late FIN of strangers",
    "long paths, drawn": "text beside a FIN counts as one",
}

#: Mistakes that paths show in one part of a reply only.
ONLY_BY = {
    "seq": "a RST with another SEQ",
    "ack": "a RST with another ACK",
    "ctl": "an ABORT that is a FIN",
    "text": "a RST with text",
    "told": "another cause",
    "refused": "CLOSE is never refused",
    "state": "LAST-ACK has another name",
}


def mistaken(name: str, alterations: Iterable[Alteration], student: str = "") -> str:
    """Right but for one of the `MISTAKES`."""
    old, new, _ = MISTAKES[name]
    text = right(alterations, student)
    assert old in text
    return text.replace(old, new)
