"""What makes a script fail, with the message it must print; what makes it be skipped; the answers to its commands."""

from __future__ import annotations

import json
from functools import partial
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tcpclose.cli import app
from tcpclose.drill import collection, settings
from tcpclose.drill.dialect import profile_of
from tcpclose.drill.parser import parse
from tcpclose.drill.runner import Wishes, run_text
from tcpclose.protocol.fsm import TRANSITIONS, Do, Event, rows, table_of
from tcpclose.protocol.stack import Stack

OPENED = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1460,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
"""
CONTROL = "control messages of sendmsg()"
PYTHON = "Python that is not understood in %{ }%"
FIN = "+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n"


def run(text: str, **wishes: object):
    return run_text(text, "x.pkt", Wishes(**{"profile": "linux", **wishes}))


def after(text: str, **wishes: object):
    """Of a connection that was opened. Its first line is the eighth."""
    return run(OPENED + text, **wishes)


def test_the_scripts_of_this_file_pass_before_they_are_changed():
    for text in (FIN, "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n"):
        assert after(text).message == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("+0 close(4) = 0\n+0 > R. 1:1(0) ack 1", "x.pkt:9:1: flags: expected R., got F."),
        ("+0 close(4) = 0\n+0 > F. 2:2(0) ack 1", "x.pkt:9:1: sequence number: expected 2, got 1"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 2", "x.pkt:9:1: ack: expected 2, got 1"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 win 1", "x.pkt:9:1: win: expected 1, got 250"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 urg 1", "x.pkt:9:1: urgent pointer: expected 1, got 0"),
        ("+0 close(4) = 0\n+0 > F. 1:1(0) ack 1 <nop>", "x.pkt:9:1: options: expected <nop>, got <>"),
        ("+0 write(4, ..., 5) = 5\n+0 > P. 1:5(4) ack 1", "x.pkt:9:1: length: expected 4, got 5"),
        ("+0 write(4, ..., 5) = 5\n+0 > P. 1:1(0) ack 1", "x.pkt:9:1: length: expected 0, got 5"),
        (
            "+0 write(4, ..., 5) = 5\n+0 > P. 1:7(6) ack 1",
            "x.pkt:9:1: > P. 1:6(5) ack 1 cannot be joined with > P. 1:6(5) ack 1",
        ),
        (
            FIN + "+.5 > F. 1:1(0) ack 1",
            "x.pkt:10:1: time: the packet was to come at 0.600 (+-0.062500), it was 0.400: 0.200 s early",
        ),
        (
            FIN + "+.1 > F. 1:1(0) ack 1",
            "x.pkt:10:1: time: the packet was to come at 0.200 (+-0.012500), it was 0.400: 0.200 s late",
        ),
        (
            FIN + "+.1~+.2 > F. 1:1(0) ack 1",
            "x.pkt:10:1: time: the packet was to come from 0.200 to 0.300 (+-0.012500), it was 0.400: 0.100 s late",
        ),
        (FIN + "+0 > [ect0] F. 1:1(0) ack 1", "x.pkt:10:1: ECN: expected ect0, got noecn"),
        (FIN + "+0 > [ect01] F. 1:1(0) ack 1", "x.pkt:10:1: ECN: expected ect01, got noecn"),
        ("+0 write(4, ..., 5) = 4", "x.pkt:8:1: return value: expected 4, got 5"),
        ("+0 accept(3, ..., ...) = -1", "x.pkt:8:1: the call would block: accept(3, ..., ...) = -1"),
        ("+0 read(9, ..., 5) = -1 EINVAL", "x.pkt:8:1: errno: expected EINVAL, got EBADF"),
        ("+0 read(9, ..., 5) = 0", "x.pkt:8:1: return value: expected 0, got -1 EBADF"),
        ("+0 > . 1:1(0) ack 1", "x.pkt:8:1: missing: nothing came until 2.100, expected > . 1:1(0) ack 1"),
        ("+0 < P. 1:6(5) ack 1 win 257\n" + FIN, "x.pkt:10:1: flags: expected F., got ."),
        ("+0 getsockopt(4, SOL_SOCKET, SO_ERROR, [EPIPE], [4]) = 0", "x.pkt:8:1: SO_ERROR: expected EPIPE, got 0"),
        ("+0 getsockopt(4, SOL_TCP, TCP_SYNCNT, [5], [4]) = 0", "x.pkt:8:1: TCP_SYNCNT: expected 5, got 6"),
        ("+0 getsockopt(4, SOL_TCP, TCP_SYNCNT, [6], [8]) = 0", "x.pkt:8:1: length: expected 8, got 4"),
        ("+0 ioctl(4, SIOCINQ, [1]) = 0", "x.pkt:8:1: SIOCINQ: expected 1, got 0"),
        (
            "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1",
            "x.pkt:8:1: revents: expected POLLIN, got POLLOUT",
        ),
        ("+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 5) = 0", "x.pkt:8:1: the call would block"),
        (
            "+0...1 read(4, ..., 9) = 5\n+.1 < P. 1:6(5) ack 1 win 257\n+0 > . 1:1(0) ack 6\n+1 close(4) = 0",
            "x.pkt:8:1: time: the call was to return at 1.100 (+-0.125), it was 0.200: 0.900 s early",
        ),
        ("+0...1 read(4, ..., 9) = 5", "x.pkt:8:1: time: the call was to return at 1.100, it has not until 1.104"),
        ("+0 `ss -tan | grep TIME-WAIT`", "x.pkt:8:1: check failed: `ss -tan | grep TIME-WAIT` (there is:"),
        ("+0 `./launch_missiles`", "x.pkt:8:1: no such command here: ./launch_missiles"),
        ("+0 `sysctl -w net.ipv4.tcp_sack=on`", "x.pkt:8:1: sysctl net.ipv4.tcp_sack: expected a number, found 'on'"),
        ("+0 %{ assert tcpi_unacked == 1, 'why' }%", "x.pkt:8:1: assert tcpi_unacked == 1: why (tcpi_unacked is 0)"),
        ("+0 accept(3, ..., ...) = 4", "x.pkt:8:1: the call would block"),
        ("0.050 close(4) = 0", "x.pkt:8:1: time: this was to happen at 0.050 (+-0.004), it was 0.100: 0.050 s late"),
        ("+0 < . 1:1(0) ack 1 win 257 <TS val 1 ecr 7>", "x.pkt:8:1: ecr 7 is no TSval that was expected before"),
        ("+0 < icmp unreachable nowhere", "x.pkt:8:1: no code 'nowhere' of ICMP unreachable"),
        (
            "+0 %{ assert tcpi_rto > 1 + 2 * 1000000 }%",
            "x.pkt:8:1: assert tcpi_rto > 1 + 2 * 1000000 (tcpi_rto is 300000)",
        ),
        (
            "+0 %{ assert -tcpi_rto > 0 or not True }%",
            "x.pkt:8:1: assert -tcpi_rto > 0 or not True (tcpi_rto is 300000)",
        ),
        (
            "+0 epoll_create(1) = 5\n+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0\n"
            "+0 epoll_wait(5, {events=EPOLLOUT, fd=9}, 1, 0) = 1",
            "x.pkt:10:1: fd: expected 9, got 4",
        ),
        ("+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = -1", "x.pkt:8:1: return value: expected -1, got a descriptor"),
        ("+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4", "x.pkt:8:1: descriptor 4 is in use: close it first"),
        ("+0 getsockopt(4, SOL_TCP, TCP_QUICKACK, [0], [4]) = 0", "x.pkt:8:1: TCP_QUICKACK: expected 0, got 1"),
        ("+0 setsockopt(4, SOL_SOCKET, SO_LINGER, [1], 4) = 0", "x.pkt:8:1: expected a structure with a member onoff"),
        ("+0 write(4) = 1", "x.pkt:8:1: write() needs 3 arguments, got 1"),
        ("+0 fcntl(4, F_SETFL) = 0", "x.pkt:8:1: fcntl(): a flag is missing"),
        ("+0 poll([1], 1, 0) = 0", "x.pkt:8:1: expected entries such as {fd=4, events=POLLIN, revents=0}"),
        ("+0 write(4, ..., [1, 2]) = 1", "x.pkt:8:1: expected a number among the arguments"),
        ("+0 `echo 'x`", "x.pkt:8:1: a command with an open quote: echo 'x"),
        ("+0 `sockstat | grep a b`", "x.pkt:8:1: no such grep here: grep a b"),
        ("+0 write(4, ..., -1) = 1", "x.pkt:8:1: return value: expected 1, got -1 EINVAL"),
        ("+0 read(4, ..., -1) = 1", "x.pkt:8:1: return value: expected 1, got -1 EINVAL"),
        ("+0 writev(4, [{..., 1}, {NULL, 1}], 2) = 2", "x.pkt:8:1: return value: expected 2, got -1 EFAULT"),
        (
            "+0 < F. 1:1(0) ack 1 win 1\n"
            "+0 recvmsg(4, {msg_iov(1)=[{..., 1}], msg_control=[{cmsg_type=TCP_CM_INQ, cmsg_data=1}]}, 0) = 0",
            "x.pkt:9:1: TCP_CM_INQ comes only after setsockopt(TCP_INQ)",
        ),
        ("+0 < . 1:70001(70000) ack 1 win 1", "x.pkt:8:1: length 70000 does not fit into a packet"),
        ("+0 < . 1:1(0) ack 1 win 70000", "x.pkt:8:1: win 70000 does not fit into 16 bits"),
    ],
)
def test_a_script_that_must_fail(text, message):
    verdict = after(text)
    assert verdict.outcome == "failed"
    assert verdict.message.startswith(message)


def test_an_option_with_another_value():
    verdict = run(OPENED.replace("wscale 8", "wscale 7"))
    assert verdict.message.startswith("x.pkt:5:1: option: expected wscale 7, got wscale 8")


def test_options_in_another_order():
    verdict = run(OPENED.replace("<mss 1460,nop,nop,sackOK,nop,wscale 8>", "<mss 1460,nop,wscale 8,nop,nop,sackOK>"))
    assert "options: expected <mss 1460,nop,wscale 8,nop,nop,sackOK>, got <mss 1460,nop,nop,sackOK" in verdict.message


def test_a_clock_that_ticks_otherwise():
    text = """--tcp_ts_tick_usecs=1000
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1460,TS val 1 ecr 0>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,TS val 100 ecr 1>
+.1 < P. 1:6(5) ack 1 win 257 <nop,nop,TS val 1 ecr 100>
+0 > . 1:1(0) ack 6 <nop,nop,TS val 200 ecr 1>
"""
    assert run(text).outcome == "passed"
    assert "TS val: expected 300, got 200" in run(text.replace("val 200", "val 300")).message


def test_what_the_verdict_shows():
    verdict = after("+0 close(4) = 0\n+0 > F. 1:1(0) ack 2")
    assert verdict.message.split("\n")[1:] == [
        "    expected: +0.000 > F. 1:1(0) ack 2",
        "    got:      0.100 > F. 1:1(0) ack 1",
    ]
    assert verdict.log[-1] == "    0.100 > F. 1:1(0) ack 1"


def test_the_tolerance_of_the_command_line_counts():
    text = FIN + "+.1 > F. 1:1(0) ack 1"
    assert after(text).outcome == "failed"
    assert after(text, tolerance_usecs=200_000).outcome == "passed"


def test_segments_are_joined_unless_they_count_one_by_one():
    text = OPENED + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n"
    assert run(text).outcome == "passed"
    assert "flags: expected P., got ." in run("--strict_segments\n" + text).message


def test_a_syntax_error_fails():
    verdict = run("0 close(3 = 0")
    assert verdict.outcome == "failed"
    assert verdict.message.startswith("x.pkt:1:11: expected ',' or ')', found '='")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 > S 0:0(0) <FO aabb>", "TCP Fast Open (line 1)"),
        ("0 sendto(3, ..., 1, MSG_FASTOPEN, ..., ...) = 1", "TCP Fast Open (line 1)"),
        ("0 send(3, ..., 1, MSG_DONTWAIT|MSG_ZEROCOPY) = 1", "zero copy (line 1)"),
        ("0 send(3, ..., 1, MSG_EOR) = 1", "records in a stream (line 1)"),
        ("0 setsockopt(3, SOL_TCP, TCP_MD5SIG, {a=1}, 8) = 0", "MD5 signatures (line 1)"),
        ("0 socket(..., SOCK_STREAM, IPPROTO_MPTCP) = 3", "Multipath TCP (line 1)"),
        ("0 `sysctl -w net.ipv4.tcp_ecn=3`", "accurate ECN (line 1)"),
        ("0 %{ assert tcpi_nonsense }%", "tcpi_nonsense in %{ }% (line 1)"),
        ("0 %{ assert 1 << 99 }%", "arithmetic in %{ }% with what is no number, or a huge one (line 1)"),
        ("0 %{ assert 1 / 0 }%", "arithmetic in %{ }%: division by zero (line 1)"),
        ("0 %{ assert ( }%", "Python that is not understood in %{ }%: '(' was never closed (line 1)"),
        ("0 socket(..., SOCK_STREAM, 6) = NINE", "the symbol NINE (line 1)"),
        ("0 < icmp redirect", "ICMP redirect (line 1)"),
        ("0 > icmp unreachable", "ICMP that our stack is expected to send (line 1)"),
        ("0 < S 0:0(0) win 1 <uto 5>", "the TCP option uto (line 1)"),
        ("0 mmap(3) = 0", "the call mmap() (line 1)"),
        ("0 %{ import os }%", "Python beyond assert in %{ }%: import os (line 1)"),
        ("0 %{ assert __import__('os') }%", "Python that is not understood in %{ }%: __import__('os') (line 1)"),
        ("0 `tc qdisc add dev tun0 root pfifo limit 0`", "a network that drops packets by a command (line 1)"),
        ("0 `ifconfig tun0 192.168.0.10/16`", "a network that drops packets by a command (line 1)"),
        ("0 `ip route add blackhole 192.0.2.0/24`", "a network that drops packets by a command (line 1)"),
        ("0 `netstat -sp tcp | grep retransmitted`", "a check of something else than states (line 1)"),
        ("0 recvmsg(3, {msg_iov(1)=[{..., 1}]}, MSG_ERRQUEUE) = 0", "the queue of a socket's errors (line 1)"),
        ("0 < . 1:1(0) ack 1 win 1 <nop,nop,mp_fastclose key=1>", "Multipath TCP (line 1)"),
        ("0 < . 1:1(0) ack 1 win 1 <dss dack4=1 nocs>", "Multipath TCP (line 1)"),
        ("0 < S 0:0(0) win 1 <ECN e1b 1 ceb 0 e0b 1>", "accurate ECN (line 1)"),
        ("\n0 > [ect0] .5 1:1(0) ack 1", "accurate ECN (line 2)"),
        ("0 < udp (100)", "udp packets (line 1)"),
        ("0 < [tos 0x10] . 1:1(0) ack 1 win 1", "fields of the IP header: [tos 0x10] (line 1)"),
        ("0 sendmsg(3, {msg_iov(1)=[{..., 1}], msg_control=[{cmsg_type=SCM_TXTIME}]}, 0) = 1", f"{CONTROL} (line 1)"),
        ("0 %{ assert 1 < 'a' }%", f"{PYTHON}: '<' not supported between instances of 'int' and 'str' (line 1)"),
        ("0 %{ assert 1 in 2 }%", f"{PYTHON}: argument of type 'int' is not iterable (line 1)"),
        ("0 %{ assert 1\0 }%", f"{PYTHON}: source code string cannot contain null bytes (line 1)"),
        ("0 %{ if tcpi_rto: pass }%", "Python beyond assert in %{ }%: if tcpi_rto: (line 1)"),
    ],
)
def test_a_script_that_is_skipped(text, reason):
    verdict = run(text)
    assert (verdict.outcome, verdict.message) == ("skipped", reason)


def test_unknown_sysctls_are_told():
    assert after("+0 `sysctl -w net.ipv4.tcp_nonsense=1`").unknown == ("net.ipv4.tcp_nonsense",)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sysctl -q net.ipv4.tcp_fin_timeout=5", [("net.ipv4.tcp_fin_timeout", "5")]),
        ("../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0", [("net.ipv4.tcp_sack", "0")]),
        ("echo 1 > /proc/sys/net/ipv4/tcp_rfc1337", [("net.ipv4.tcp_rfc1337", "1")]),
        ('sysctl -w net.ipv4.tcp_rmem="4096 87380 6291456"', [("net.ipv4.tcp_rmem", "4096 87380 6291456")]),
        ("ip route show", None),
    ],
)
def test_commands_that_set(command, expected):
    assert settings.assignments(command) == expected


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("net.ipv4.tcp_fin_timeout", "5", {"fin_wait_2_timeout": 5_000_000}),
        ("net.ipv4.tcp_rmem", "4096 87380 6291456", {"window_shift": 7}),
        ("net.ipv4.tcp_wmem", "1 2 3", {}),
        ("net.ipv4.tcp_early_retrans", "0", {"loss_probe": False}),
        ("net.ipv4.tcp_invalid_ratelimit", "0", {"challenge_ack_limit": 1 << 30, "challenge_ack_interval": 1_000_000}),
        ("net.ipv4.tcp_challenge_ack_limit", "1000", {}),
        ("net.ipv4.tcp_rfc1337", "1", {"time_wait_rst": "ignore"}),
        ("net.inet.tcp.msl", "1000", {"msl": 1_000_000}),
        ("net.inet.tcp.rexmit_slop", "20", {"rto_extra": 20_000}),
        ("net.inet.tcp.rfc1323", "2", {"window_scale": True, "timestamps": False}),
        ("net.inet.tcp.insecure_rst", "1", {"reset_validity": "window"}),
        ("net.inet.tcp.hostcache.purgenow", "1", {}),
        ("net.inet.tcp.nonsense", "1", None),
    ],
)
def test_sysctls(name, value, changes):
    assert settings.changes(name, value) == changes


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        ("ss -tan | grep -q ESTAB", "passed"),
        ("ss -tan state established | grep 8080", "passed"),
        ("sockstat -4 | grep -w ESTABLISHED", "passed"),
        ("netstat -n | grep 192.168.0.1.8080 | grep ESTABLISHED", "passed"),
        ("! netstat -n | grep TIME_WAIT", "passed"),
        ("ss -tan | grep LISTEN", "passed"),
        ("sockstat | grep ESTABLISHED > /dev/null 2>&1", "passed"),
        ("sockstat | egrep 'CLOSED|ESTABLISHED'", "passed"),
        ("sockstat | grep CLOSE_WAIT", "failed"),
        ("sockstat | grep -v 8080", "failed"),
        ("sockstat | awk 1", "failed"),
    ],
)
def test_state_checks(check, outcome):
    assert after(f"+0 `{check}`").outcome == outcome


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("`sysctl -w net.inet.tcp.msl=1000`\n0 close(3) = 0", "bsd"),
        ("`../common/defaults.sh`\n0 close(3) = 0", "linux"),
        ("0 > S 0:0(0) <mss 1460,nop,wscale 6,sackOK,TS val 1 ecr 0>", "bsd"),
        ("0 > S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 8>", "linux"),
        ("0 > S. 0:0(0) ack 1 <mss 1460,sackOK,eol,eol>", "bsd"),
        ("0 > S. 0:0(0) ack 1 win 65535 <mss 1460>", "bsd"),
        ("0 > S. 0:0(0) ack 1 <...>", "linux"),
        ("0 close(3) = 0", "linux"),
    ],
)
def test_the_dialect_tells_the_profile(text, profile):
    assert profile_of(parse(text)) == profile


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.pkt").write_text(OPENED + FIN)
    (tmp_path / "sub" / "b.pkt").write_text(OPENED + FIN.replace("F.", "R."))
    (tmp_path / "sub" / "c.pkt").write_text("0 > S 0:0(0) <FO aabb>")
    return tmp_path


def drill(*words: object):
    return CliRunner().invoke(app, ["drill", *map(str, words)])


def test_the_command(folder):
    done = drill(folder)
    assert done.exit_code == 1
    first, *_, last = done.stdout.splitlines()
    assert first == f"{folder}/sub/b.pkt:9:1: flags: expected R., got F."
    assert last == "1 passed, 1 failed, 1 skipped"
    assert drill(folder / "a.pkt", folder / "sub" / "c.pkt").exit_code == 0


def test_two_processes_say_the_same(folder):
    assert drill(folder, "--jobs", 2).stdout == drill(folder).stdout


def test_verdicts_for_programs(folder):
    files = {form: folder / form for form in collection.FORMATS}
    drill(folder, *(word for form, file in files.items() for word in (f"--{form}", file)), "--trace", folder / "t")
    rows = json.loads(files["json"].read_text())
    assert [(row["outcome"], row["line"]) for row in rows] == [("passed", None), ("failed", 9), ("skipped", None)]
    tap = files["tap"].read_text().splitlines()
    assert tap[1] == "1..3"
    assert [line.split(" - ")[0] for line in tap if "ok " in line] == ["ok 1", "not ok 2", "ok 3"]
    suite = ElementTree.parse(files["junit"]).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert len(list((folder / "t").iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        ([".", "--profile", "windows"], "--profile windows: expected rfc9293, linux, bsd or auto"),
        ([".", "-D", "A"], "-D A: expected NAME=VALUE"),
    ],
)
def test_unusable_input(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = drill(*words)
    assert (done.exit_code, done.stderr.strip()) == (2, f"tcpclose: {message}")


def test_verdicts_that_cannot_be_written(tmp_path):
    (tmp_path / "x.pkt").write_text("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")
    done = drill(tmp_path / "x.pkt", "--json", tmp_path / "nowhere" / "x")
    assert (done.exit_code, done.stderr) == (2, f"tcpclose: {tmp_path}/nowhere/x: No such file or directory\n")


def test_a_folder_without_scripts(tmp_path):
    assert drill(tmp_path).exit_code == 2


def test_words_of_the_command_line(folder):
    (folder / "a.pkt").write_text(OPENED + FIN.replace("ack 1", "ack ACKNOWLEDGED"))
    assert drill(folder / "a.pkt", "-D", "ACKNOWLEDGED=1").exit_code == 0


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "a.pkt").write_bytes(b"\xff\xfe")
    assert "cannot be read" in drill(tmp_path).stdout


# Words for a shell


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("true || ss -tan | grep LISTEN", ""),
        ("ss -tan | grep CLOSING || true", ""),
        ("! ss -tan | grep CLOSING && ss -tan | grep ESTAB", ""),
        ("ss -tan | grep ESTAB && ss -tan | grep CLOSING", "check failed: `ss -tan | grep CLOSING`"),
        ("ss -tan | grep LAST-ACK || ss -tan | grep CLOSING", "check failed: `ss -tan | grep CLOSING`"),
        ("/tmp/sysctl_restore_${PPID}.sh", ""),
        ("echo 1 > /dev/null", ""),
        ("kldstat -q -m tcp_rack || kldload tcp_rack", ""),
        ("./anything.sh", "no such command here: ./anything.sh"),
        (
            "sysctl tcpclose.nonsense=1",
            "sysctl tcpclose.nonsense: there is no such setting; `tcpclose config` lists them",
        ),
        ("sysctl tcpclose.msl=long", "sysctl tcpclose.msl: expected a number, found 'long'"),
        ("sysctl tcpclose.push=now", "sysctl tcpclose.push: expected one of buffer, write, burst, found 'now'"),
        ("sysctl net.ipv4.tcp_retries2=-5", "sysctl net.ipv4.tcp_retries2: r2 cannot be -5: it is at least 0"),
        ("sysctl tcpclose.rto_min=9000000 tcpclose.rto_max=8000000", "rto_min (9000000 us) is longer than rto_max"),
        ("sysctl tcpclose.rto_min=200000000 tcpclose.rto_max=300000000", ""),
    ],
)
def test_commands_in_a_row_and_alternatives(command, message):
    verdict = after(f"+0 `{command}`\n")
    assert (message in verdict.message) if message else (verdict.message == "")
    assert not verdict.unknown


def test_a_shell_is_asked_for_products_and_for_the_initial_window():
    text = '`sysctl -q net.ipv4.tcp_rmem="4096 131072 $((32*1024*1024))"\nip route change 192.0.2.0/24 initcwnd 4`\n'
    text += OPENED.replace("wscale 8", "wscale 10") + "+0 write(4, ..., 9000) = 9000\n+0 > P. 1:4001(4000) ack 1\n"
    text = text.replace("mss 1460,sackOK", "mss 1000,sackOK") + "+.1 < . 1:1(0) ack 1001 win 257\n"
    assert run(f"{text}+0 > P. 4001:6001(2000) ack 1\n").message == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--tolerance_usecs=abc", "x.pkt:1:1: --tolerance_usecs: expected a number up to 2147483648, found 'abc'"),
        ("--bind_port=65536", "x.pkt:1:1: --bind_port: expected a number up to 65535, found '65536'"),
        ("--local_ip=192.168.0", "x.pkt:1:1: --local_ip: expected an address, found '192.168.0'"),
        ("--ip_version=ipv5", "--ip_version: expected one of ipv4, ipv6, ipv4-mapped-ipv6, found 'ipv5'"),
        ("--remote_ip=fe80::2", "addresses of one version, found 192.168.0.1 and fe80::2: is --ip_version missing?"),
        ("`sysctl tcpclose.profile=moon`", "tcpclose.profile=moon: expected one of rfc9293, linux, bsd"),
    ],
)
def test_what_is_wrong_before_the_first_event_is_told(text, message):
    verdict = run_text(f"{text}\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", "x.pkt")
    assert verdict.outcome == "failed"
    assert message in verdict.message


def test_a_script_may_name_its_profile_and_settings():
    text = "`sysctl tcpclose.profile=rfc9293 tcpclose.mss=500`\n" + OPENED.split("+0 > S.")[0]
    verdict = run_text(text + "+0 > S. 0:0(0) ack 1 <mss 500>\n", "x.pkt")
    assert verdict.message == ""


def test_a_message_that_is_not_understood_excuses_no_failure():
    verdict = after("+0 %{ assert tcpi_state == 7, 'now %s' % tcpi_state.real }%\n")
    assert (verdict.outcome, verdict.message) == (
        "failed",
        "x.pkt:8:1: assert tcpi_state == 7: 'now %s' % tcpi_state.real (tcpi_state is 1)",
    )


@pytest.mark.parametrize(("profile", "number"), [("linux", 111), ("bsd", 61)])
def test_numbers_of_errors_are_those_of_the_stack(profile, number):
    text = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_NONBLOCK) = 0\n"
    text += "+0 connect(3, ..., ...) = -1 EINPROGRESS\n+0 > S 0:0(0) <...>\n+.1 < R. 0:0(0) ack 1 win 0\n"
    text += "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [{}], [4]) = 0\n"
    assert run(text.format(number), profile=profile).message == ""
    assert "SO_ERROR: expected 5, got ECONNREFUSED" in run(text.format(5), profile=profile).message


def test_how_large_packets_are_handed_in_is_not_our_segment_size():
    assert run("--mss=1000\n" + OPENED).message == ""
    assert run("--mtu=1200\n" + OPENED.replace("ack 1 <mss 1460", "ack 1 <mss 1160")).message == ""


EPOLL = """\
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT%s, ptr=9}) = 0
+0 epoll_wait(5, {events=EPOLLOUT, ptr=9}, 1, 0) = 1
+0 epoll_wait(5, {events=EPOLLOUT, ptr=%d}, 1, 0) = 1
"""


def test_another_stack_may_be_judged():
    """One without half-close: it answers a FIN by its own, and nobody can write any more."""
    answer = rows("ESTABLISHED", Event.FIN, "LAST-ACK", Do.SIGNAL_EOF, Do.SEND_ACK, Do.QUEUE_FIN, rfc="3.10.7.4 eighth")
    text = OPENED + "+.1 < F. 1:1(0) ack 1 win 257\n+0 > F. 1:1(0) ack 2\n+0 write(4, ..., 10) = -1 EPIPE\n"
    other = partial(Stack, table=table_of((*TRANSITIONS, *answer)))
    assert run_text(text, "x.pkt", Wishes(profile="linux"), other).message == ""
    assert "flags: expected F., got ." in run(text).message


def test_epoll_tells_what_it_was_given():
    assert after(EPOLL % ("", 9)).message == ""
    assert after(EPOLL % ("", 8)).message == "x.pkt:11:1: ptr: expected 8, got 9"
    assert after(EPOLL % ("|EPOLLET", 9)).outcome == "skipped"
