"""Grades as pages: a file of HTML each, without scripts, which opens anywhere and prints well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from tcpclose.teaching.results import Graded, Item, Result
from tcpclose.teaching.sheets import cited

if TYPE_CHECKING:
    from tcpclose.teaching.assignments.summary import Summary

#: Nothing of what students wrote could run or load anything, even if it came through.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = Path(__file__).with_name("pages.css")


def page(title: str, graded: Graded) -> str:
    """What became of one submission."""
    if graded.result is None:
        body = f"<h1>Not graded</h1>\n<p>{escape(graded.file)}</p>\n{_note(graded.problem)}"
    else:
        body = _result(graded.file, graded.result)
    return _whole(f"{graded.student or graded.file}, {title}", title, body)


def _whole(name: str, title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(name)}</title>
<style>
{_STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<p class="title">{escape(title)}</p>
{body}
</main>
</body>
</html>
"""


def _result(file: str, result: Result) -> str:
    parts = [
        f"<h1>{result.score:g} of {result.points} points</h1>",
        f"<p>The variant of <b>{escape(result.student)}</b>, in {escape(file)}.</p>",
        *map(_item, result.items),
    ]
    if result.remarks:
        parts.append(f"<section>\n<h2>Remarks</h2>\n{_notes(result.remarks)}\n</section>")
    return "\n".join(parts)


def _item(item: Item) -> str:
    how = "all" if item.score >= item.points else "none" if item.score <= 0 else "some"
    read = f'\n<p class="rfc">Read {escape(cited(item.rfc))}</p>' if item.rfc and how != "all" else ""
    return f"""<section class="{how}">
<h2>{escape(item.name)} <span class="points">{item.score:g} of {item.points}</span></h2>
{_bar(item.score, item.points)}
{_notes(item.notes)}{read}
</section>"""


def _bar(value: float, most: float) -> str:
    """A drawing of what stands in words beside it."""
    wide = 100 * max(0.0, min(1.0, value / most)) if most else 0
    drawn = f'<rect class="rest" width="100" height="6"/><rect width="{wide:.4g}" height="6"/>'
    return f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _notes(notes: Iterable[str]) -> str:
    lines = "\n".join(f"<li>{_note(note)}</li>" for note in notes)
    return f"<ul>\n{lines}\n</ul>" if lines else ""


def _note(note: str) -> str:
    """Several lines are a figure, laid out in columns."""
    if "\n" not in note:
        return escape(note)
    head, _, rest = note.partition("\n")
    if head.strip() and not head.startswith(" "):
        return f"{escape(head)}\n{_figure(rest)}"
    return _figure(note)


def _figure(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'


# A class


def index(summary: Summary, links: Mapping[str, str]) -> str:
    """What a class has reached; `links` has the page of each submission."""
    results = summary.results
    told = ", ".join(f"{name} {value:g}" for name, value in summary.figures.items())
    head = f"<h1>{len(results)} of {len(summary.graded)} graded</h1>\n<p>{told}</p>"
    most = max([1, *(count for _, count in summary.distribution)])
    distribution = [[name, str(count), _bar(count, most)] for name, count in summary.distribution]
    missed = [
        [escape(one.name), f"{one.reached:.0%}", str(one.submissions), _bar(one.reached, 1)] for one in summary.missed
    ]
    lines = [_line(one, links[one.file]) for one in summary.graded]
    parts = [
        head,
        _table("Distribution", ("of the points", "submissions", ""), distribution),
        _table("Criteria, what was missed most first", ("criterion", "reached", "submissions", ""), missed)
        if missed
        else "",
        _list("Not graded", summary.problems),
        _list("To look at", summary.notices),
        _table("Submissions", ("student", "points", "", "file"), lines),
    ]
    return _whole(summary.title, summary.title, "\n".join(filter(None, parts)))


def _line(one: Graded, link: str) -> list[str]:
    who = f'<a href="{escape(quote(link))}">{escape(one.student or one.file)}</a>'
    if one.result is None:
        return [who, "not graded", "", escape(one.file)]
    return [who, f"{one.score:g} of {one.result.points}", _bar(one.score, one.result.points), escape(one.file)]


def _list(title: str, lines: Iterable[str]) -> str:
    shown = _notes(lines)
    return f"<section>\n<h2>{title}</h2>\n{shown}\n</section>" if shown else ""


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are HTML. A column without a name holds drawings."""
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in columns)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<section>\n<h2>{title}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n</section>"
