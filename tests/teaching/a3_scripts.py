"""A set of scripts for each variant of A3 that kills every broken stack, and accuses no right one.

Braces choose by an alteration: `{name? with it | without it}`.
"""

from __future__ import annotations

import re

HEAD = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 4
"""
CLOSES = "+0 shutdown(4, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n"
FIN_WAIT_2 = CLOSES + "+.1 < . 1:1(0) ack 2 win 32792\n"
TIME_WAIT = CLOSES + "+.1 < F. 1:1(0) ack 2 win 32792\n+0 > . 2:2(0) ack 2\n"
CLOSING = CLOSES + "+.05 < F. 1:1(0) ack 1 win 32792\n+0 > . 2:2(0) ack 2\n"
LAST_ACK = """\
+.1 < F. 1:1(0) ack 1 win 32792
{no-half-close?|+0 > . 1:1(0) ack 2
+0 shutdown(4, SHUT_WR) = 0}
+0 > F. 1:1(0) ack 2
"""
ABORTS = "+.1 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n"
WRITES = "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n"
PORT = "+.1 < icmp unreachable port_unreachable [1:1(0)]\n"

SCRIPTS = {
    "passive_close": """\
+.1 < F. 1:1(0) ack 1 win 32792
{no-half-close?+0 > F. 1:1(0) ack 2
+0 read(4, ..., 10) = 0
+0 write(4, ..., 10) = -1 EPIPE|+0 > . 1:1(0) ack 2
+0 read(4, ..., 10) = 0
+.1 < F. 1:1(0) ack 1 win 32792
+0 > . 1:1(0) ack 2
+.1 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 2}
""",
    "last_ack": LAST_ACK + """\
+.1 < . 2:2(0) ack 1 win 32792
+.9 > F. 1:1(0) ack 2
+.1 < F. 1:1(0) ack 1 win 32792
+0 > . 2:2(0) ack 2
+.1 < . 2:2(0) ack 2 win 32792
+.1 < F. 1:1(0) ack 2 win 32792
{passive-closer-waits?+0 > . 2:2(0) ack 2
+60.5 < . 2:2(0) ack 2 win 32792
+0 > R 2:2(0)|+0 > R 2:2(0)}
""",
    "half_close": FIN_WAIT_2 + """\
+.1 < P. 1:101(100) ack 2 win 32792
+0~+.2 > . 2:2(0) ack 101
+0 read(4, ..., 1000) = 100
+70 < F. 101:101(0) ack 2 win 32792
+0 > . 2:2(0) ack 102
+0 read(4, ..., 10) = 0
""",
    "repeated_fin": TIME_WAIT + """\
+40 < F. 1:1(0) ack 2 win 32792
+0 > . 2:2(0) ack 2
+40 < F. 1:1(0) ack 2 win 32792
{time-wait-not-restarted?+0 > R 2:2(0)|+0 > . 2:2(0) ack 2
+60.5 < . 2:2(0) ack 2 win 32792
+0 > R 2:2(0)}
""",
    "two_msl": TIME_WAIT + """\
+30 < . 2:2(0) ack 2 win 32792
+29.5 < . 2:2(0) ack 2 win 32792
+1 < . 2:2(0) ack 2 win 32792
+0 > R 2:2(0)
""",
    "reset_in_time_wait": TIME_WAIT + """\
+.1 < R 2:2(0) win 0
+.1 < F. 1:1(0) ack 2 win 32792
{time-wait-deaf-to-rst?+0 > . 2:2(0) ack 2|+0 > R 2:2(0)}
""",
    "simultaneous": CLOSING + """\
+.95 > F. 1:1(0) ack 2
+.1 < . 2:2(0) ack 2 win 32792
+.1 < F. 1:1(0) ack 2 win 32792
{no-closing?+0 > R 2:2(0)|+0 > . 2:2(0) ack 2}
""",
    "three_segments": TIME_WAIT + "+3 < F. 1:1(0) ack 2 win 32792\n+0 > . 2:2(0) ack 2\n",
    "hole": """\
+.1 < F. 101:101(0) ack 1 win 32792
+0 > . 1:1(0) ack 1
+.1 < P. 1:101(100) ack 1 win 32792
+0 > {no-half-close?F|}. 1:1(0) ack 102
+0 read(4, ..., 1000) = 100
+0 read(4, ..., 1000) = 0
""",
    "text_and_fin": """\
+.1 < FP. 1:101(100) ack 1 win 32792
+0 > {no-half-close?F|}. 1:1(0) ack 102
+0 read(4, ..., 1000) = 100
""",
    "text_before_fin": """\
+.1 < . 1:1(0) ack 1 win 100
+0 write(4, ..., 100) = 100
+0 > P. 1:101(100) ack 1
+0 write(4, ..., 50) = 50
+0 shutdown(4, SHUT_WR) = 0
+.1 < . 1:1(0) ack 101 win 1000
+0 > FP. 101:151(50) ack 1
""",
    "ack_beyond": CLOSES + """\
+.1 < . 1:1(0) ack 3 win 32792
+0 > . 2:2(0) ack 1
+.9 > F. 1:1(0) ack 1
""",
    "abort": WRITES + ABORTS + """\
+0 > R. 11:11(0) ack 1
+.1 < R 1:1(0) win 0
+.1 < . 1:1(0) ack 5 win 32792
+0 > R 5:5(0)
""",
    "reset": """\
+.1 < R 100:100(0) win 0
+0 > . 1:1(0) ack 1
+.1 < R 1:1(0) win 0
+0 read(4, ..., 10) = -1 ECONNRESET
""",
    "syn": "+.1 < S 100:100(0) win 32792 <mss 1000>\n+0 > . 1:1(0) ack 1\n",
    "reset_outside": """\
+.1 < R 200000:200000(0) win 0
+.1 < P. 1:11(10) ack 1 win 32792
+0~+.2 > . 1:1(0) ack 11
""",
    "reset_behind_text": """\
+.1 < P. 1:101(100) ack 1 win 32792
+0~+.2 > . 1:1(0) ack 101
+.3 < R 101:101(0) win 0
+0 read(4, ..., 1000) = 100
""",
    "reset_while_closing": FIN_WAIT_2 + "+.1 < R 1:1(0) win 0\n+.1 < . 1:1(0) ack 2 win 32792\n+0 > R 2:2(0)\n",
    "unread": """\
+.1 < P. 1:101(100) ack 1 win 32792
+0~+.2 > . 1:1(0) ack 101
+.3 close(4) = 0
+0 > R. 1:1(0) ack 101
""",
    "unwanted": """\
+0 close(4) = 0
+0 > F. 1:1(0) ack 1
+.1 < . 1:1(0) ack 2 win 32792
+.1 < P. 1:11(10) ack 2 win 32792
+0 > R. 2:2(0) ack 1
""",
    "user_timeout": """\
+0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [5000], 4) = 0
+0 shutdown(4, SHUT_WR) = 0
+0 > F. 1:1(0) ack 1
+1 > F. 1:1(0) ack 1
+2 > F. 1:1(0) ack 1
+2 > R. 2:2(0) ack 1
""",
    "fin_wait_2": """\
+0 setsockopt(4, SOL_TCP, TCP_LINGER2, [5], 4) = 0
+0 close(4) = 0
+0 > F. 1:1(0) ack 1
+.1 < . 1:1(0) ack 2 win 32792
{fin-wait-2-timeout-resets?+5 > R. 2:2(0) ack 1|+5.5 < . 1:1(0) ack 2 win 32792
+0 > R 2:2(0)}
""",
    "hard_error": WRITES + """\
+.1 < icmp unreachable port_unreachable [1:11(10)]
+.1 < . 1:1(0) ack 11 win 32792
+0 > R 11:11(0)
""",
    "soft_error": WRITES + """\
+.1 < icmp unreachable host_unreachable [1:11(10)]
+.1 < . 1:1(0) ack 11 win 32792
+0 write(4, ..., 10) = 10
+0 > P. 11:21(10) ack 1
""",
    "keepalive": """\
+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [10], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_KEEPINTVL, [5], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_KEEPCNT, [2], 4) = 0
+0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
+10 > . 0:0(0) ack 1
+5 > . 0:0(0) ack 1
+5 > R. 1:1(0) ack 1
""",
    "early_close": """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
+.1 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+0 close(3) = 0
+0 > {early-close-resets?R|F}. 1:1(0) ack 1
""",
    "reset_in_close_wait": """\
+.1 < F. 1:1(0) ack 1 win 32792
+0 > {no-half-close?F|}. 1:1(0) ack 2
+.1 < R 2:2(0) win 0
{close-wait-deaf-to-rst?+.1 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 2|+.1 < . 2:2(0) ack 1 win 32792
+0 > R 1:1(0)}
""",
    "abort_in_fin_wait_2": FIN_WAIT_2 + ABORTS + """\
{silent-abort?+.1 < . 1:1(0) ack 2 win 32792
+0 > R 2:2(0)|+0 > R. 2:2(0) ack 1}
""",
    "abort_in_last_ack": LAST_ACK + ABORTS + """\
{late-abort-resets?+0 > R. 2:2(0) ack 2|+.1 < . 2:2(0) ack 1 win 32792
+0 > R 1:1(0)}
""",
    "abort_in_closing": CLOSING + ABORTS + """\
{late-abort-resets?+0 > R. 2:2(0) ack 2|+.1 < . 2:2(0) ack 1 win 32792
+0 > R 1:1(0)}
""",
    "error_in_fin_wait_1": CLOSES + PORT + """\
+.1 < . 1:1(0) ack 2 win 32792
{icmp-cannot-end-a-close?+.1 < F. 1:1(0) ack 2 win 32792
+0 > . 2:2(0) ack 2|+0 > R 2:2(0)}
""",
    "error_in_last_ack": LAST_ACK + PORT + """\
+.1 < F. 1:1(0) ack 1 win 32792
{icmp-cannot-end-a-close?+0 > . 2:2(0) ack 2|+0 > R 1:1(0)}
""",
}  # fmt: skip

_CHOICE = re.compile(r"\{([a-z][a-z0-9-]*)\?([^|{}]*)\|([^{}]*)\}")


def solution(alterations: set[str]) -> dict[str, str]:
    """The scripts of a variant, by name."""

    def chosen(choice: re.Match[str]) -> str:
        return choice[2] if choice[1] in alterations else choice[3]

    texts = {name: body if body.startswith("0 ") else HEAD + body for name, body in SCRIPTS.items()}
    return {f"{name}.pkt": _CHOICE.sub(chosen, text) for name, text in texts.items()}
