"""What the users of all worlds do, as the trace has it: their calls, and the text they have given and got."""

from __future__ import annotations

import hashlib

from tcpclose.scenario import Step
from tcpclose.trace.events import Call, Text


class Ledger:
    """The text that one user has given and got, as octet counts and digests."""

    def __init__(self) -> None:
        self._texts = {side: hashlib.sha256() for side in ("sent", "received")}
        self._octets = {"sent": 0, "received": 0}

    def add(self, side: str, text: bytes) -> None:
        self._texts[side].update(text)
        self._octets[side] += len(text)

    def event(self, now: int, host: str, connection: str) -> Text:
        sent, received = (self._texts[side].hexdigest() for side in ("sent", "received"))
        return Text(
            t=now,
            host=host,
            connection=connection,
            sent=self._octets["sent"],
            sent_sha256=sent,
            received=self._octets["received"],
            received_sha256=received,
        )


def call_event(step: Step, now: int, octets: int | None, error: str | None) -> Call:
    """That the user made the call of a step; `octets` of text were moved, or the TCP refused with `error`."""
    return Call(
        t=now,
        host=step.host,
        connection=step.connection or None,
        call=str(step.call),
        port=step.port or None,
        octets=octets,
        error=error,
    )
