"""One regression equation with products, from a fitted model or a regression: what simple slopes are computed from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from b2b_sem.analysis.fitted import Context, Fit, context_of, part_context, refuse_ordinal
from b2b_sem.engine.base import Array
from b2b_sem.engine.native.implied import implied_moments
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.results.fit import FitResult
from b2b_sem.results.probe import Spread, Surface

__all__ = [
    "Equation",
    "Named",
    "Variables",
    "column_notes",
    "equation_of",
    "fitted_scores",
    "group_context",
    "is_centred",
    "name_product",
    "read_terms",
    "refuse_centred_groups",
    "residual_notes",
    "structural_moments",
    "surface_of",
    "variables_of",
]

Term = tuple[str, ...]
#: A mean this small, in standard deviations, is 0.
ROUNDING = 1e-12
#: How a formula writes a square.
_SQUARE = re.compile(r"I\((\w+) ?\*\* ?2(?:\.0)?\)|np\.(?:square|power)\((\w+)(?:, ?2)?\)")


@dataclass(frozen=True)
class Variables:
    """Where the variables of an equation lie.

    Attributes
    ----------
    spread : mapping of str to Spread
    sample : mapping of str to array
        Their values in the sample where they have any, without missing ones.
    """

    spread: Mapping[str, Spread]
    sample: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation.

    Attributes
    ----------
    outcome : str
    terms : tuple of tuple of str
        The variables that are multiplied in each term; () is the intercept.
    columns : tuple of str
        What the fit calls each term.
    centred : tuple of bool
        Whether the factors of a product are measured from their means.
    value : (t,) array
    cov : (t, t) array
        Of the estimates.
    df : float
        Residual degrees of freedom; infinite for z tests.
    variables : Variables
        Of the outcome and of everything in the terms.
    failure : str
        Why the numbers must not be interpreted; empty when they may.
    notes : tuple of str
        What else to know of the fit.
    """

    outcome: str
    terms: tuple[Term, ...]
    columns: tuple[str, ...]
    centred: tuple[bool, ...]
    value: Array
    cov: Array
    df: float
    variables: Variables
    failure: str
    notes: tuple[str, ...] = ()

    def products(self) -> tuple[Term, ...]:
        """Return the terms of two variables."""
        return tuple(t for t in self.terms if len(t) == 2)


@dataclass(frozen=True)
class Named:
    """A product and the parts its factors play."""

    outcome: str
    focal: str
    moderator: str

    @property
    def product(self) -> str:
        """The product, the focal variable first."""
        return f"{self.focal}:{self.moderator}"


def name_product(
    products: Mapping[str, Sequence[Term]], product: str, moderator: str | None, outcome: str | None
) -> Named:
    """Find a product among those of all equations.

    Parameters
    ----------
    products : mapping
        The products of each outcome.
    product : str
        ``X:M``, in any order.
    moderator : str, optional
        Which factor is the moderator. Default: the second.
    outcome : str, optional
        Needed where the product stands in several equations.

    Raises
    ------
    ModelSyntaxError
        If there is no such product, or the moderator is not one of its factors.
    """
    known = {y: [":".join(t) for t in terms] for y, terms in products.items()}
    every = sorted({name for names in known.values() for name in names})
    parts = tuple(part.strip() for part in product.split(":"))
    hint = f"the products are {', '.join(every)}" if every else "the model has none: add one, such as Y ~ X + M + X:M"
    if len(parts) != 2:
        raise ModelSyntaxError(f"'{product}' is no product of two variables", hint=f"write 'X:M'; {hint}")
    found = [y for y, terms in products.items() if any(sorted(t) == sorted(parts) for t in terms)]
    if not found:
        raise ModelSyntaxError(
            f"there is no product '{product}' in the model.{did_you_mean(product, every)}", hint=hint
        )
    if outcome is None:
        if len(found) > 1:
            raise ModelSyntaxError(
                f"'{product}' stands in the equations of {', '.join(found)}", hint=f"give outcome={found[0]!r}"
            )
        outcome = found[0]
    elif outcome not in found:
        raise ModelSyntaxError(
            f"'{product}' is not in the equation of '{outcome}'.{did_you_mean(outcome, found)}",
            hint=f"it is in that of {', '.join(found)}",
        )
    moderator = parts[1] if moderator is None else moderator
    if moderator not in parts:
        raise ModelSyntaxError(
            f"'{moderator}' is not part of the product '{product}'.{did_you_mean(moderator, parts)}",
            hint=f"the moderator is {' or '.join(dict.fromkeys(parts))}",
        )
    return Named(outcome, parts[1] if moderator == parts[0] else parts[0], moderator)


def read_terms(names: Iterable[str], aliases: Mapping[str, str] | None) -> list[Term]:
    """Return the variables that are multiplied in each predictor: one, or the two of a product.

    Parameters
    ----------
    names : iterable of str
    aliases : mapping of str to str, optional
        Which predictors stand for products: ``{"XM": "X:M"}``.

    Raises
    ------
    Unsupported
        For products of three variables.
    ModelSyntaxError
        If an alias is no predictor, or stands for no product.
    """
    given, names = dict(aliases or {}), list(names)
    for name, product in given.items():
        if name not in names:
            raise ModelSyntaxError(
                f"'{name}' of aliases is no predictor.{did_you_mean(name, names)}",
                hint="aliases names predictors that stand for products: aliases={'XM': 'X:M'}",
            )
        if ":" not in product:
            raise ModelSyntaxError(f"'{product}' of aliases is no product", hint=f"write aliases={{'{name}': 'X:M'}}")
    terms = [_read_term(given.get(name, name)) for name in names]
    for term in terms:
        if len(term) > 2:
            raise Unsupported(
                f"products of three variables are not available: {':'.join(term)}",
                hint="use products of two; several moderators of one effect may stand side by side: X:M + X:W",
            )
    return terms


def equation_of(
    fit: Any,
    product: str,
    moderator: str | None,
    outcome: str | None,
    group: str | None,
    aliases: Mapping[str, str] | None = None,
) -> tuple[Equation, Named]:
    """Return the equation of a product in a fitted model, or in a regression of statsmodels.

    Raises
    ------
    ModelSyntaxError
        As :func:`name_product`.
    ModelError
        If the fit did not converge.
    Unsupported
        For a result read from a file, and products of three variables.
    DataError
        If `fit` is neither, or the group is missing.
    """
    if isinstance(fit, FitResult):
        return _of_model(fit, product, moderator, outcome, group, aliases)
    if not (hasattr(fit, "cov_params") and hasattr(fit, "params") and hasattr(fit, "model")):
        raise DataError(
            f"simple slopes need a fitted model or a regression, not {type(fit).__name__}",
            hint="give the result of b2b_sem.fit, or of statsmodels' OLS(...).fit()",
        )
    if group is not None:
        raise DataError(f"group={group!r}, but a regression has no groups", hint="leave group out")
    return _of_regression(fit, product, moderator, outcome, aliases)


def group_context(fit: FitResult, group: str | None) -> tuple[Context, int]:
    """Return what a fit, or one group of it, was made from, and the number of that group.

    Raises
    ------
    DataError, Unsupported
        If there is no such group, or none is given for a fit of several; Unsupported also for ordinal items.
    """
    if not fit.groups:
        if group is not None:
            raise DataError(f"group={group!r}, but the fit has one group", hint="leave group out")
        context, number = context_of(fit), 1
    elif group is None:
        raise Unsupported("effects are those of one group", hint=f"give group={fit.groups[0]!r} or another label")
    else:
        context, number = part_context(fit, group), fit.groups.index(str(group)) + 1
    refuse_ordinal(context.problem, "slopes of products", "take the answers as numbers: leave ordered out")
    return context, number


def structural_moments(context: Context) -> tuple[tuple[str, ...], Array, Array]:
    """Return names, model-implied means (m,) and covariance matrix (m, m) of all variables of the structural part."""
    problem, theta = context.problem, context.solution.theta
    structure = problem.structure
    whole = getattr(problem.moments.weight, "whole_moments", None)
    implied = implied_moments(structure, theta) if whole is None else whole(theta)
    if implied is None:
        raise ModelError("the model implies no covariance matrix at its estimates: (I - B) is singular")
    mean = np.array(implied.eta_mean)
    sample = context.observed.groups[0].mean
    if not problem.table.meanstructure and sample is not None:
        own = dict(zip(context.observed.names, sample, strict=True))
        mean = np.array([own.get(name, 0.0) for name in structure.eta])
    m = len(structure.eta)
    return structure.eta, mean[:m], implied.eta_cov[:m, :m]


def variables_of(context: Context) -> Variables:
    """Return where the variables of the structural part lie."""
    names, mean, cov = structural_moments(context)
    latents = set(context.problem.table.latents)
    sample, spread = {}, {}
    raw = context.observed.raw
    for i, name in enumerate(names):
        low = high = math.nan
        if name not in latents and raw is not None:
            values = raw[0][:, context.observed.names.index(name)]
            values = values[np.isfinite(values)]
            sample[name], low, high = values, float(values.min()), float(values.max())
        sd = math.sqrt(max(cov[i, i], 0.0))
        # sums over points leave rounding where a mean is 0
        spread[name] = Spread(float(mean[i]) if abs(mean[i]) > ROUNDING * sd else 0.0, sd, low, high, name in latents)
    return Variables(spread, sample)


def _of_model(
    fit: FitResult,
    product: str,
    moderator: str | None,
    outcome: str | None,
    group: str | None,
    aliases: Mapping[str, str] | None,
) -> tuple[Equation, Named]:
    context, number = group_context(fit, group)
    rows = fit.parameters
    rows = rows[rows["group"] == number]
    paths = rows[rows["op"] == "~"]
    products: dict[str, list[Term]] = {}
    every = read_terms(paths["rhs"], aliases)
    for y, term in zip(paths["lhs"], every, strict=True):
        if len(term) == 2:
            products.setdefault(y, []).append(term)
    named = name_product(products, product, moderator, outcome)
    start = rows[(rows["op"] == "~1") & (rows["lhs"] == named.outcome)]
    own = paths[paths["lhs"] == named.outcome]
    terms = [() for _ in range(len(start))] + [
        t for t, y in zip(every, paths["lhs"], strict=True) if y == named.outcome
    ]
    value = np.concatenate([start["est"], own["est"]])
    free = np.concatenate([start["free"], own["free"]]).astype(int) - 1
    vcov = context_of(fit).vcov if fit.converged else np.full_like(context_of(fit).vcov, np.nan)
    cov = np.where((free[:, None] >= 0) & (free[None] >= 0), vcov[np.ix_(free, free)], 0.0)
    columns = ("1",) * len(start) + tuple(own["rhs"])
    centred = tuple(is_centred(context, name) for name in columns)
    refuse_centred_groups(fit, centred)
    variables = variables_of(context)
    _check_main(terms, variables)
    notes = (*column_notes(fit, paths, aliases), *residual_notes(context, columns))
    place = (named.outcome, tuple(terms), columns, centred)
    return Equation(*place, value, cov, math.inf, variables, fit.failure, notes), named


def is_centred(context: Context, column: str) -> bool:
    """Whether a predictor is a product measured by products of items: all ways to make these centre the factors."""
    return ":" in column and column in context.problem.table.latents


def residual_notes(context: Context, columns: Iterable[str]) -> list[str]:
    """Say when the path of a factor is not its slope where the moderator is at its mean.

    A residual-centred product is XM - c X - d M, so that the slope of X at M is b1 - b3 c + b3 M. With normal factors
    c is 0; with skewed ones Cov(XM, X) is not.
    """
    found = {t.name for t in context.products if t.centring == "rc"} & set(columns)
    return [
        f"{name} is residual-centred: its slopes hold if the factors are symmetric. If they are skewed, take "
        "interaction='dmc'."
        for name in sorted(found)
    ]


def refuse_centred_groups(fit: FitResult, centred: Iterable[bool]) -> None:
    """Refuse product indicators in several groups: what they are centred at is not known in the units of a group.

    Raises
    ------
    Unsupported
    """
    if fit.groups and any(centred):
        raise Unsupported(
            "slopes and effects of product indicators in several groups are not available: items are centred at their "
            "means over all groups",
            hint="use interaction='lms', or fit each group by itself",
        )


def column_notes(fit: FitResult, rows: Any, aliases: Mapping[str, str] | None) -> list[str]:
    """Warn of columns that are products of outcomes: the model takes them as unrelated to the residuals of those.

    Estimates are those of each equation by itself; standard errors that come from the moments of the whole model are
    not. Robust ones and the bootstrap hold.

    Parameters
    ----------
    fit : FitResult
    rows : DataFrame
        The regressions of one group.
    aliases : mapping of str to str, optional
    """
    if fit.model.options.get("se") != "standard":
        return []
    outcomes = set(rows["lhs"])
    terms = zip(rows["rhs"], read_terms(rows["rhs"], aliases), strict=True)
    columns = {name for name, term in terms if len(term) == 2 and name in fit.model.observed and outcomes & set(term)}
    return [
        f"{name} is a column, but a factor of it is an outcome of the model: standard errors of "
        f"estimator={fit.estimator!r} take the column as unrelated to its residual and are wrong. Use estimator='MLR' "
        "or the bootstrap."
        for name in sorted(columns)
    ]


def _check_main(terms: Sequence[Term], variables: Variables) -> None:
    """Refuse products of variables that have no place of their own in the model."""
    for name in dict.fromkeys(v for t in terms if len(t) == 2 for v in t):
        if name not in variables.spread or (name,) not in terms:
            raise ModelSyntaxError(
                f"'{name}' stands in a product, but not by itself in the same equation",
                hint=f"add it: without the effect of {name} the product depends on the zero point of the scales",
            )


def _of_regression(
    fit: Any, product: str, moderator: str | None, outcome: str | None, aliases: Mapping[str, str] | None
) -> tuple[Equation, Named]:
    """Read a regression of statsmodels: terms by their names, as formulas write them."""
    model = fit.model
    names = [str(n) for n in model.exog_names]
    y = str(model.endog_names)
    terms = read_terms(names, aliases)
    named = name_product({y: [t for t in terms if len(t) == 2]}, product, moderator, outcome)
    design, response = np.asarray(model.exog, dtype=float), np.asarray(model.endog, dtype=float)
    column = {t[0]: design[:, k] for k, t in enumerate(terms) if len(t) == 1}
    sample = {y: response, **column}
    spread = {
        name: Spread(float(v.mean()), float(v.std(ddof=1)), float(v.min()), float(v.max()), False)
        for name, v in sample.items()
    }
    variables = Variables(spread, sample)
    _check_main(terms, variables)
    for k, term in enumerate(terms):
        if len(term) == 2:
            made = column[term[0]] * column[term[1]]
            if not np.allclose(design[:, k], made, rtol=1e-8, atol=1e-8 * float(np.abs(made).max(initial=1.0))):
                raise DataError(
                    f"the column '{names[k]}' is not the product of {term[0]} and {term[1]}",
                    hint="center variables before they are multiplied, and use the same columns in both places",
                )
    df = float(fit.df_resid) if getattr(fit, "use_t", False) else math.inf
    value, cov = np.asarray(fit.params, dtype=float), np.asarray(fit.cov_params(), dtype=float)
    centred = (False,) * len(terms)
    return Equation(y, tuple(terms), tuple(names), centred, value, cov, df, variables, ""), named


def _read_term(name: str) -> Term:
    if name in ("const", "Intercept"):
        return ()
    square = _SQUARE.fullmatch(name)
    if square:
        return (square[1] or square[2],) * 2
    return tuple(name.split(":"))


def surface_of(equation: Equation, named: Named, held: Mapping[str, float] | None = None) -> Surface:
    """Return the outcome over the focal variable and the moderator, with other variables held.

    Parameters
    ----------
    equation : Equation
    named : Named
    held : mapping of str to float, optional
        Values of other variables, in raw units, and of the focal variable if its square is in the equation, too.
        Default: their means.

    Raises
    ------
    ModelSyntaxError
        If a held variable is not in the equation, or is the moderator.
    """
    x, m = named.focal, named.moderator
    spread = equation.variables.spread
    others = dict.fromkeys(v for t in equation.terms for v in t)
    given = dict(held or {})
    for name in given:
        if name not in others or name == m:
            raise ModelSyntaxError(
                f"'{name}' cannot be held at a value.{did_you_mean(name, others)}",
                hint="the other variables of the equation are "
                + (", ".join(v for v in others if v not in (x, m)) or "none"),
            )
    fixed = {v: float(given.get(v, spread[v].mean)) for v in others if v not in (x, m)}
    weight = np.zeros((6, len(equation.terms)))
    powers = {(0, 0): 0, (1, 0): 1, (0, 1): 2, (1, 1): 3, (2, 0): 4, (0, 2): 5}
    for k, term in enumerate(equation.terms):
        # each factor is x, m or a number, less the mean if the product was centred: multiply them out
        parts = {(0, 0): 1.0}
        for name in term:
            shift = -spread[name].mean if equation.centred[k] else 0.0
            step = (1, 0) if name == x else (0, 1) if name == m else (0, 0)
            added = {step: 1.0} | {(0, 0): shift} if step != (0, 0) else {(0, 0): fixed[name] + shift}
            parts = _multiply(parts, added)
        for power, number in parts.items():
            weight[powers[power], k] += number
    if x != m and (x, x) in equation.terms:
        fixed[x] = float(given.get(x, spread[x].mean))
    return Surface(
        named.outcome,
        x,
        m,
        named.product,
        weight @ equation.value,
        weight @ equation.cov @ weight.T,
        equation.df,
        fixed,
        spread[x],
        spread[m],
        spread[named.outcome],
    )


def _multiply(
    first: dict[tuple[int, int], float], second: dict[tuple[int, int], float]
) -> dict[tuple[int, int], float]:
    """Multiply two polynomials in x and m, given by powers."""
    out: dict[tuple[int, int], float] = {}
    for (a, b), u in first.items():
        for (c, d), v in second.items():
            out[a + c, b + d] = out.get((a + c, b + d), 0.0) + u * v
    return out


def fitted_scores(fit: Any, name: str, group: str | None = None) -> Array | None:
    """Return the factor scores of a latent variable, of one group; None where the fit has none."""
    if not isinstance(fit, Fit):
        return None
    try:
        scores = fit.factor_scores()
    except Unsupported:
        return None
    own = scores[str(group)] if isinstance(scores, dict) else scores
    return np.asarray(own[name], dtype=float) if name in own else None
