"""Power of likelihood-ratio tests from a population and a model, without drawing samples.

The model is fitted to the moments of the population twice, with and without a restriction. N times the difference of
the fit functions is the noncentrality of the likelihood-ratio test in large samples (Satorra & Saris 1985,
doi:10.1007/BF02294150). Where the model itself is wrong in the population, that is an approximation which holds for
small errors (population drift), and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit, context_of, part_context
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.power_population import HOLD, GroupPopulation, read_population
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.base import Array
from b2b_sem.engine.effect import find_effects
from b2b_sem.engine.group import GroupProblem, group_starts
from b2b_sem.engine.native.constraint import LinearConstraints, linear_form, null_basis
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.problem import starting_values
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.power import chisq_rows, required_noncentrality, rmsea_rows
from b2b_sem.results.power import PowerResult, ProductTest, power_at
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.partable import Row
from b2b_sem.spec.syntax import parse_model

__all__ = ["STEPS", "analytic_power"]

#: Rows the population is fitted with; noncentralities are divided by it.
REFERENCE = 1_000_000
#: Noncentrality of one row below which a restriction counts as true in the population: rounding of two minima.
TRUE = 1e-11
#: Population fit function above which a model counts as wrong in the population.
WRONG = 1e-8
#: Parameters that each step of measurement invariance makes equal.
STEPS: Mapping[str, tuple[str, ...]] = {
    "configural": (),
    "metric": ("loadings",),
    "scalar": ("loadings", "intercepts"),
    "strict": ("loadings", "intercepts", "residuals"),
}
RMSEA_TESTS = (("close fit", 0.05, 0.08), ("not close fit", 0.05, 0.01), ("exact fit", 0.0, 0.05))
#: Largest number of rows that an indirect effect is followed to.
MOST = 1 << 24


@dataclass
class _Target:
    """A model fitted to a population."""

    population: GroupPopulation
    fit: Fit

    @property
    def rows(self) -> list[Row]:
        return list(context_of(self.fit).problem.table.rows)

    @property
    def theta(self) -> Array:
        return context_of(self.fit).solution.theta

    @property
    def per_row(self) -> float:
        return max(float(self.fit.measures["chisq"]), 0.0) / REFERENCE

    def restricted(self, matrix: Array, right: Array, what: str) -> float:
        """Return the noncentrality of one row for ``matrix theta = right``."""
        problem = context_of(self.fit).problem
        q = problem.table.nfree
        held = problem.constraints
        if held is not None:
            normal = null_basis(held.basis.T, q).T
            matrix, right = np.vstack([normal, matrix]), np.concatenate([normal @ held.origin, right])
        if np.linalg.matrix_rank(matrix) < len(matrix):
            raise ModelError(
                f"'{what}' says what the model says already, or twice the same",
                hint="test parameters that are free in the model",
            )
        origin = np.linalg.lstsq(matrix, right, rcond=None)[0]
        constraints = LinearConstraints(origin, null_basis(matrix, q), len(matrix), ())
        theta = self.theta
        starts = group_starts(problem) if isinstance(problem, GroupProblem) else starting_values(problem)
        with single_thread():
            try:
                found = minimize(problem.structure, problem.moments, [lambda: theta, *starts], constraints=constraints)
            except ValueError:
                found = None
        if found is None or not found.converged:
            raise ModelError(
                f"the model with '{what}' cannot be fitted to the population",
                hint="test something else, or draw samples",
            )
        return _clean(found.fmin - context_of(self.fit).solution.fmin)


def analytic_power(
    population: str | Population | Mapping[str, Population],
    model: str,
    *,
    nobs: int,
    power: float = 0.80,
    alpha: float = 0.05,
    shares: Sequence[float] | Mapping[str, float] | None = None,
    restrictions: Sequence[str] = (),
    steps: Sequence[str] | None = None,
    indirect: bool = True,
    detectable: bool = False,
    hold: str = "variance",
    group_equal: Sequence[str] = (),
    std_lv: bool = False,
    orthogonal: bool = False,
) -> PowerResult:
    """Return the power of tests of a model in a normal population, by large-sample theory.

    Parameters
    ----------
    population : str, Population, or mapping of label to Population
        Text is lavaan syntax with a number for every parameter (``F =~ 1*x1 + .8*x2``); groups differ by
        ``c(.3, .5)*x`` or ``group:`` blocks.
    model : str
        The model to be fitted, in lavaan syntax.
    nobs : int
        Rows of all groups together.
    power, alpha : float
        For ``rows_needed`` and ``detectable``; the error rate of each test.
    shares : sequence or mapping of float, optional
        Of the rows in each group. Default: equal.
    restrictions : sequence of str
        Linear restrictions on labels, such as ``"a == b"`` or ``"a == 0; b == 0"``; each is one test.
    steps : sequence of str, optional
        Steps of measurement invariance to test; default with groups: metric, scalar, strict. () for none.
    indirect : bool
        Also test the specific indirect effects.
    detectable : bool
        Also find the smallest value of each path with the asked power at `nobs`. The population must be text.
    hold : {"variance", "residual"}
        What stays in the outcome as its path is changed for `detectable`.
    group_equal, std_lv, orthogonal
        As in :func:`b2b_sem.fit`. With groups, "loadings" and "intercepts" usually are equal.

    Returns
    -------
    PowerResult

    Raises
    ------
    DataError
        For arguments that do not go together, and variables that the population does not have.
    ModelError
        If the model cannot be fitted to the population.
    Unsupported
        For models with inequalities or nonlinear constraints, and products of variables: draw samples.
    """
    if hold not in HOLD:
        raise DataError(f"hold={hold!r}", hint="use 'variance' or 'residual'")
    if int(nobs) != nobs or nobs < 2:
        raise DataError(f"nobs={nobs!r}", hint="give the number of rows of all groups together")
    required_noncentrality(power, 1, alpha)  # refuses numbers out of range before any work
    whole = read_population(population, shares)
    if detectable and not whole.tables:
        raise Unsupported(
            "the smallest detectable values need a population with values, not moments alone",
            hint="give the population as model text, or leave detectable out",
        )
    settings = {"group_equal": tuple(group_equal), "std_lv": std_lv, "orthogonal": orthogonal}
    target = _fit(whole, model, settings)
    rows: list[dict[str, Any]] = []
    products: list[ProductTest | None] = []
    notes: list[str] = []

    def add(kind: str, test: str, **columns: Any) -> None:
        product = columns.pop("product", None)
        rows.append(
            {"kind": kind, "test": test, "group": "", "method": "likelihood-ratio", "null": 0.0, "value": math.nan}
            | {"df": 1, "per_row": math.nan, "detectable": math.nan}
            | columns
        )
        products.append(product)

    single: dict[int, float] = {}
    for row in _paths(target):
        per_row = single[row.free - 1] = _zero(target, row)
        found = math.nan
        if detectable:
            found = _detectable(target, row, model, settings, nobs, power, alpha, hold)
        value = float(target.theta[row.free - 1])
        add("path", row.name, group=_group(target, row), value=value, per_row=per_row, detectable=found)
    for text in restrictions:
        matrix, right = _restriction(target, text)
        add("restriction", text, df=len(matrix), per_row=target.restricted(matrix, right, text))
    if whole.labels:
        for test, group_df, per_row in _differences(target):
            add("difference", test, df=group_df, per_row=per_row)
        for test, step_df, per_row in _steps(whole, model, steps, std_lv):
            add("step", test, df=step_df, per_row=per_row)
    elif steps:
        raise DataError("steps of invariance compare groups, and there is one", hint="leave steps out")
    if indirect:
        for effect, label, value, product in _indirect(target, single, notes):
            for method in ("joint", "delta"):
                add("indirect", effect, group=label, method=method, value=value, product=product)
    df = int(target.fit.measures["df"])
    groups = max(len(whole.labels), 1)
    if df > 0:
        true = math.sqrt(groups * target.per_row / df)
        add("model", "chi-square", value=true if target.per_row > WRONG else 0.0, df=df, per_row=_clean(target.per_row))
        for test, null, alternative in RMSEA_TESTS:
            add("rmsea", test, method="rmsea", null=null, value=alternative, df=df)
    if target.per_row > WRONG:
        notes.append(
            f"The model is wrong in this population (fit function {target.per_row:.4g}): the power of tests of its "
            "parts is an approximation for small errors."
        )
    for one, coefficients in zip(rows, products, strict=True):
        one["noncentrality"] = one["per_row"] * nobs
        one["power"] = power_at(one, coefficients, nobs, alpha, groups)
        one["rows_needed"] = _needed(one, coefficients, power, alpha, groups)
    columns = ["kind", "test", "group", "method", "null", "value", "df", "per_row", "noncentrality", "power"]
    if any(one["rows_needed"] <= len(whole.parts[0].names) for one in rows):
        notes.append(
            "Fewer rows than variables seem enough for some tests: that is large-sample theory where it does not hold."
        )
    table = pd.DataFrame(rows, columns=[*columns, "rows_needed", "detectable"])
    return PowerResult(int(nobs), alpha, power, whole.labels, whole.shares, tuple(notes), table, tuple(products))


def _clean(per_row: float) -> float:
    """Return 0 for what is rounding."""
    return per_row if per_row > TRUE else 0.0


def _fit(population: GroupPopulation, model: str, settings: Mapping[str, Any]) -> _Target:
    """Fit a model to the moments of a population."""
    several = bool(population.labels)
    parsed = parse_model(model)
    if any(":" in e.rhs for e in parsed.entries if e.op == "~"):
        raise Unsupported(
            "the power of a product of variables does not follow from means and covariances",
            hint="draw samples and fit the model to each",
        )
    # at least the rows that lavaan's rule of divisors needs; whole numbers, so that shares are right to 1e-6
    sizes = [max(round(REFERENCE * share), 2) for share in population.shares]
    covs, means = {}, {}
    for label, part, n in zip(population.labels or ("",), population.parts, sizes, strict=True):
        names = list(part.names)
        # the divisor of given covariances is n - 1; that of the population is n
        covs[label] = pd.DataFrame(part.cov * (n / (n - 1)), index=names, columns=names)
        means[label] = pd.Series(part.mean, index=names)
    arguments = {k: v for k, v in settings.items() if several or k != "group_equal"}
    if settings.get("group_equal") and not several:
        raise DataError("group_equal compares groups, and there is one", hint="leave group_equal out")
    keyed = dict(zip(covs, sizes, strict=True))
    found = fit_model(
        model,
        sample_cov=covs if several else covs[""],
        sample_mean=means if several else means[""],
        nobs=keyed if several else sizes[0],
        engine="native",
        **arguments,
    )
    if not isinstance(found, Fit) or not found.converged or not found.identified:
        raise ModelError(
            f"the model cannot be fitted to the population itself: {found.failure}", hint="check both models"
        )
    if context_of(found).problem.restrictions is not None:
        raise Unsupported(
            "power with inequalities, bounds or nonlinear constraints is not available by theory",
            hint="leave them out, or draw samples",
        )
    return _Target(population, found)


def _group(target: _Target, row: Row) -> str:
    """Return the label of the group of a row; empty for a parameter that groups share."""
    shared = {r.group for r in target.rows if r.free == row.free}
    return target.population.labels[row.group - 1] if target.population.labels and len(shared) == 1 else ""


def _paths(target: _Target) -> list[Row]:
    """Return one row for each free regression coefficient."""
    seen: dict[int, Row] = {}
    for row in target.rows:
        if row.op == "~" and row.free:
            seen.setdefault(row.free, row)
    return list(seen.values())


def _unit(q: int, *signed: tuple[int, float]) -> Array:
    out = np.zeros(q)
    for number, sign in signed:
        out[number - 1] += sign
    return out


def _zero(target: _Target, row: Row) -> float:
    """Return the noncentrality of one row for ``parameter == 0``."""
    matrix = _unit(len(target.theta), (row.free, 1.0))[None]
    return target.restricted(matrix, np.zeros(1), f"{row.name} == 0")


def _restriction(target: _Target, text: str) -> tuple[Array, Array]:
    """Return linear restrictions on labels as a matrix and right sides."""
    parsed = parse_model(text)
    table = context_of(target.fit).problem.table
    if parsed.entries or not parsed.constraints or any(c.op != "==" for c in parsed.constraints):
        raise ModelSyntaxError(
            f"'{text}' is no restriction of labels", hint="write 'a == b', several in one test behind ';'"
        )
    from b2b_sem.spec import expression as ex

    labels = {r.label for r in table.rows if r.label} | {d.name for d in table.definitions}
    for name in (n.name for c in parsed.constraints for side in (c.left, c.right) for n in ex.names(side)):
        if name not in labels:
            raise ModelSyntaxError(
                f"'{name}' is not a label of the model.{did_you_mean(name, labels)}",
                hint="label the parameter in the model, for example 'y ~ b*x'",
            )
    forms = [linear_form(table, c) for c in parsed.constraints]
    known = [f for f in forms if f is not None]
    if len(known) < len(forms):
        raise Unsupported(
            f"'{text}' is not linear in the parameters", hint="draw samples, or see the tests of indirect effects"
        )
    return np.array([f[0] for f in known]), np.array([f[1] for f in known])


def _differences(target: _Target) -> list[tuple[str, int, float]]:
    """Return tests of equal paths across groups: each by itself, and all together."""
    q, groups = len(target.theta), len(target.population.labels)
    cells: dict[tuple[str, str], list[int]] = {}
    for row in target.rows:
        if row.op == "~" and row.free:
            cells.setdefault((row.lhs, row.rhs), []).append(row.free)
    out, everything = [], []
    for (lhs, rhs), numbers in cells.items():
        if len(numbers) != groups or len(set(numbers)) != groups:
            continue
        matrix = np.array([_unit(q, (k, 1.0), (numbers[0], -1.0)) for k in numbers[1:]])
        name = f"{lhs}~{rhs} equal in all groups"
        out.append((name, len(matrix), target.restricted(matrix, np.zeros(len(matrix)), name)))
        everything.append(matrix)
    if len(everything) > 1:
        matrix = np.vstack(everything)
        name = "all paths equal in all groups"
        out.append((name, len(matrix), target.restricted(matrix, np.zeros(len(matrix)), name)))
    return out


def _steps(
    population: GroupPopulation, model: str, steps: Sequence[str] | None, std_lv: bool
) -> list[tuple[str, int, float]]:
    """Return the steps of measurement invariance, each against the one before."""
    wanted = tuple(STEPS)[1:] if steps is None else tuple(steps)
    unknown = next((s for s in wanted if s not in STEPS), None)
    if unknown is not None:
        raise DataError(f"there is no step '{unknown}'.{did_you_mean(unknown, STEPS)}", hint=f"use {', '.join(STEPS)}")
    wanted = tuple(s for s in wanted if s != "configural")
    if not wanted or (steps is None and not any(e.op == "=~" for e in parse_model(model).entries)):
        return []
    text = measurement_model(parse_model(model)).text
    out, before = [], None
    order = tuple(STEPS)
    for name in order[: 1 + max(order.index(s) for s in wanted)]:
        measures = _fit(population, text, {"group_equal": STEPS[name]}).fit.measures
        if before is not None and name in wanted:
            change = _clean((float(measures["chisq"]) - float(before["chisq"])) / REFERENCE)
            out.append((name, int(measures["df"] - before["df"]), change))
        before = measures
    return out


def _indirect(
    target: _Target, single: Mapping[int, float], notes: list[str]
) -> list[tuple[str, str, float, ProductTest]]:
    """Return the specific indirect effects, each with the coefficients on its way.

    `single` holds the noncentralities of their likelihood-ratio tests, by the place of the parameter: z tests of
    samples reject as often as these say, while standard errors at the population's values promise less than there is.
    """
    out = []
    whole = context_of(target.fit).problem
    for k, label in enumerate(target.population.labels or ("",)):
        place = whole.places[k] if isinstance(whole, GroupProblem) else np.arange(len(target.theta))
        context = part_context(target.fit, label) if label else context_of(target.fit)
        theta, problem = context.solution.theta, context.problem
        effects = find_effects(problem.table, problem.structure)
        if effects.unlisted:
            notes.append("There are too many indirect effects to list.")
        specific = [e for e in effects.effects if e.kind == "specific"]
        for effect, path in zip(specific, effects.paths, strict=True):
            edges = path[path < len(effects.lhs)]
            numbers = [int(n) for n in effects.parameter[edges] if n >= 0]
            if not numbers or len(set(numbers)) < len(numbers):
                notes.append(f"{effect.path}: no power, its coefficients are fixed or share a label.")
                continue
            held = float(np.prod(effects.fixed[edges][effects.parameter[edges] < 0]))
            cov = context.vcov[np.ix_(numbers, numbers)] * REFERENCE
            roots = np.sign(theta[numbers]) * np.sqrt([single[int(place[n])] for n in numbers])
            product = ProductTest(
                tuple(float(v) for v in theta[numbers]),
                tuple(tuple(float(v) for v in row) for row in cov),
                tuple(float(v) for v in roots),
            )
            out.append((effect.path, label, held * float(np.prod(theta[numbers])), product))
    return out


def _needed(row: Mapping[str, Any], product: ProductTest | None, power: float, alpha: float, groups: int) -> float:
    """Return the smallest number of rows with the asked power."""
    if row["kind"] == "rmsea":
        return float(rmsea_rows(row["df"], row["null"], row["value"], power, alpha, groups))
    if product is None:
        exact = chisq_rows(row["per_row"], row["df"], power, alpha)
        return float(math.ceil(exact - 1e-9)) if math.isfinite(exact) else math.inf

    def enough(n: int) -> bool:
        return power_at(row, product, n, alpha, groups) >= power

    low, high = 1, 16
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _detectable(
    target: _Target,
    row: Row,
    model: str,
    settings: Mapping[str, Any],
    nobs: int,
    power: float,
    alpha: float,
    hold: str,
) -> float:
    """Return the value of a path, on the side of its own sign, whose test has the asked power at `nobs` rows."""
    from scipy.optimize import brentq

    population = target.population
    group = row.group - 1
    if math.isnan(population.value(row.lhs, "~", row.rhs, group)) or sum(r.free == row.free for r in target.rows) > 1:
        return math.nan
    need = required_noncentrality(power, 1, alpha) / nobs
    sign = -1.0 if float(target.theta[row.free - 1]) < 0 else 1.0

    def gap(size: float) -> float:
        changed = population.with_path(row.lhs, row.rhs, group, sign * size, hold)
        if changed is None:
            return math.nan
        try:
            now = _fit(changed, model, settings)
            own = next(r for r in now.rows if (r.lhs, r.op, r.rhs, r.group) == (row.lhs, row.op, row.rhs, row.group))
            return _zero(now, own) - need
        except ModelError:  # almost nothing is left of a variance: the population ends here, too
            return math.nan

    # outwards until the power is there, or the population ends; then between the last two
    low, high = 0.0, max(abs(float(target.theta[row.free - 1])), 0.05)
    for _ in range(60):
        at = gap(high)
        if at >= 0:
            break
        if math.isnan(at):
            high = (low + high) / 2
            if high - low < 1e-6:
                return math.nan
            continue
        low, high = high, 1.5 * high
    else:
        return math.nan
    return sign * float(brentq(gap, low, high, xtol=1e-8, rtol=1e-8))
