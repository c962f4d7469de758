"""YAML files to checked objects: all findings of a file at once, each with file, line and column."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from b2b_sem import resources
from b2b_sem.errors import ModelSyntaxError, SpecError, Unsupported, did_you_mean
from b2b_sem.spec.base import SCHEMA_VERSION, Document, Location, Origin, Problem
from b2b_sem.spec.message import explain
from b2b_sem.spec.model import ModelSpec, model_from_lavaan
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.study import RivalsAnalysis, StudySpec
from b2b_sem.spec.survey import SurveySpec
from b2b_sem.spec.syntax import parse_model

__all__ = [
    "TYPES",
    "digest",
    "list_specs",
    "load",
    "load_model",
    "load_simulation",
    "load_study",
    "load_survey",
]

TYPES: dict[str, type[Document]] = {
    "survey": SurveySpec,
    "model": ModelSpec,
    "simulation": SimulationSpec,
    "study": StudySpec,
}
"""Value of the key ``kind`` -> type of the object."""

FOLDERS = {"survey": "surveys", "model": "models", "simulation": "simulations", "study": "simulations"}

_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq")
}

D = TypeVar("D", bound=Document)
R = TypeVar("R")
Ref = str | os.PathLike[str]


# ---- public --------------------------------------------------------------------------------------------------------


def digest(path: Ref) -> str:
    """Return the SHA-256 of a file as hexadecimal text; raises :class:`SpecError` if it cannot be read."""
    return hashlib.sha256(_read_bytes(Path(path))).hexdigest()


def load(path: Ref, spec: type[D]) -> D:
    """Read one YAML file and check everything that can be checked without other files.

    Parameters
    ----------
    path : path
        The file.
    spec : type
        ``SurveySpec``, ``ModelSpec``, ``SimulationSpec`` or ``StudySpec``.

    Returns
    -------
    spec
        Frozen object that knows its file, digest and positions (``origin``).

    Raises
    ------
    SpecError
        With one entry in ``problems`` per finding. Findings that would only follow from another one are left out.
    """
    return _accept(_open(Path(path), spec))


def load_survey(ref: Ref, base: Ref | None = None) -> SurveySpec:
    """Load a survey by bundled id or path; `base` is the directory that relative paths start from."""
    return load(resources.resolve("surveys", ref, base), SurveySpec)


def load_model(ref: Ref, base: Ref | None = None, *, survey: SurveySpec | None = None) -> ModelSpec:
    """Load a model by bundled id or path, with its survey if it names one.

    Parameters
    ----------
    ref : str or path
        Bundled id, ``.yaml`` file, or a file of any other suffix (``.lav``, ``.txt``, ...) with lavaan syntax only.
    base : path, optional
        Directory that relative paths start from.
    survey : SurveySpec, optional
        Survey to use instead of the one that the model names.

    Raises
    ------
    SpecError
        If the file is not valid, or does not fit together with its survey.
    ModelSyntaxError
        If a file of lavaan syntax cannot be read.
    """
    path = resources.resolve("models", ref, base)
    draft = _open(path, ModelSpec) if path.suffix.lower() in (".yaml", ".yml") else _Draft(_load_lavaan(path))
    model = draft.spec
    if model is not None and survey is None and model.survey is not None:
        survey = _follow(draft, ("survey",), load_survey, model.survey)
    if model is not None and survey is not None:
        draft.problems += model.problems_with(survey)
    return _accept(draft).with_survey(survey)


def load_simulation(ref: Ref, base: Ref | None = None) -> SimulationSpec:
    """Load a population by bundled id or path, with its model and survey."""
    draft = _open(resources.resolve("simulations", ref, base), SimulationSpec)
    simulation, model, survey = draft.spec, None, None
    if simulation is not None:
        if simulation.survey is not None:
            survey = _follow(draft, ("survey",), load_survey, simulation.survey)
        model = _follow(draft, ("model",), load_model, simulation.model, survey=survey)
        if model is not None:
            survey = survey or model.survey_spec
            draft.problems += simulation.problems_with(model, survey)
    copy = _accept(draft).model_copy()
    copy._model, copy._survey = model, survey
    return copy


def load_study(ref: Ref, base: Ref | None = None, *, check_data: bool = True) -> StudySpec:
    """Load a study by bundled id or path, with everything it names.

    Parameters
    ----------
    ref, base
        See :func:`load_model`.
    check_data : bool
        Whether the data file must exist; turn off if another one takes its place.
    """
    draft = _open(resources.resolve("simulations", ref, base), StudySpec)
    study, model, survey, simulation = draft.spec, None, None, None
    if study is not None:
        if study.survey is not None:
            survey = _follow(draft, ("survey",), load_survey, study.survey)
        model = _follow(draft, ("model",), load_model, study.model, survey=survey)
        if study.data.simulate is not None:
            simulation = _follow(draft, ("data", "simulate"), load_simulation, study.data.simulate)
        draft.problems += _data_problems(study, check_data)
        if model is not None:
            survey = survey or model.survey_spec
            draft.problems += study.problems_with(model, survey)
            if simulation is not None:
                draft.problems += _simulated_problems(study, model, simulation)
    copy = _accept(draft).model_copy()
    copy._model, copy._survey, copy._simulation = model, survey, simulation
    return copy


def list_specs(kind: str) -> tuple[tuple[str, str], ...]:
    """Return ``(id, title)`` of the bundled files of one kind: survey, model, simulation or study."""
    folder = FOLDERS[kind]
    found = []
    for name in resources.list_bundled(folder):
        path = resources.resolve(folder, name)
        if path.suffix == ".lav":
            found.append((name, "lavaan syntax"))
            continue
        plain = _Reader(path).plain
        if isinstance(plain, dict) and plain.get("kind") == kind:
            found.append((name, str(plain.get("title", ""))))
    return tuple(found)


# ---- one file ------------------------------------------------------------------------------------------------------


@dataclass
class _Draft(Generic[D]):
    """An object that is still being checked: what was read as far as it could be, and what was found."""

    spec: D | None
    problems: list[Problem] = field(default_factory=list)
    origin: Origin | None = None


def _open(path: Path, spec: type[D]) -> _Draft[D]:
    """Read one file and collect its findings, without raising for them."""
    reader = _Reader(path)
    reader.check_header(spec)
    draft: _Draft[D] = _Draft(None, origin=reader.origin)
    try:
        draft.spec = spec.model_validate(reader.plain)
    except ValidationError as error:
        draft.problems = [explain(e, spec, reader.plain) for e in error.errors()]
        draft.spec = _without(reader.plain, error, spec)
    if draft.spec is not None:
        made = draft.spec
        made._origin = reader.origin
        rules = [*made.problems(), *(_syntax_problems(made) if isinstance(made, ModelSpec) else ())]
        # A finding about a whole mapping often only repeats that something inside it could not be read.
        inside = [p.loc for p in draft.problems]
        draft.problems += [p for p in rules if not any(loc[: len(p.loc)] == p.loc for loc in inside)]
    return draft


def _accept(draft: _Draft[D]) -> D:
    """Return the object, or raise one :class:`SpecError` for all findings, in the order of the file."""
    firm = [p for p in draft.problems if not p.weak] or draft.problems
    origin = draft.origin
    if not firm and draft.spec is not None:
        return draft.spec
    if origin is None:
        origin = draft.spec.origin if draft.spec is not None else None
    assert origin is not None  # every draft comes from a file
    found = sorted(map(origin.error, dict.fromkeys(firm)), key=lambda e: (e.line or 0, e.column or 0))
    if len(found) == 1:
        raise found[0]
    raise SpecError(f"{len(found)} problems", file=origin.path, problems=found)


def _without(plain: Any, error: ValidationError, spec: type[D]) -> D | None:
    """Return the object without its unreadable single values, so that the other rules can still be checked."""
    drop = {tuple(e["loc"]) for e in error.errors()}
    if any(e["type"] == "missing" for e in error.errors()):
        return None
    try:
        return spec.model_validate(_prune(plain, (), drop))
    except ValidationError:
        return None


def _prune(value: Any, loc: Location, drop: set[Location]) -> Any:
    if isinstance(value, dict):
        return {k: _prune(v, (*loc, k), drop) for k, v in value.items() if (*loc, k) not in drop}
    if isinstance(value, tuple):
        return tuple(_prune(v, (*loc, i), drop) for i, v in enumerate(value))
    return value


def _load_lavaan(path: Path) -> ModelSpec:
    data = _read_bytes(path)
    text = _decode(path, data)
    parse_model(text, file=str(path))
    try:
        model = model_from_lavaan(path.stem, text)
    except SpecError as error:
        raise SpecError(error.message, file=path, hint=error.hint) from None
    values: dict[Location, tuple[int, int]] = {(): (1, 1), ("text",): (1, 1)}
    model._origin = Origin(path, hashlib.sha256(data).hexdigest(), {}, values, {("text",): (1, 1)})
    return model


def _syntax_problems(model: ModelSpec) -> Iterator[Problem]:
    """Yield what the grammar finds in the lavaan lines of a model."""
    texts: list[tuple[Location, str]] = [
        ((key,), text) for key in ("text", "structural", "covariances") if (text := getattr(model, key))
    ]
    for name, rival in model.rivals.items():
        texts += [
            (("rivals", name, key, i), line) for key in ("add", "remove") for i, line in enumerate(getattr(rival, key))
        ]
        if rival.structural:
            texts.append((("rivals", name, "structural"), rival.structural))
    for loc, text in texts:
        try:
            parse_model(text)
        except (ModelSyntaxError, Unsupported) as error:
            yield Problem(loc, error.message, error.hint, in_text=(error.line or 1, error.column or 1))


def _follow(draft: _Draft[Any], loc: Location, loader: Callable[..., R], ref: str, **extra: Any) -> R | None:
    """Load a file that a draft names; a reference that leads nowhere becomes a finding where it is written."""
    assert draft.spec is not None
    try:
        return loader(ref, draft.spec.base, **extra)
    except SpecError as error:
        # Findings inside the other file carry a line there; a reference that cannot be resolved does not.
        if error.line is None and not error.problems:
            where = f" ({error.file})" if error.file else ""
            draft.problems.append(Problem(loc, f"{loc[-1]} '{ref}'{where}: {error.message}", error.hint))
            return None
        if draft.problems:
            _accept(draft)
        raise


def _data_problems(study: StudySpec, check_data: bool) -> Iterator[Problem]:
    path = study.data_path
    if not check_data or path is None:
        return
    loc: Location = ("data", study.data.origin)
    if path.is_dir():
        yield Problem(loc, f"the data file '{path}' is a directory")
    elif not path.exists():
        beside = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
        near = did_you_mean(path.name, beside)
        yield Problem(
            loc, f"there is no data file '{path}'.{near}", hint="Paths start from the directory of the study file."
        )


def _simulated_problems(study: StudySpec, model: ModelSpec, simulation: SimulationSpec) -> Iterator[Problem]:
    """Simulated respondents answer the items of the population's model and no others."""
    drawn = set(simulation.model_spec.items()) if simulation.model_spec is not None else set()
    wanted: list[tuple[Location, str, str | None]] = [(("data", "simulate"), f"the model '{model.id}'", None)]
    for i, entry in enumerate(study.analyses):
        if isinstance(entry, RivalsAnalysis):
            wanted += [(("analyses", i, "rivals", k), f"rival '{n}'", n) for k, n in enumerate(entry.rivals)]
        elif entry == "rivals":
            wanted += [(("analyses", i), f"rival '{name}'", name) for name in model.rivals]
    for loc, what, rival in wanted:
        if rival is not None and rival not in model.rivals:
            continue
        absent = [item for item in model.items(rival=rival) if item not in drawn]
        if absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            listing = ", ".join(absent[:5]) + more
            yield Problem(loc, f"{what} needs {listing}, which the population '{simulation.id}' does not contain")


# ---- reading -------------------------------------------------------------------------------------------------------


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError("there is no such file", file=path, hint="Check the path.") from None
    except IsADirectoryError:
        raise SpecError("this is a directory, not a file", file=path) from None
    except OSError as error:
        raise SpecError(f"the file cannot be read: {error.strerror or error}", file=path) from None


def _decode(path: Path, data: bytes) -> str:
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


class _Reader:
    """Plain Python values of one YAML file, and the position of every node.

    The node graph of ruamel.yaml is read instead of the constructed objects: it knows the exact start of every scalar,
    shows repeated keys, and nothing but plain scalars, mappings and lists can come out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = _read_bytes(path)
        text = _decode(path, data)
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

    def check_header(self, spec: type[Document]) -> None:
        """Check what decides how the rest is read: a mapping of the right kind and version."""
        if not isinstance(self.plain, dict):
            found = "a list" if isinstance(self.plain, tuple) else "a single value"
            raise SpecError(
                f"the file holds {found}; a {spec.KIND} file is a mapping (lines of 'key: value')",
                file=self.path,
                line=1,
                column=1,
            )
        kind, version = self.plain.get("kind"), self.plain.get("schema_version")
        if kind != spec.KIND and "kind" in self.plain:
            if kind in TYPES:
                message, hint = f"this is a {kind} file, and a {spec.KIND} file is needed", None
            else:
                message = f"'{kind}' is not a kind of file.{did_you_mean(str(kind), TYPES)}"
                hint = "Kinds: " + ", ".join(TYPES) + f". Needed here: {spec.KIND}."
            raise self.origin.error(Problem(("kind",), message, hint))
        if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
            raise self.origin.error(
                Problem(
                    ("schema_version",),
                    f"schema_version {version} is newer than this version of b2b_sem knows ({SCHEMA_VERSION})",
                    "Update b2b_sem, or write the file for the known version.",
                )
            )
