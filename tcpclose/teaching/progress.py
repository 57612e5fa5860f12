"""How far somebody has come in a lab's quiz: kept in a file for each lab, so that a quiz can be left and taken up."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from tcpclose.runs import ROOT, write_whole
from tcpclose.teaching.variation import normal_id

PROGRESS = ROOT / "results" / "progress"


class ProgressError(Exception):
    """The file of a lab's progress cannot be read or written; the message is for people."""


class Attempt(BaseModel):
    """What somebody has made of a question: what was answered last to each part, how often, with how many hints."""

    given: dict[str, str] = {}
    tries: int = 0
    hints: int = 0


_FILE = TypeAdapter(dict[str, dict[str, Attempt]])  # by student and question


def attempts(lab: str, student: str, place: Path = PROGRESS) -> dict[str, Attempt]:
    """What a student has made of a lab's questions, by their ids. Raises `ProgressError`."""
    return _load(_path(lab, place)).get(normal_id(student), {})


def keep(lab: str, student: str, mine: dict[str, Attempt], place: Path = PROGRESS) -> None:
    """The student's attempts are these from now on. Raises `ProgressError`."""
    path = _path(lab, place)
    everybody = _load(path) | {normal_id(student): mine}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, _FILE.dump_json(everybody, indent=2).decode() + "\n")
    except OSError as error:
        raise ProgressError(f"{path} cannot be written: {error.strerror}") from None


def _path(lab: str, place: Path) -> Path:
    return place / f"{lab}.json"


def _load(path: Path) -> dict[str, dict[str, Attempt]]:
    try:
        return _FILE.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged; remove it to begin anew"
        raise ProgressError(f"{path} cannot be read: {why}") from None
