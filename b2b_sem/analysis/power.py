"""Power of likelihood-ratio tests from a population and a model, without drawing samples.

The model is fitted to the moments of the population twice, with and without a restriction. N times the difference of
the fit functions is the noncentrality of the likelihood-ratio test in large samples (Satorra & Saris 1985,
doi:10.1007/BF02294150). Where the model itself is wrong in the population, that is an approximation which holds for
small errors (population drift), and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fit_power import RMSEA_TESTS, rmsea_names, whole_rows
from b2b_sem.analysis.invariance import STEPS
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.power_detectable import Detector, equal_paths, spread_of
from b2b_sem.analysis.power_effect import indirect_tests, path_rows
from b2b_sem.analysis.power_ordinal import fit_ordinal_population
from b2b_sem.analysis.power_population import HOLD, GroupPopulation, read_population
from b2b_sem.analysis.power_target import DRAW, Settings, Target, clean, fit_population, group_of
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.constraint import linear_form
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.measures.power import chisq_rows, required_noncentrality, rmsea_detectable, rmsea_power, rmsea_rows
from b2b_sem.results.power import COLUMNS, PowerResult, ProductTest, power_at
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.syntax import parse_model

__all__ = ["analytic_power"]

#: Population fit function above which a model counts as wrong in the population ...
WRONG = 1e-8
#: ... and RMSEA above which that is said: rounded answers alone make less.
NOTED = 0.002
#: Largest number of rows that is looked for.
MOST = 1 << 24


def analytic_power(
    population: str | Population | Mapping[str, Population] | GroupPopulation,
    model: str,
    *,
    nobs: int,
    power: float = 0.80,
    alpha: float = 0.05,
    shares: Sequence[float] | Mapping[str, float] | None = None,
    missing: str = "listwise",
    missing_rate: float | Mapping[str, float] | None = None,
    restrictions: Sequence[str] = (),
    steps: Sequence[str] | None = None,
    indirect: bool = True,
    rmsea: Sequence[tuple[float, float]] = RMSEA_TESTS,
    detectable: bool = False,
    hold: str = "variance",
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    std_lv: bool = False,
    orthogonal: bool = False,
) -> PowerResult:
    """Return the power of tests of a model in a normal population, by large-sample theory.

    Parameters
    ----------
    population : str, Population, mapping of label to Population, or GroupPopulation
        Text is lavaan syntax with a number for every parameter (``F =~ 1*x1 + .8*x2``); groups differ by
        ``c(.3, .5)*x`` or ``group:`` blocks.
    model : str
        The model to be fitted, in lavaan syntax.
    nobs : int
        Rows of all groups together, those with missing answers among them.
    power, alpha : float
        For ``rows_needed`` and ``detectable``; the error rate of each test.
    shares : sequence or mapping of float, optional
        Of the rows in each group. Default: equal.
    missing : {"listwise", "fiml"}
        What is done with rows with missing answers, as in :func:`b2b_sem.fit`.
    missing_rate : float or mapping of str to float, optional
        Share of the answers to each variable, or to those named, that are missing completely at random.
    restrictions : sequence of str
        Linear restrictions on labels, such as ``"a == b"`` or ``"a == 0; b == 0"``; each is one test.
    steps : sequence of str, optional
        Steps of measurement invariance to test; default with groups: metric, scalar, strict. () for none. With
        `group_partial` each step also without these parameters ("metric, partial").
    indirect : bool
        Also test the specific indirect effects.
    rmsea : sequence of (float, float)
        RMSEA of a hypothesis and of the population: the second above the first tests close fit (exact fit with a first
        of 0), below it not close fit.
    detectable : bool
        Also find the smallest value of each path, of each difference of a path between groups, and of each indirect
        effect with the asked power at `nobs`: see :class:`b2b_sem.analysis.power_detectable.Detector`. Moments alone
        do not tell.
    hold : {"variance", "residual"}
        What stays in the outcome as its path is changed for `detectable`.
    group_equal, group_partial, std_lv, orthogonal
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
    _check(hold=(hold, HOLD), missing=(missing, ("listwise", "fiml")))
    count = whole_rows(nobs)
    required_noncentrality(power, 1, alpha)  # refuses numbers out of range before any work
    for null, alternative in rmsea:
        rmsea_power(count, 1, null, alternative, alpha)
    whole = _population(population, shares, missing_rate)
    several = bool(whole.labels)
    _check_groups(whole, steps, detectable, {"group_equal": group_equal, "group_partial": group_partial})
    settings = Settings(tuple(group_equal), tuple(group_partial), std_lv, orthogonal, missing)
    target = (
        fit_population(whole, model, settings)
        if whole.ordinal is None
        else fit_ordinal_population(whole, model, settings)
    )
    search = Detector(whole, model, settings, count, power, alpha, hold) if detectable else None
    rows: list[dict[str, Any]] = []
    products: list[ProductTest | None] = []
    notes = [*whole.notes]

    def add(kind: str, test: str, *, found: tuple[float, float] = (math.nan, math.nan), **columns: Any) -> None:
        product = columns.pop("product", None)
        rows.append(
            {"kind": kind, "test": test, "group": "", "method": target.method, "null": 0.0, "value": math.nan}
            | {"std_all": math.nan, "df": 1, "per_row": math.nan}
            | {"detectable": found[0], "detectable_std": found[1]}
            | columns
        )
        products.append(product)

    nothing = (math.nan, math.nan)
    single: dict[int, float] = {}
    for row in path_rows(target):
        per_row = single[row.free - 1] = target.zero(row)
        value, found = float(target.theta[row.free - 1]), search.path(target, row) if search else nothing
        add("path", row.name, group=group_of(target, row), value=value, std_all=target.std(row), per_row=per_row,
            found=found)  # fmt: skip
    for text in restrictions:
        matrix, right = _restriction(target, text)
        add("restriction", text, df=len(matrix), per_row=target.restricted(matrix, right, text))
    if several:
        for test, pair, values, matrix in _differences(target):
            found = search.difference(target, *pair) if search and pair else nothing
            per_row = target.restricted(matrix, np.zeros(len(matrix)), test)
            add("difference", test, value=values[0], std_all=values[1], df=len(matrix), per_row=per_row, found=found)
        for test, step_df, per_row in _steps(whole, model, steps, settings):
            add("step", test, df=step_df, per_row=per_row)
    if indirect:
        effects, left_out = indirect_tests(target, single)
        notes += left_out
        for effect in effects:
            label = whole.labels[effect.group] if several else ""
            for method in ("joint", "delta"):
                found = search.indirect(effect, method) if search else nothing
                add("indirect", effect.name, group=label, method=method, value=effect.value, std_all=effect.std,
                    product=effect.product, found=found)  # fmt: skip
    groups = max(len(whole.labels), 1)
    true, used = 0.0, target.used if missing == "listwise" else 1.0
    if target.df > 0 and target.tests_fit:
        true = math.sqrt(groups * target.per_row / target.used / target.df) if target.per_row > WRONG else 0.0
        add("model", "chi-square", value=true, df=target.df, per_row=target.per_row)
        for test, (null, alternative) in zip(rmsea_names(rmsea), rmsea, strict=True):
            found = nothing
            if search:
                low, high = rmsea_detectable(max(count * used, 2.0), target.df, null, power, alpha, groups)
                found = (high if alternative > null else low, math.nan)
            add("rmsea", test, method="rmsea", null=null, value=alternative, df=target.df,
                found=found)  # fmt: skip
    notes += _notes(target, used, true)
    for one, coefficients in zip(rows, products, strict=True):
        one["noncentrality"] = one["per_row"] * count
        one["power"] = power_at(one, coefficients, count, alpha, groups, used)
        one["rows_needed"] = _needed(one, coefficients, power, alpha, groups, used)
    if any(one["rows_needed"] * used <= len(whole.parts[0].names) for one in rows):
        notes.append(
            "Fewer rows than variables seem enough for some tests: that is large-sample theory where it does not hold."
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return PowerResult(count, alpha, power, whole.labels, whole.shares, tuple(notes), table, tuple(products), used)


def _population(
    given: str | Population | Mapping[str, Population] | GroupPopulation,
    shares: Sequence[float] | Mapping[str, float] | None,
    missing_rate: float | Mapping[str, float] | None,
) -> GroupPopulation:
    """Return the population by groups; one that has shares and missing answers of its own takes no others."""
    if not isinstance(given, GroupPopulation):
        return read_population(given, shares, missing_rate)
    if shares is not None or missing_rate is not None:
        name = "shares" if shares is not None else "missing_rate"
        raise DataError(f"{name} follows from the population", hint=f"change it there, and leave {name} out")
    return given


def _check_groups(
    whole: GroupPopulation, steps: Sequence[str] | None, detectable: bool, equal: Mapping[str, Sequence[str]]
) -> None:
    """Refuse what this population does not allow."""
    for name, kinds in equal.items():
        if kinds and not whole.labels:
            raise DataError(f"{name} compares groups, and there is one", hint=f"leave {name} out")
    if steps and not whole.labels:
        raise DataError(
            "steps of invariance compare groups, and there is one",
            hint="leave steps out; of a simulation file whose groups differ, group=... compares them",
        )
    if detectable and not whole.changeable:
        raise Unsupported(
            "the smallest detectable values need a population whose paths can change: not moments alone, ordinal "
            "items, raw values in a simulation file, or groups that are analysed together",
            hint="give the population as model text or as a simulation file, or leave detectable out",
        )


def _notes(target: Target, used: float, rmsea: float) -> list[str]:
    """Say which rows count, and where theory is an approximation; `rmsea` is that of the model in the population."""
    out = []
    if used < 1:
        out.append(f"{used:.1%} of the rows are complete and used: missing='fiml' would use the others, too.")
    elif target.used < 0.9995:
        out.append(f"{1 - target.used:.1%} of the rows have no answer and are left out.")
    if not target.exact:
        out.append("Of the patterns of missing answers a representative selection was taken into account.")
    if rmsea > NOTED:
        out.append(
            f"The model is wrong in this population (RMSEA {rmsea:.3f}): the power of tests of its "
            "parts is an approximation for small errors."
        )
    return out


def _check(**given: tuple[Any, Sequence[Any]]) -> None:
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise DataError(
                f"{name}={value!r} is not available here.{did_you_mean(str(value), allowed)}",
                hint="use " + " or ".join(repr(a) for a in allowed),
            )


def _restriction(target: Target, text: str) -> tuple[Array, Array]:
    """Return linear restrictions on labels as a matrix and right sides."""
    parsed = parse_model(text)
    table = target.table
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
            f"'{text}' is not linear in the parameters", hint=f"see the tests of indirect effects, or {DRAW}"
        )
    return np.array([f[0] for f in known]), np.array([f[1] for f in known])


def _differences(target: Target) -> list[tuple[str, tuple[str, str] | None, tuple[float, float], Array]]:
    """Return tests of equal paths across groups, each by itself and all together: path, differences, restrictions."""
    q, groups = len(target.theta), len(target.population.labels)
    cells: dict[tuple[str, str], list[Any]] = {}
    for row in target.rows:
        if row.op == "~" and row.free:
            cells.setdefault((row.lhs, row.rhs), []).append(row)
    out: list[tuple[str, tuple[str, str] | None, tuple[float, float], Array]] = []
    for (lhs, rhs), own in cells.items():
        numbers = [row.free for row in own]
        if len(numbers) != groups or len(set(numbers)) != groups:
            continue
        values = [float(target.theta[k - 1]) for k in numbers], [target.std(row) for row in own]
        matrix = equal_paths(q, numbers)
        out.append(
            (f"{lhs}~{rhs} equal in all groups", (lhs, rhs), (spread_of(values[0]), spread_of(values[1])), matrix)
        )
    if len(out) > 1:
        whole = np.vstack([matrix for *_, matrix in out])
        out.append(("all paths equal in all groups", None, (math.nan, math.nan), whole))
    return out


def _steps(
    population: GroupPopulation, model: str, steps: Sequence[str] | None, settings: Settings
) -> list[tuple[str, int, float]]:
    """Return the steps of measurement invariance, each against the one before: as ``invariance`` fits them."""
    wanted = tuple(STEPS)[1:] if steps is None else tuple(steps)
    unknown = next((s for s in wanted if s not in STEPS), None)
    if unknown is not None:
        raise DataError(f"there is no step '{unknown}'.{did_you_mean(unknown, STEPS)}", hint=f"use {', '.join(STEPS)}")
    wanted = tuple(s for s in wanted if s != "configural")
    if not wanted or (steps is None and not any(e.op == "=~" for e in parse_model(model).entries)):
        return []
    text = measurement_model(parse_model(model)).text
    order = tuple(STEPS)
    last = max(order.index(s) for s in wanted)
    out: list[tuple[str, int, float]] = []
    for partial in ((), _released(settings.group_partial)) if settings.group_partial else ((),):
        before: Target | None = None
        for k, name in enumerate(order[: 1 + last]):
            equal = tuple(STEPS[s] for s in order[1 : k + 1])
            now = fit_population(
                population, text, Settings(equal, partial if equal else (), True, False, settings.missing)
            )
            if before is not None and name in wanted:
                per_row = now.used * clean(now.solution.fmin - before.solution.fmin)
                out.append((f"{name}, partial" if partial else name, now.df - before.df, per_row))
            before = now
    return out


def _released(partial: Sequence[str]) -> tuple[str, ...]:
    """Add the intercepts of items whose loadings are released, as ``invariance`` does."""
    items = [name.replace(" ", "").split("=~")[1] for name in partial if "=~" in name]
    return tuple(dict.fromkeys([*partial, *(f"{item}~1" for item in items)]))


def _needed(
    row: Mapping[str, Any], product: ProductTest | None, power: float, alpha: float, groups: int, used: float
) -> float:
    """Return the smallest number of rows with the asked power."""
    if row["kind"] == "rmsea" and used == 1:
        return float(rmsea_rows(row["df"], row["null"], row["value"], power, alpha, groups))
    if product is None and row["kind"] != "rmsea":
        exact = chisq_rows(row["per_row"], row["df"], power, alpha)
        return float(math.ceil(exact - 1e-9)) if exact <= MOST else math.inf

    def enough(n: int) -> bool:
        return power_at(row, product, n, alpha, groups, used) >= power

    low = 1 if product is not None else math.ceil(2 / used)
    high = max(16, 2 * low)
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)
