"""Submissions that want out, or in, or simply never to end; and what is said of each to its author.

Each defines `answer(request)`, which a friendly one does as FRIENDLY. `request` is told to all: `solution` is a file
that anybody may read, with SECRET in it, in a folder that anybody may write to; `grader` is a process.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field

SECRET = "the-solution-is-7f3a9"
FRIENDLY = "def answer(request): return 'friendly'"

#: What "for one answer" says, with the limit of these tests.
SLOW = r"took more than 0\.5 s for one answer: an endless loop, or it waits for something"
NOTHING_THERE = r"in the box are no other files, nothing can be written, no process started, no socket opened"


@dataclass(frozen=True)
class Hostile:
    """`reason` is an expression for what is said of it; without one it is harmless, and its answer is `answer`."""

    name: str
    code: str | bytes
    reason: str = ""
    answer: object = "friendly"
    limits: dict[str, float] = field(default_factory=dict)


def refused(error: str, line: int = 2) -> str:
    return rf"raised {error} \(line {line}\): {NOTHING_THERE}"


def body(*lines: str) -> str:
    return "def answer(request):\n" + "\n".join(f"    {line}" for line in lines) + "\n"


_QUICK = {"answer_seconds": 0.5}
_EPERM = r"PermissionError: \[Errno 1\] Operation not permitted"
_NO_FILE = r"FileNotFoundError: \[Errno 2\] No such file or directory: '[^']+'"
_READ_ONLY = r"OSError: \[Errno 30\] Read-only file system: '[^']+'"

#: Writes octets of its own into the channel, whichever descriptor that is.
_CHANNEL = """
import os
def tell(octets):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, octets)
        except OSError:
            pass
"""


def system_call(name: str, *arguments: object) -> str:
    """Made past Python's library; the answer is `errno`."""
    given = ", ".join(f"ctypes.c_long({argument})" if isinstance(argument, int) else "None" for argument in arguments)
    return "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n" + body(
        f"return [libc.{name}({given}), ctypes.get_errno()]"
    )


TIME = (
    Hostile("endless loop when imported", "while True: pass", SLOW, limits=_QUICK),
    Hostile("endless loop in an answer", body("while True: pass"), SLOW, limits=_QUICK),
    Hostile("endless loop that catches everything", body(*["while 1:", " try:", "  while 1: pass", " except: 0"]), SLOW,
            limits=_QUICK),
    Hostile("sleep", "import time\n" + body("time.sleep(10**6)"), SLOW, limits=_QUICK),
    Hostile("little by little", "import time\n" + body("time.sleep(0.3)", "return 'friendly'"),
            r"took more than 0\.5 s in all: .*", limits={"seconds": 0.5}),
    Hostile("processor time", body("while True: pass"), r"used more than 1 s of the processor",
            limits={"cpu_seconds": 1, "answer_seconds": 30, "seconds": 60}),
    Hostile("processor time, deaf to the warning",
            "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n" + body("while True: pass"),
            r"was ended by signal 9 \(Killed\), its own or that of a limit",
            limits={"cpu_seconds": 1, "answer_seconds": 30, "seconds": 60}),
    Hostile("a power that takes years", body("return 7 ** 7 ** 12"), rf"{SLOW}|raised MemoryError.*", limits=_QUICK),
    Hostile("an exit that hangs", "import atexit, time\natexit.register(time.sleep, 10**6)\n" + FRIENDLY),
    Hostile("an exit that hangs, when imported", "import atexit, time\natexit.register(time.sleep, 10**6)\n1 / 0",
            r"raised ZeroDivisionError: division by zero \(line 3\)"),
    Hostile("a time bomb", "asked = []\n" + body("asked.append(1)", "while len(asked) > 1: pass", "return 'friendly'"),
            SLOW, limits=_QUICK),
)  # fmt: skip

PROCESSES = (
    Hostile("fork bomb", "import os\n" + body("while True: os.fork()"), refused(_EPERM, 3)),
    Hostile("fork bomb that goes on", "import os\n" + body(*["while 1:", " try: os.fork()", " except OSError: 0"]),
            SLOW, limits=_QUICK),
    Hostile("a daemon that outlives",
            "import os, time\n" + body("if os.fork() == 0:", "    os.setsid()", "    os.fork() or time.sleep(10**6)"),
            refused(_EPERM, 3)),
    Hostile("another program", "import subprocess\n" + body("subprocess.run(['/bin/sh', '-c', 'id'])"),
            r"raised PermissionError: \[Errno 1\].*"),
    Hostile("another program in its place",
            "import os, sys\n" + body("os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(10**6)'])"),
            SLOW, limits=_QUICK),
    Hostile("threads that never end", "import threading, time\n"
            + body("threading.Thread(target=time.sleep, args=(10**6,)).start()", "return 'friendly'")),
    Hostile("too many threads", "import threading, time\n"
            + body("while True: threading.Thread(target=time.sleep, args=(10**6,)).start()"),
            r"raised RuntimeError: can't start new thread \(line 3\)"),
    Hostile("signals to all", "import os\n" + body("try: os.kill(-1, 9)", "except OSError: pass", "return 'friendly'")),
    Hostile("signals to its parent", "import os\n" + body("os.kill(os.getppid(), 9)", "return 'friendly'")),
    Hostile("signals to the grader", "import os\n" + body("os.kill(request['grader'], 9)"),
            r"raised ProcessLookupError: \[Errno 3\] No such process.*"),
    Hostile("signals to the box's first process", "import os\n" + body("os.kill(1, 9)", "return 'friendly'")),
    Hostile("stops itself", "import os\n" + body("os.kill(os.getpid(), 19)"), SLOW, limits=_QUICK),
    Hostile("signals by way of a pipe", "import fcntl, os\n" + body("for descriptor in range(3, 64):",
            "    try:", "        fcntl.fcntl(descriptor, fcntl.F_SETOWN, 1)",
            "        fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_ASYNC | fcntl.fcntl(descriptor, fcntl.F_GETFL))",
            "    except OSError: pass", "return 'friendly'")),
    Hostile("signals to itself", "import os\n" + body("os.kill(os.getpid(), 9)"), r"was ended by signal 9 .*"),
    Hostile("ptrace", system_call("ptrace", 16, 1, 0, 0), answer=[-1, 1]),
    Hostile("reading another process", system_call("process_vm_readv", 1, 0, 0, 0, 0, 0), answer=[-1, 1]),
    Hostile("namespaces of its own", system_call("unshare", 0x10000000), answer=[-1, 1]),
    Hostile("mounting", system_call("mount", None, None, None, 0, None), answer=[-1, 1]),
)  # fmt: skip

#: fork, by the number that x86's third set of system calls has for it.
_X32 = Hostile(
    "calls of another kind of program",
    "import ctypes\n" + body("ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 57))"),
    r"was ended by signal 31 \(Bad system call\), .*",
)
PROCESSES += (_X32,) if platform.machine() == "x86_64" else ()

SPACE = (
    Hostile("memory", body("hoard = []", "while True: hoard.append(bytearray(1 << 20))"),
            r"raised MemoryError \(line 3\): it may use 128 MiB"),
    Hostile("memory at once", body("return len(bytes(1 << 40))"), r"raised MemoryError \(line 2\): .*"),
    Hostile("memory that is shared", system_call("shmget", 0, 1 << 24, 0o1600), answer=[-1, 1]),
    Hostile("memory as a file", "import os\n" + body("os.memfd_create('hoard')"), refused(_EPERM, 3)),
    Hostile("more than the limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n",
            r"raised ValueError: not allowed to raise maximum limit \(line 2\)"),
    Hostile("memory that is mapped", "import mmap\nhoard = []\n"
            + body("while True: hoard.append(mmap.mmap(-1, 1 << 24))"),
            r"raised OSError: \[Errno 12\] Cannot allocate memory \(line 4\): it may use 128 MiB"),
    Hostile("memory in pipes", "import fcntl, os\n" + body("while True: fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)"),
            refused(r"(OSError: \[Errno 24\] Too many open files|PermissionError: \[Errno 1\] .*)", 3)),
    Hostile("what it has printed, over and over", "import os\n"
            + body(*["for _ in range(100):", "    os.write(1, b'x' * 10000)", "    os.ftruncate(1, 0)",
                     "    os.lseek(1, 0, 0)", "return 'friendly'"])),
    Hostile("a file where it is", body("open('full', 'w').write('x' * (1 << 40))"), refused(_READ_ONLY)),
    Hostile("a file among the interpreter's", "import os\n" + body("open(os.__file__, 'a')"),
            refused(r"(PermissionError: \[Errno 13\] Permission denied|OSError: \[Errno 30\] Read-only file system)"
                    r": '[^']+'", 3)),
    Hostile("a temporary file", "import tempfile\n" + body("tempfile.TemporaryFile()"),
            r"raised FileNotFoundError: \[Errno 2\] No usable temporary directory.*"),
    Hostile("output without end", body("while True: print('x' * 1000)"), r"printed more than 65536 octets"),
    Hostile("errors without end", "import sys\n" + body("while True: sys.stderr.write('x' * 1000)"),
            r"printed more than 65536 octets"),
    Hostile("output without end, whatever comes", "import os\n"
            + body(*["while 1:", " try: os.write(1, b'x' * 1000)", " except OSError: 0"]), SLOW, limits=_QUICK),
    Hostile("deep recursion", body("return answer(request)"),
            r"raised RecursionError: maximum recursion depth exceeded.*"),
    Hostile("deeper recursion", "import sys\nsys.setrecursionlimit(2**31 - 1)\n" + body("return answer(request)"),
            r"raised (Memory|Recursion|System)Error.*|crashed the interpreter .*"
            r"|ended by itself .* with status 1", limits={"memory": 64 << 20}),
    Hostile("a crash", "import ctypes\n" + body("ctypes.string_at(0)"),
            r"crashed the interpreter \(Segmentation fault\), as endless recursion can"),
)  # fmt: skip

_LOOK = """
import gc, os, sys
def answer(request):
    frame, seen = sys._getframe(), []
    while frame:
        seen += [frame.f_code.co_filename, *frame.f_globals, *frame.f_locals]
        frame = frame.f_back
    seen += [name for thing in gc.get_objects() if isinstance(thing, dict) for name in thing if isinstance(name, str)]
    seen += [repr(module) for module in sys.modules.values()] + sys.path + sys.argv + list(os.environ.values())
    return [text for text in seen if 'tcpclose' in text or SECRET in text]
""".replace("SECRET", f"'{SECRET[:8]}' + '{SECRET[8:]}'")

_WALK = """
import os
def answer(request):
    mine = ('/usr/', '/lib', '/box/')
    found = [os.path.join(way, file) for way, _, files in os.walk('/') for file in files]
    strange = [path for path in found if not path.startswith(mine)]
    return strange + [path for path in found if 'tcpclose' in path or '-packages/' in path]
"""

SIGHT = (
    Hostile("the solution by its path", body("return open(request['solution']).read()"), refused(_NO_FILE)),
    Hostile("the solution by looking everywhere", _WALK, answer=[]),
    Hostile("the solution in what is loaded", _LOOK, answer=[]),
    Hostile("the project", "import tcpclose", r"raised ModuleNotFoundError: No module named 'tcpclose' \(line 1\)"),
    Hostile("other packages", "import numpy", r"raised ModuleNotFoundError: No module named 'numpy' \(line 1\)"),
    Hostile("other submissions", "import os\n" + body("return os.listdir(os.path.dirname(request['solution']))"),
            refused(_NO_FILE, 3)),
    Hostile("users", body("return open('/etc/passwd').read()"), refused(_NO_FILE)),
    Hostile("the environment", "import os\n" + body("return sorted(set(os.environ) - {'PWD', 'LC_CTYPE'})"),
            answer=["PYTHONHASHSEED"]),
    Hostile("its own memory", body("return open('/proc/self/mem', 'rb')"), refused(_NO_FILE)),
    Hostile("writing the result", "import os\n"
            + body("open(os.path.dirname(request['solution']) + '/results.json', 'w')"), refused(_NO_FILE, 3)),
    *(
        Hostile(f"a socket: {kind}", "import socket\n" + body(f"socket.socket({kind})"),
                r"raised PermissionError: \[Errno 1\] Operation not permitted.*")
        for kind in ("2, 1", "10, 2", "17, 3", "1, 1", "16, 3")  # TCP, UDP over IPv6, packets, Unix, netlink
    ),
)  # fmt: skip

CHANNEL = (
    Hostile("answers before it is asked", _CHANNEL + "tell(b'{\"id\":2,\"value\":\"perfect\"}\\n')\n" + FRIENDLY,
            r"answered a question that was not asked"),
    Hostile("answers twice", _CHANNEL + body("tell(b'{\"id\":2,\"value\":\"friendly\"}\\n')", "return 'friendly'"),
            r"answered (before it was asked|a question that was not asked)"),
    Hostile("another's number", _CHANNEL + body("tell(b'{\"id\":true,\"value\":1}\\n')"),
            r"answered a question that was not asked"),
    Hostile("another form", _CHANNEL + body("tell(b'{\"id\":2,\"value\":1,\"score\":100}\\n')"),
            r"wrote into the channel what is no answer"),
    Hostile("no JSON", _CHANNEL + body("tell(b'full marks\\n')"), r"answered with what is no JSON \(.*\)"),
    Hostile("no UTF-8", _CHANNEL + body("tell(b'\\xff\\n')"), r"answered with what is not UTF-8"),
    Hostile("a line without end", _CHANNEL + body("while True: tell(b'x' * 4096)"),
            r"answered with more than 65536 octets"),
    Hostile("a key twice", _CHANNEL + body("tell(b'{\"id\":2,\"value\":1,\"value\":2}\\n')"),
            r"answered with the same key twice in a table"),
    Hostile("no number", "import json\njson.dumps = lambda *a, **k: '{\"id\":2,\"value\":NaN}'\n" + FRIENDLY,
            r"answered with (NaN, which is no number in JSON|a question that was not asked)"),
    Hostile("infinity", _CHANNEL + body("tell(b'{\"id\":2,\"value\":1e999}\\n')"),
            r"answered with a number that is too large"),
    Hostile("a huge integer", body("return 10 ** 100"), r"answered with a number of more than 64 bits"),
    Hostile("a huger integer", body("return 10 ** 5000"), r"raised ValueError: Exceeds the limit .*"),
    Hostile("a huge integer of its own", _CHANNEL + body("tell(b'{\"id\":2,\"value\":' + b'9' * 60000 + b'}\\n')"),
            r"answered with a number of more than 64 bits"),
    Hostile("nested", body("nest = []", "for _ in range(100): nest = [nest]", "return nest"),
            r"answered with lists or tables in each other, more than 32 deep"),
    Hostile("nested deeply", _CHANNEL + body("tell(b'[' * 60000 + b'\\n')"),
            r"answered with lists or tables in each other, more than 32 deep"),
    Hostile("half a character", body("return '\\ud800'"), r"answered with text that is half a character .*"),
    Hostile("no data at all", body("return object()"),
            r"raised TypeError: Object of type object is not JSON serializable"),
    Hostile("closes the channel", "import os, time\n" + body("os.closerange(3, 64)", "time.sleep(10**6)"),
            r"closed the channel that answers go through"),
    Hostile("closes the channel and goes on", "import os\n" + body("os.closerange(3, 64)", "return 'friendly'"),
            r"ended by itself .* with status 1"),
    Hostile("os._exit", "import os\n" + body("os._exit(0)"), r"ended by itself .* with status 0"),
    Hostile("os._exit when imported", "import os\nos._exit(0)", r"ended by itself .* with status 0"),
    Hostile("sys.exit", "import sys\n" + body("sys.exit('100 of 100')"),
            r"raised SystemExit: 100 of 100 \(line 3\)"),
    Hostile("another json", "import json\nreal = json.dumps\n"
            "json.dumps = lambda reply, **k: real({**reply, 'value': 'perfect'})\n" + FRIENDLY, answer="perfect"),
    Hostile("import hooks", "import sys, types\n"
            "class Hook:\n    def find_spec(self, *a): return None\n"
            "sys.meta_path.insert(0, Hook())\nsys.modules['program'] = types.SimpleNamespace(answer=None)\n" + FRIENDLY,
            r"raised TypeError: 'NoneType' object is not callable"),
    Hostile("an exception that raises", "class E(Exception):\n    def __str__(self): raise E\n" + body("raise E"),
            r"ended by itself .* with status 1"),
    Hostile("an exception with lines of ours", "Full = type('Full\\nmarks', (Exception,), {})\n"
            + body("raise Full('a\\n94 of 94 points')"), r"raised Full marks: a 94 of 94 points \(line 3\)"),
    Hostile("an exception without end", body("raise ValueError('x' * 10 ** 6)"),
            r"answered with more than 65536 octets"),
    Hostile("an exception of many", body("error = None", "for number in range(5000):",
            "    try: raise ValueError(number) from error", "    except ValueError as caught: error = caught",
            "raise error"),
            r"(raised ValueError: 4999 \(line 4\)|printed more than 65536 octets)"),
    Hostile("hooks that see all", "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)\n"
            "sys.addaudithook(lambda *a: None)\n" + FRIENDLY),
    Hostile("text that equals all",
            "class Lie(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
            + body("return Lie('no')"), answer="no"),
    Hostile("no list but its parts", body("return (part for part in 'no')"),
            r"raised TypeError: Object of type generator is not JSON serializable"),
    Hostile("words that move the cursor", body("raise ValueError('\\x1b[2J\\r\\u202e full marks')"),
            "raised ValueError: \ufffd\\[2J\ufffd\ufffd full marks \\(line 2\\)"),
)  # fmt: skip

MISTAKES = (
    Hostile("no Python", "def answer(request:\n", r"raised SyntaxError: .*\(submission\.py, line 1\)"),
    Hostile("no text", b"\x00\x01\x02",
            r"raised (Syntax|Value)Error: source code (string )?cannot contain null bytes.*"),
    Hostile("not UTF-8", "def answer(request): return 'f\u00fcr'\n".encode("latin-1"),
            r"raised SyntaxError: \(unicode error\) 'utf-8' codec can't decode byte 0xfc .*"),
    Hostile("brackets without end", "(" * 10_000, r"raised (SyntaxError: too many nested parentheses|MemoryError).*"),
    Hostile("nothing", "", r"raised AttributeError: module 'submission' has no attribute 'answer'"),
    Hostile("another name", "def anwser(request): pass", r"raised AttributeError: module 'submission' has no .*"),
    Hostile("another signature", "def answer(): pass", r"raised TypeError: answer\(\) takes 0 positional arguments .*"),
    Hostile("no function", "answer = 42", r"raised TypeError: 'int' object is not callable"),
)  # fmt: skip

ALL = (*TIME, *PROCESSES, *SPACE, *SIGHT, *CHANNEL, *MISTAKES)
