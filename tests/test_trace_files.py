"""The file of a trace: what is none is told with its line, and with what was expected there."""

from __future__ import annotations

import pytest

from tcpclose.trace.events import Call, Trace

CALL = b'{"t": 0, "kind": "call", "host": "h1", "call": "open"}'
TOLD = b'{"t": 0, "kind": "signal", "host": "h1", "connection": "c1", "signal": "GONE"}'
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
        (b'{"t": 0}', "(kind: expected call, state, send, "),
        (CALL.replace(b"0", b"-1"), "(t: expected one of range(0, 9223372036854775808), not -1)"),
        (CALL.replace(b'"h1"', b"1"), "(host: expected str, not 1)"),
        (TOLD, "(signal: expected one of ['CONNECTED', 'TEXT', "),
        (CHANGE, "(old: expected one of ['"),
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


def test_what_is_said_of_a_trace_need_not_be_ascii(tmp_path):
    event = Call(t=0, host="hé", call="open", error="дверь")
    Trace([event]).save(tmp_path / "trace.jsonl")
    assert Trace.load(tmp_path / "trace.jsonl").events == [event]
