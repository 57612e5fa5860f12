"""Foreign code in a box of its own, and the one narrow channel to it: a line of JSON there, a line of JSON back.

Nothing that it does in the box can change what is outside, and what it answers is data that is looked at closely
before it is believed to be JSON. What the answers are worth is decided outside. The box dies as a whole: when it comes
to a limit, when its user is done with it, and with its user.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from tcpclose.teaching.assignments import walls
from tcpclose.teaching.assignments.cell import Cell, NoBox
from tcpclose.teaching.assignments.channel import Channel, Json, read_json
from tcpclose.testbed import box
from tcpclose.testbed.box import Lack
from tcpclose.testbed.doctor import Check, Finding, examine

_PATIENCE = 10.0  # s that a box may take to stand, on a busy machine
_LAST_WORDS, _RAISED = 2000, 300  # of what it printed, and of an exception, that are shown
_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a box may use. Times are seconds, sizes octets."""

    seconds: float = 120.0  # for everything together, by the clock on the wall
    cpu_seconds: int = 60  # of the processor, for everything together
    answer_seconds: float = 5.0  # for one answer, by the clock on the wall
    memory: int = 512 * _MIB
    threads: int = 8
    printed: int = _MIB
    line: int = _MIB  # of an answer
    depth: int = 32  # of lists and tables in each other, in an answer

    def of_process(self, contained: bool) -> dict[str, int]:
        """As `setrlimit` has them. Processes are counted by user: only in a box is there nobody else."""
        limits = {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.printed,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_NOFILE": 32,
            "RLIMIT_SIGPENDING": 64,
        }
        # Two are bubblewrap's first process and the one that has the first thread.
        return limits | ({"RLIMIT_NPROC": self.threads + 2} if contained else {})


class Misbehaved(Exception):
    """The submission did what it may not. `reason` says so for its author; `said` is the end of what it printed."""

    def __init__(self, reason: str, said: str = "") -> None:
        super().__init__(f"{reason}\n{said}" if said else reason)
        self.reason = reason
        self.said = said


class Raised(Misbehaved):
    """An exception came out of it instead of an answer. It can be asked again."""


class Contained:
    """A box with the code of one submission, for a `with` statement.

    `program` is ours: it imports `submission` and has a function `answer`, which is called in the box with each
    request; it can import the files `given` too. The box dies with the thread that started it. `uncontained` is the
    same without walls: limits only.
    """

    def __init__(
        self,
        program: Path,
        submission: bytes,
        given: Sequence[Path] = (),
        limits: Limits | None = None,
        uncontained: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self._settings: Json = {"program": program.stem, "limits": dict(self._limits.of_process(not uncontained))}
        files = {path.name: path.read_bytes() for path in (program, *given)}
        self._cell = Cell({**files, "submission.py": submission}, walled=not uncontained)
        self._asked = 0
        self._over: Misbehaved | None = None

    def __enter__(self) -> Contained:
        """Raises `Misbehaved` when the submission cannot even be imported, `NoBox` when the machine is to blame."""
        self._end = time.monotonic() + self._limits.seconds
        with contextlib.ExitStack() as failed:
            failed.push(self._cell.__exit__)
            self._cell.__enter__()
            self._channel = Channel(self._cell.requests, self._cell.replies, self._limits.line)
            try:
                self._channel.receive(time.monotonic() + _PATIENCE)
            except (TimeoutError, EOFError):
                raise NoBox(self._last_words() or f"a box did not stand within {_PATIENCE:g} s") from None
            self._cell.stands()
            self.ask(self._settings)
            failed.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cell.__exit__()

    def ask(self, request: Json) -> Json:
        """What the program in the box answers. Raises `Misbehaved`, and then the box is gone, or `Raised`."""
        if self._over:
            raise self._over
        self._asked += 1
        line = json.dumps({"id": self._asked, "ask": request}, separators=(",", ":"), allow_nan=False).encode()
        now = time.monotonic()
        end = min(now + self._limits.answer_seconds, self._end)
        try:
            if self._channel.waiting:
                raise ValueError("answered before it was asked")
            self._channel.send(line, end)
            reply = self._checked(read_json(self._channel.receive(end), self._limits.depth))
        except TimeoutError:
            what = "in all" if end == self._end else "for one answer"
            most = self._limits.seconds if end == self._end else self._limits.answer_seconds
            self._misbehaved(f"took more than {most:g} s {what}: an endless loop, or it waits for something")
        except EOFError:
            self._misbehaved(self._how_it_ended())
        except ValueError as error:
            self._misbehaved(str(error))
        if "raised" in reply:
            raise Raised(self._why_raised(str(reply["raised"])), self._last_words())
        return reply["value"]

    def _checked(self, reply: Json) -> dict[str, Json]:
        if not isinstance(reply, dict) or reply.keys() not in ({"id", "value"}, {"id", "raised"}):
            raise ValueError("wrote into the channel what is no answer")
        if type(reply["id"]) is not int or reply["id"] != self._asked:
            raise ValueError("answered a question that was not asked")
        return reply

    # ---- What went wrong, in words

    def _misbehaved(self, reason: str) -> NoReturn:
        self._over = Misbehaved(reason, self._last_words())
        self._cell.__exit__()
        raise self._over from None

    def _last_words(self) -> str:
        return clean(self._cell.last_words(_LAST_WORDS).decode(errors="replace")).strip()

    def _how_it_ended(self) -> str:
        status = self._cell.status()
        if status is None:
            return "closed the channel that answers go through"
        if status == -signal.SIGXCPU:
            return f"used more than {self._limits.cpu_seconds} s of the processor"
        if status in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
            return f"crashed the interpreter ({signal.strsignal(-status)}), as endless recursion can"
        if status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)}), its own or that of a limit"
        return f"ended by itself (sys.exit, os._exit or a crash) with status {status}"

    def _why_raised(self, what: str) -> str:
        """An exception, with what it comes from when that is the box."""
        what = " ".join(f"raised {clean(what[:_RAISED])}".split())
        if self._cell.printed() >= self._limits.printed:
            return f"printed more than {self._limits.printed} octets"
        if "MemoryError" in what or "[Errno 12]" in what:
            return f"{what}: it may use {self._limits.memory // _MIB} MiB"
        return f"{what}: {_WHAT_THERE_IS_NOT}" if re.match(r"raised \w+: \[Errno \d+\]", what) else what


_WHAT_THERE_IS_NOT = "in the box are no other files, nothing can be written, no process started, no socket opened"


def clean(text: str) -> str:
    """Foreign text for a terminal or a page: nothing in it moves a cursor or turns the direction of writing."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


# ---- What this machine gives


def containment() -> Finding:
    """Whether foreign code can be contained here, found by trying."""
    (finding,) = examine([CHECK])
    return finding


def _attempt() -> str | Lack:
    for there, package in ((shutil.which("bwrap"), "bubblewrap"), (walls.filters(), "libseccomp2")):
        if not there:
            return Lack(f"{package} is missing", f"sudo apt-get install --no-install-recommends {package}")
    begun = time.monotonic()
    try:
        with Contained(Path(__file__).with_name("trial.py"), b"def answer(request): return request") as trial:
            leaks, took = trial.ask([1, "two", None]), time.monotonic() - begun
    except (NoBox, Misbehaved) as error:
        words = " ".join(str(error).split())
        if "Unknown option" in words:
            return Lack(f"bubblewrap is too old ({words})", "install bubblewrap 0.8 or newer, as Debian 12 has it")
        refused = box.refusal()
        what, mend = refused or ("boxes are refused here", "grade in a virtual machine (vagrant up)")
        return Lack(f"{what} ({words})", mend)
    if leaks:
        return Lack(
            f"in a box one can {leaks}",
            "grade in a virtual machine (vagrant up)",
        )
    return f"bubblewrap's box keeps foreign code in; one takes {took * 1000:.0f} ms"


#: Not needed for runs.
CHECK = Check("containment", _attempt, "no grading of programs, which are foreign code (A2)")
