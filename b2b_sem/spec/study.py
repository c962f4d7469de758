"""The study: one file that names a survey, a model, data and the analyses, and so repeats the whole work."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, PrivateAttr, Tag

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Document, Doi, FitSettings, Node, Problem, Text
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.moderation import product_of
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = [
    "Author",
    "CutoffSimulation",
    "DataSource",
    "Decision",
    "Deviation",
    "Preregistration",
    "RivalsAnalysis",
    "StudySpec",
]

Proportion = Annotated[float, Field(gt=0, lt=1)]


class DataSource(Node):
    """Where the answers come from: a data file, simulated respondents, or a covariance matrix."""

    file: Text | None = Field(default=None, description="Data file; relative to the study file.")
    format: Literal["csv", "tsv", "xlsx", "sav", "dta", "parquet"] | None = Field(
        default=None, description="Only needed if the suffix does not tell."
    )
    sheet: Text | None = Field(default=None, description="Worksheet of an .xlsx file.")
    rename: dict[Text, Code] = Field(default_factory=dict, description="Column in the file -> code in the survey.")
    missing: tuple[int | float | str, ...] = Field(default=(), description="Further codes that are read as missing.")
    simulate: Text | None = Field(default=None, description="Id of a bundled simulation, or path of a simulation file.")
    seed: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Seed of the simulated respondents.")
    covariance: Text | None = Field(
        default=None, description="CSV file with a labelled covariance matrix (divisor n - 1)."
    )
    n: Annotated[int, Field(ge=2, le=1_000_000_000)] | None = Field(
        default=None, description="Number of simulated respondents, or behind a matrix."
    )

    @property
    def origin(self) -> str:
        """``file``, ``simulate`` or ``covariance``."""
        return next(name for name in ("file", "simulate", "covariance") if getattr(self, name) is not None)

    def check(self) -> Iterator[Problem]:
        """Yield what is wrong with this section."""
        given = [name for name in ("file", "simulate", "covariance") if getattr(self, name) is not None]
        if len(given) != 1:
            found = "none of them is given" if not given else "given: " + ", ".join(given)
            yield Problem(("data",), f"data need exactly one of 'file', 'simulate', 'covariance'; {found}", at_key=True)
            return
        allowed = {"file": {"format", "sheet", "rename", "missing"}, "simulate": {"n", "seed"}, "covariance": {"n"}}[
            given[0]
        ]
        for name in ("format", "sheet", "rename", "missing", "n", "seed"):
            if name in self.model_fields_set and name not in allowed:
                yield Problem(("data", name), f"'{name}' does not go with '{given[0]}'", at_key=True)
        if given == ["covariance"] and self.n is None:
            yield Problem(("data", "covariance"), "a covariance matrix needs 'n', the number of respondents behind it")


class RivalsAnalysis(Node):
    """The rival models to compare with the main model."""

    rivals: tuple[Code, ...]


class GroupsAnalysis(Node):
    """Groups of respondents to compare: invariance, latent means, and paths."""

    groups: Code = Field(description="A group of the survey, or a categorical background fact.")


class InvarianceAnalysis(Node):
    """Groups of respondents whose measurement is tested, up to strict invariance; no paths are compared."""

    invariance: Code = Field(description="A group of the survey, or a categorical background fact.")


Route = Literal[
    "lms", "qml", "dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all", "scores", "adjusted", "split", "observed"
]


class ModerationAnalysis(Node):
    """The propositions on moderation, and by which other routes they are asked, too."""

    moderation: tuple[Route, ...] = Field(description="Ways to ask the same question; the verdict rests on one.")


AnalysisName = Literal["fit", "measurement", "effects", "missingness", "propositions", "rivals", "moderation"]


def _analysis_form(value: Any) -> str:
    if isinstance(value, str):
        return "by name"
    for form, name, kind in (
        ("of groups", "groups", GroupsAnalysis),
        ("of ladders", "invariance", InvarianceAnalysis),
        ("of routes", "moderation", ModerationAnalysis),
    ):
        if isinstance(value, kind) or (isinstance(value, dict) and name in value):
            return form
    return "with settings"


Analysis = Annotated[
    Annotated[AnalysisName, Tag("by name")]
    | Annotated[RivalsAnalysis, Tag("with settings")]
    | Annotated[GroupsAnalysis, Tag("of groups")]
    | Annotated[InvarianceAnalysis, Tag("of ladders")]
    | Annotated[ModerationAnalysis, Tag("of routes")],
    Discriminator(_analysis_form),
]


_STEP_NAMES: dict[type[Node], str] = {
    RivalsAnalysis: "rivals",
    GroupsAnalysis: "groups",
    InvarianceAnalysis: "invariance",
    ModerationAnalysis: "moderation",
}


class CutoffSimulation(Node):
    """Dynamic cut-offs of fit indices: how many samples of each population are drawn."""

    replications: Annotated[int, Field(ge=20, le=1_000_000)] = 500
    seed: Annotated[int, Field(ge=0)] = 1


class Author(Node):
    """A person responsible for the study."""

    name: Text
    affiliation: Text | None = None
    orcid: Annotated[str, Field(pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")] | None = None


class Preregistration(Node):
    """What was fixed before the data were seen."""

    doi: Doi | None = Field(default=None, description="DOI of the registration.")
    date: datetime.date | None = None
    plan: Text | None = Field(default=None, description="Path of the plan, or the plan in words.")


class Deviation(Node):
    """A difference between plan and analysis."""

    what: Text
    why: Text
    date: datetime.date | None = None


class Decision(Node):
    """A choice a reader should know of, such as an exclusion rule."""

    what: Text
    why: Text


class StudySpec(Document):
    """A complete study: what was asked of whom, what is claimed, and how it is decided."""

    KIND: ClassVar[str] = "study"

    kind: Literal["study"] = Field(description="Write 'kind: study'.")
    description: Text | None = None
    authors: tuple[Author, ...] = ()
    survey: Text | None = Field(
        default=None, description="Id of a bundled survey, or path. Default: that of the model."
    )
    model: Text = Field(description="Id of a bundled model, or path of a model file (.yaml or .lav).")
    data: DataSource
    analyses: tuple[Analysis, ...] = Field(
        default=("fit", "measurement", "missingness", "propositions"),
        description="fit, measurement, effects, missingness, propositions, 'rivals: [names]', 'groups: name', "
        "'invariance: name', and 'moderation' or 'moderation: [routes]'.",
    )
    options: FitSettings = Field(
        default_factory=FitSettings, description="Settings of the fit; they win over the model's."
    )
    alpha: Proportion = Field(default=0.05, description="Error rate of the family of propositions.")
    confidence: Proportion = Field(default=0.95, description="Level of the confidence intervals.")
    multiplicity: Literal["holm", "bonferroni", "bh", "none"] = Field(
        default="holm", description="Adjustment of the p values over the propositions."
    )
    fit_cutoffs: bool | CutoffSimulation = Field(
        default=False, description="Whether cut-offs of fit indices are found for this model; or replications and seed."
    )
    preregistration: Preregistration | None = None
    deviations: tuple[Deviation, ...] = ()
    decisions: tuple[Decision, ...] = ()

    _model: ModelSpec | None = PrivateAttr(None)
    _survey: SurveySpec | None = PrivateAttr(None)
    _simulation: SimulationSpec | None = PrivateAttr(None)

    @property
    def model_spec(self) -> ModelSpec | None:
        """The model that was loaded with the study, tied to the survey of the study."""
        return self._model

    @property
    def survey_spec(self) -> SurveySpec | None:
        """The survey that was loaded with the study."""
        return self._survey

    @property
    def simulation_spec(self) -> SimulationSpec | None:
        """The population that was loaded with the study, if its respondents are simulated."""
        return self._simulation

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the analyses in the order of the file, each once."""
        names = (entry if isinstance(entry, str) else _STEP_NAMES[type(entry)] for entry in self.analyses)
        return tuple(dict.fromkeys(names))

    @property
    def rivals(self) -> tuple[str, ...]:
        """Names of the rival models to compare; a bare ``rivals`` means all of the model."""
        if "rivals" in self.analyses and self._model is not None:
            return tuple(self._model.rivals)
        return tuple(
            dict.fromkeys(n for entry in self.analyses if isinstance(entry, RivalsAnalysis) for n in entry.rivals)
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """Groups to compare, each a group of the survey or a background fact."""
        return tuple(dict.fromkeys(entry.groups for entry in self.analyses if isinstance(entry, GroupsAnalysis)))

    @property
    def ladders(self) -> tuple[str, ...]:
        """Groups whose measurement is compared, without a comparison of paths."""
        return tuple(dict.fromkeys(e.invariance for e in self.analyses if isinstance(e, InvarianceAnalysis)))

    @property
    def routes(self) -> tuple[str, ...] | None:
        """Routes by which claims on moderation are asked, if the study names any."""
        named = [entry.moderation for entry in self.analyses if isinstance(entry, ModerationAnalysis)]
        return tuple(dict.fromkeys(route for routes in named for route in routes)) if named else None

    @property
    def cutoffs(self) -> CutoffSimulation | None:
        """How cut-offs of fit indices are found, if the study asks for them."""
        if isinstance(self.fit_cutoffs, CutoffSimulation):
            return self.fit_cutoffs
        return CutoffSimulation() if self.fit_cutoffs else None

    @property
    def data_path(self) -> Path | None:
        """Path of the data or covariance file, relative to the study file; None for simulated respondents."""
        name = self.data.file or self.data.covariance
        if name is None:
            return None
        path = Path(name).expanduser()
        return path if path.is_absolute() or self.base is None else self.base / path

    def fit_settings(self) -> FitSettings:
        """Return the fit settings of the study, with the gaps filled from the model."""
        return self.options.over(self._model.options) if self._model is not None else self.options

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this study without looking at other files."""
        yield from self.data.check()
        if not self.analyses:
            yield Problem(("analyses",), "the study has no analyses", at_key=True)
        targets: dict[str, str] = {}
        for column, code in self.data.rename.items():
            if code in targets:
                yield Problem(
                    ("data", "rename", column), f"columns '{targets[code]}' and '{column}' are both renamed to '{code}'"
                )
            targets.setdefault(code, column)

    def problems_with(self, model: ModelSpec, survey: SurveySpec | None) -> Iterator[Problem]:
        """Yield what does not fit together with the model and the survey."""
        for position, entry in enumerate(self.analyses):
            if isinstance(entry, RivalsAnalysis):
                for index, name in enumerate(entry.rivals):
                    if name not in model.rivals:
                        listing = ", ".join(model.rivals) or "none"
                        yield Problem(
                            ("analyses", position, "rivals", index),
                            f"the model '{model.id}' has no rival '{name}'.{did_you_mean(name, model.rivals)}",
                            hint=f"Its rivals: {listing}.",
                        )
            elif isinstance(entry, GroupsAnalysis):
                yield from self._split_problems(("analyses", position, "groups"), entry.groups, survey)
            elif isinstance(entry, InvarianceAnalysis):
                yield from self._split_problems(("analyses", position, "invariance"), entry.invariance, survey)
            elif entry == "moderation" or isinstance(entry, ModerationAnalysis):
                yield from self._moderation_problems(("analyses", position), model)
            elif entry == "propositions" and not model.propositions and "analyses" in self.model_fields_set:
                yield Problem(
                    ("analyses", position),
                    f"the model '{model.id}' declares no propositions",
                    hint="Declare them in a model file (.yaml), or remove this analysis.",
                )
            elif entry == "rivals" and not model.rivals:
                yield Problem(("analyses", position), f"the model '{model.id}' declares no rivals")
        if survey is not None and self.data.rename:
            known = {*survey.items(active_only=False), *survey.facts, *survey.attention_checks}
            for column, code in self.data.rename.items():
                if code not in known and code not in model.items(survey):
                    yield Problem(
                        ("data", "rename", column),
                        f"the survey '{survey.id}' has no '{code}'.{did_you_mean(code, known)}",
                    )

    def _moderation_problems(self, at: tuple[str | int, ...], model: ModelSpec) -> Iterator[Problem]:
        if not any(product_of(prop) is not None for prop in model.propositions):
            yield Problem(
                at,
                f"the model '{model.id}' declares no proposition on a moderation",
                hint="Declare one in the model file: {id: P9, statement: ..., test: moderation, path: PC x PX -> RR, "
                'sign: "+"}.',
            )
        elif self.data.origin == "covariance":
            yield Problem(at, "moderation cannot be tested: a covariance matrix does not hold products of answers")

    def _split_problems(self, at: tuple[str | int, ...], name: str, survey: SurveySpec | None) -> Iterator[Problem]:
        if survey is None:
            yield Problem(at, "groups are compared by the facts of a survey, and this study has none")
            return
        if self.data.origin == "covariance":
            yield Problem(at, "groups cannot be compared: a covariance matrix does not say who belongs to which")
        facts = {code: fact for code, fact in survey.facts.items() if fact.type != "number"}
        known = dict.fromkeys([*survey.groups, *facts])
        if name not in known:
            yield Problem(
                at,
                f"the survey '{survey.id}' has no groups '{name}'.{did_you_mean(name, known)}",
                hint=f"It has: {', '.join(known) or 'none'}.",
            )
