"""The population that simulated respondents are drawn from: a model with values, and how answers come about.

All values are standardized: every latent has variance 1, and so has the continuous response behind every item. The
other kind of population, in the metric of the answers, is that of the module ``raw``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from statistics import NormalDist
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Field, PrivateAttr

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Code, Document, Location, Node, Problem, Text
from b2b_sem.spec.cluster import Clusters
from b2b_sem.spec.distribution import Distribution
from b2b_sem.spec.level import (
    Correlation,
    LevelValues,
    PopulationGroups,
    Share,
    count_problems,
    pair_problems,
    product_problems,
    threshold_problems,
    unknown,
)
from b2b_sem.spec.method import METHOD_FACTOR, MethodFactor
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.moderation import Product, product_of, read_product
from b2b_sem.spec.nonresponse import Missing, StraightLining
from b2b_sem.spec.statement import read_pair
from b2b_sem.spec.survey import SurveySpec

__all__ = ["FactShares", "Loadings", "PopulationValues", "Response", "ResponseShape", "SimulationSpec"]


class Loadings(Node):
    """Standardized loadings of the items as scored (after reverse coding): item, else scale, else default.

    A reliability w stands for equal loadings l: of the variance of the sum of the k items, k + k (k - 1) l^2, the share
    w is k^2 l^2, so that l^2 = w / (k - (k - 1) w) (Spearman and Brown; omega of McDonald 1999). Common method variance
    adds to the variance of the sum and is no part of what is reliable.
    """

    default: Correlation | None = Field(default=None, description="All items for which nothing else is named.")
    reliability: dict[Code, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict, description="Latent -> reliability of the sum of its items, instead of their loadings."
    )
    scales: dict[Code, Correlation] = Field(default_factory=dict, description="Latent -> loading of all its items.")
    items: dict[Code, Correlation] = Field(default_factory=dict)


class PopulationValues(Node):
    """Standardized population values."""

    loadings: Loadings
    paths: dict[Text, float] = Field(default_factory=dict, description="'PC ~ NR' -> standardized path.")
    correlations: dict[Text, Correlation] = Field(
        default_factory=dict, description="'NR ~~ PE' -> correlation of exogenous latents. Pairs not named: 0."
    )
    residual_correlations: dict[Text, Correlation] = Field(
        default_factory=dict, description="'EQ ~~ DE' or 'nr1 ~~ nr2' -> correlation of the residuals. Others: 0."
    )
    interactions: dict[Text, float] = Field(
        default_factory=dict,
        description="'RR ~ PC:PX' -> standardized effect of a product, b3 sd(PC) sd(PX) / sd(RR): of the model, or of "
        "a proposition on moderation, whose moderator is then in the population.",
    )
    method: MethodFactor | None = Field(default=None, description="Common method variance. Default: none.")


class ResponseShape(Node):
    """How the continuous response of an item (mean 0, variance 1) becomes a numbered answer.

    Either `mean` and `sd`: the response is put on the answer scale, rounded, and cut off at its ends; or `thresholds`:
    one cut point per step between neighbouring answers; or `shares`: how often each answer shall be given.
    """

    mean: float | None = Field(
        default=None, description="Mean on the answer scale before rounding; default its midpoint."
    )
    sd: Annotated[float, Field(gt=0)] | None = Field(default=None, description="Standard deviation before rounding.")
    thresholds: tuple[float, ...] | None = Field(
        default=None, description="Increasing cut points on the standard normal scale."
    )
    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = Field(
        default=None, description="Share of each answer (as scored), from the lowest; they sum to 1."
    )

    def check(self, loc: Location) -> Iterator[Problem]:
        """Yield what is wrong here without looking at a survey."""
        if self.thresholds is not None and (self.mean is not None or self.sd is not None):
            yield Problem((*loc, "thresholds"), "thresholds already say everything: remove mean and sd", at_key=True)
        if self.shares is not None and not (self.mean is None and self.sd is None and self.thresholds is None):
            yield Problem(
                (*loc, "shares"), "shares already say everything: remove mean, sd and thresholds", at_key=True
            )
        if self.shares is not None and abs(sum(self.shares) - 1) > 1e-9:
            yield Problem((*loc, "shares"), f"the shares sum to {sum(self.shares):g}, not to 1")
        yield from threshold_problems((*loc, "thresholds"), self.thresholds or ())

    def cut_points(self, low: int, high: int) -> tuple[float, ...]:
        """Return the thresholds on the standard normal scale between the answers `low` to `high`, in order.

        With mean m and standard deviation s the threshold between answers k and k + 1 is (k + 0.5 - m) / s; with shares
        it is the quantile of the standard normal distribution with the shares up to k below it. The default is the
        midpoint of the scale and a quarter of its width.
        """
        if self.thresholds is not None:
            return self.thresholds
        if self.shares is not None:
            return tuple(NormalDist().inv_cdf(below) for below in list(accumulate(self.shares))[:-1])
        mean = (low + high) / 2 if self.mean is None else self.mean
        sd = (high - low) / 4 if self.sd is None else self.sd
        return tuple((answer + 0.5 - mean) / sd for answer in range(low, high))


class Response(ResponseShape):
    """Answer behaviour: the shape for all items, exceptions by latent or item, and what goes wrong."""

    type: Literal["ordinal", "continuous"] = Field(
        default="ordinal", description="continuous: the response itself, on the answer scale, without rounding."
    )
    scales: dict[Code, ResponseShape] = Field(default_factory=dict, description="Scale -> other shape.")
    items: dict[Code, ResponseShape] = Field(default_factory=dict, description="Item -> other shape.")
    missing_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of answers missing completely at random."
    )
    careless_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Share of respondents who answer every item at random, attention checks included."
    )
    straight: StraightLining | None = Field(default=None, description="Respondents who repeat one answer.")


class FactShares(Node):
    """Distribution of one background fact, independent of everything else."""

    shares: dict[int | str, Share] | None = Field(default=None, description="Category -> share; they sum to 1.")
    mean: float | None = None
    sd: Annotated[float, Field(ge=0)] | None = None

    def check(self, loc: Location) -> Iterator[Problem]:
        """Yield what is wrong here without looking at a survey."""
        if (self.shares is None) == (self.mean is None or self.sd is None):
            yield Problem(loc, "give either 'shares' (categories) or 'mean' and 'sd' (number)", at_key=True)
        elif self.shares is not None and abs(sum(self.shares.values()) - 1) > 1e-9:
            yield Problem((*loc, "shares"), f"the shares sum to {sum(self.shares.values()):g}, not to 1")


class SimulationSpec(Document):
    """A population: a model of the survey's constructs with standardized values."""

    KIND: ClassVar[str] = "simulation"

    kind: Literal["simulation"] = Field(description="Write 'kind: simulation'.")
    description: Text | None = None
    model: Text = Field(description="Id of a bundled model, or path of a model file.")
    survey: Text | None = Field(
        default=None, description="Survey the answers are given to. Default: that of the model."
    )
    claims: bool = Field(
        default=False, description="Whether latents that only propositions measure are in the population, too."
    )
    standardized: Literal[True] = Field(
        default=True, description="true: all values are standardized; false: they are in the metric of the answers."
    )
    values: PopulationValues
    groups: PopulationGroups | None = Field(default=None, description="What is different in some groups.")
    response: Response = Field(default_factory=Response)
    distribution: Distribution | None = Field(default=None, description="What is not normal. Default: nothing.")
    clusters: Clusters | None = Field(default=None, description="Respondents who belong together. Default: nobody.")
    missing: Missing | None = Field(default=None, description="Answers missing for a reason, or by design.")
    facts: dict[Code, FactShares] = Field(default_factory=dict, description="Background facts that are drawn.")
    n: Annotated[int, Field(ge=2)] = Field(default=500, description="Number of respondents if none is asked for.")
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="Seed if none is asked for.")

    _model: ModelSpec | None = PrivateAttr(None)
    _survey: SurveySpec | None = PrivateAttr(None)

    @classmethod
    def variant(cls, plain: Any) -> type[Self]:
        """Return the type of a population of raw values, or of lavaan text, where the file says that it is one."""
        if isinstance(plain, dict) and plain.get("standardized") is False:
            from b2b_sem.spec.raw import RawSimulation

            return cast(type[Self], RawSimulation)
        if isinstance(plain, dict) and ("text" in plain or "file" in plain):
            from b2b_sem.spec.text import TextPopulation

            return cast(type[Self], TextPopulation)
        return cls

    @classmethod
    def advise(cls, problem: Problem) -> Problem:
        """Say how raw values are written, where the file has some and does not say so."""
        from b2b_sem.spec.raw import RawValues

        raw = RawValues.model_fields.keys() - PopulationValues.model_fields.keys()
        if cls is SimulationSpec and problem.loc[:1] == ("values",) and problem.loc[-1] in raw:
            return replace(problem, hint="Write 'standardized: false' if values are in the metric of the answers.")
        return problem

    @property
    def model_spec(self) -> ModelSpec | None:
        """The model that was loaded with the population, tied to its survey."""
        return self._model

    @property
    def survey_spec(self) -> SurveySpec | None:
        """The survey that was loaded with the population."""
        return self._survey

    def claimed(self, model: ModelSpec) -> tuple[str, ...]:
        """Return the propositions whose own latents and paths are in the population, those on moderation last."""
        groups = [p.id for p in model.propositions if self.claims and p.own_model and p.test != "moderation"]
        return (*groups, *self._moderations(model))

    def added_last(self, model: ModelSpec) -> frozenset[str]:
        """Return the latents and covariates that are in the population only because of their products.

        They have random numbers of their own, so that all else is drawn as it is without them.
        """
        others = [p for p in self.claimed(model) if model.proposition(p).test != "moderation"]
        known = {*model.latents, *model.claim_latents(others)}
        known |= {name for pair in model.regressions(others) for name in pair}
        own = self._moderations(model)
        found = {*model.claim_latents(own), *(predictor for _, predictor in model.regressions(own))}
        return frozenset(name for name in found - known if ":" not in name)

    def _moderations(self, model: ModelSpec) -> tuple[str, ...]:
        products = self.products()
        return tuple(p.id for p in model.propositions if product_of(p) in products)

    def latents(self, model: ModelSpec) -> tuple[str, ...]:
        """Return the latents of the population that stand for constructs."""
        return (*model.latents, *model.claim_latents(self.claimed(model)))

    def regressions(self, model: ModelSpec) -> tuple[tuple[str, str], ...]:
        """Return ``(outcome, predictor)`` of every path of the population, products left out."""
        return tuple(dict.fromkeys(pair for pair in model.regressions(self.claimed(model)) if ":" not in pair[1]))

    def products(self, level: LevelValues | None = None) -> dict[Product, float]:
        """Return ``(outcome, factor, factor)`` -> standardized effect of the product; factors are sorted."""
        every = (self.values.interactions, level.interactions if level else {})
        given = {read_product(text): value for own in every for text, value in own.items()}
        return {product: value for product, value in given.items() if product is not None}

    def indicators(self, model: ModelSpec, survey: SurveySpec | None) -> dict[str, list[str]]:
        """Return latent -> its items, or its facet factors; loadings that the model fixes to zero are none."""
        out: dict[str, list[str]] = {}
        for statement in model.statements(survey, claims=self.claimed(model)):
            if statement.op == "=~":
                own = out.setdefault(statement.lhs, [])
                own.extend(t.variable for t in statement.terms if not t.is_zero)
        return out

    def loading(
        self, item: str, latent: str, level: LevelValues | None = None, solved: Mapping[str, float] | None = None
    ) -> float:
        """Return the loading of an item (as scored) on its latent, standardized for the reference level.

        `solved` holds the loadings that follow from reliabilities: latent -> loading of each of its items.
        """
        loadings = self.values.loadings
        general = (solved or {}).get(latent, loadings.scales.get(latent, loadings.default))
        own = loadings.items.get(item, general)
        if own is None:
            raise self.error(("values", "loadings"), f"no loading for '{item}' of {latent}", hint="Give a default.")
        return own if level is None else level.loadings.get(item, own)

    def paths(self, level: LevelValues | None = None) -> dict[tuple[str, str], float]:
        """Return ``(outcome, predictor)`` -> standardized path."""
        given = {_pair(text, "~"): value for text, value in self.values.paths.items()}
        return given | {_pair(text, "~"): value for text, value in (level.paths if level else {}).items()}

    def correlations(self, level: LevelValues | None = None) -> dict[tuple[str, str], float]:
        """Return the correlations of exogenous latents; the names of a pair are sorted."""
        given = {_sorted_pair(text): value for text, value in self.values.correlations.items()}
        return given | {_sorted_pair(text): value for text, value in (level.correlations if level else {}).items()}

    def residual_correlations(self) -> dict[tuple[str, str], float]:
        """Return the residual correlations of latents or items; the names of a pair are sorted."""
        return {_sorted_pair(text): value for text, value in self.values.residual_correlations.items()}

    def shape(self, item: str, scale: str | None) -> ResponseShape:
        """Return the response shape of an item: its own, else that of its scale, else the general one."""
        return self.response.items.get(item) or self.response.scales.get(scale or "") or self.response

    def standing_for(self, name: str, items: Collection[str], survey: SurveySpec) -> tuple[str, ...]:
        """Return those of the population's `items` that an item or scale stands for; none if it is not known."""
        if name in items:
            return (name,)
        return tuple(item for item in survey.items(name) if item in items) if name in survey.scales else ()

    def missing_problems(self, items: Collection[str], survey: SurveySpec) -> Iterator[Problem]:
        """Yield what does not fit between the section ``missing`` and the population's `items`."""
        if self.missing is not None:
            yield from self.missing.problems_with(
                ("missing",),
                lambda name: self.standing_for(name, items, survey),
                (*items, *survey.scales),
                {c: f.shares is None or all(isinstance(k, int) for k in f.shares) for c, f in self.facts.items()},
                self.response.missing_rate,
            )

    def _shapes(self) -> Iterator[tuple[Location, ResponseShape]]:
        """Yield every response shape with its place in the file."""
        yield ("response",), self.response
        yield from ((("response", "scales", code), shape) for code, shape in self.response.scales.items())
        yield from ((("response", "items", code), shape) for code, shape in self.response.items.items())

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this population without looking at the model."""
        sections = (
            ("paths", "~", self.values.paths, "PC ~ NR"),
            ("correlations", "~~", self.values.correlations, "NR ~~ PE"),
            ("residual_correlations", "~~", self.values.residual_correlations, "EQ ~~ DE"),
        )
        for section, op, values, example in sections:
            yield from pair_problems(("values", section), op, values, example)
        yield from product_problems(("values", "interactions"), self.values.interactions)
        if self.groups is not None:
            yield from self.groups.problems()
        if self.distribution is not None:
            yield from self.distribution.problems(("distribution",))
            if self.values.interactions:
                yield Problem(
                    ("distribution",), "products of latents are drawn from normal variables only", at_key=True,
                    hint="Take out the distribution or the interactions.",
                )  # fmt: skip
        if self.clusters is not None:
            yield from self.clusters.problems(("clusters",))
            for section, given in (("distribution", self.distribution), ("interactions", self.values.interactions)):
                if given:
                    yield Problem(
                        ("clusters",), f"respondents in clusters are drawn from normal variables only: no {section}",
                        at_key=True, hint=f"Take out 'clusters' or '{section}'.",
                    )  # fmt: skip
        yield from self.response.check(("response",))
        if self.response.type == "continuous":
            if any(shape.shares is not None for _, shape in self._shapes()):
                yield Problem(("response", "type"), "continuous answers have no shares: give mean and sd")
            if self.groups is not None and any(level.thresholds for level in self.groups.levels.values()):
                yield Problem(("response", "type"), "continuous answers have no thresholds")
        for at, shape in list(self._shapes())[1:]:
            yield from shape.check(at)
        for code, fact in self.facts.items():
            yield from fact.check(("facts", code))

    def problems_with(self, model: ModelSpec, survey: SurveySpec | None) -> Iterator[Problem]:
        """Yield what does not fit together with the model and the survey."""
        claimed = self.claimed(model)
        known = {*model.latents, *model.claim_latents(claimed)}
        if hidden := [name for name in model.claim_latents() if name not in known and name in self._named()]:
            moderators = {m for p in model.propositions if product_of(p) is not None for m in p.measurement}
            hint = "Write 'claims: true' to draw what only propositions measure."
            if set(hidden) <= moderators:
                hint = (
                    "Give the effect of its product under 'interactions', for example: RR ~ PC:PX: 0.15; 0 is a value."
                )
            yield Problem(
                ("model",),
                f"{', '.join(hidden)}: measured by propositions of '{model.id}' only, and so not in the population",
                hint=hint,
            )
            return
        yield from self._product_problems(model)
        items = model.items(survey, claims=claimed)
        latents = self.latents(model)
        loadings: Location = ("values", "loadings")
        yield from unknown((*loadings, "scales"), self.values.loadings.scales, latents, "latent")
        yield from unknown((*loadings, "items"), self.values.loadings.items, items, "item")
        yield from unknown((*loadings, "reliability"), self.values.loadings.reliability, latents, "latent")
        yield from self._loading_problems(loadings, model, survey, latents)
        yield from self._path_problems(("values", "paths"), self.values.paths, model)
        yield from self._absent_paths(model)
        yield from self._correlation_problems(("values", "correlations"), self.values.correlations, model)
        if self.values.method is not None:
            here: Location = ("values", "method")
            yield from unknown((*here, "items"), self.values.method.items, items, "item")
            if survey is not None:
                yield from unknown((*here, "scales"), self.values.method.scales, survey.scales, "scale")
            if METHOD_FACTOR in latents or METHOD_FACTOR in items:
                yield Problem(here, f"the method factor is called {METHOD_FACTOR}, as is something of the model")
        outcomes = {outcome for outcome, _ in model.regressions(claimed)}
        for text in self.values.residual_correlations:
            for name in read_pair(text, "~~") or ():
                at = ("values", "residual_correlations", text)
                if name not in items and name not in latents:
                    near = did_you_mean(name, (*items, *latents))
                    yield Problem(at, f"the model has no latent or item '{name}'.{near}", at_key=True)
                elif name in latents and name not in outcomes:
                    yield Problem(
                        at, f"'{name}' has no residual, as nothing in the model leads to it", at_key=True,
                        hint="Put the value under correlations.",
                    )  # fmt: skip
        if self.groups is not None:
            yield from self.groups.problems_with(
                survey,
                {code: fact.shares for code, fact in self.facts.items()},
                latents,
                items,
                self.products(),
                lambda at, given: self._path_problems(at, given, model),
                lambda at, given: self._correlation_problems(at, given, model),
            )
        if self.distribution is not None:
            scales = () if survey is None else survey.scales
            yield from self.distribution.problems_with(("distribution",), latents, items, scales)
        if self.clusters is not None:
            checks = () if survey is None else survey.attention_checks
            taken = {"id", *items, *checks, *self.facts}
            yield from self.clusters.problems_with(("clusters",), latents, items, taken)
        if survey is not None:
            yield from self._survey_problems(survey)
            yield from self.missing_problems(items, survey)

    def _named(self) -> set[str]:
        """Return all names of latents and items that values are given for."""
        values, levels = self.values, () if self.groups is None else tuple(self.groups.levels.values())
        names = {*values.loadings.scales, *values.loadings.items}
        for level in levels:
            names |= {*level.means, *level.loadings, *level.intercepts}
        every: tuple[PopulationValues | LevelValues, ...] = (values, *levels)
        pairs = [read_pair(text, "~") for own in every for text in own.paths]
        pairs += [read_pair(text, "~~") for own in every for text in own.correlations]
        pairs += [read_pair(text, "~~") for text in values.residual_correlations]
        return names.union(*(pair for pair in pairs if pair is not None))

    def _loading_problems(
        self, at: Location, model: ModelSpec, survey: SurveySpec | None, latents: Iterable[str]
    ) -> Iterator[Problem]:
        """Every item needs a loading, and none two."""
        given, pairs = self.values.loadings, self.values.residual_correlations
        every = {latent: model.items_of(latent, survey) for latent in latents}
        for latent, items in every.items():
            here: Location = (*at, "reliability", latent)
            if latent in given.reliability:
                others = {item for other, own in every.items() if other != latent for item in own}
                if twice := [item for item in items if item in given.items]:
                    yield Problem(here, f"the loading of {twice[0]} is given under 'items', too", at_key=True)
                elif latent in given.scales:
                    yield Problem(here, f"the loadings of {latent} are given under 'scales', too", at_key=True)
                elif shared := [item for item in items if item in others]:
                    yield Problem(
                        here, f"{shared[0]} has other latents, too: the reliability of {latent} gives no loadings",
                        at_key=True, hint="Give loadings.",
                    )  # fmt: skip
                elif correlated := [text for text in pairs if set(read_pair(text, "~~") or ("",)) <= set(items)]:
                    yield Problem(
                        here, f"'{correlated[0]}' is given: the reliability of {latent} gives no loadings",
                        at_key=True, hint="Give loadings.",
                    )  # fmt: skip
                continue
            absent = [item for item in items if item not in given.items]
            if given.default is None and latent not in given.scales and absent:
                yield Problem(at, f"no loading for {', '.join(absent)} of {latent}", "Give a default.", weak=True)

    def _path_problems(self, at: Location, values: Mapping[str, float], model: ModelSpec) -> Iterator[Problem]:
        regressions = self.regressions(model)
        texts = [f"{outcome} ~ {predictor}" for outcome, predictor in regressions]
        for text in values:
            pair = read_pair(text, "~")
            if pair is not None and pair not in regressions:
                yield Problem(
                    (*at, text),
                    f"the model '{model.id}' has no path '{text}'.{did_you_mean(text, texts)}",
                    hint="Effects of products stand under 'interactions'." if ":" in text else None,
                    at_key=True,
                )

    def _product_problems(self, model: ModelSpec) -> Iterator[Problem]:
        """Products are those of the model, all of which need a value, and those that propositions claim."""
        own = {p: f"{a} ~ {b}" for a, b in model.regressions() if (p := read_product(f"{a} ~ {b}")) is not None}
        claims = [product for p in model.propositions if (product := product_of(p)) is not None]
        known = own | {p: f"{p[0]} ~ {p[1]}:{p[2]}" for p in claims}
        for text in self.values.interactions:
            product = read_product(text)
            if product is not None and product not in known:
                near = did_you_mean(text, known.values())
                yield Problem(
                    ("values", "interactions", text),
                    f"neither the model '{model.id}' nor its propositions have the product '{text}'.{near}",
                    hint="Add a proposition with 'test: moderation', or the product to the structural part.",
                    at_key=True,
                )
        given = self.products()
        if absent := [text for product, text in own.items() if product not in given]:
            yield Problem(
                ("values", "interactions") if given else ("values",),
                f"no value for {', '.join(absent)}",
                "Every product of the model needs one under 'interactions'; 0 is a value.",
                weak=True,
            )

    def _absent_paths(self, model: ModelSpec) -> Iterator[Problem]:
        given = {read_pair(text, "~") for text in self.values.paths}
        absent = [f"{pair[0]} ~ {pair[1]}" for pair in self.regressions(model) if pair not in given]
        if absent:
            yield Problem(
                ("values", "paths"),
                f"no value for {', '.join(absent)}",
                "Every path needs one; 0 is a value.",
                weak=True,
            )

    def _correlation_problems(self, at: Location, values: Mapping[str, float], model: ModelSpec) -> Iterator[Problem]:
        outcomes = {outcome for outcome, _ in model.regressions(self.claimed(model))}
        for text in values:
            for name in read_pair(text, "~~") or ():
                if name not in self.latents(model):
                    near = did_you_mean(name, self.latents(model))
                    yield Problem((*at, text), f"the model has no latent '{name}'.{near}", at_key=True)
                elif name in outcomes:
                    yield Problem(
                        (*at, text),
                        f"'{name}' is an outcome in the model: its correlations follow from the paths",
                        hint="Put the value under residual_correlations if the residual is meant.",
                        at_key=True,
                    )

    def _mean_problems(self, survey: SurveySpec) -> Iterator[Problem]:
        """A mean outside the answers would give nearly the same answer to everybody."""
        items = survey.items(active_only=False)
        shapes: list[tuple[Location, ResponseShape, Iterable[str]]] = [(("response",), self.response, items)]
        shapes += [
            (("response", "scales", c), s, survey.items(c))
            for c, s in self.response.scales.items()
            if c in survey.scales
        ]
        shapes += [(("response", "items", c), s, (c,)) for c, s in self.response.items.items() if c in items]
        for loc, shape, covered in shapes:
            ranges = [survey.range_of(item) for item in covered]
            if shape.mean is not None and ranges and not any(low <= shape.mean <= high for low, high in ranges):
                low, high = ranges[0]
                yield Problem(
                    (*loc, "mean"), f"the mean {shape.mean:g} lies outside the response format ({low} to {high})"
                )

    def _survey_problems(self, survey: SurveySpec) -> Iterator[Problem]:
        yield from self._mean_problems(survey)
        yield from unknown(("response", "scales"), self.response.scales, survey.scales, "scale")
        known = survey.items(active_only=False)
        yield from unknown(("response", "items"), self.response.items, known, "item")
        shapes: list[tuple[Location, ResponseShape, Iterable[str]]] = [
            (("response", "items", code), shape, (code,))
            for code, shape in self.response.items.items()
            if code in known
        ]
        shapes += [
            (("response", "scales", code), shape, survey.items(code))
            for code, shape in self.response.scales.items()
            if code in survey.scales
        ]
        covered = {item for _, _, items in shapes for item in items}
        shapes.append((("response",), self.response, [item for item in survey.items() if item not in covered]))
        for loc, shape, items in shapes:
            cuts = shape.thresholds or ()
            wrong = [
                found for item in items if cuts for found in count_problems((*loc, "thresholds"), survey, item, cuts)
            ]
            yield from wrong[:1]
            other = [item for item in items if shape.shares and len(shape.shares) != _steps(survey, item) + 1]
            if other:
                yield Problem(
                    (*loc, "shares"),
                    f"{len(shape.shares or ())} shares, but {other[0]} has {_steps(survey, other[0]) + 1} answers",
                )
        yield from unknown(("facts",), self.facts, survey.facts, "fact")
        for code, spec in self.facts.items():
            fact = survey.facts.get(code)
            if fact is None:
                continue
            if (spec.shares is not None) != (fact.type != "number"):
                wanted = "mean and sd" if fact.type == "number" else "shares"
                yield Problem(("facts", code), f"fact '{code}' is of type {fact.type}: give {wanted}", at_key=True)
            for category in spec.shares or ():
                if fact.categories and category not in fact.categories:
                    listing = ", ".join(str(c) for c in fact.categories)
                    yield Problem(
                        ("facts", code, "shares", category),
                        f"fact '{code}' has no category {category!r}",
                        hint=f"Categories: {listing}.",
                        at_key=True,
                    )


def _steps(survey: SurveySpec, item: str) -> int:
    low, high = survey.range_of(item)
    return high - low


def _pair(text: str, op: str) -> tuple[str, str]:
    pair = read_pair(text, op)
    if pair is None:
        raise ValueError(f"cannot read '{text}'")
    return pair


def _sorted_pair(text: str) -> tuple[str, str]:
    return _pair(text, "~~")
