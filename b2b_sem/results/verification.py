"""Whether results are reproduced: two results compared value by value, and what a verification found."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from b2b_sem.results.io import plain

__all__ = [
    "TOLERANCE",
    "Comparison",
    "Difference",
    "Finding",
    "Verification",
    "compare_results",
    "same_words",
]

#: Largest relative difference of two estimates that count as equal.
TOLERANCE = 1e-6
#: Monte Carlo errors that a number may move when a library that draws random numbers is another one.
_ERRORS = 3.0
#: Of a resampled number and its repetition: the error of a difference of two.
_TWO = math.sqrt(2.0)

#: Where and when a run was made, and how the optimiser got there: not what it found.
_IGNORED = frozenset(
    {
        ("provenance",),
        ("study", "data"),
        ("sample", "source"),
    }
)
_IGNORED_KEYS = frozenset({"optimizer", "seconds", "elapsed"})
#: Columns in the units of the data, which may be tiny: their own size is the measure of what is small.
_UNITS = frozenset({"est", "se", "ci_lower", "ci_upper", "std_lv", "raw"})
#: What names a row of a table, in the order in which it is shown.
_NAMES = (
    "condition", "id", "split", "scale", "latent", "item", "kind", "outcome", "predictor", "path", "lhs", "op", "rhs",
    "group", "reference", "quantity", "name", "label", "step", "band", "measure", "statistic", "category", "answer",
    "at", "route", "proposition", "element", "parameter", "term",
)  # fmt: skip
#: Prose: numbers in it may differ in their last printed place when what they round differs by less than the tolerance.
_PROSE = frozenset({"warnings", "notes", "statements", "sentence", "reason", "message", "reasons"})
_NUMBER = re.compile(r"\d*\.?\d+(?:[eE][+-]?\d+)?")
#: Kinds of interval that rest on random draws.
_DRAWN = frozenset({"mc", "bca", "perc", "percentile", "basic", "norm", "bootstrap", "bc"})


@dataclass(frozen=True)
class Difference:
    """One value that is not the same.

    Attributes
    ----------
    table, row, column : str
        Where: ``fit.parameters``, ``PC ~ NR``, ``est``; `row` is empty outside tables.
    saved, found : object
        The value in the results and the value now.
    size : float
        |saved - found| / max(|saved|, |found|, s); infinite where not both are numbers, or where counts differ. s is 1,
        or the largest value of the column where this is smaller and the column has the units of the data.
    allowed : float
        What `size` may be.
    """

    table: str
    row: str
    column: str
    saved: Any
    found: Any
    size: float
    allowed: float

    @property
    def place(self) -> str:
        """Return the place in one piece: ``fit.parameters, PC ~ NR, est``."""
        return ", ".join(part for part in (self.table, self.row, self.column) if part)

    def __str__(self) -> str:
        size = "" if math.isinf(self.size) else f" (relative difference {self.size:.1e})"
        return f"{self.place}: {_show(self.saved)} in the results, {_show(self.found)} now{size}"

    def to_json(self) -> dict[str, Any]:
        """Return this difference as plain JSON types; a size without bound is null."""
        out: dict[str, Any] = plain(self.__dict__)
        return out


@dataclass(frozen=True)
class Comparison:
    """Two results compared.

    Attributes
    ----------
    exact, numbers : int
        How many values had to be the same, and how many other numbers there were.
    worst : Difference or None
        The largest difference of two numbers, also when it is allowed; something else only if no number differs.
    differences : tuple of Difference
        All that are not allowed.
    """

    exact: int
    numbers: int
    worst: Difference | None
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Finding:
    """Something that is not as the manifest says, or that the reader should know.

    Attributes
    ----------
    kind : str
        ``file`` (missing, added or changed output), ``config``, ``data``, ``seed``, ``version``, ``manifest``,
        ``value``.
    where : str
        File, column or package.
    message : str
    grave : bool
        Whether it makes the answer no.
    """

    kind: str
    where: str
    message: str
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found.

    Attributes
    ----------
    id : str
        Of the study.
    answer : str
        ``equal``, ``differs``, or ``cannot``: nothing speaks against the results, but they could not be repeated.
    basis : str
        What was repeated: ``data``, ``simulation``, ``moments`` (covariance matrix and number of rows) or ``nothing``.
    findings : tuple of Finding
    comparison : Comparison or None
    unchecked : tuple of str
        What was not repeated, and why.
    """

    id: str
    answer: str
    basis: str
    findings: tuple[Finding, ...] = ()
    comparison: Comparison | None = None
    unchecked: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether the results were reproduced."""
        return self.answer == "equal"

    def to_json(self) -> dict[str, Any]:
        """Return the verification as plain JSON types."""
        found = self.comparison
        return {
            "id": self.id,
            "answer": self.answer,
            "basis": self.basis,
            "findings": [dict(f.__dict__) for f in self.findings],
            "compared": None if found is None else {"exact": found.exact, "numbers": found.numbers},
            "worst": None if found is None or found.worst is None else found.worst.to_json(),
            "differences": [] if found is None else [d.to_json() for d in found.differences],
            "unchecked": list(self.unchecked),
        }


def compare_results(
    saved: Mapping[str, Any],
    found: Mapping[str, Any],
    *,
    tolerance: float = TOLERANCE,
    resampled: bool = False,
    ignored: Collection[tuple[str, ...]] = (),
) -> Comparison:
    """Compare two results (``to_json``) value by value, rows of tables by name.

    Whole numbers, words and truth values must be the same; other numbers may differ by `tolerance`, see
    :class:`Difference`. Where and when a run was made and how the optimiser got there are not compared.

    Parameters
    ----------
    saved, found : mapping
        The results to check, and those of the repetition.
    tolerance : float
    resampled : bool
        Whether the random numbers may be others: numbers from random draws may then differ by three Monte Carlo
        errors of a difference. For a number with a column ``*_mcse`` the error is that; for a standard error from B
        draws se / sqrt(2 B), for an interval limit at probability q se sqrt(q (1 - q) / B) / phi(z_q) (Efron &
        Tibshirani 1993), for a p value sqrt(p (1 - p) / B).
    ignored : collection of tuples of str
        Further places that are not compared, such as ``("sample", "notes")``.

    Returns
    -------
    Comparison
    """
    walk = _Walk(tolerance, resampled, _IGNORED | set(ignored))
    walk.any((), "", saved, found, {})
    return Comparison(walk.exact, walk.numbers, walk.worst, tuple(walk.differences))


class _Walk:
    def __init__(self, tolerance: float, resampled: bool, ignored: Collection[tuple[str, ...]]) -> None:
        self.tolerance, self.resampled, self.ignored = tolerance, resampled, ignored
        self.exact = self.numbers = 0
        self.worst: Difference | None = None
        self.differences: list[Difference] = []

    def any(self, at: tuple[str, ...], row: str, a: Any, b: Any, draws: Mapping[str, Any]) -> None:
        if at in self.ignored or (at and at[-1] in _IGNORED_KEYS):
            return
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            self.mapping(at, row, a, b, draws)
        elif isinstance(a, list) and isinstance(b, list):
            self.sequence(at, row, a, b, draws)
        else:
            self.value(at, row, a, b, 1.0, 0.0)

    def mapping(
        self, at: tuple[str, ...], row: str, a: Mapping[str, Any], b: Mapping[str, Any], draws: Mapping[str, Any]
    ) -> None:
        if {"rows", "columns", "values"} <= set(a) and {"rows", "columns", "values"} <= set(b):
            self.matrix(at, row, a, b)
            return
        if a.get("draws") and str(a.get("ci")) in _DRAWN:
            draws = {"draws": a["draws"], "level": a.get("level") or 0.95}
        scalar = {k: v for k, v in a.items() if not isinstance(v, Mapping | list)}
        for key in dict.fromkeys((*a, *b)):
            here = (*at, key)
            if key not in a or key not in b:
                if here not in self.ignored and key not in _IGNORED_KEYS:
                    self.note(here, row, a.get(key, "(absent)"), b.get(key, "(absent)"), math.inf, 0.0)
            elif isinstance(a[key], Mapping | list) or isinstance(b[key], Mapping | list):
                self.any(here, row, a[key], b[key], draws)
            elif here not in self.ignored and key not in _IGNORED_KEYS:
                self.value(here, row, a[key], b[key], 1.0, self.error(key, scalar, draws))

    def sequence(self, at: tuple[str, ...], row: str, a: list[Any], b: list[Any], draws: Mapping[str, Any]) -> None:
        if not (all(isinstance(x, Mapping) for x in (*a, *b)) and a and b):
            if len(a) != len(b):
                self.note((*at, ""), row, f"{len(a)} entries", f"{len(b)} entries", math.inf, 0.0)
                self.missing((*at, ""), row, a, b)
                return
            for index, (x, y) in enumerate(zip(a, b, strict=True)):
                nested = isinstance(x, Mapping | list) or isinstance(y, Mapping | list)
                inner = row if nested and not isinstance(x, list) else f"{row} {index + 1}".strip()
                self.any(at if nested else (*at, ""), inner, x, y, draws)
            return
        left, right = _named(a), _named(b)
        scales = _scales(a)
        for name in dict.fromkeys((*left, *right)):
            label = ": ".join(part for part in (row, name) if part)
            if name not in left or name not in right:
                sides = ("present", "(absent)") if name in left else ("(absent)", "present")
                self.note((*at, ""), label, *sides, math.inf, 0.0)
                continue
            x, y = left[name], right[name]
            for key in dict.fromkeys((*x, *y)):
                here = (*at, key)
                if key in _IGNORED_KEYS:
                    continue
                if key not in x or key not in y:
                    self.note(here, label, x.get(key, "(absent)"), y.get(key, "(absent)"), math.inf, 0.0)
                elif isinstance(x[key], Mapping | list) or isinstance(y[key], Mapping | list):
                    self.any(here, label, x[key], y[key], draws)
                else:
                    self.value(here, label, x[key], y[key], scales.get(key, 1.0), self.error(key, x, draws))

    def missing(self, at: tuple[str, ...], row: str, a: list[Any], b: list[Any]) -> None:
        """Name the texts that only one of two lists of texts has."""
        for text in (x for x in a if isinstance(x, str) and x not in b):
            self.note(at, row, text, "(absent)", math.inf, 0.0)
        for text in (x for x in b if isinstance(x, str) and x not in a):
            self.note(at, row, "(absent)", text, math.inf, 0.0)

    def matrix(self, at: tuple[str, ...], row: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
        if a["rows"] != b["rows"] or a["columns"] != b["columns"]:
            self.note((*at, ""), row, "of some variables", "of others", math.inf, 0.0)
            return
        cells = [abs(v) for line in a["values"] for v in line if isinstance(v, float | int)]
        scale = min(1.0, max(cells, default=1.0)) or 1.0
        for name, x, y in zip(a["rows"], a["values"], b["values"], strict=True):
            for column, u, v in zip(a["columns"], x, y, strict=True):
                self.value((*at, str(column)), f"{row}: {name}" if row else str(name), u, v, scale, 0.0)

    def error(self, key: str, row: Mapping[str, Any], draws: Mapping[str, Any]) -> float:
        """Return the Monte Carlo error of a number, 0 if it is not drawn or the random numbers must be the same."""
        if not self.resampled:
            return 0.0
        if isinstance(own := row.get(f"{key}_mcse"), float | int):
            return float(own)
        if not draws or not isinstance(se := row.get("se"), float | int):
            return 0.0
        count = float(draws["draws"])
        if key == "se":
            return float(se) / math.sqrt(2 * count)
        if key in ("ci_lower", "ci_upper"):
            q = (1 - float(draws["level"])) / 2
            normal = NormalDist()
            return float(se) * math.sqrt(q * (1 - q) / count) / normal.pdf(normal.inv_cdf(q))
        p = row.get("pvalue")
        return math.sqrt(max(p * (1 - p), 0) / count) if key == "pvalue" and isinstance(p, float | int) else 0.0

    def value(self, at: tuple[str, ...], row: str, a: Any, b: Any, scale: float, error: float) -> None:
        number = all(isinstance(v, float | int) and not isinstance(v, bool) for v in (a, b))
        if not number or (isinstance(a, int) and isinstance(b, int) and not error):
            self.exact += 1
            same = a == b and isinstance(a, bool) == isinstance(b, bool)
            if not same and not (_PROSE & set(at) and isinstance(a, str) and isinstance(b, str) and same_words(a, b)):
                self.note(at, row, a, b, math.inf, 0.0)
            return
        self.numbers += 1
        base = max(abs(a), abs(b), scale)
        self.note(at, row, a, b, abs(a - b) / base, max(self.tolerance, _ERRORS * _TWO * error / base))

    def note(self, at: tuple[str, ...], row: str, a: Any, b: Any, size: float, allowed: float) -> None:
        made = Difference(".".join(at[:-1]), row, at[-1] if at else "", a, b, size, allowed)
        if size > allowed:
            self.differences.append(made)
        if self.worst is None or _badness(made) > _badness(self.worst):
            self.worst = made


def _badness(d: Difference) -> tuple[bool, float]:
    # a word that differs has no size: the largest number is shown, and a word only if no number differs
    return d.size > d.allowed, 0.0 if math.isinf(d.size) else d.size


def _named(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return rows by what names them; rows of the same name are told apart by their number."""
    out: dict[str, Mapping[str, Any]] = {}
    for position, row in enumerate(rows):
        name = " ".join(str(row[key]) for key in _NAMES if isinstance(row.get(key), str | int) and row[key] != "")
        name = name or f"row {position + 1}"
        count = 2
        unique = name
        while unique in out:
            unique, count = f"{name} ({count})", count + 1
        out[unique] = row
    return out


def _scales(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return for columns in the units of the data their largest value, where it is smaller than 1."""
    out = {}
    for key in _UNITS:
        values = [abs(row[key]) for row in rows if isinstance(row.get(key), float)]
        out[key] = min(1.0, max(values, default=1.0)) or 1.0
    return out


def same_words(a: str, b: str) -> bool:
    """Tell whether two sentences are the same but for the last printed place of numbers."""
    if _NUMBER.split(a) != _NUMBER.split(b):
        return False
    for x, y in zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=True):
        if x == y:
            continue
        places = len(x.partition(".")[2])
        if "." not in x or "e" in (x + y).lower() or len(y.partition(".")[2]) != places:
            return False
        if abs(float(x) - float(y)) > 1.0001 * 10.0**-places:
            return False
    return True


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
