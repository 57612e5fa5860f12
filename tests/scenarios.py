"""Scenarios of two hosts and one connection, c1, in few words: what a test says of them is what it is about."""

from __future__ import annotations

from tcpclose.scenario import Scenario

_CALLS = {"listen", "open", "send", "receive", "close", "abort"}


def scenario(
    *steps: str,
    tables: str = "",
    client: str = "h1",
    server: str = "h2",
    port: int = 80,
    iss: tuple[int, int] | None = None,
    **top: object,
) -> Scenario:
    """A scenario of `steps` (see `step`). `tables` is TOML about hosts and links, `top` are keys like `duration`.

    `iss` are the initial sequence numbers of client and server.
    """
    keys = {"topology": "two_hosts", "duration": "60s", **top}
    connection = {"client": client, "server": server, "port": port}
    if iss is not None:
        connection["client_iss"], connection["server_iss"] = iss
    text = [_lines(keys), tables, "[connection.c1]", _lines(connection), *(step(line, port) for line in steps)]
    return Scenario.parse("\n".join(text))


def step(line: str, port: int = 80) -> str:
    """The TOML of a step, "MOMENT: ACTION".

    A moment is a time, or "h1 sees CONNECTED", "h2 in CLOSE-WAIT + 200ms"; an action is "h2 listen", "h1 send 20kB",
    or a fault and what it strikes, "link_down h1-s1".
    """
    moment, _, action = line.partition(": ")
    moment, _, after = moment.partition(" + ")
    keys: dict[str, object] = {"at": moment} if moment[0].isdigit() else {"when": moment.replace(" ", ".c1 ", 1)}
    if after:
        keys["after"] = after
    first, second, *rest = action.split()
    if second in _CALLS:
        keys |= {"host": first, "call": second}
        keys |= {"port": port} if second == "listen" else {"connection": "c1"}
        keys |= {"bytes": int(rest[0]) if rest[0].isdigit() else rest[0]} if rest else {}
    else:
        keys |= {"fault": first, "link" if "-" in second else "host": second}
    return "[[step]]\n" + _lines(keys)


def _lines(keys: dict[str, object]) -> str:
    return "\n".join(f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in keys.items())


#: h1 opens, sends and closes; h2 listens and answers the end. `{bytes}` is for `str.format`.
TALK = (
    "0s: h2 listen",
    "0s: h1 open",
    "h1 sees CONNECTED: h1 send {bytes}",
    "h1 sees SENT: h1 close",
    "h2 sees EOF: h2 close",
)


def talk(*more: str, octets: str = "20kB", tables: str = "", **top: object) -> Scenario:
    """That talk, and more steps."""
    return scenario(*(line.format(bytes=octets) for line in TALK), *more, tables=tables, **top)
