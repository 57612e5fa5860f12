"""Scenario files: what they mean, what is refused and in which words, and that a dump loads to the same."""

from __future__ import annotations

import contextlib
import tomllib
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from tcpclose.protocol.config import TcpConfig
from tcpclose.scenario import Condition, Scenario, ScenarioError, Step, payload, read_condition
from tcpclose.scenario.steps import CALLS

DEMO = Path(__file__).parent.parent / "labs" / "demo" / "scenario.toml"

HEAD = """
topology = "two_hosts"
duration = "10s"
"""
C1 = """
[connection.c1]
client = "h1"
server = "h2"
port = 80
"""


def step(text: str) -> str:
    """HEAD, the connection c1 and one step, written as the inside of a TOML table."""
    return f"{HEAD}{C1}\n[[step]]\n{text}\n"


OPEN = 'host = "h1"\nconnection = "c1"\ncall = "open"\n'
INJECT = 'fault = "inject"\nhost = "h1"\nconnection = "c1"\nsource = "h1"\n'
SEND = 'host = "h1"\nconnection = "c1"\ncall = "send"\n'


# ---- What is read


def test_defaults() -> None:
    scenario = Scenario.parse(HEAD + C1)
    assert (scenario.title, scenario.seed, scenario.duration, scenario.step) == ("", 1, 10_000_000, ())
    assert set(scenario.host) == {"h1", "h2"}
    host, connection = scenario.host["h1"], scenario.connection["c1"]
    assert (host.stack, host.profile, host.receive, host.kernel_ports) == ("tcpclose", "rfc9293", "auto", ())
    assert scenario.tcp_config("h1") == scenario.tcp_config("idle") == TcpConfig()
    assert connection.ends == (("h1", 40001), ("h2", 80))
    assert connection.client_iss is connection.server_iss is None


def test_units_are_resolved() -> None:
    scenario = Scenario.parse(
        HEAD
        + """
        link.h1-s1 = { delay = "10ms", rate = "10Mbit/s", loss = "1%", queue = 100 }
        link.h2-s1 = { delay = "1.5ms" }
        [host.h1.tcp]
        user_timeout = "3s"
        rcv_buffer = "10kB"
        """
    )
    assert scenario.link_settings() == {
        "h1-s1": {"delay": 10_000, "rate": 10_000_000, "loss": 0.01, "queue": 100},
        "h2-s1": {"delay": 1_500},
    }
    assert scenario.tcp_config("h1") == replace(TcpConfig(), user_timeout=3_000_000, rcv_buffer=10_000)


def test_clients_ports_are_counted_from_40001() -> None:
    connections = "".join(
        f'connection.{name} = {{ client = "h1", server = "h2", port = 80{more} }}\n'
        for name, more in (("a", ""), ("b", ", client_port = 5000"), ("c", ""))
    )
    scenario = Scenario.parse(HEAD + connections)
    assert [connection.client_port for connection in scenario.connection.values()] == [40001, 5000, 40003]


@pytest.mark.slow
def test_more_clients_than_ports_begin_again() -> None:
    """As long as they call others."""
    connections = [C1.replace("80", str(1 + place // 25_535)).replace("c1", f"c{place}") for place in range(25_536)]
    ports = [connection.client_port for connection in Scenario.parse(HEAD + "".join(connections)).connection.values()]
    assert (ports[0], max(ports), ports[-1]) == (40_001, 65_535, 40_001)


def test_topology_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text('topology = "nets/ring.py:ring"\nduration = "1s"\n')
    scenario = Scenario.load(file)
    assert scenario.topology == f"{tmp_path}/nets/ring.py:ring"
    assert Scenario.parse(scenario.dump(), folder=Path("/elsewhere")) == scenario


def test_payload() -> None:
    said, counted = Scenario.parse(
        step(f'at = "1s"\n{SEND}text = "héllo"') + f'[[step]]\nat = "1s"\n{SEND}bytes = 200'
    ).step
    assert payload(said) == "héllo".encode()
    assert len(payload(counted)) == 200
    assert len(set(payload(counted))) > 50


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("h1.c1 in FIN-WAIT-1", Condition("h1", "c1", "in", "FIN-WAIT-1")),
        ("h1.c1  sees  EOF ", Condition("h1", "c1", "sees", "EOF")),
        ("h1.c1 sees reset by peer", Condition("h1", "c1", "sees", "RESET-BY-PEER")),
        ("h1.c1 received 10kB", Condition("h1", "c1", "received", "10000")),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    assert read_condition(text) == condition
    assert read_condition(str(condition)) == condition


def test_each_call_says_what_it_needs() -> None:
    kinds = {name for kind in get_args(Step.model_fields["call"].annotation) for name in get_args(kind)}
    assert kinds == set(CALLS)


def test_the_demo_is_four_connections_in_less_than_ten_seconds() -> None:
    scenario = Scenario.load(DEMO)
    scenario.check_against({"host": {"h1", "h2"}, "link": {"h1-s1", "h2-s1"}})
    assert list(scenario.connection) == ["graceful", "refused", "aborted", "unreachable"]
    assert scenario.duration < 10_000_000
    assert scenario.tcp_config("h1").user_timeout == 3_000_000
    assert [step.fault.kind for step in scenario.step if step.fault] == ["link_down", "link_up"]


# ---- What is refused

REFUSED = [
    # TOML itself
    ("title =", "not TOML: Invalid value (at end of document)"),
    ("title = 1\ntitle = 2\n", "not TOML: Cannot overwrite a value (at line 2, column 10)"),
    (HEAD + C1 + C1, "not TOML: Cannot declare ('connection', 'c1') twice (at line 10, column 15)"),
    ("a = " + "[" * 100_000, "not TOML: maximum recursion depth exceeded"),
    # keys
    ('topology = "x"', "duration: missing"),
    (HEAD + "sead = 1", "sead: unknown key; did you mean seed?"),
    (HEAD + "[host.h1.tcp]\nuser_timout = 1", "host.h1.tcp.user_timout: unknown key; did you mean user_timeout?"),
    (HEAD + "[link.a-b]\nrat = 1", "link.a-b.rat: unknown key; did you mean rate?"),
    (step(f'atr = "1s"\nat = "1s"\n{OPEN}'), "step 1: atr: unknown key; did you mean at?"),
    (HEAD + '[host."h 1"]', 'host.h 1 = "h 1": expected a name of letters, digits, - and _'),
    # kinds of values
    (HEAD + "host = 1", "host = 1: expected a table"),
    (HEAD + "host.h1 = 1", "host.h1 = 1: expected a table"),
    (HEAD + "host.h1.tcp = 1", "host.h1.tcp = 1: expected a table"),
    (HEAD + "[step]", "step: expected tables that begin with [[step]]"),
    (HEAD + "step = [1]", "step 1 = 1: expected a table"),
    (HEAD + "title = 1", "title = 1: expected text"),
    (HEAD + 'seed = "1"', 'seed = "1": expected a whole number'),
    (HEAD + "seed = true", "seed = true: expected a whole number"),
    (HEAD + "seed = nan", "seed = NaN: expected a whole number"),
    (HEAD + "seed = 1979-05-27", 'seed = "1979-05-27": expected a whole number'),
    (HEAD + "host.h1.tcp.reset_ack = 1", "host.h1.tcp.reset_ack = 1: expected true or false"),
    (HEAD + "host.h1.kernel_ports = 22", "host.h1.kernel_ports = 22: expected an array"),
    # units and bounds
    (
        HEAD + "host.h1.tcp.user_timeout = 5",
        'host.h1.tcp.user_timeout = 5: expected a duration such as "3s", "100ms" or "50us"',
    ),
    (HEAD + 'host.h1.tcp.rto_max = "0s"', 'host.h1.tcp.rto_max = "0s": expected at least 1us'),
    (HEAD + "host.h1.tcp.mss = 70000", "host.h1.tcp.mss = 70000: expected at most 65495"),
    (HEAD + "host.h1.tcp.initial_window = 0", "host.h1.tcp.initial_window = 0: expected at least 1"),
    (HEAD + "host.h1.kernel_ports = [22, 0]", "host.h1.kernel_ports item 2 = 0: expected at least 1"),
    (HEAD + "link.a.rate = 5", 'link.a.rate = 5: expected a rate such as "10Mbit/s"'),
    (HEAD + 'link.a.rate = "0bit/s"', 'link.a.rate = "0bit/s": expected at least 1bit/s'),
    (HEAD + "link.a.loss = 0.5", 'link.a.loss = 0.5: expected a percentage such as "1%"'),
    (HEAD + "link.a.queue = 0", "link.a.queue = 0: expected at least 1"),
    (HEAD.replace("10s", "0s"), 'duration = "0s": expected at least 1us'),
    (step(f'at = "1s"\n{SEND}bytes = "10 kilo"'), 'step 1: bytes = "10 kilo": expected octets, such as 1000 or "10kB"'),
    # choices
    (HEAD + 'host.h1.tcp.time_wait_rst = "no"', 'host.h1.tcp.time_wait_rst = "no": expected "close" or "ignore"'),
    (
        HEAD + 'host.h1.profile = "rfc793"',
        'host.h1.profile = "rfc793": there is no such profile; did you mean rfc9293?',
    ),
    (HEAD + 'host.h1.profile = ["x"]', 'host.h1.profile = ["x"]: expected text'),
    (
        HEAD + '[host.h1.tcp]\nrto_min = "2min"',
        "host.h1.tcp: rto_min (120000000 us) is longer than rto_max (60000000 us)",
    ),
    (
        HEAD + '[host.h1]\nstack = "linux"\ntcp.msl = "1s"',
        'host.h1: stack = "linux" cannot honour msl of `tcp`; it can: user_timeout, keepalive, keepalive_idle, ',
    ),
    # conditions
    (
        step(f'when = "h1.c1 is ESTABLISHED"\n{OPEN}'),
        'step 1: when = "h1.c1 is ESTABLISHED": '
        'expected "HOST.CONNECTION in STATE", "... sees SIGNAL" or "... received OCTETS"',
    ),
    (
        step(f'when = "h1.c1 in ESTABLISHT"\n{OPEN}'),
        'step 1: when = "h1.c1 in ESTABLISHT": there is no state ESTABLISHT; did you mean ESTABLISHED?',
    ),
    (
        step(f'when = "h1.c1 sees USER-TIMOUT"\n{OPEN}'),
        'step 1: when = "h1.c1 sees USER-TIMOUT": there is no signal USER-TIMOUT; did you mean USER-TIMEOUT?',
    ),
    (
        step(f'when = "h1.c1 received 0"\n{OPEN}'),
        'step 1: when = "h1.c1 received 0": expected at least 1 octet',
    ),
    (
        step(f'when = "h1.c1 received 5 #2"\n{OPEN}'),
        'step 1: when = "h1.c1 received 5 #2": octets are counted once, from the start: `#` goes with `in` and `sees`',
    ),
    (step(f'when = "h1.c2 sees EOF"\n{OPEN}'), "step 1: when: there is no connection c2; connections: c1"),
    (step(f'when = "h3.c1 sees EOF"\n{OPEN}'), "step 1: when: h3 is no end of c1, which joins h1 and h2"),
    # steps
    (step(OPEN), "step 1: expected either `at` (a time) or `when` (a condition)"),
    (
        step(f'at = "1s"\nwhen = "h1.c1 sees EOF"\n{OPEN}'),
        "step 1: expected either `at` (a time) or `when` (a condition)",
    ),
    (step(f'at = "1s"\nafter = "1s"\n{OPEN}'), "step 1: `after` counts from a `when`"),
    (step(f'at = "1s"\nrepeat = 2\n{OPEN}'), "step 1: `repeat` (at least 2) and `every` (more than 0s) go together"),
    (step(f'at = "1s"\nevery = "1s"\n{OPEN}'), "step 1: `repeat` (at least 2) and `every` (more than 0s) go together"),
    (step('at = "1s"'), "step 1: expected either `call` or `fault`"),
    (step(f'at = "1s"\n{OPEN}fault = "silent"'), "step 1: expected either `call` or `fault`"),
    (step('at = "1s"\nfault = "link_down"'), "step 1: link_down needs `link`"),
    (
        step('at = "1s"\nfault = "link_down"\nlink = "a"\nlinks = "b"'),
        "step 1: link_down has no use for `links`; did you mean link?",
    ),
    (
        step('at = "1s"\nfault = "link_dawn"\nlink = "a"'),
        "step 1: fault: there is no fault link_dawn; did you mean link_down?",
    ),
    (
        step('at = "1s"\nfault = "silent"\nhost = "h1"\nway = "up"'),
        'step 1: way = "up": expected "out", "in" or "both"',
    ),
    (
        step('at = "1s"\nfault = "limit"\nhost = "h1"'),
        "step 1: limit needs at least one of max_connections, max_half_open, max_orphans, max_memory, overload,",
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RSTT"\nseq = 1'),
        "step 1: ctl = \"RSTT\": 'RSTT' is no control bit; there are SYN, FIN, RST, PSH, ACK, URG, ECE, CWR",
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = "nxt"'),
        'step 1: seq = "nxt": expected a number from 0 to 4294967295, or "next", "window" or "iss" with + or - octets',
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = true'),
        'step 1: seq = true: expected a number from 0 to 4294967295, or "next", "window" or "iss" with + or - octets',
    ),
    (step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = 1\nack = 2'), "step 1: `ack` counts only with ACK in `ctl`"),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = 1\nguesses = 100\ncount = 11'),
        "step 1: inject sends at most 1000 segments at a time; use `repeat` and `every`",
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = 1'.replace('source = "h1"', 'source = "h3"')),
        "step 1: source: h3 is no end of c1, which joins h1 and h2",
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = 1'.replace("c1", "c2")),
        "step 1: source: there is no connection c2; connections: c1",
    ),
    *(
        (
            step(f'at = "1s"\nfault = "{kind}"\nhost = "h2"{keys}') + '[host.h2]\nstack = "linux"\n',
            f'step 1: {kind} cannot strike h2, which has stack = "linux": {reason}',
        )
        for kind, keys, reason in (
            ("crash", "", "the kernel tells the peer with a FIN or a RST when the process is gone"),
            ("reboot", "", "the kernel tells the peer with a FIN or a RST when the process is gone"),
            ("pause", "", "its TCP would go on answering while the process sleeps"),
            ("limit", "\nmax_memory = 1", "its limits are sysctls, which are set before the run"),
        )
    ),
    (
        step(f'at = "1s"\n{INJECT}ctl = "RST"\nseq = "window-1"') + '[host.h2]\nstack = "linux"\n',
        'step 1: nobody tells the window scale of a host with stack = "linux": say a number instead',
    ),
    (step('at = "1s"\nfault = 1'), "step 1: fault = 1: expected the name of a fault"),
    (step('at = "1s"\ncall = "listen"\nhost = "h2"'), "step 1: listen needs `port`"),
    (step('at = "1s"\ncall = "close"'), "step 1: close needs `connection`; close needs `host`"),
    (step(f'at = "1s"\n{OPEN}port = 80'), "step 1: open has no use for `port`"),
    (step(f'at = "1s"\n{SEND}'), "step 1: send needs either `bytes` or `text`"),
    (step(f'at = "1s"\n{SEND}bytes = 1\ntext = "x"'), "step 1: send needs either `bytes` or `text`"),
    (step(f'at = "1s"\n{OPEN}'.replace("c1", "c2")), "step 1: connection: there is no connection c2; connections: c1"),
    (step(f'at = "1s"\n{OPEN}'.replace("h1", "h3")), "step 1: connection: h3 is no end of c1, which joins h1 and h2"),
    (step(f'at = "11s"\n{OPEN}'), 'step 1: it happens at 11s, after the end (duration = "10s")'),
    (
        step(f'at = "9s"\nrepeat = 3\nevery = "600ms"\n{SEND}bytes = 1'),
        'step 1: it happens at 10200ms, after the end (duration = "10s")',
    ),
    (
        step(f'at = "1s"\n{OPEN}'.replace("open", "receive")),
        'step 1: h1 takes text by itself; set host.h1.receive = "manual"',
    ),
    (
        HEAD + 'host.h2.kernel_ports = [22]\n[[step]]\nat = "0s"\nhost = "h2"\ncall = "listen"\nport = 22',
        "step 1: port 22 is left to the kernel of h2 (kernel_ports)",
    ),
    # connections
    (HEAD + C1.replace("h2", "h1"), "connection.c1: client and server are both h1"),
    (
        HEAD + C1 + "client_port = 5000" + C1.replace("c1", "c2") + "client_port = 5000",
        "connection.c2: the same hosts and ports as connection c1",
    ),
    (
        HEAD + "host.h2.kernel_ports = [80]" + C1,
        "connection.c1: port 80 is left to the kernel of h2 (kernel_ports)",
    ),
    (
        HEAD + 'host.h2.stack = "linux"' + C1 + "server_iss = 300",
        'connection.c1: server_iss cannot be honoured, h2 has stack = "linux"',
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(text, source="x.toml")
    assert str(caught.value).startswith(f"x.toml: {message}")
    assert len(caught.value.problems) == 1


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(HEAD + 'sead = 1\nhost.h1.stack = "lwip"\n[[step]]\ncall = "close"', source="x.toml")
    assert str(caught.value).splitlines() == [
        "x.toml: 3 errors",
        '  host.h1.stack = "lwip": expected "tcpclose" or "linux"',
        "  step 1: expected either `at` (a time) or `when` (a condition); close needs `connection`; close needs `host`",
        "  sead: unknown key; did you mean seed?",
    ]


def test_a_file_as_windows_saves_it_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "notepad.toml").write_bytes(b'\xef\xbb\xbftitle = "x"\r\ntopology = "two_hosts"\r\nduration = "1s"\r\n')
    assert Scenario.load(tmp_path / "notepad.toml").title == "x"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nothing\.toml: cannot be read: No such file or directory$"):
        Scenario.load(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(ScenarioError, match=r"latin\.toml: cannot be read: octet 9 is not UTF-8; save it as UTF-8$"):
        Scenario.load(tmp_path / "latin.toml")


def test_names_that_the_topology_does_not_have() -> None:
    scenario = Scenario.parse(
        HEAD
        + 'link.h1-s2.delay = "1ms"\nhost.h4.receive = "manual"'
        + C1.replace("h2", "h3")
        + '[[step]]\nat = "1s"\nfault = "link_down"\nlink = "core"\n[[step]]\nat = "1s"\nfault = "silent"\nhost = "h3"'
    )
    with pytest.raises(ScenarioError) as caught:
        scenario.check_against({"host": ["h1", "h2"], "link": ["h1-s1", "s1-h2"]}, source="x.toml")
    assert str(caught.value).splitlines() == [
        "x.toml: 4 errors",
        "  connection.c1.server: there is no host h3 in two_hosts; hosts: h1, h2",
        "  host.h4: there is no host h4 in two_hosts; hosts: h1, h2",
        "  link.h1-s2: there is no link h1-s2 in two_hosts; did you mean h1-s1?",
        "  step 1: link: there is no link core in two_hosts; links: h1-s1, s1-h2",
    ]


# ---- Overrides

BASE = step(f'at = "1s"\n{SEND}bytes = 10') + f'[[step]]\nat = "2s"\n{OPEN}'


def test_overrides() -> None:
    scenario = Scenario.parse(
        BASE,
        [
            "seed=3",
            "host.h1.tcp.user_timeout=5s",
            "host.h1.tcp.reset_ack = false",
            "link.h1-s1.loss=1%",
            'title="3"',
            "step.1.text=x = y",
            "step.1.bytes=",
            "step.2.at=",
            "step.2.when=h1.c1 sees EOF",
        ],
    )
    assert scenario.seed == 3
    assert scenario.tcp_config("h1") == replace(TcpConfig(), user_timeout=5_000_000, reset_ack=False)
    assert scenario.link_settings() == {"h1-s1": {"loss": 0.01}}
    assert scenario.title == "3"
    assert payload(scenario.step[0]) == b"x = y"
    assert scenario.step[1].at is None
    assert scenario.step[1].when == Condition("h1", "c1", "sees", "EOF")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("topology.x=3", "--set topology.x=3: topology is not a table"),
        ("duration.x.y=3", "--set duration.x.y=3: duration.x is not a table"),
        ("step=3", "step = 3: expected tables that begin with [[step]]"),
        ("step.3.at=1s", "--set step.3.at=1s: 3 is no number from 1 to 2"),
        ("step.0.at=1s", "--set step.0.at=1s: 0 is no number from 1 to 2"),
        ("step.2=1s", "--set step.2=1s: step is not a table"),
        ("host.h1.tcp.msl=5", 'host.h1.tcp.msl = 5: expected a duration such as "3s", "100ms" or "50us"'),
        ("host.h1.tcp.timeout=5s", "host.h1.tcp.timeout: unknown key; did you mean user_timeout?"),
    ],
)
def test_refused_overrides(override: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(BASE, [override], source="x.toml")
    assert str(caught.value) == f"x.toml: {message}"


# ---- A dump loads to the same

names = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
durations = st.builds("{}{}".format, st.integers(1, 100), st.sampled_from(["us", "ms", "s", "min"]))
counts = st.integers(1, 1000)


def values(field: Field[Any]) -> st.SearchStrategy[Any]:
    """What a file may say for a setting."""
    least, most = field.metadata["least"] or 0, field.metadata["most"]
    if field.metadata["unit"] == "us":
        return durations if most is None else st.integers(least, most).map("{}us".format)
    return st.integers(max(least, 1), min(most or 1000, 1000)) if field.metadata["unit"] else st.just(field.default)


#: Any table `tcp`, but for the fields that may contradict each other.
tcp_tables = st.fixed_dictionaries(
    {},
    optional={
        field.name: values(field)
        for field in fields(TcpConfig)
        if field.name not in ("rto_min", "rto_max", "user_timeout_least", "user_timeout_most")
    },
)


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Any scenario in the form of the file."""
    optional = {"optional": {"client_iss": st.integers(0, 2**32 - 1), "server_iss": st.integers(0, 2**32 - 1)}}
    connection = st.fixed_dictionaries(
        {"client": st.just("h1"), "server": st.just("h2"), "port": st.integers(1, 65535)}, **optional
    )
    connections = draw(st.dictionaries(names, connection, min_size=1, max_size=4))
    name = st.sampled_from(sorted(connections))
    time = st.one_of(
        st.fixed_dictionaries({"at": st.sampled_from(["0s", "1s", "1.5s", "250ms"])}),
        st.fixed_dictionaries(
            {
                "when": st.builds(
                    "{}.{} {}".format,
                    st.sampled_from(["h1", "h2"]),
                    name,
                    st.sampled_from(["in CLOSE-WAIT", "sees EOF", "sees graceful", "received 3kB"]),
                )
            },
            optional={"after": durations},
        ),
    )
    call = st.fixed_dictionaries(
        {"host": st.sampled_from(["h1", "h2"]), "connection": name, "call": st.sampled_from(["close", "abort"])}
    )
    say = call.flatmap(lambda table: st.text(min_size=1).map(lambda text: {**table, "call": "send", "text": text}))
    fault = st.fixed_dictionaries({"fault": st.sampled_from(["link_down", "link_up"]), "link": names})
    repeats = st.sampled_from([{}, {"repeat": 3, "every": "1ms"}])
    steps = st.builds(
        lambda *parts: {k: v for part in parts for k, v in part.items()}, time, call | say | fault, repeats
    )
    return {
        "title": draw(st.text()),
        "topology": draw(st.text()),
        "seed": draw(st.integers(-(2**63), 2**63 - 1)),
        "duration": "20s",
        "topology_args": draw(st.dictionaries(names, st.text() | st.integers(-9, 9) | st.booleans())),
        "host": draw(st.dictionaries(names, st.fixed_dictionaries({}, optional={"tcp": tcp_tables}), max_size=3)),
        "link": draw(
            st.dictionaries(
                names,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "delay": durations,
                        "loss": st.just("0.3%"),
                        "rate": st.just("10Mbit/s"),
                        "queue": counts,
                    },
                ),
            )
        ),
        "connection": connections,
        "step": draw(st.lists(steps, max_size=5)),
    }


@given(scenarios())
@pytest.mark.slow
def test_dump_loads_to_an_equal_scenario(table: dict[str, Any]) -> None:
    scenario = Scenario.parse(tomli_w.dumps(table))
    text = scenario.dump()
    assert Scenario.parse(text) == scenario
    assert Scenario.parse(text).dump() == text


def test_a_dump_spells_out_every_setting() -> None:
    scenario = Scenario.parse(HEAD + C1)
    text = scenario.dump()
    for field in fields(TcpConfig):
        assert text.count(f"\n{field.name} = ") == 2, field.name
    assert "client_port = 40001" in text


ANYTHING = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_stands_in_a_file_is_read_or_refused(data: st.DataObject) -> None:
    table = tomllib.loads(DEMO.read_text())
    place: Any = table
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ANYTHING)
    with contextlib.suppress(ScenarioError):
        Scenario.parse(tomli_w.dumps(table)).dump()
