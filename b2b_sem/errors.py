"""Exceptions and warnings of the package: one tree, one message each.

Every error a user can cause carries where it is (file, line, column), what is wrong and what to do about it. The
command line prints ``str(error)`` on stderr and exits with ``error.exit_code``; nothing else is printed.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable

__all__ = [
    "B2BSemError",
    "B2BSemWarning",
    "DataError",
    "ModelError",
    "ModelSyntaxError",
    "SpecError",
    "Unsupported",
    "did_you_mean",
    "whole_number",
]


class B2BSemError(Exception):
    """Base class of all errors raised on purpose by the package.

    Parameters
    ----------
    message : str
        What is wrong, in one sentence.
    file, line, column : optional
        Where it is. Line and column count from 1.
    hint : str, optional
        What to do about it.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: object = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.column = column
        self.hint = hint
        super().__init__(message)

    @property
    def where(self) -> str:
        """``file:line:column`` as far as it is known, else an empty string."""
        parts = [self.file] if self.file else []
        if self.line is not None:
            parts.append(str(self.line) if self.file else f"line {self.line}")
            if self.column is not None:
                parts.append(str(self.column) if self.file else f"column {self.column}")
        return (":" if self.file else ", ").join(parts)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  -> {self.hint}" if self.hint else text


class SpecError(B2BSemError):
    """A YAML file (survey, model, simulation or study) does not say something valid.

    ``problems`` holds one ``SpecError`` per finding when a file has several; its text lists them all.
    """

    def __init__(self, message: str, *, problems: Iterable[SpecError] = (), **where: object) -> None:
        super().__init__(message, **where)  # type: ignore[arg-type]
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if not self.problems:
            return super().__str__()
        return "\n".join([super().__str__(), *(f"  {line}" for p in self.problems for line in str(p).split("\n"))])


class ModelSyntaxError(B2BSemError):
    """Model text is not valid lavaan syntax, or names something that does not exist."""


class DataError(B2BSemError):
    """The data file or table cannot be used as it is."""


class ModelError(B2BSemError):
    """The input is readable, but this model cannot be fitted to these data (exit code 1)."""

    exit_code = 1


class Unsupported(B2BSemError):
    """A combination whose numbers have not been tested against an outside truth; the message says what to do."""


class B2BSemWarning(UserWarning):
    """Something in a result that a careful reader must know before using it."""


def did_you_mean(word: str, known: Iterable[str], *, count: int = 3) -> str:
    """Return `` Did you mean 'x'?`` for the names in `known` closest to `word`, or an empty string.

    Case is ignored when comparing, so ``nr1`` is found for ``NR1``.
    """
    names = {name.lower(): name for name in sorted(set(known), reverse=True)}
    close = difflib.get_close_matches(word.lower(), list(names), n=count, cutoff=0.6)
    if not close:
        return ""
    return " Did you mean " + " or ".join(f"'{names[c]}'" for c in close) + "?"


def whole_number(value: object, name: str, least: int) -> int:
    """Return an argument that counts something, also one of numpy's integers, as int.

    Parameters
    ----------
    value : object
    name : str
        Of the argument.
    least : int
        Smallest number that makes sense.

    Raises
    ------
    DataError
        If it is no whole number (True and False are none), or smaller.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise DataError(f"{name}={value!r} must be a whole number of {least} or more", hint="give such a number")
    return number
