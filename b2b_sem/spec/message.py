"""Findings of pydantic in plain words, with the closest known name."""

from __future__ import annotations

import datetime
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Location, Problem

__all__ = ["explain"]

_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}

#: Names of the two ways to write an analysis; pydantic adds them to the location, but no file contains them.
_ALTERNATIVES = ("by name", "with settings", "of groups")

_CODE = "a letter, then letters, digits, '_' or '.'"
_PATTERNS = {
    r"^[A-Za-z][A-Za-z0-9_.]*$": f"is not a valid code: {_CODE}",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "is not a valid id: letters, digits, '-' and '_' only",
    r"^10\.\d{4,9}/\S+$": "is not a DOI: it starts with '10.' and has a '/'",
    r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$": "is not an ORCID: write it as 0000-0000-0000-0000",
}


def explain(error: Mapping[str, Any], spec: type[BaseModel], plain: Any) -> Problem:
    """Turn one entry of ``ValidationError.errors()`` into a :class:`Problem`.

    Parameters
    ----------
    error : mapping
        Entry with ``type``, ``loc``, ``input`` and ``ctx``.
    spec : type
        Model that was validated; its fields give the known keys.
    plain : object
        What was validated; keys that exist there name the place in the file.
    """
    kind, loc, value = error["type"], tuple(error["loc"]), error.get("input")
    context = error.get("ctx", {})
    if loc and loc[-1] in _ALTERNATIVES:
        loc = loc[:-1]
    name = str(loc[-1]) if loc else "file"
    at_key = bool(loc) and loc[-1] == "[key]"
    if at_key:
        loc, name = loc[:-1], str(loc[-2])
    if at_key:
        subject = f"key '{name}'"
    else:
        subject = f"entry {int(name) + 1}" if loc and isinstance(loc[-1], int) else f"'{name}'"

    if kind == "extra_forbidden":
        return _unknown_key(loc, name, spec, plain)
    if kind == "missing":
        return Problem(loc[:-1], f"'{name}' is missing{_inside(loc, plain)}", _purpose(spec, loc))
    if value is None and not at_key:
        return Problem(loc, f"{subject} is empty", _purpose(spec, loc), at_key=True)
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context.get("expected", ""))
        if not known:
            return Problem(loc, f"{subject} must be {context.get('expected')}, not {_show(value)}")
        near = did_you_mean(str(value), known) if isinstance(value, str) else ""
        return Problem(
            loc, f"{_show(value)} is not a value of {subject}.{near}", f"Possible values: {', '.join(known)}."
        )
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return Problem(loc, f"{subject} must be {words} {context[key]:g}, not {_show(value)}", at_key=at_key)
    if kind == "string_pattern_mismatch":
        return Problem(loc, f"'{value}' {_PATTERNS.get(context['pattern'], 'has the wrong form')}", at_key=at_key)
    if kind == "value_error":
        return Problem(loc, str(context["error"]))
    if kind == "string_too_short":
        return Problem(loc, f"{subject} is empty")
    wanted = _WANTED.get(kind)
    if wanted is None:
        return Problem(loc, f"{subject}: {str(error['msg']).lower()}", at_key=at_key)
    what, hint = wanted
    if kind == "string_type" and isinstance(value, bool | int | float | datetime.date):
        hint = f'Put it in quotes: "{value}".'
    elif kind == "bool_type" and str(value).lower() in ("yes", "no", "on", "off"):
        hint = f"Write {'true' if str(value).lower() in ('yes', 'on') else 'false'}."
    return Problem(loc, f"{subject} must be {what}, not {_show(value)}", hint, at_key=at_key)


_NUMBER_HINT = "Write it without quotes, with a decimal point."
_LIST_HINT = "Write [a, b], or one line with '- ' per entry."
_WANTED: dict[str, tuple[str, str | None]] = {
    "string_type": ("text", None),
    "bool_type": ("true or false", "Write true or false, without quotes."),
    "int_type": ("a whole number", None),
    "int_from_float": ("a whole number", None),
    "float_type": ("a number", _NUMBER_HINT),
    "finite_number": ("a finite number", None),
    "tuple_type": ("a list", _LIST_HINT),
    "list_type": ("a list", _LIST_HINT),
    "dict_type": ("a mapping", "Write one indented line with 'key: value' per entry."),
    "model_type": ("a mapping", "Write one indented line with 'key: value' per entry."),
    "date_type": ("a date", "Write it as 2026-05-17, without quotes."),
}


def _unknown_key(loc: Location, name: str, spec: type[BaseModel], plain: Any) -> Problem:
    owner = _model_at(spec, loc[:-1])
    known = list(owner.model_fields) if owner is not None else []
    near = did_you_mean(name, known)
    hint = None if near or not known else f"Known keys: {', '.join(known)}."
    return Problem(loc, f"unknown key '{name}'{_inside(loc, plain)}.{near}", hint, at_key=True)


def _inside(loc: Location, plain: Any) -> str:
    """Say in which part of the file a key belongs: ``in scales.NR``, with names that exist in the file only."""
    parts: list[str] = []
    node = plain
    for token in loc[:-1]:
        if isinstance(node, dict) and token in node:
            parts.append(str(token))
        elif isinstance(node, tuple) and isinstance(token, int) and token < len(node):
            parts.append(str(token + 1))
        else:
            continue
        node = node[token]
    return f" in {'.'.join(parts)}" if parts else ""


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple | list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    return str(value)


def _purpose(spec: type[BaseModel], loc: Location) -> str | None:
    """Return the description of the field at `loc`."""
    owner = _model_at(spec, loc[:-1])
    field = owner.model_fields.get(str(loc[-1])) if owner is not None and loc else None
    return field.description if field is not None else None


def _model_at(spec: type[BaseModel], loc: Location) -> type[BaseModel] | None:
    """Return the model class that a location inside `spec` belongs to."""
    current: list[Any] = [spec]
    for token in loc:
        following = [inner for kind in current for inner in _step(kind, token)]
        # Names that pydantic gives to alternatives of a union are not places in the type.
        current = following or current
    models = [kind for kind in current if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return models[0] if models else None


def _step(kind: Any, token: str | int) -> list[Any]:
    """Return the types one step below `kind`, unions and annotations unpacked."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(token))
        return _unpack(field.annotation) if field is not None else []
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is dict:
        return _unpack(arguments[1])
    if origin is tuple and isinstance(token, int):
        return _unpack(arguments[0])
    return []


def _unpack(kind: Any) -> list[Any]:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _unpack(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for argument in typing.get_args(kind) for inner in _unpack(argument)]
    return [kind]
