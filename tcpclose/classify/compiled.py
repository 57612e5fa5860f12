"""Plain Python over columns, which numba compiles when a capture is big enough to be worth the wait.

A function marked `@kernel` stays what it is: ordinary Python that uses integers and indexes columns. `ready` hands it
out in one of two forms that give the same answers:

* plain, for small captures: numba is not even imported, and columns become memoryviews, which are quick to index, give
  plain integers and refuse what does not fit;
* compiled, for big ones: machine code, kept in numba's cache beside the source, or the user's where that is read-only.

So that both agree, a kernel computes with integers below 2**63 (uint64 beside int64 would become a float: mask first),
and what it is given are integers, arrays and named tuples of arrays (`packets.py`). It may call other kernels by their
global names. What it reads from its module is a constant. It makes no arrays, but views of those that it was given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial, wraps
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

#: What numba is told. Not to count who refers to an array (`_nrt`), which took three quarters of the time: their owner
#: waits for the kernel, and it makes none. And nobody calls kernels from C.
_OPTIONS = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True}

#: Whether it becomes part of those that call it.
_kernels: dict[Callable[..., Any], bool] = {}


def kernel(function: F) -> F:
    """Mark a function that `ready` can compile."""
    _kernels[function] = False
    return function


def inner(function: F) -> F:
    """Mark a kernel that is short and often called: its code becomes part of that of its callers.

    A call costs some nanoseconds for every column that is handed on.
    """
    _kernels[function] = True
    return function


def ready(function: F, fast: bool) -> F:
    """The kernel to be called with numpy's arrays: compiled if `fast`, else plain."""
    form: F = _compiled(function) if fast else _plain(function)
    return form


def at_hand(function: Callable[..., Any]) -> bool:
    """Whether it has been compiled before, and numba has kept that."""
    folder = _compiled(function).stats.cache_path
    source = Path(function.__code__.co_filename).stat().st_mtime
    return folder is not None and any(
        kept.stat().st_mtime > source for kept in Path(folder).glob(f"*{_name(function)}*.nbi")
    )


@cache
def _plain(function: Any) -> Any:
    @wraps(function)
    def call(*args: Any) -> Any:
        return function(*map(_views, args))

    return call


def _views(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.data
    if isinstance(argument, tuple):
        return type(argument)(*map(_views, argument))
    return argument


@cache
def _compiled(function: Any) -> Any:
    """The function with every kernel that it calls, compiled, in place of the plain one."""
    copy = _with_compiled(function)
    try:
        return _compiler(cache=True)(copy)
    except RuntimeError:
        # There is no folder that numba may write to: each run compiles for itself.
        return _compiler()(copy)


@cache
def _called(function: Any) -> Any:
    """As `_compiled`, for kernels that call it. It is in what they become, so it is not kept, and not for Python."""
    return _compiler(no_cpython_wrapper=True, forceinline=_kernels[function])(_with_compiled(function))


def _compiler(**options: bool) -> Any:
    from numba import njit

    return partial(njit, **_OPTIONS, **options)


def _with_compiled(function: Any) -> Any:
    around = dict(function.__globals__)
    for name, called in _used(function):
        if called in _kernels:
            around[name] = _called(called)
    copy = FunctionType(function.__code__, around, function.__name__, function.__defaults__)
    # numba's cache asks whether the function's own file has changed; what it uses may be in another.
    copy.__qualname__ = _name(function)
    return copy


def _name(function: Any) -> str:
    return f"{function.__name__}_{_digest(function).hex()}"


def _used(function: Any) -> list[tuple[str, Any]]:
    """What a kernel uses of its module: other kernels, and constants."""
    found = [(name, function.__globals__.get(name)) for name in function.__code__.co_names]
    return [(name, value) for name, value in found if isinstance(value, FunctionType | int | float | tuple)]


@cache
def _digest(function: Any) -> bytes:
    """Changes with the kernel, with all that it uses, and with how it is compiled."""
    code = function.__code__
    parts = [code.co_code, repr((code.co_consts, code.co_names, _OPTIONS, _kernels[function])).encode()]
    for _, value in _used(function):
        parts.append(_digest(value) if value in _kernels else repr(value).encode())
    return hashlib.sha256(b"".join(parts)).digest()[:8]
