"""YAML files to checked objects: all findings of a file at once, each with file, line and column."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from b2b_sem import resources
from b2b_sem.errors import ModelSyntaxError, SpecError, Unsupported, did_you_mean
from b2b_sem.spec.base import SCHEMA_VERSION, Document, Location, Origin, Problem
from b2b_sem.spec.message import explain
from b2b_sem.spec.model import ModelSpec, model_from_lavaan
from b2b_sem.spec.montecarlo import MonteCarloSpec
from b2b_sem.spec.plan import PlanSpec
from b2b_sem.spec.reader import Reader, decode, read_bytes
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.study import RivalsAnalysis, StudySpec
from b2b_sem.spec.survey import SurveySpec
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.text import TextPopulation, TextValues, text_population

__all__ = [
    "TYPES",
    "digest",
    "list_specs",
    "load",
    "load_model",
    "load_montecarlo",
    "load_plan",
    "load_population",
    "load_simulation",
    "load_study",
    "load_survey",
]

TYPES: dict[str, type[Document]] = {
    "survey": SurveySpec,
    "model": ModelSpec,
    "simulation": SimulationSpec,
    "study": StudySpec,
    "montecarlo": MonteCarloSpec,
    "plan": PlanSpec,
}
"""Value of the key ``kind`` -> type of the object."""

FOLDERS = {
    "survey": "surveys",
    "model": "models",
    "simulation": "simulations",
    "study": "simulations",
    "montecarlo": "simulations",
    "plan": "simulations",
}

D = TypeVar("D", bound=Document)
R = TypeVar("R")
Ref = str | os.PathLike[str]


# ---- public --------------------------------------------------------------------------------------------------------


def digest(path: Ref) -> str:
    """Return the SHA-256 of a file as hexadecimal text; raises ``SpecError`` if it cannot be read."""
    return hashlib.sha256(read_bytes(Path(path))).hexdigest()


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
    """Load a population by bundled id or path, with its model and survey.

    Raises
    ------
    SpecError
        If the file is not valid, or is lavaan text: then there is no survey.
    """
    found = _load_population(resources.resolve("simulations", ref, base))
    if isinstance(found, TextPopulation):
        raise found.error(
            ("text",), f"'{found.id}' is lavaan text, and a population with a survey is needed",
            hint="'b2b-sem simulate' and Monte Carlo studies take such populations.",
        )  # fmt: skip
    return found


def load_population(ref: Ref, base: Ref | None = None) -> SimulationSpec | TextPopulation:
    """Load a population: a simulation file, a file of lavaan text with values, or that of a Monte Carlo study."""
    path = resources.resolve("simulations", ref, base)
    if path.suffix.lower() in (".yaml", ".yml"):
        plain = Reader(path).plain
        if isinstance(plain, dict) and plain.get("kind") == "montecarlo":
            population = load_montecarlo(path).population_spec
            assert population is not None  # a study is loaded with it
            return population
        return _load_population(path)
    data = read_bytes(path)
    made = text_population(_identifier(path.stem), TextValues(text=decode(path, data)), path.stem)
    blocks: dict[Location, tuple[int, int]] = {("text",): (1, 1)}
    made._origin = Origin(path, hashlib.sha256(data).hexdigest(), {}, {(): (1, 1), ("text",): (1, 1)}, blocks)
    return _accept(_Draft(made, list(made.problems()), made.origin))


def _load_population(path: Path) -> SimulationSpec | TextPopulation:
    draft = _open(path, SimulationSpec)
    if isinstance(draft.spec, TextPopulation):
        draft.spec = _with_text(draft, draft.spec)
        return _accept(draft)
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


def _with_text(draft: _Draft[Any], population: TextPopulation) -> TextPopulation:
    """Return a population of lavaan text with the text of the file that it names; findings go to the draft."""
    if population.file is None or population.text is not None:
        return population
    path = (draft.origin.path.parent if draft.origin else Path()) / population.file
    try:
        text = decode(path, read_bytes(path))
    except SpecError as error:
        problem = Problem((*population._at, "file"), f"'{population.file}': {error.message}", error.hint)
        draft.problems.append(problem)
        return population
    made = population.model_copy(update={"text": text})
    made._origin, made._at, made._read = draft.origin, population._at, True
    draft.problems += made.problems()
    return made


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "population"


def load_montecarlo(ref: Ref, base: Ref | None = None) -> MonteCarloSpec:
    """Load a Monte Carlo study by bundled id or path, with its population and the model that is fitted."""
    draft = _open(resources.resolve("simulations", ref, base), MonteCarloSpec)
    study, population, model = draft.spec, None, None
    if study is not None:
        population = _population_of(draft, study)
        if population is not None:
            model = population.model_spec
            if study.model is not None:
                survey = None if isinstance(population, TextPopulation) else population.survey_spec
                model = _model_of(draft, study.model, survey)
            if model is not None:
                draft.problems += study.problems_with(population, model)
    accepted = _accept(draft)
    assert population is not None  # else there was a finding
    assert model is not None
    return accepted.tie(population, model)


def _population_of(draft: _Draft[MonteCarloSpec], study: MonteCarloSpec) -> SimulationSpec | TextPopulation | None:
    """Return the population of a study: that of another file, or the text that stands in its own."""
    if isinstance(study.population, str):
        return _follow(draft, ("population",), load_population, study.population)
    inline = text_population(study.id, study.population, study.title, ("population",))
    inline._origin = draft.origin
    before = len(draft.problems)
    draft.problems += inline.problems()
    inline = _with_text(draft, inline)
    return inline if len(draft.problems) == before else None


def _model_of(draft: _Draft[MonteCarloSpec], given: str, survey: SurveySpec | None) -> ModelSpec | None:
    """Return the model that a study fits: that of another file, or lavaan text."""
    if not any(mark in given for mark in ("~", "\n")):
        return _follow(draft, ("model",), load_model, given, survey=survey)
    model = model_from_lavaan("inline", given)
    problems = [Problem(("model",), p.message, p.hint, in_text=p.in_text) for p in _syntax_problems(model)]
    if survey is not None:
        problems += [Problem(("model",), p.message, p.hint) for p in model.problems_with(survey)]
    draft.problems += problems
    return None if problems else model.with_survey(survey)


def load_plan(ref: Ref, base: Ref | None = None) -> PlanSpec:
    """Load a sample-size plan by bundled id or path, with its population."""
    draft = _open(resources.resolve("simulations", ref, base), PlanSpec)
    population: SimulationSpec | None = None
    if draft.spec is not None:
        population = _follow(draft, ("population",), load_simulation, draft.spec.population)
        if population is not None:
            draft.problems += draft.spec.problems_with(population)
    accepted = _accept(draft)
    assert population is not None  # else there was a finding
    return accepted.tie(population)


def load_study(ref: Ref, base: Ref | None = None, *, check_data: bool = True) -> StudySpec:
    """Load a study by bundled id or path, with everything it names.

    Parameters
    ----------
    ref, base
        See ``load_model``.
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
    """Return ``(id, title)`` of the bundled files of one kind, a key of ``TYPES``."""
    folder = FOLDERS[kind]
    found = []
    for name in resources.list_bundled(folder):
        path = resources.resolve(folder, name)
        if path.suffix == ".lav":
            found.append((name, "lavaan syntax"))
            continue
        plain = Reader(path).plain
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
    reader = Reader(path)
    _check_header(reader, spec)
    spec = spec.variant(reader.plain)
    draft: _Draft[D] = _Draft(None, origin=reader.origin)
    try:
        draft.spec = spec.model_validate(reader.plain)
    except ValidationError as error:
        draft.problems = [spec.advise(explain(e, spec, reader.plain)) for e in error.errors()]
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
    """Return the object, or raise one ``SpecError`` for all findings, in the order of the file."""
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


def _check_header(reader: Reader, spec: type[Document]) -> None:
    """Check what decides how the rest is read: a mapping of the right kind and version."""
    if not isinstance(reader.plain, dict):
        found = "a list" if isinstance(reader.plain, tuple) else "a single value"
        hint = None
        if reader.path.suffix.lower() not in (".yaml", ".yml"):
            hint = f"Name a {spec.KIND} file, which ends in .yaml. 'b2b-sem fit' takes a model in lavaan syntax."
        raise SpecError(
            f"the file holds {found}; a {spec.KIND} file is a mapping (lines of 'key: value')",
            file=reader.path,
            line=1,
            column=1,
            hint=hint,
        )
    kind, version = reader.plain.get("kind"), reader.plain.get("schema_version")
    if kind != spec.KIND and "kind" in reader.plain:
        if isinstance(kind, str) and kind in TYPES:
            message, hint = f"this is a {kind} file, and a {spec.KIND} file is needed", None
        else:
            message = f"'{kind}' is not a kind of file.{did_you_mean(str(kind), TYPES)}"
            hint = "Kinds: " + ", ".join(TYPES) + f". Needed here: {spec.KIND}."
        raise reader.origin.error(Problem(("kind",), message, hint))
    if isinstance(version, int) and not isinstance(version, bool) and version > SCHEMA_VERSION:
        raise reader.origin.error(
            Problem(
                ("schema_version",),
                f"schema_version {version} is newer than this version of b2b_sem knows ({SCHEMA_VERSION})",
                "Update b2b_sem, or write the file for the known version.",
            )
        )


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
    data = read_bytes(path)
    text = decode(path, data)
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
    for i, prop in enumerate(model.propositions):
        if prop.structural:
            texts.append((("propositions", i, "structural"), prop.structural))
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
    source = simulation.model_spec
    drawn = set() if source is None else set(source.items(claims=simulation.claimed(source)))
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
