"""Numbers as text in APA style: no leading zero where a statistic is bounded by 1, ``p < .001``, ``[.12, .34]``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ASCII",
    "TYPESET",
    "Glyphs",
    "count",
    "interval",
    "is_missing",
    "listing",
    "number",
    "p_phrase",
    "probability",
    "stars",
]


@dataclass(frozen=True)
class Glyphs:
    """The signs that differ between typeset and plain text.

    Attributes
    ----------
    minus, missing : str
        Sign of a negative number; what stands in place of a number that is not there.
    """

    minus: str
    missing: str


#: For HTML and figures: a true minus sign and an en dash.
TYPESET = Glyphs(minus="−", missing="–")
#: For terminals: plain ASCII.
ASCII = Glyphs(minus="-", missing="-")


def is_missing(value: Any) -> bool:
    """Whether `value` is None or not a finite number."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: float | None, digits: int = 2, *, bounded: bool = False, glyphs: Glyphs = ASCII) -> str:
    """Return a number with fixed decimals.

    Parameters
    ----------
    value : float or None
        None, NaN and infinities give ``glyphs.missing``.
    digits : int
        Decimals.
    bounded : bool
        The statistic cannot exceed 1 in absolute value (correlations, loadings, p, R2): the leading zero goes.
        A number that does reach 1 keeps its digits (``1.02`` in an inadmissible solution).
    glyphs : Glyphs
        Signs to use.
    """
    if value is None or is_missing(float(value)):
        return glyphs.missing
    text = f"{abs(float(value)):.{digits}f}"
    negative = float(value) < 0 and any(c in "123456789" for c in text)  # -0.00 is written as 0.00
    if bounded and text.startswith("0."):
        text = text[1:]
    return glyphs.minus + text if negative else text


def probability(value: float | None, *, glyphs: Glyphs = ASCII) -> str:
    """Return a p-value to three decimals, ``< .001`` below that and ``> .999`` above."""
    if value is None or is_missing(float(value)):
        return glyphs.missing
    if value < 0.001:
        return "< .001"
    return "> .999" if value > 0.999 else number(value, 3, bounded=True, glyphs=glyphs)


def p_phrase(value: float | None, *, glyphs: Glyphs = ASCII) -> str:
    """Return ``p = .023`` or ``p < .001``."""
    text = probability(value, glyphs=glyphs)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def interval(
    lower: float | None, upper: float | None, digits: int = 2, *, bounded: bool = False, glyphs: Glyphs = ASCII
) -> str:
    """Return ``[.12, .34]``, or the missing sign when a bound is not there."""
    if lower is None or upper is None or is_missing(float(lower)) or is_missing(float(upper)):
        return glyphs.missing
    a, b = (number(v, digits, bounded=bounded, glyphs=glyphs) for v in (lower, upper))
    return f"[{a}, {b}]"


def count(value: float | None, *, glyphs: Glyphs = ASCII) -> str:
    """Return a whole number with commas; a fractional one keeps two decimals."""
    if value is None or is_missing(float(value)):
        return glyphs.missing
    if float(value).is_integer():
        text = f"{abs(int(value)):,}"
        return glyphs.minus + text if value < 0 else text
    return number(value, 2, glyphs=glyphs)


def stars(p: float | None) -> str:
    """Return ``***`` for p < .001, ``**`` for p < .01, ``*`` for p < .05, else nothing."""
    if p is None or is_missing(float(p)):
        return ""
    return "***" if p < 0.001 else "**" if p < 0.01 else "*" if p < 0.05 else ""


def listing(words: Iterable[str]) -> str:
    """Return words as a sentence lists them: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
