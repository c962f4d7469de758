"""The population behind simulated answers: the values of a file turned into all covariances of items and latents.

Standardized, every latent has variance 1 and so has the continuous response behind every item. Disturbance and residual
variances are not given but follow from that; values for which they would be negative are refused. Raw values (module
``raw``) say variances, or what is left of them; the other one of the two follows.

The arithmetic is plain Python on purpose: matrices are small, and the result is the same on every machine, whatever
linear algebra library NumPy was built with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from graphlib import CycleError, TopologicalSorter

from b2b_sem.errors import SpecError
from b2b_sem.simulate.raw import Metric, cut_points, make_metric, share_out
from b2b_sem.simulate.raw import correlations as raw_correlations
from b2b_sem.simulate.structure import Array, Interaction, Matrix, Population
from b2b_sem.spec.base import Location
from b2b_sem.spec.level import LevelValues
from b2b_sem.spec.method import METHOD_FACTOR
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.moderation import product_of, read_product
from b2b_sem.spec.raw import RawLevel, RawSimulation
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["Interaction", "Matrix", "Population", "add_terms", "cholesky", "make_population", "population"]

Pair = tuple[str, str]

# Less unexplained variance than this is a mistake in the values, not a population.
_SMALLEST_RESIDUAL = 1e-10


class _Impossible(SpecError):
    """Values that no population can have; says which section and names of a simulation file are the reason."""

    def __init__(self, section: str, names: Iterable[str], message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.section, self.names = section, tuple(names)


def population(
    spec: SimulationSpec,
    model: ModelSpec,
    survey: SurveySpec,
    level: int | str | None = None,
    reference: Population | None = None,
) -> Population:
    """Return the population that a simulation file describes, or one level of its groups.

    Parameters
    ----------
    spec : SimulationSpec
    model : ModelSpec
        Gives the measurement part and the structure.
    survey : SurveySpec
        Gives the items of scales and facets.
    level : int or str, optional
        Key of a level in ``groups: levels:``. Default: the values of the file themselves.
    reference : Population, optional
        What the file itself describes; needed with a level.

    Returns
    -------
    Population

    Raises
    ------
    SpecError
        If the model holds something that answers cannot be drawn from (products whose factors depend on products,
        regressions of observed variables, loops), or the values are impossible: more than all variance of a construct
        would be explained, or correlations that cannot exist together. The message names the construct and the place in
        the file.
    """
    own = None if level is None or spec.groups is None else spec.groups.levels[level]
    latents, loadings, facets = _measurement(spec, model, survey, own)
    regressions = dict.fromkeys(spec.regressions(model))
    given = spec.paths(own)
    nodes = set(latents)
    covariates = []
    for outcome, predictor in regressions:
        if outcome not in nodes:
            raise spec.error(("model",), f"no answers can be drawn: '{outcome}' has predictors but is not a latent")
        if predictor not in nodes:
            if predictor not in survey.facts:
                raise spec.error(
                    ("model",), f"no answers can be drawn: '{predictor}' is neither a latent nor a fact of the survey"
                )
            covariates.append(predictor)
    paths = {**facets, **{pair: given.get(pair, 0.0) for pair in regressions}}
    method = _method(spec, survey, loadings)
    make = partial(
        make_population,
        paths=paths,
        residual_correlations=spec.residual_correlations(),
        covariates=tuple(dict.fromkeys(covariates)),
        higher=tuple(dict.fromkeys(latent for _, latent in facets)),
        facets=[factor for factor, _ in facets],
        reference=reference,
        interactions=_products(spec, model, own),
        added_last={*spec.added_last(model), *([METHOD_FACTOR] if method else [])},
        uneven=tuple(name for name, fact in spec.facts.items() if fact.shares is not None),
    )
    every = (*latents, METHOD_FACTOR) if method else latents
    try:
        if isinstance(spec, RawSimulation):
            raw = own if isinstance(own, RawLevel) else None
            make = partial(make, correlations=raw_correlations(spec, raw))
            metric = make_metric(spec, raw, survey, loadings, dict.fromkeys(covariates), reference)
            if method and reference is None:
                method, metric = share_out(metric, make(latents=latents, loadings=loadings, metric=metric), method)
            elif reference is not None:
                method = {(a, item): value for a, item, value in reference.loadings if a == METHOD_FACTOR}
            values = make(latents=every, loadings={**loadings, **method}, metric=metric)
        else:
            values = make(
                latents=every,
                loadings={**loadings, **method},
                correlations=spec.correlations(own),
                means={} if own is None else own.means,
                shifts={} if own is None else own.intercepts,
            )
    except _Impossible as error:
        text = error.message if level is None else f"{error.message} in the level '{level}'"
        raise spec.error(_place(spec, error, level), text, hint=error.hint) from None
    if values.raw:
        cuts = cut_points(spec, survey, values) if reference is None else dict(reference.cuts)
        values = replace(values, cuts=cuts)
    return values if own is None else replace(values, cuts={**values.cuts, **own.thresholds})


def make_population(
    *,
    latents: Sequence[str],
    loadings: Mapping[Pair, float],
    paths: Mapping[Pair, float],
    correlations: Mapping[Pair, float] | None = None,
    residual_correlations: Mapping[Pair, float] | None = None,
    covariates: Sequence[str] = (),
    higher: Sequence[str] = (),
    means: Mapping[str, float] | None = None,
    shifts: Mapping[str, float] | None = None,
    reference: Population | None = None,
    interactions: Mapping[tuple[str, str, str], float] | None = None,
    added_last: Iterable[str] = (),
    uneven: Sequence[str] = (),
    metric: Metric | None = None,
    facets: Iterable[str] = (),
) -> Population:
    """Solve for the variances that are left open: by standardization, or by what a file with raw values says.

    Outcomes are taken in causal order. With ``v`` the explained part of an outcome as a combination of disturbances
    ``u`` that have variance 1 and correlations ``R``, its disturbance gets the standard deviation ``s`` that solves
    ``v R v' + 2 s (v R)_k + s^2 = V``, V being its variance: 1 if standardized. Where s is given V follows. Products of
    nodes are further parts of ``v``, uncorrelated with all ``u``.

    Parameters
    ----------
    latents, covariates : sequence of str
    loadings : mapping of (latent, item) to float
        Standardized loadings.
    paths : mapping of (outcome, predictor) to float
        Standardized paths among latents and covariates.
    correlations : mapping of (str, str) to float, optional
        Correlations of exogenous latents, in any order of the pair; pairs not given are zero.
    residual_correlations : mapping of (str, str) to float, optional
        Correlations of the residuals of two outcomes or two items.
    higher : sequence of str
        Latents whose paths to other latents are loadings of facet factors.
    means, shifts : mapping of str to float, optional
        Total means of latents, and shifts of intercepts of items. The means of facet factors follow from the latent
        above them.
    reference : Population, optional
        Whose residuals the items have. Default: those that give the responses variance 1.
    interactions : mapping of (outcome, factor, factor) to float, optional
        Standardized effects of products.
    added_last : iterable of str
        Nodes with random numbers of their own.
    uneven : sequence of str
        Covariates that are not normal: a product with one of them needs another factor that is independent of it.
    metric : Metric, optional
        Raw variances and means, instead of standardized ones, `means` and `shifts`.
    facets : iterable of str
        The facet factors. Default: everything that latents in `higher` lead to.

    Returns
    -------
    Population

    Raises
    ------
    SpecError
        If no population can have these values.
    """
    nodes = (*covariates, *latents)
    at = {name: i for i, name in enumerate(nodes)}
    outcomes = {outcome for outcome, _ in paths}
    section = partial(_section, outcomes=frozenset(outcomes))
    between = _correlations(
        nodes, {**_within(correlations or {}, at), **_within(residual_correlations or {}, at)}, section
    )
    products = interactions or {}
    order = _causal_order(nodes, paths, products)
    size = len(nodes)
    # each node as a combination of the disturbances with variance 1, and of products behind them
    parts = [[*row, *(0.0 for _ in products)] for row in between]
    parts += [[0.0] * (size + len(products)) for _ in products]
    weights: dict[str, list[float]] = {}
    sd: dict[str, float] = {}
    node_sd: dict[str, float] = {}
    whole = {} if metric is None else metric.variances
    left = {} if metric is None else metric.residual_variances
    pairs = {} if metric is None else _within(metric.covariances, at)
    made: list[Interaction] = []

    def covariance(a: Sequence[float], b: Sequence[float]) -> float:
        used = [j for j in range(len(parts)) if b[j]]
        return math.fsum(a[i] * parts[i][j] * b[j] for i in range(len(parts)) if a[i] for j in used)

    for name in order:
        for (outcome, first, second), value in products.items():
            if outcome != name:
                continue
            _check_factors(first, second, weights, uneven, size, covariance)
            place = size + len(made)
            made.append(Interaction(name, first, second, value, covariance(weights[first], weights[second])))
            for k, other in enumerate(made):
                a, b = (
                    [covariance(weights[f], weights[o]) for o in (other.first, other.second)] for f in (first, second)
                )
                parts[place][size + k] = parts[size + k][place] = a[0] * b[1] + a[1] * b[0]
        predictors = {b: value for (a, b), value in paths.items() if a == name}
        v = [math.fsum(value * weights[b][i] for b, value in predictors.items()) for i in range(len(parts))]
        for k, product in enumerate(made):
            if product.outcome == name:
                v[size + k] += product.value
        k = at[name]
        cross = [math.fsum(v[i] * parts[i][j] for i in range(len(parts))) for j in range(len(parts))]
        explained = math.fsum(cross[j] * v[j] for j in range(len(parts)))
        # raw covariances with disturbances that are known by now, whatever this one's standard deviation
        beside = {a + b - k: value for (a, b), value in pairs.items() if k in (a, b) and nodes[a + b - k] in sd}
        if beside:
            explained += 2 * math.fsum(v[j] * value / sd[nodes[j]] for j, value in beside.items())
        total = whole.get(name, 1.0)
        if name in left:
            sd[name] = math.sqrt(left[name])
            total = explained + 2 * sd[name] * cross[k] + left[name]
        elif total - explained < _SMALLEST_RESIDUAL * total:
            own = {f"{p.first}:{p.second}": p.value for p in made if p.outcome == name}
            terms = ", ".join(f"{b} {value:g}" for b, value in {**predictors, **own}.items())
            ratio = explained / total
            raise _Impossible(
                "paths",
                (name, *predictors),
                f"impossible values: the paths into {name} ({terms}) explain {ratio:.3g} times its variance "
                f"(R2 = {ratio:.3g})",
                hint="All values are standardized: R2 must be below 1. Lower the paths, or the correlations of the "
                "predictors."
                if metric is None
                else f"Its variance is {total:g}: raise it, lower the paths, or give what is left of it under "
                "'residual_variances' instead.",
            )
        else:
            sd[name] = math.sqrt(cross[k] ** 2 + total - explained) - cross[k]
        if beside:
            for j, value in beside.items():
                between[k][j] = between[j][k] = parts[k][j] = parts[j][k] = value / (sd[name] * sd[nodes[j]])
            _check_correlations(nodes, between, section)
        node_sd[name] = math.sqrt(total)
        weights[name] = [value + (sd[name] if i == k else 0.0) for i, value in enumerate(v)]
    items = tuple(dict.fromkeys(item for _, item in loadings))
    residual_sd, response_sd = {}, {}
    sums = _sums(loadings)
    for item in items:
        own = {latent: value for (latent, i), value in loadings.items() if i == item}
        w = [math.fsum(value * weights[latent][i] for latent, value in own.items()) for i in range(len(parts))]
        common = math.fsum(w[i] * parts[i][j] * w[j] for i in range(len(parts)) for j in range(len(parts)))
        solved = [latent for latent in own if metric is not None and latent in metric.reliabilities]
        if metric is None and reference is not None:
            residual_sd[item] = reference.residual_sd[item]
            response_sd[item] = math.sqrt(common + residual_sd[item] ** 2)
            continue
        if metric is not None and solved and item not in left and item not in whole:
            count, total, given = *sums[solved[0]], metric.reliabilities[solved[0]]
            residual = (total * node_sd[solved[0]]) ** 2 * (1 - given) / (given * count)
        else:
            residual = left[item] if item in left else whole.get(item, 1.0) - common
        if residual < _SMALLEST_RESIDUAL * (common + residual):
            terms = ", ".join(f"{latent} {value:g}" for latent, value in own.items())
            ratio = common / (common + residual)
            raise _Impossible(
                "loadings",
                (item,),
                f"impossible values: the loadings of {item} ({terms}) explain {ratio:.3g} times its variance",
                hint="All values are standardized: lower the loadings."
                if metric is None
                else "Lower the loadings, or raise the variance of the item.",
            )
        residual_sd[item] = math.sqrt(residual)
        if metric is not None:
            response_sd[item] = math.sqrt(common + residual)
    apart = _correlations(
        items,
        _within(residual_correlations or {}, {item: i for i, item in enumerate(items)}),
        lambda _: "residual_correlations",
    )
    if metric is not None and (covariances := _within(metric.covariances, {item: i for i, item in enumerate(items)})):
        for (i, j), value in covariances.items():
            apart[i][j] = apart[j][i] = value / (residual_sd[items[i]] * residual_sd[items[j]])
        _check_correlations(items, apart, lambda _: "residual_correlations")
    centre, moved = dict(means or {}), dict(shifts or {})
    if metric is not None:
        centre, moved = _raw_means(metric, order, paths, loadings, items)
    parts_of = frozenset(facets)
    for name in order:
        if parts_of and name not in parts_of:
            continue
        above = [value * centre.get(b, 0.0) for (a, b), value in paths.items() if a == name and b in higher]
        if above and metric is None:
            centre[name] = math.fsum(above)
    return Population(
        covariates=tuple(covariates),
        latents=tuple(latents),
        items=items,
        paths=tuple((a, b, value) for (a, b), value in paths.items()),
        loadings=tuple((latent, item, value) for (latent, item), value in loadings.items()),
        higher=tuple(higher),
        facets=parts_of,
        order=order,
        disturbance_sd=sd,
        disturbance_cor=tuple(map(tuple, between)),
        residual_sd=residual_sd,
        residual_cor=tuple(map(tuple, apart)),
        means=centre,
        shifts=moved,
        response_sd=response_sd,
        interactions=tuple(made),
        interaction_cov=tuple(tuple(row[size:]) for row in parts[size:]),
        added_last=frozenset(added_last),
        node_sd={} if metric is None else node_sd,
        raw=metric is not None,
    )


def _sums(loadings: Mapping[Pair, float]) -> dict[str, tuple[int, float]]:
    """Return latent -> number of its items, and the sum of their loadings."""
    out: dict[str, tuple[int, float]] = {}
    for (latent, _), value in loadings.items():
        count, total = out.get(latent, (0, 0.0))
        out[latent] = (count + 1, total + value)
    return out


def _raw_means(
    metric: Metric,
    order: Sequence[str],
    paths: Mapping[Pair, float],
    loadings: Mapping[Pair, float],
    items: Sequence[str],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the means of nodes and the intercepts of items: of each of them one is given and the other follows."""
    centre: dict[str, float] = {}
    for name in order:
        above = math.fsum(value * centre[b] for (a, b), value in paths.items() if a == name)
        centre[name] = metric.means.get(name, metric.intercepts.get(name, 0.0) + above)
    moved = {}
    for item in items:
        own = math.fsum(value * centre[latent] for (latent, i), value in loadings.items() if i == item)
        moved[item] = metric.intercepts[item] if item in metric.intercepts else metric.means[item] - own
    return centre, moved


def _method(spec: SimulationSpec, survey: SurveySpec, loadings: Iterable[Pair]) -> dict[Pair, float]:
    """Return the loadings on the method factor; items that are free of it have none."""
    asked = spec.values.method
    if asked is None:
        return {}
    known = set(survey.items(active_only=False))
    found = {
        item: asked.loading(item, survey.scale_of(item), survey.item(item).reverse)
        for _, item in loadings
        if item in known
    }
    return {(METHOD_FACTOR, item): value for item, value in found.items() if value}


def _products(spec: SimulationSpec, model: ModelSpec, level: LevelValues | None) -> dict[tuple[str, str, str], float]:
    """Return the products with their factors in the order in which the model, or a proposition, names them."""
    written = [(a, b) for a, b in model.regressions() if ":" in b]
    written += [
        (claim.end, f"{claim.start}:{claim.moderator}")
        for p in model.propositions
        if product_of(p) is not None
        for claim, _ in p.claims()
    ]
    out: dict[tuple[str, str, str], float] = {}
    for product, value in spec.products(level).items():
        name = next((b for a, b in written if read_product(f"{a} ~ {b}") == product), ":".join(product[1:]))
        first, second = name.split(":")
        out[product[0], first, second] = value
    return out


def _check_factors(
    first: str,
    second: str,
    weights: Mapping[str, Sequence[float]],
    uneven: Sequence[str],
    size: int,
    covariance: Callable[[Sequence[float], Sequence[float]], float],
) -> None:
    """Refuse products whose moments do not follow from covariances."""
    for name in (first, second):
        if any(weights[name][size:]):
            raise _Impossible(
                "interactions",
                (first, second),
                f"no answers can be drawn: '{name}' of the product {first}:{second} depends on a product itself",
                hint="Take products of variables that no product leads to.",
            )
        if name in uneven and (first == second or covariance(weights[first], weights[second])):
            raise _Impossible(
                "interactions",
                (first, second),
                f"no answers can be drawn: '{name}' of the product {first}:{second} has categories, and the factors "
                "are not independent",
                hint="Take out what connects the factors, or describe the fact by mean and sd.",
            )


def add_terms(total: Array, weights: Sequence[float], columns: Array) -> Array:
    """Add weighted columns to a sum, term by term in their order, and return it."""
    for j, weight in enumerate(weights):
        if weight:
            total += weight * columns[:, j]
    return total


def cholesky(matrix: Sequence[Sequence[float]]) -> Matrix | None:
    """Return the lower Cholesky factor of a symmetric matrix, or None if it is not positive definite."""
    size = len(matrix)
    out = [[0.0] * size for _ in range(size)]
    for i in range(size):
        used: list[int] = []  # most variables are uncorrelated: products with 0 add nothing to an exact sum
        for j in range(i + 1):
            rest = matrix[i][j] - math.fsum(out[i][k] * out[j][k] for k in used)
            if i == j:
                if rest < _SMALLEST_RESIDUAL:
                    return None
                out[i][i] = math.sqrt(rest)
            else:
                out[i][j] = rest / out[j][j]
                if out[i][j] != 0.0:
                    used.append(j)
    return tuple(tuple(row) for row in out)


def _correlations(
    names: Sequence[str], values: Mapping[tuple[int, int], float], section: Callable[[tuple[str, ...]], str]
) -> list[list[float]]:
    """Return the full matrix of the given correlations, or say which of them cannot exist together."""
    out = [[float(i == j) for j in range(len(names))] for i in range(len(names))]
    for (i, j), value in values.items():
        out[i][j] = out[j][i] = value
    _check_correlations(names, out, section)
    return out


def _check_correlations(
    names: Sequence[str], matrix: Sequence[Sequence[float]], section: Callable[[tuple[str, ...]], str]
) -> None:
    if cholesky(matrix) is not None:
        return
    # The first variable that makes the matrix impossible, with those it is correlated with.
    k = next(k for k in range(len(names)) if cholesky([row[: k + 1] for row in matrix[: k + 1]]) is None)
    group = tuple(names[i] for i in range(k + 1) if i == k or matrix[i][k])
    listing = ", ".join(group[:-1])
    raise _Impossible(
        section(group),
        group,
        f"impossible values: {names[k]} cannot have these correlations with {listing}, given how those correlate "
        "among themselves",
        hint="Bring the correlations nearer to zero, or nearer to each other.",
    )


def _section(names: tuple[str, ...], outcomes: frozenset[str]) -> str:
    return "residual_correlations" if set(names) <= outcomes else "correlations"


def _within(values: Mapping[Pair, float], at: Mapping[str, int]) -> dict[tuple[int, int], float]:
    return {(at[a], at[b]): value for (a, b), value in values.items() if a in at and b in at}


def _causal_order(
    nodes: Sequence[str], paths: Mapping[Pair, float], products: Iterable[tuple[str, str, str]] = ()
) -> tuple[str, ...]:
    graph: dict[str, list[str]] = {name: [] for name in nodes}
    for outcome, predictor in paths:
        graph[outcome].append(predictor)
    for outcome, *factors in products:
        graph[outcome] += factors
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        loop = list(reversed(error.args[1]))
        raise _Impossible(
            "paths",
            loop,
            f"the paths form a loop ({' -> '.join(loop)}): answers can only be drawn from causes to effects",
            hint="Take one of these paths out of the model of the simulation.",
        ) from None


def _measurement(
    spec: SimulationSpec, model: ModelSpec, survey: SurveySpec, level: LevelValues | None
) -> tuple[tuple[str, ...], dict[Pair, float], dict[Pair, float]]:
    """Return latents, ``(latent, item) -> loading`` and ``(facet factor, latent) -> loading``."""
    terms = spec.indicators(model, survey)
    parent = {part: latent for latent, parts in terms.items() for part in parts if part in terms}
    loadings: dict[Pair, float] = {}
    facets: dict[Pair, float] = {}
    # of raw loadings a reliability does not give the size, but that of the residual variances
    solved = {} if isinstance(spec, RawSimulation) else _solved(spec, survey, terms)
    for latent, indicators in terms.items():
        for name in indicators:
            # Values are stated for the construct, so facet factors take over those of the latent above them.
            value = spec.loading(name, parent.get(latent, latent), level, solved)
            if name in terms:
                facets[name, latent] = value
            else:
                loadings[latent, name] = value
    return tuple(terms), loadings, facets


def _solved(spec: SimulationSpec, survey: SurveySpec, terms: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the loadings that give the sums of items the asked reliabilities."""
    out = {}
    for latent, reliability in spec.values.loadings.reliability.items():
        items = terms[latent]
        if any(name in terms for name in items):
            raise spec.error(
                ("values", "loadings", "reliability", latent),
                f"{latent} is measured through facets: its reliability gives no loadings",
                hint="Give loadings.",
            )
        method = _method(spec, survey, [(latent, item) for item in items])
        shared = [method.get((METHOD_FACTOR, item), 0.0) for item in items]
        k = len(items)
        # of the variance of the sum, k + k (k - 1) l^2 + what the method adds, k^2 l^2 shall be the asked share
        added = math.fsum(shared) ** 2 - math.fsum(value * value for value in shared)
        square = reliability * (k + added) / (k * (k - (k - 1) * reliability))
        if square >= 1:
            raise spec.error(
                ("values", "loadings", "reliability", latent),
                f"{k} items of {latent} cannot reach the reliability {reliability:g} beside common method variance",
            )
        out[latent] = math.sqrt(square)
    return out


def _place(spec: SimulationSpec, error: _Impossible, level: int | str | None) -> Location:
    """Return the entry of the simulation file that `error` is about, as exactly as it can be told."""
    names = set(error.names)
    own = None if level is None or spec.groups is None else spec.groups.levels[level]
    if error.section == "loadings":
        item = error.names[0]
        return ("values", "loadings", "items", item) if item in spec.values.loadings.items else ("values", "loadings")
    if error.section == "interactions":
        here = (text for text in spec.values.interactions if set((read_product(text) or ("",))[1:]) == names)
        return ("values", "interactions", *list(here)[:1])
    # a covariance stands for a correlation in populations with raw values
    sections = list(dict.fromkeys((error.section, error.section.replace("correlations", "covariances"))))
    # what the level states is more likely to be the reason than what all levels share
    for top, values in ((("groups", "levels", level), own), (("values",), spec.values)):
        for section in sections:
            for text in getattr(values, section, ()):
                if {part.strip() for part in text.replace("~~", "~").split("~")} <= names:
                    return (*top, section, text)
    return ("values", error.section) if level is None else ("groups", "levels", level)
