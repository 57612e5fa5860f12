"""The file of a trace: what is none is told with its line, and with what was expected there."""

from __future__ import annotations

import pytest

from tcpclose.trace.events import Call, Trace

CALL = b'{"t": 0, "kind": "call", "host": "h1", "call": "open"}'
TOLD = b'{"t": 0, "kind": "signal", "host": "h1", "connection": "c1", "signal": "GONE"}'
TEXT = TOLD.replace(b'"GONE"', b'"TEXT"')
SENT = b"""{"t": 0, "kind": "send", "host": "h1", "id": 1, "src": "10.0.0.1:40001", "dst": "[fd00::2]:80", "seq": 1,
"ack": 1, "ctl": "FIN,ACK", "len": 0, "wnd": 9}""".replace(b"\n", b" ")
CHANGE = b'{"t": 0, "kind": "state", "host": "h1", "connection": "c1", "event": "FIN", "old": "OPEN", "new": "CLOSED"}'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"\xff\xfe", r"not an event of a trace, which is UTF-8: b'\xff\xfe\n'"),
        (CALL.replace(b"h1", b"h\xe9"), "not an event of a trace, which is UTF-8: b'{"),
        (b"", "which is a JSON object: '' (Expecting value"),
        (CALL[:-9], "(Expecting ':' delimiter"),
        (b"[" * 9000, "which is a JSON object: '[...]' ("),
        (b"[]", "which is a JSON object: '[]' ("),
        (b"7", "which is a JSON object: '7' ("),
        (b'{"t": 0}', "(kind: expected call, state, timer, send, "),
        (CALL.replace(b"0", b"-1"), "(t: expected one of range(0, 9223372036854775808), not -1)"),
        (CALL.replace(b'"h1"', b"1"), "(host: expected str, not 1)"),
        (TOLD, "(signal: expected one of ['CONNECTED', 'TEXT', "),
        (CHANGE, "(old: expected one of ['"),
        (CALL.replace(b"h1", b""), "(host: expected a word, not '')"),
        (TEXT, "(detail: expected how many octets have come, not '')"),
        (TEXT[:-1] + b', "detail": "x"}', "(detail: expected how many octets have come, not 'x')"),
        (SENT.replace(b":40001", b""), "(expected ADDRESS:PORT such as 10.0.0.1:80 or [fd00::1]:80, got '10.0.0.1')"),
        (SENT.replace(b":80", b":80000"), "(expected ADDRESS:PORT such as "),
        (SENT.replace(b"FIN", b"END"), "('END' is no control bit; there are "),
    ],
)
def test_what_is_no_event_is_told_with_its_line(tmp_path, line, words):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(CALL + b"\n" + line + b"\n")
    with pytest.raises(ValueError, match="not an event") as refused:
        Trace.load(path)
    assert str(refused.value).startswith(f"{path}:2: not an event of a trace, which is ")
    assert words in str(refused.value)
    assert len(str(refused.value)) < 500


def test_what_is_right_there_is_an_event(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\n".join([CALL, TEXT[:-1] + b', "detail": "7"}', SENT]))
    assert [event.kind for event in Trace.load(path)] == ["call", "signal", "send"]


def test_what_is_said_of_a_trace_need_not_be_ascii(tmp_path):
    event = Call(t=0, host="hé", call="open", error="дверь")
    Trace([event]).save(tmp_path / "trace.jsonl")
    assert Trace.load(tmp_path / "trace.jsonl").events == [event]
