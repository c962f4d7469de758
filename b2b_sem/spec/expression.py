"""Arithmetic on parameters, as in ``ind := a*b`` or ``a == 2*b``: a small tree, never ``eval``.

:func:`evaluate` walks the tree with forward-mode differentiation, so that the delta method needs no numerical
derivatives. Gradients may be anything that adds and scales (an array of one entry a parameter, for example).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from b2b_sem.errors import ModelError

__all__ = ["FUNCTIONS", "Binary", "Call", "Expression", "Name", "Negative", "Number", "evaluate", "names", "render"]


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Name:
    """A label or a defined parameter, with its place in the model text."""

    name: str
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Negative:
    """Minus an operand."""

    operand: Expression


@dataclass(frozen=True)
class Binary:
    """``+ - * / ^`` between two operands."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    """One of :data:`FUNCTIONS` applied to an operand."""

    function: str
    operand: Expression


Expression = Number | Name | Negative | Binary | Call

#: name -> (function, derivative)
FUNCTIONS: Mapping[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "exp": (math.exp, math.exp),
    "log": (math.log, lambda x: 1 / x),
    "log2": (math.log2, lambda x: 1 / (x * math.log(2))),
    "log10": (math.log10, lambda x: 1 / (x * math.log(10))),
    "sqrt": (math.sqrt, lambda x: 0.5 / math.sqrt(x)),
    "abs": (abs, lambda x: math.copysign(1.0, x)),
    "sin": (math.sin, math.cos),
    "cos": (math.cos, lambda x: -math.sin(x)),
    "tan": (math.tan, lambda x: 1 + math.tan(x) ** 2),
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "atanh": (math.atanh, lambda x: 1 / (1 - x * x)),
}

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def names(tree: Expression) -> Iterator[Name]:
    """Yield the names in the tree, left to right."""
    match tree:
        case Name():
            yield tree
        case Negative(operand) | Call(_, operand):
            yield from names(operand)
        case Binary(_, left, right):
            yield from names(left)
            yield from names(right)


def render(tree: Expression, outer: int = 0) -> str:
    """Write the tree as text with as few parentheses as its meaning allows."""
    match tree:
        case Number(value):
            return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
        case Name(name):
            return name
        case Negative(operand):
            text = "-" + render(operand, 3)
            return f"({text})" if outer > 1 else text
        case Call(function, operand):
            return f"{function}({render(operand)})"
        case Binary(op, left, right):
            level = _PRECEDENCE[op]
            # '^' groups to the right, the others to the left
            text = render(left, level + (op == "^")) + op + render(right, level + (op != "^"))
            return f"({text})" if level < outer else text


def evaluate(tree: Expression, values: Mapping[str, tuple[float, Any]]) -> tuple[float, Any]:
    """Return the value of the tree and its gradient.

    Parameters
    ----------
    tree : Expression
    values : mapping
        For each name its value and gradient.

    Raises
    ------
    ModelError
        Where the value does not exist, such as ``log`` of a negative number or a division by zero.
    """
    try:
        return _evaluate(tree, values)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ModelError(
            f"'{render(tree)}' has no value at the estimates ({error})",
            hint="check the definition: a logarithm or root of a negative number, or a division by zero",
        ) from error


def _evaluate(tree: Expression, values: Mapping[str, tuple[float, Any]]) -> tuple[float, Any]:
    match tree:
        case Number(value):
            return value, 0.0
        case Name(name):
            return values[name]
        case Negative(operand):
            value, gradient = _evaluate(operand, values)
            return -value, -1.0 * gradient
        case Call(function, operand):
            value, gradient = _evaluate(operand, values)
            f, derivative = FUNCTIONS[function]
            return f(value), derivative(value) * gradient
        case Binary(op, left, right):
            a, da = _evaluate(left, values)
            b, db = _evaluate(right, values)
            if op == "+":
                return a + b, da + db
            if op == "-":
                return a - b, da - db
            if op == "*":
                return a * b, b * da + a * db
            if op == "/":
                return a / b, (1 / b) * da - (a / (b * b)) * db
            value = math.pow(a, b)
            slope = b * math.pow(a, b - 1) * da if b else 0.0 * da
            if next(names(right), None) is None:  # a constant such as -1: the base may be negative
                return value, slope
            return value, slope + value * math.log(a) * db
