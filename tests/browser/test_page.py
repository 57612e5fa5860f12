"""The page in a browser, against the trace that it plays."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from scenarios import scenario
from tale import Tale

from tcpclose.protocol.segment import seq_add
from tcpclose.runs import LABS
from tcpclose.scenario import Scenario
from tcpclose.simulator import simulate
from tcpclose.topology import load_network
from tcpclose.trace.events import Change, Expired, Received, Sent, Trace, Variables
from tcpclose.trace.flights import Flight, flights
from tcpclose.trace.releases import releases
from tcpclose.trace.spans import CRASH, intervals, outages

pytestmark = pytest.mark.slow

THREE_HOSTS = f"{Path(__file__).parents[1] / 'three_hosts.py'}:three_hosts"
FORGED = """
[[step]]
at = "1s"
fault = "inject"
host = "h3"
connection = "c1"
source = "h1"
ctl = "RST"
seq = "next"
"""


def link(connection: str, time: float) -> str:
    return f"#c={connection}&t={time / 1e6}"


def state_at(trace: Trace, host: str, connection: str, time: int) -> str:
    """The state of an end when all is over that happened until `time`."""
    passed = intervals(trace).get((host, connection), [])
    state = passed[0].previous if passed else "CLOSED"
    for interval in passed:
        if interval.start <= time:
            state = CRASH if interval.crashed and interval.end <= time else interval.state
    return state


# ---- Moments


@pytest.mark.parametrize("connection", ["graceful", "refused", "aborted", "unreachable"])
def test_at_any_moment_the_machines_show_the_states_of_the_trace(open_page, demo, connection):
    opened = open_page(demo)
    starts = {
        interval.start for (_, name), passed in intervals(demo).items() if name == connection for interval in passed
    }
    edges = sorted(starts)
    middles = [(one + other) // 2 for one, other in pairwise(edges)]
    for time in [edges[0] - 1, *edges, *middles, edges[-1] + 1]:
        opened.jump(link(connection, time))
        expected = tuple(state_at(demo, host, connection, time) for host in ("h1", "h2"))
        assert opened.states() == expected, time


def test_a_link_opens_at_its_moment_and_the_address_follows_the_time(open_page, demo):
    opened = open_page(demo, link("unreachable", 3_200_000))
    assert opened.time() == 3.2
    assert opened.text("#story").startswith("unreachable")
    opened.press("ArrowRight")
    fragment = opened.page.evaluate("location.hash")
    moment, states = opened.time(), opened.states()
    assert moment > 3.2
    again = opened.go(fragment)
    assert (again.time(), again.states()) == (moment, states)
    opened.scrub(0.5)
    assert opened.page.evaluate("location.hash") == link("unreachable", opened.time() * 1e6) or re.search(
        rf"t={opened.time():.3f}", f"t={float(opened.page.evaluate('location.hash').split('t=')[1]):.3f}"
    )


@pytest.mark.parametrize("fragment", ["#t=nonsense", "#c=nobody&t=1e9", "#t=-5", "#%%%"])
def test_a_strange_link_opens_the_page_all_the_same(open_page, demo, fragment):
    opened = open_page(demo, fragment)
    assert opened.text("#story") == "graceful"
    assert opened.time() >= 0.1 or opened.time() == 0


def test_timers_stand_beside_the_lifeline_of_their_host(open_page, demo):
    opened = open_page(demo)
    expired = next(event for event in demo.of(Expired) if event.connection == "unreachable")
    for time, word in ((expired.t, "(RTO)"), (6_000_000, "(User timeout)")):
        opened.jump(link("unreachable", time))
        assert word in opened.words('.note.timer[visibility="visible"]')


def test_notes_of_a_host_in_the_middle_stand_where_less_flies(open_page):
    opened = open_page(simulate(blind := Scenario.load(LABS / "09-blind-reset" / "scenario.toml"), load_network(blind)))
    opened.jump(link("c2", 5_900_000))
    state, line = (
        opened.page.locator(one).first.bounding_box()
        for one in ('.note.state:text-is("TIME-WAIT")', '.hostname:text-is("h1")')
    )
    assert state["x"] + state["width"] < line["x"] + line["width"] / 2


# ---- Playing


def test_it_plays_to_the_end_and_says_how_each_end_was_released(open_page, four_way):
    opened = open_page(four_way)
    opened.page.locator("#speed").select_option("16")
    word = "() => { document.getElementById('play').click(); return document.getElementById('playword').textContent; }"
    assert opened.page.evaluate(word) == "Pause"  # in one go, or it may have come to the end by then
    opened.page.locator("#playword", has_text=re.compile("^Play$")).wait_for(state="attached")
    assert opened.states() == ("CLOSED", "CLOSED")
    last = [event for event in four_way if getattr(event, "connection", None)][-1]
    assert opened.time() <= last.t / 1e6
    (release,) = releases(four_way)
    for side, host in (("#left", "h1"), ("#right", "h2")):
        assert f"released: {release.causes[host]}" in opened.text(f"{side} .user")


def test_while_it_plays_segments_fly_and_it_can_be_paused(open_page, four_way):
    opened = open_page(four_way)
    opened.press("Space")
    opened.page.wait_for_selector(".segment.flying")
    opened.page.locator(".pill:visible").first.wait_for()  # it may have landed by now, but others fly
    opened.press("Space")
    moment = opened.time()
    opened.page.wait_for_timeout(100)
    assert opened.time() == moment
    assert opened.text("#playword") == "Play"


def pairs_of_states(trace: Trace) -> list[tuple[str, str]]:
    """The pairs of states of h1 and h2 that follow each other."""
    turns = sorted(
        (interval.start, host, interval.state) for (host, _), passed in intervals(trace).items() for interval in passed
    )
    now = {host: passed[0].previous for (host, _), passed in intervals(trace).items()}
    pairs = [(now["h1"], now["h2"])]
    for _, host, state in turns:
        now[host] = state
        pairs.append((now["h1"], now["h2"]))
    return pairs


def test_steps_pass_every_state_in_order_and_lead_back_again(open_page, four_way):
    opened = open_page(four_way)
    seen = [(opened.time(), opened.states())]
    while opened.page.evaluate("now < film.length"):
        opened.press("ArrowRight")
        seen.append((opened.time(), opened.states()))
    assert [time for time, _ in seen] == sorted(time for time, _ in seen)
    steps = [states for place, (_, states) in enumerate(seen) if not place or states != seen[place - 1][1]]
    assert steps == pairs_of_states(four_way)
    assert len(seen) >= len(four_way.of(Sent)) + len(four_way.of(Received))
    for expected in reversed(seen[:-1]):
        opened.press("ArrowLeft")
        assert (opened.time(), opened.states()) == expected


def test_with_shift_steps_go_from_state_to_state(open_page, four_way):
    opened = open_page(four_way)
    seen = [opened.states()]
    for _ in pairs_of_states(four_way)[1:]:
        opened.press("Shift+ArrowRight")
        seen.append(opened.states())
    assert seen == pairs_of_states(four_way)


def test_the_scrubber_goes_anywhere(open_page, four_way):
    opened = open_page(four_way)
    for part in (0.8, 0.1, 0.55, 1, 0):
        opened.scrub(part)
        time = opened.page.evaluate("film.timeOf(now)")
        assert opened.time() == pytest.approx(time / 1e6, abs=6e-4)
        done = opened.page.evaluate("film.events.slice(0, film.done(now)).filter(event => event.k === 'state').length")
        told = four_way.of(Change)[:done]
        last = {change.host: change.new for change in told}
        assert opened.states() == (last.get("h1", "CLOSED"), last.get("h2", "LISTEN"))


# ---- Segments


def the_fin(trace: Trace, connection: str, source: str) -> tuple[int, Flight]:
    flown = [flight for flight in flights(trace) if flight.connection == connection]
    return next(
        (number, flight) for number, flight in enumerate(flown) if flight.source == source and "FIN" in flight.controls
    )


def test_a_chosen_segment_shows_its_fields_its_row_and_the_tcb_before_and_after(open_page, demo):
    number, fin = the_fin(demo, "graceful", "h1")
    opened = open_page(demo, link("graceful", fin.finish))
    opened.page.locator(f"[data-flight='{number}'] .label").click()
    text = opened.text("#details")
    for words in (
        f"= {fin.segment.seq}",
        f"= {fin.segment.ack}",
        fin.segment.src,
        fin.segment.dst,
        "FIN,ACK",
        "h1 → h2",
    ):
        assert words in text
    (row,) = fin.fired
    assert f"{row.old} → {row.new}" in text
    assert "FIN arrives" in text
    assert "RFC 9293, 3.10.7.4, eighth step" in text
    told = [event for event in demo.of(Variables) if (event.host, event.connection) == ("h2", "graceful")]
    before = [event for event in told if event.t < fin.finish][-1]
    after = next(event for event in told if event.t >= fin.finish)
    base = seq_add(fin.segment.seq, -fin.seq)
    cells = opened.page.locator("#details tr", has_text="RCV.NXT").locator("td").all_inner_texts()
    shown = [int(re.sub(r"\D", "", cell)) for cell in cells]
    assert shown == [seq_add(before.rcv_nxt, -base), seq_add(after.rcv_nxt, -base)]
    assert shown[1] == shown[0] + 1  # a FIN takes one number
    assert "changed" in opened.page.locator("#details tr", has_text="RCV.NXT").locator("td").last.get_attribute("class")


def test_a_lost_segment_fired_nothing(open_page, demo):
    lost = [n for n, flight in enumerate(f for f in flights(demo) if f.connection == "unreachable") if flight.lost]
    opened = open_page(demo, link("unreachable", 5_000_000))
    opened.page.evaluate(f"choose({lost[0]})")
    text = opened.text("#details")
    assert "lost at once on h1-s1: the link was down" in text
    assert "None: it did not arrive." in text


def test_what_is_not_known_is_said(open_page):
    """A trace made by hand has no TCBs, as a kernel tells none; and a segment whose target keeps no trace."""
    tale = Tale().open()
    trace = Trace([event for event in tale.events if not (isinstance(event, Received) and event.host == "h2")])
    opened = open_page(trace, "#t=9")
    opened.page.evaluate("choose(0)")
    text = opened.text("#details")
    assert "nobody saw what became of it" in text
    assert "Not known: its target keeps no trace." in text
    assert "not known: its TCP does not tell" in text
    assert "not known: its TCP does not tell" in opened.text("#left .block")


def test_while_a_segment_is_under_way_its_future_is_not_told(open_page, four_way):
    _, fin = the_fin(four_way, "c1", "h1")
    opened = open_page(four_way, link("c1", fin.start))
    assert "under way" in opened.text("#details")
    assert "CLOSE-WAIT" not in opened.text("#details")
    opened.go(link("c1", fin.finish))
    opened.press("ArrowUp")
    assert "ESTABLISHED → CLOSE-WAIT" in opened.text("#details")


# ---- The network


def test_a_fault_is_seen_on_the_link_while_it_lasts(open_page, demo):
    (outage,) = outages(demo)
    opened = open_page(demo, link("unreachable", outage.start - 1_000))
    assert opened.words("#wire .trouble") == [""]
    opened.go(link("unreachable", (outage.start + outage.end) / 2))
    assert opened.words("#wire .trouble") == [outage.name]
    assert opened.page.locator("#wire .cuts g").count() == 1
    assert opened.page.locator("#ladder .band").count() == 1
    opened.go(link("unreachable", outage.end + 1_000))
    assert opened.words("#wire .trouble") == [""]


def test_a_crashed_host_is_in_no_state_and_its_host_is_struck(open_page, play):
    trace = play(scenario("0s: h2 listen", "0s: h1 open", "2s: crash h2", "3s: h1 send 1kB", "30s: reboot h2"))
    opened = open_page(trace, link("c1", 10_000_000))
    assert opened.states() == ("ESTABLISHED", CRASH)
    assert opened.page.locator("#wire .host.struck").count() == 1
    assert opened.text("#right .block") == "gone with the crash"


def test_a_third_host_has_its_place(open_page, play):
    trace = play(scenario("0s: h2 listen", "0s: h1 open", topology=THREE_HOSTS, tables=FORGED))
    opened = open_page(trace, "#t=9")
    assert opened.words("#wire .hostname") == ["h1", "h2", "h3"]
    assert opened.states() == ("ESTABLISHED", "CLOSED")
    assert "forged by h3" in opened.text("#details")
    assert opened.page.locator("#right .shortcut").get_attribute("visibility") == "visible"


# ---- Keys


def test_keys(open_page, demo):
    opened = open_page(demo)
    page = opened.page
    opened.press("End")
    assert page.evaluate("now === film.length")
    opened.press("Home")
    assert page.evaluate("now === 0")
    opened.press("+", "+", "-")
    assert page.locator("#speed").input_value() == "2"
    opened.press("c")
    assert opened.text("#story").startswith("refused")
    opened.press("Shift+C")
    assert opened.text("#story") == "graceful"
    opened.press("ArrowDown", "ArrowDown")
    assert page.evaluate("chosen") == 1
    assert opened.text("#details h3").startswith("SYN,ACK")
    assert page.locator(".segment.chosen").count() == 1
    opened.press("Enter")
    assert opened.states()[0] == "ESTABLISHED"
    opened.press("Escape")
    assert page.evaluate("chosen") is None
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    opened.press("?")
    assert page.locator("#keys").is_visible()
    opened.press("End")  # means nothing while the list is open
    assert page.evaluate("now < film.length")
    opened.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_the_list_of_keys_has_them_all(open_page, four_way):
    opened = open_page(four_way)
    named = set(opened.page.locator("#keys kbd").all_text_contents())
    signs = {" ": "Space", "ArrowRight": "→", "ArrowLeft": "←", "ArrowDown": "↓", "ArrowUp": "↑", "Escape": "Esc"}
    keys = {signs.get(key, key) for key in opened.page.evaluate("Object.keys(KEYS)")}
    assert keys - {"="} | {"Shift"} == {name.replace("\N{MINUS SIGN}", "-") for name in named}


def test_everything_can_be_reached_with_the_tabulator(open_page, demo):
    opened = open_page(demo, "#t=0.3")
    reached = set()
    for _ in range(24):
        opened.press("Tab")
        reached.add(opened.page.evaluate("document.activeElement.id"))
    assert {
        "connection",
        "theme",
        "help",
        "ladder",
        "details",
        "first",
        "back",
        "play",
        "forth",
        "last",
        "speed",
        "scrub",
    } <= reached
    opened.page.locator("#play").focus()
    opened.press("Space")
    assert opened.text("#playword") == "Pause"
    opened.page.locator("#scrub").focus()
    opened.press("Space", "End", "ArrowLeft")
    assert opened.page.evaluate("film.stops.includes(now)")


def test_with_reduced_motion_nothing_flies(browser, open_page, four_way):
    opened = open_page(four_way)
    opened.page.emulate_media(reduced_motion="reduce")
    opened.press("Space")
    for _ in range(10):
        opened.page.wait_for_timeout(60)
        assert opened.page.evaluate("[0, ...film.stops].includes(ladder.now)")
    assert opened.page.evaluate("now > 0 && playing")


# ---- Odd runs


def test_an_empty_run_is_said_to_be_empty(open_page):
    opened = open_page(Trace())
    assert "Nothing to replay" in opened.text("#message")
    assert not opened.page.locator("#bar").is_visible()


def test_one_host_that_only_calls(open_page):
    opened = open_page(Tale().call("h1", "open").wait(10).call("h1", "abort").trace())
    opened.press("End")
    assert "ABORT" in opened.text("#left .user")
    assert not opened.page.locator("#right").is_visible()
    assert "No segment of this connection was seen" in opened.text("#details")


def test_segments_of_no_connection_are_shown_without_machines(open_page):
    stray = Tale().open().send("h1", "ACK", 5, 5, 10, owned=False).send("h3", "SYN", to="h2", owned=False)
    opened = open_page(stray.trace(), "#c=segments of no connection&t=9")
    assert opened.text("#story") == "segments of no connection"
    assert not opened.page.locator("#left").is_visible()
    assert "none: it is of no connection" in opened.text("#details")


def test_nothing_that_a_trace_says_is_run(open_page):
    evil = "</script><script>window.struck = 1</script><img src=x onerror='window.struck = 1'>"
    tale = Tale(evil).open().call("h1", evil, error=evil).close()
    opened = open_page(tale.trace(), title=evil)
    opened.press("End", "ArrowUp")
    assert opened.text("#title") == evil
    assert evil in opened.text("#story")
    assert opened.page.evaluate("window.struck") is None


def test_a_hundred_thousand_events_make_a_reduced_page(open_page):
    tale = Tale().open()
    tale.text(25_000, octets=10, every=1_000)
    trace = tale.close(250_000).trace()
    assert len(trace) > 100_000
    opened = open_page(trace)
    opened.press("End")
    assert opened.states() == ("CLOSED", "CLOSED")
    assert opened.page.evaluate("film.flights.length < 10_000")
    assert "left out of this page" in opened.page.evaluate("film.folds.map(fold => fold.text).join()")


def test_two_thousand_segments_open_at_once_and_play_smoothly(open_page):
    """Loosely: the machine may be busy. What matters is that the cost does not grow with the run."""
    tale = Tale().open()
    tale.text(1_000, every=3_000)
    opened = open_page(tale.close(1_000_000).trace())
    page = opened.page
    assert page.evaluate("film.flights.length") > 2_000
    assert page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") < 3_000
    costs = page.evaluate(
        """() => Array.from({length: 200}, (_, number) => {
            const begun = performance.now();
            now = film.length * (0.3 + number / 10000);
            render();
            document.body.getBoundingClientRect();
            return performance.now() - begun;
        }).sort((one, other) => one - other)"""
    )
    assert costs[100] < 30
    assert page.locator("#ladder *").count() < 2_500


def test_the_address_is_not_written_more_often_than_browsers_allow(open_page, demo):
    """Safari throws at the hundredth change in half a minute."""
    opened = open_page(demo)
    written, past = opened.page.evaluate(
        """() => {
            let written = 0;
            const begun = performance.now();
            const replace = history.replaceState.bind(history);
            history.replaceState = (...words) => { written += 1; replace(...words); };
            for (let part = 0; part <= 60; part += 1) seek(film.length * part / 60);
            return [written, performance.now() - begun];
        }"""
    )
    assert written <= 1 + past / 300
    opened.page.wait_for_timeout(500)
    assert opened.page.evaluate("location.hash") == link("graceful", 1_420_000)  # but the last one is
