"""One YAML file as plain Python values, with the position of every node."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from b2b_sem.errors import SpecError
from b2b_sem.spec.base import Location, Origin

__all__ = ["Reader", "decode", "read_bytes"]

_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
}


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; a :class:`SpecError` says why it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError("there is no such file", file=path, hint="Check the path.") from None
    except IsADirectoryError:
        raise SpecError("this is a directory, not a file", file=path) from None
    except OSError as error:
        raise SpecError(f"the file cannot be read: {error.strerror or error}", file=path) from None


def decode(path: Path, data: bytes) -> str:
    """Return UTF-8 text (with or without a byte order mark), or raise with the position of the wrong byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise SpecError(
            f"this is not UTF-8 text (byte 0x{data[error.start]:02x})",
            file=path,
            line=line,
            column=column,
            hint="Save the file as UTF-8.",
        ) from None


class Reader:
    """Plain Python values of one YAML file, and the position of every node.

    The node graph of ruamel.yaml is read instead of the constructed objects: it knows the exact start of every scalar,
    shows repeated keys, and nothing but plain scalars, mappings and lists can come out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = read_bytes(path)
        text = decode(path, data)
        self.lines = text.splitlines()
        self.keys: dict[Location, tuple[int, int]] = {}
        self.values: dict[Location, tuple[int, int]] = {}
        self.blocks: dict[Location, tuple[int, int]] = {}
        self.found: list[SpecError] = []
        self.origin = Origin(path, hashlib.sha256(data).hexdigest(), self.keys, self.values, self.blocks)
        self._yaml = YAML(typ="safe", pure=True)
        node = self._compose(text)
        self.plain = self._plain(node, (), ())
        if self.found:
            if len(self.found) == 1:
                raise self.found[0]
            raise SpecError(f"{len(self.found)} problems", file=path, problems=self.found)

    def _compose(self, text: str) -> Node:
        try:
            with warnings.catch_warnings():
                # An anchor may be defined again; the last one counts, as YAML says.
                warnings.simplefilter("ignore", ReusedAnchorWarning)
                node = self._yaml.compose(text)
        except MarkedYAMLError as error:
            raise self._syntax_error(error) from None
        except RecursionError:
            raise SpecError("the file is nested too deeply", file=self.path) from None
        except YAMLError as error:
            position = getattr(error, "position", None)
            line = None if position is None else text.count("\n", 0, position) + 1
            raise SpecError(
                "the file contains a character that YAML does not allow", file=self.path, line=line,
                hint="It may not be a text file.",
            ) from None  # fmt: skip
        if node is None:
            raise SpecError(
                "the file is empty", file=self.path, hint="'b2b-sem copy' gives a bundled file to start from."
            )
        return node

    def _syntax_error(self, error: MarkedYAMLError) -> SpecError:
        mark = error.problem_mark or error.context_mark
        what = str(error.problem or error.context or "cannot be read").strip()
        line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        hint = None
        if "mapping values are not allowed" in what:
            hint = "Put text that contains ': ' in quotes, and check the indentation."
        elif r"'\t'" in what:
            hint = "Indent with spaces, not with tabs."
        elif "another document" in what or "expected a single document" in what or "<document start>" in what:
            hint = "One file holds one document: check the indentation, and remove '---' lines."
        elif "undefined alias" in what:
            hint = "Text that starts with '*' must be in quotes."
        elif any(
            word in f"{error.context} {what}" for word in ("quoted scalar", "stream end", "end of stream", "flow ")
        ):
            hint = "A quote or bracket that is opened here is not closed, or a comma is missing."
            if error.context_mark is not None:
                line, column = error.context_mark.line + 1, error.context_mark.column + 1
        elif "block" in (error.context or "") or "block end" in what:
            hint = "Check the indentation and the quotes of this line and of the lines above."
        return SpecError(f"not valid YAML: {what}", file=self.path, line=line, column=column, hint=hint)

    def _problem(self, node: Node, message: str, hint: str | None = None) -> None:
        mark = node.start_mark
        self.found.append(SpecError(message, file=self.path, line=mark.line + 1, column=mark.column + 1, hint=hint))

    def _plain(self, node: Node, loc: Location, parents: tuple[int, ...]) -> Any:
        """Return the plain value of a node and note the positions of all nodes under it."""
        self.values[loc] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if id(node) in parents:
            self._problem(node, "an alias refers to its own parent")
            return None
        if len(self.values) > 200_000:
            raise SpecError("the file has more than 200000 entries (aliases are written out)", file=self.path)
        parents = (*parents, id(node))
        tag = str(node.tag)
        if tag not in _PLAIN_TAGS:
            name = tag.removeprefix("tag:yaml.org,2002:")
            if name == "merge":
                self._problem(node, "merge keys (<<) are not supported", "Write the keys out.")
            else:
                shown = name if name.startswith("!") else f"!!{name}"
                self._problem(
                    node, f"the YAML tag '{shown}' is not supported", "Put text that starts with '!' in quotes."
                )
            return None
        if isinstance(node, SequenceNode):
            return tuple(self._plain(child, (*loc, i), parents) for i, child in enumerate(node.value))
        if isinstance(node, MappingNode):
            return self._mapping(node, loc, parents)
        if isinstance(node, ScalarNode):
            self._note_text(node, loc)
        return self._scalar(node)

    def _mapping(self, node: MappingNode, loc: Location, parents: tuple[int, ...]) -> dict[Any, Any]:
        plain: dict[Any, Any] = {}
        first: dict[Any, int] = {}
        for key_node, value_node in node.value:
            if str(key_node.tag).endswith(":merge"):
                self._problem(key_node, "merge keys (<<) are not supported", "Write the keys out.")
                continue
            if not isinstance(key_node, ScalarNode):
                self._problem(key_node, "a key must be a single word or number", "Put text with braces in quotes.")
                continue
            key = self._scalar(key_node)
            if not isinstance(key, str | int | float):
                key = key_node.value
            line = key_node.start_mark.line + 1
            if key in first:
                self._problem(
                    key_node,
                    f"key '{key}' is used twice here (first in line {first[key]})",
                    "Remove or rename one of them.",
                )
                continue
            first[key] = line
            self.keys[(*loc, key)] = (line, key_node.start_mark.column + 1)
            plain[key] = self._plain(value_node, (*loc, key), parents)
        return plain

    def _scalar(self, node: Node) -> Any:
        try:
            return self._yaml.constructor.construct_object(node, deep=True)
        except (YAMLError, ValueError, OverflowError):
            self._problem(node, f"'{node.value}' cannot be read as a value", "Put it in quotes if it is text.")
            return None

    def _note_text(self, node: ScalarNode, loc: Location) -> None:
        """Note where the first character of a text stands, for findings inside lavaan lines."""
        top = node.start_mark.line + 1
        if node.style not in ("|", ">"):
            if node.end_mark.line == node.start_mark.line:
                self.blocks[loc] = (top, node.start_mark.column + (2 if node.style else 1))
            return
        for line in self.lines[top : node.end_mark.line + 1]:
            if line.strip():
                # The text starts in the line after the sign, even if that line is empty.
                self.blocks[loc] = (top + 1, len(line) - len(line.lstrip(" ")) + 1)
                return
