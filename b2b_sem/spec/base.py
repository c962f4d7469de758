"""What all kinds of YAML file share: strict frozen types, citations, fit settings, and where a value was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints

from b2b_sem.errors import SpecError

__all__ = [
    "SCHEMA_VERSION",
    "Citation",
    "Code",
    "Document",
    "Doi",
    "FitSettings",
    "Lines",
    "Location",
    "Node",
    "Origin",
    "Problem",
    "Text",
]

SCHEMA_VERSION = 1
"""Newest file layout this version reads; it grows when an old file would no longer mean the same."""

Location = tuple[str | int, ...]
"""Path of a node inside a file: mapping keys and list positions, from the top."""

Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.]*$")]
"""Name of a scale, item, latent or column: a letter, then letters, digits, ``_`` or ``.``."""

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Lines = Annotated[str, StringConstraints(min_length=1)]
"""lavaan lines, kept exactly as written so that positions inside them stay true."""
Doi = Annotated[str, StringConstraints(pattern=r"^10\.\d{4,9}/\S+$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding inside a file: where (keys from the top), what, and what to do.

    `in_text` holds line and column inside the text stored at `loc`, for findings in lavaan lines. A `weak` finding says
    that something is absent; it is left out beside other findings, of which it is often only a consequence.
    """

    loc: Location
    message: str
    hint: str | None = None
    at_key: bool = False
    in_text: tuple[int, int] | None = None
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a loaded object came from.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Digest of its bytes.
    keys, values : mapping of Location to (line, column)
        Positions of every key and value, counted from 1.
    blocks : mapping of Location to (line, column)
        First character of the content of texts, if it can be told.
    """

    path: Path
    sha256: str
    keys: Mapping[Location, tuple[int, int]] = field(default_factory=dict, repr=False)
    values: Mapping[Location, tuple[int, int]] = field(default_factory=dict, repr=False)
    blocks: Mapping[Location, tuple[int, int]] = field(default_factory=dict, repr=False)

    def trim(self, loc: Location) -> Location:
        """Return the part of `loc` that exists in the file (names of alternatives inside a type do not)."""
        found: Location = ()
        for token in loc:
            if (*found, token) in self.values:
                found = (*found, token)
        return found

    def position(self, loc: Location, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column, from 1, of the value at `loc` or of its key; of the nearest parent if absent."""
        found = self.trim(loc)
        # A mapping or list starts on a later line than its key, and it is the key that the reader recognises.
        key, value = self.keys.get(found), self.values.get(found, (1, 1))
        return key if key is not None and (at_key or value[0] != key[0]) else value

    def position_in_text(self, loc: Location, line: int, column: int) -> tuple[int, int]:
        """Return the file position of line and column of the text stored at `loc`."""
        found = self.trim(loc)
        if found in self.blocks:
            top, left = self.blocks[found]
            return top + line - 1, left + column - 1
        return self.position(found)

    def error(self, problem: Problem) -> SpecError:
        """Return `problem` as a :class:`SpecError` with the position in this file."""
        if problem.in_text is not None:
            line, column = self.position_in_text(problem.loc, *problem.in_text)
        else:
            line, column = self.position(problem.loc, at_key=problem.at_key)
        return SpecError(problem.message, file=self.path, line=line, column=column, hint=problem.hint)


class Node(BaseModel):
    """Base of everything read from YAML: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Citation(Node):
    """A source in the literature."""

    citation: Text = Field(description="Authors and year, or the full reference.")
    doi: Doi | None = Field(default=None, description="Digital object identifier, starting with 10.")
    note: Text | None = Field(
        default=None, description="What was taken from the source, or what still has to be checked."
    )


class Document(Node):
    """Top level of a file. `source`, `digest` and `base` are known once it was loaded from a file."""

    KIND: ClassVar[str] = ""

    schema_version: Literal[1] = Field(description="Version of the file layout.")
    id: Identifier = Field(description="Short name; the file should be called <id>.yaml.")
    title: Text

    _origin: Origin | None = PrivateAttr(None)

    @classmethod
    def variant(cls, plain: Any) -> type[Self]:
        """Return the type that content of this kind is read as; most kinds have one only."""
        return cls

    @classmethod
    def advise(cls, problem: Problem) -> Problem:
        """Return a finding of the reader with a better hint, where this kind of file has one."""
        return problem

    @property
    def origin(self) -> Origin | None:
        """File, digest and positions, or None for an object made in Python."""
        return self._origin

    @property
    def source(self) -> Path | None:
        """File this was read from."""
        return self._origin.path if self._origin else None

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file, as hexadecimal text."""
        return self._origin.sha256 if self._origin else None

    @property
    def base(self) -> Path | None:
        """Directory that relative references of this file start from."""
        return self._origin.path.parent if self._origin else None

    def error(self, loc: Location, message: str, *, hint: str | None = None, at_key: bool = False) -> SpecError:
        """Return a :class:`SpecError` that names the file and the position of the node at `loc`."""
        problem = Problem(loc, message, hint, at_key)
        return self._origin.error(problem) if self._origin else SpecError(message, hint=hint)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with this object as far as it can be seen without other files."""
        yield from ()


Estimator = Literal[
    "auto",
    "ML",
    "MLM",
    "MLMV",
    "MLMVS",
    "MLR",
    "MLF",
    "GLS",
    "WLS",
    "DWLS",
    "ULS",
    "WLSM",
    "WLSMV",
    "WLSMVS",
    "ULSM",
    "ULSMV",
    "ULSMVS",
]


class FitSettings(Node):
    """Arguments of ``b2b_sem.fit`` by the same names; what is not stated keeps the default of ``fit``."""

    estimator: Estimator | None = None
    likelihood: Literal["normal", "wishart"] | None = None
    information: Literal["expected", "observed", "first.order"] | None = None
    se: Text | None = None
    test: Text | None = None
    missing: Literal["listwise", "fiml", "fiml.x", "ml", "ml.x", "direct", "direct.x", "pairwise", "mi"] | None = None
    imputations: Annotated[int, Field(ge=2)] | None = None
    seed: Annotated[int, Field(ge=0)] | None = None
    auxiliary: tuple[Code, ...] | None = None
    group: Code | None = None
    group_equal: tuple[Text, ...] | None = None
    group_partial: tuple[Text, ...] | None = None
    cluster: Code | None = None
    ordered: tuple[Code, ...] | bool | None = None
    parameterization: Literal["delta", "theta"] | None = None
    meanstructure: bool | None = None
    std_lv: bool | None = None
    orthogonal: bool | None = None
    fixed_x: bool | None = None
    bounds: Text | None = None
    kind: Literal["sem", "cfa", "growth"] | None = None
    interaction: Literal["lms", "qml", "dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all", "ca"] | None = None
    engine: Literal["auto", "semopy", "native"] | None = None

    def stated(self) -> dict[str, Any]:
        """Return the arguments that were stated, ready for ``fit(**stated)``."""
        return {name: value for name, value in self if value is not None}

    def over(self, other: FitSettings) -> FitSettings:
        """Return these settings with the gaps filled from `other`."""
        return FitSettings(**{**other.stated(), **self.stated()})
