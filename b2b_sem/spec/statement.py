"""A line-level view of lavaan text: enough to add, remove and look up single terms without losing their modifiers.

The grammar of the language, with its checks, is in ``syntax.py``; this module only splits well-formed text into
statements and terms, and keeps what it does not need to understand (modifiers, expressions) as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

__all__ = ["Statement", "Term", "is_syntax", "read_pair", "remove_terms", "render", "split_statements"]

_OPERATOR = re.compile(r"=~|<~|~~|~\*~|:=|==|~|\||<=|>=|<|>")
_EXPRESSION_OPERATORS = frozenset({":=", "==", "<", ">", "<=", ">="})
_OPEN, _CLOSE = "([", ")]"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a right-hand side: ``0.5*x`` has the modifier ``0.5*`` and the variable ``x``."""

    modifier: str
    variable: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.modifier}{self.variable}"

    @property
    def is_zero(self) -> bool:
        """Whether the modifier is the number 0."""
        try:
            return float(self.modifier.rstrip("* ")) == 0
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Statement:
    """``lhs op terms``, with the line and column of its first character inside the text, from 1."""

    lhs: str
    op: str
    terms: tuple[Term, ...]
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.lhs} {self.op} {' + '.join(map(str, self.terms))}"

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """Yield ``(lhs, op, variable)`` of every term; the sides of ``~~`` are sorted, as they mean the same."""
        for term in self.terms:
            sides = (self.lhs, term.variable)
            left, right = sorted(sides) if self.op == "~~" else sides
            yield left, self.op, right


def split_statements(text: str) -> tuple[Statement, ...]:
    """Split lavaan text into statements, one per left-hand variable.

    Line breaks, ``;``, comments (``#``, ``!``) and breaks after an operator or ``+`` are understood. Parts without an
    operator are skipped: reporting them is the grammar's task.
    """
    found: list[Statement] = []
    for start, part in _parts(text):
        match = _OPERATOR.search(part)
        if match is None:
            continue
        op = match.group()
        left, right = part[: match.start()], part[match.end() :]
        line, column = _place(text, start)
        if op in _EXPRESSION_OPERATORS:
            found.append(Statement(left.strip(), op, (Term("", " ".join(right.split()), line, column),), line, column))
            continue
        terms = tuple(
            _term(piece, *_place(text, start + match.end() + offset + len(piece) - len(piece.lstrip())))
            for offset, piece in _split_sum(right)
            if piece.strip()
        )
        for _, name in _split_sum(left):
            if name.strip() and terms:
                found.append(Statement(name.strip(), op, terms, line, column))
    return tuple(found)


def is_syntax(given: object) -> TypeGuard[str]:
    """Return whether an argument is model text itself, not the name of a file."""
    return isinstance(given, str) and ("~" in given or "\n" in given)


def read_pair(text: str, op: str) -> tuple[str, str] | None:
    """Return the two names of ``a op b``, sorted for ``~~``; None if the text is anything else."""
    statements = split_statements(text)
    if len(statements) != 1 or statements[0].op != op or len(statements[0].terms) != 1:
        return None
    term = statements[0].terms[0]
    if term.modifier or not term.variable:
        return None
    left, _, right = next(statements[0].pairs())
    return left, right


def remove_terms(statements: Iterable[Statement], removed: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return `statements` without the terms named in `removed`, whatever modifiers they carry."""
    gone = {pair for statement in removed for pair in statement.pairs()}
    kept = []
    for statement in statements:
        terms = tuple(t for t, pair in zip(statement.terms, statement.pairs(), strict=True) if pair not in gone)
        if terms:
            kept.append(replace(statement, terms=terms))
    return tuple(kept)


def render(statements: Iterable[Statement]) -> str:
    """Return lavaan text, one statement per line, without comments."""
    return "\n".join(str(statement) for statement in statements)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Yield ``(offset, part)`` of each statement, comments blanked so that offsets stay true."""
    clean = re.sub(r"[#!][^\n]*", lambda m: " " * len(m.group()), text)
    start = depth = 0
    for index, char in enumerate([*clean, "\n"]):
        depth += (char in _OPEN) - (char in _CLOSE)
        if char != ";" and (char != "\n" or depth > 0):
            continue
        part = clean[start:index]
        waiting = char == "\n" and (
            part.rstrip().endswith(("+", "~", "*", "|", ",", "=")) or _next(clean, index) == "+"
        )
        if waiting and index < len(clean):
            continue
        if part.strip():
            yield start + len(part) - len(part.lstrip()), part.strip()
        start, depth = index + 1, 0


def _next(text: str, index: int) -> str:
    """Return the first character after `index` that is not white space."""
    return text[index:].lstrip()[:1]


def _place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of an offset."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _split_sum(text: str) -> Iterator[tuple[int, str]]:
    """Yield ``(offset, piece)`` between the ``+`` signs that are outside brackets."""
    start = depth = 0
    for index, char in enumerate(text):
        depth += (char in _OPEN) - (char in _CLOSE)
        if char == "+" and depth == 0:
            yield start, text[start:index]
            start = index + 1
    yield start, text[start:]


def _term(piece: str, line: int, column: int) -> Term:
    """Cut one term at the last ``*`` or ``?`` outside brackets."""
    piece = piece.strip()
    depth, cut = 0, 0
    for index, char in enumerate(piece):
        depth += (char in _OPEN) - (char in _CLOSE)
        if char in "*?" and depth == 0:
            cut = index + 1
    return Term("".join(piece[:cut].split()), piece[cut:].strip(), line, column)
