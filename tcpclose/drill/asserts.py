"""What stands in `%{ }%`: assertions about TCP_INFO, evaluated by walking their syntax. Nothing is executed."""

from __future__ import annotations

import ast
import operator
import textwrap
from collections.abc import Mapping
from typing import Any

from tcpclose.drill.packets import Mismatch
from tcpclose.drill.scanner import Unsupported

#: Names of states and of congestion control, with Linux's numbers.
_STATES = "ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING"
_CONGESTION = "Open Disorder CWR Recovery Loss"
CONSTANTS: dict[str, Any] = {f"TCP_{name}": number for number, name in enumerate(_STATES.split(), 1)}
CONSTANTS |= {f"TCP_CA_{name}": number for number, name in enumerate(_CONGESTION.split())}
CONSTANTS |= {"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8}
CONSTANTS |= {"True": True, "False": False, "None": None}

_BINARY: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type[ast.AST], Any] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.AST], Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_LARGEST = 1 << 64  # no number of TCP_INFO is larger, and no script shall keep us busy with one


def judge(code: str, info: Mapping[str, Any]) -> None:
    """Raises `Mismatch` where an assertion does not hold, `Unsupported` for Python beyond assertions."""
    for statement in read(code):
        if isinstance(statement, ast.Assert) and not _holds(statement, info):
            names = sorted({n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name) and n.id in info})
            values = ", ".join(f"{name} is {info[name]}" for name in names)
            said = "" if statement.msg is None else f": {_said(statement.msg, info)}"
            raise Mismatch(f"assert {ast.unparse(statement.test)}{said}{f' ({values})' if values else ''}")


def _holds(statement: ast.Assert, info: Mapping[str, Any]) -> bool:
    try:
        return bool(_evaluate(statement.test, info))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsupported(f"Python that is not understood in %{{ }}%: {error}") from None


def _said(message: ast.expr, info: Mapping[str, Any]) -> Any:
    """What an assertion says when it does not hold; its own words where they are not understood."""
    try:
        return _evaluate(message, info)
    except (Unsupported, TypeError, ValueError, RecursionError):
        return ast.unparse(message)


def read(code: str) -> list[ast.stmt]:
    """The statements of a snippet. `print` is understood, and does nothing."""
    first, _, others = code.replace("\t", "    ").strip("\n ").partition("\n")
    lines = f"{first.strip()}\n{textwrap.dedent(others)}".split("\n")
    try:
        statements = ast.parse("\n".join(line for line in lines if not line.strip().startswith("print"))).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Unsupported(f"Python that is not understood in %{{ }}%: {getattr(error, 'msg', error)}") from None
    for statement in statements:
        if not isinstance(statement, ast.Assert | ast.Pass):
            words = ast.unparse(statement).partition("\n")[0]
            raise Unsupported(f"Python beyond assert in %{{ }}%: {words}")
    return statements


def _evaluate(node: ast.expr, info: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _name(name, info)
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return tuple(_evaluate(item, info) for item in items)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_evaluate(value, info) for value in values)
        case ast.BoolOp(values=values):
            return any(_evaluate(value, info) for value in values)
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_evaluate(operand, info))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _calculate(_BINARY[type(op)], _evaluate(left, info), _evaluate(right, info))
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARE for op in ops):
            values = [_evaluate(value, info) for value in (left, *comparators)]
            pairs = zip(ops, values, values[1:], strict=False)
            return all(_COMPARE[type(op)](a, b) for op, a, b in pairs)
        case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
            return abs(_evaluate(argument, info))
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=arguments, keywords=[]) if len(arguments) > 1:
            among = [_evaluate(argument, info) for argument in arguments]
            return min(among) if name == "min" else max(among)
        case ast.Call(func=ast.Name(id="str"), args=[argument], keywords=[]):
            return str(_evaluate(argument, info))
    raise Unsupported(f"Python that is not understood in %{{ }}%: {ast.unparse(node)}")


def _name(name: str, info: Mapping[str, Any]) -> Any:
    if name in info:
        return info[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    raise Unsupported(f"{name} in %{{ }}%")


def _calculate(operation: Any, left: Any, right: Any) -> Any:
    numbers = all(isinstance(value, int | float) and abs(value) < _LARGEST for value in (left, right))
    if not numbers or (operation is operator.lshift and right > 64):
        raise Unsupported("arithmetic in %{ }% with what is no number, or a huge one")
    try:
        return operation(left, right)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise Unsupported(f"arithmetic in %{{ }}%: {error}") from None
