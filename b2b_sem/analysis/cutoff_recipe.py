"""What dynamic cut-offs are made from: the standardized measurement part of a fit, or of a model with its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from b2b_sem.analysis.intake import refuse
from b2b_sem.analysis.misspecification import Solution
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.engine.base import Array
from b2b_sem.errors import ModelError, ModelSyntaxError, Unsupported
from b2b_sem.results.cutoff import INDICES
from b2b_sem.results.fit import FitResult
from b2b_sem.spec.measurement import measurement_model
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.syntax import parse_model

__all__ = [
    "SHAPING",
    "Recipe",
    "indices_of",
    "measurement_fit",
    "measurement_text",
    "recipe_of",
    "recipe_of_answers",
    "recipe_of_text",
]

#: Estimators of ordinal items whose indices are compared with those of lavaan.
ORDINAL = ("WLSMV", "ULSMV")
#: Options that shape the parameter table.
SHAPING = ("meanstructure", "std_lv", "orthogonal")
_TESTED, _NOTE = "Only the measurement part is tested", "Cut-offs and values are those of the measurement part"


@dataclass(frozen=True, eq=False)
class Recipe:
    """What cut-offs are made from.

    Attributes
    ----------
    model : str
        The measurement model that is fitted to samples.
    solution : Solution
        Its standardized values.
    nobs : int
    scale : (p,) array
        Standard deviations of the items; ones where only standardized values are known.
    estimator, likelihood : str
    settings : mapping
        Options of :func:`b2b_sem.fit` that shape the model.
    suffix : str
        Variant of CFI and RMSEA that is compared.
    values : mapping of str to float
        Indices of the fit; empty without one.
    thresholds : mapping of str to (k,) array
        Of ordinal items, standardized; empty for continuous ones.
    notes : tuple of str
    """

    model: str
    solution: Solution
    nobs: int
    scale: Array
    estimator: str = "ML"
    likelihood: str = "normal"
    settings: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def at(self, nobs: int) -> Recipe:
        """Return the recipe for another number of respondents; the indices of the fit then have nothing to meet."""
        return self if nobs == self.nobs else replace(self, nobs=nobs, values={})


def indices_of(fit: FitResult, suffix: str) -> dict[str, float]:
    """Return SRMR, RMSEA and CFI of a fit, the last two in the variant that `suffix` names."""
    return {name: fit.measures[name + ("" if name == "srmr" else suffix)] for name in INDICES}


def measurement_fit(fit: FitResult) -> tuple[FitResult, tuple[str, ...]]:
    """Return the fit of the measurement part of a model, with latent variables that covary freely, and notes.

    A model of latent variables and their items alone is refitted, too; its numbers have to stay what they are.

    Raises
    ------
    Unsupported
        For several groups, holes in the data, other estimators than ML and WLSMV or ULSMV of ordinal items,
        second-order latent variables, restrictions of the measurement part, products of latent variables, and models of
        ordinal items with more than a measurement part.
    ModelError
        If the measurement part cannot be fitted.
    """
    options = fit.model.options
    ordinal = tuple(options.get("ordered") or ())
    if fit.groups:
        raise Unsupported("cut-offs are not available for a fit of several groups", hint="fit each group by itself")
    parsed = parse_model(fit.model.text)
    if product_entries(parsed):
        raise Unsupported(
            "cut-offs are not available for a model with products", hint="fit the model without the product"
        )
    name = str(options.get("estimator", fit.estimator)).upper()
    known = ORDINAL if ordinal else ("ML",)
    if name not in known or (not ordinal and options.get("test", "standard") != "standard"):
        tested = "" if ordinal else ": samples are normal, where its robust indices are those of ML"
        raise Unsupported(
            f"cut-offs are not available for estimator='{name}'{tested}",
            hint="fit the model with estimator=" + " or ".join(repr(k) for k in known),
        )
    refuse(
        missing=(
            options.get("missing", "listwise"),
            ("listwise",),
            "samples are complete: fit with missing='listwise' for the cut-offs",
        ),
        kind=(options.get("kind", "sem"), ("sem", "cfa"), "growth models have no rule for misspecifications"),
        bounds=(options.get("bounds"), (None, "none"), "leave them out"),
        cluster=(options.get("cluster"), (None,), "samples have no clusters: leave it out"),
    )
    text, items, notes = measurement_text(fit.model.text)
    if ordinal:
        if notes or any(e.op in ("|", "~*~") for e in parsed.entries):
            raise Unsupported(
                "cut-offs of ordinal items are made for the measurement part alone",
                hint="fit it: " + text.replace("\n", "; "),
            )
        if set(items) - set(ordinal):
            raise Unsupported(
                "cut-offs are not available for ordinal and continuous items in one model",
                hint="name all items as ordered, or none",
            )
        return _usable(fit), ()
    moments = fit.sample()
    cov = moments["cov"].loc[items, items]
    if options.get("likelihood") != "wishart":
        cov = cov * (fit.nobs / (fit.nobs - 1))
    shaping = {key: options[key] for key in SHAPING if key in options}
    means = moments["mean"][items] if shaping.get("meanstructure") else None
    own = _usable(
        fit_model(
            text,
            sample_cov=cov,
            sample_mean=means,
            nobs=fit.nobs,
            likelihood=str(options.get("likelihood") or "normal"),
            engine="native",
            **shaping,
        )
    )
    if not notes:
        before, after = ((f.measures["chisq"], f.measures["df"]) for f in (fit, own))
        if before[1] != after[1] or abs(before[0] - after[0]) > 1e-5 * max(1.0, before[0]):
            raise Unsupported(
                "the model has restrictions that its measurement part does not keep: there is no rule for its "
                "misspecifications",
                hint="free them, or use the usual guides for its fit indices",
            )
    return own, notes


def measurement_text(text: str) -> tuple[str, list[str], tuple[str, ...]]:
    """Return the measurement part of a model as lavaan syntax, its items, and notes on what was left out.

    Raises
    ------
    ModelSyntaxError, Unsupported
        See :func:`~b2b_sem.spec.measurement.measurement_model`.
    """
    measured = measurement_model(parse_model(text))
    items = list(dict.fromkeys(item for own in measured.items.values() for item in own))
    return measured.text, items, tuple(_NOTE + note.removeprefix(_TESTED) for note in measured.notes)


def _usable(fit: FitResult) -> FitResult:
    if not fit.ok:
        raise ModelError(f"the measurement model cannot be used: {fit.failure}", hint="change the model first")
    if fit.measures["df"] < 1:
        raise Unsupported("the measurement model has no degrees of freedom: it fits any data", hint="use more items")
    return fit


def recipe_of(fit: FitResult) -> Recipe:
    """Return the recipe for the measurement part of a fitted model; errors are those of :func:`measurement_fit`."""
    own, dropped = measurement_fit(fit)
    ordinal = bool(own.model.options.get("ordered"))
    standardized = own.standardized()
    items = tuple(dict.fromkeys(standardized.loc[standardized["op"] == "=~", "rhs"]))
    cor = own.latent_cor()
    factors = tuple(v for v in cor.index if v in set(standardized.loc[standardized["op"] == "=~", "lhs"]))
    solution = _solution(
        items,
        factors,
        [
            (str(r["lhs"]), str(r["op"]), str(r["rhs"]), float(r["est_std"]))
            for r in standardized.to_dict("records")
            if r["op"] in ("=~", "~~")
        ],
        cor.loc[list(factors), list(factors)].to_numpy(),
    )
    notes = dropped
    thresholds: dict[str, Array] = {}
    settings = {key: own.model.options[key] for key in SHAPING if key in own.model.options}
    scale = np.ones(len(items))
    if ordinal:
        own_rows = standardized[standardized["op"] == "|"]
        thresholds = {v: np.sort(own_rows.loc[own_rows["lhs"] == v, "est_std"].to_numpy(dtype=float)) for v in items}
        settings.pop("meanstructure", None)
        # samples are fitted with delta, whatever the fit has: indices are the same, and theta has no solution at all
        # where a residual variance would be negative, as often happens in misspecified samples
        notes += ("CFI and RMSEA are the scaled ones.",)
    else:
        scale = np.sqrt(np.diag(own.implied()["cov"].loc[list(items), list(items)].to_numpy()))
    suffix = "_scaled" if ordinal else ""
    return Recipe(
        model=own.model.text,
        solution=solution,
        nobs=own.nobs,
        scale=scale,
        estimator=str(own.model.options.get("estimator", "ML")),
        likelihood=str(own.model.options.get("likelihood") or "normal"),
        settings=settings,
        suffix=suffix,
        values=indices_of(own, suffix),
        thresholds=thresholds,
        notes=notes,
    )


def recipe_of_answers(text: str, data: Any, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe for the measurement part of a model, fitted to answers by the settings of another fit.

    Parameters
    ----------
    text : str
        The whole model.
    data : DataFrame or Responses
    settings : mapping
        Arguments of :func:`b2b_sem.fit`.
    """
    measured, items, notes = measurement_text(text)
    own = dict(settings)
    if isinstance(own.get("ordered"), list | tuple):
        own["ordered"] = [v for v in own["ordered"] if v in items]
    recipe = recipe_of(fit_model(measured, data, **own))
    return replace(recipe, notes=(*notes, *recipe.notes))


def _solution(
    items: tuple[str, ...], factors: tuple[str, ...], rows: list[tuple[str, str, str, float]], factor_cor: Array
) -> Solution:
    """Build a standardized solution from its loadings and correlations of residuals.

    Raises
    ------
    Unsupported
        If a factor accounts for all variance of an item.
    ModelError
        If the values are no proper solution.
    """
    loadings, residual = np.zeros((len(items), len(factors))), np.eye(len(items))
    free = np.zeros(loadings.shape, dtype=bool)
    tied = set()
    for lhs, op, rhs, value in rows:
        if op == "=~":
            loadings[items.index(rhs), factors.index(lhs)] = value
            free[items.index(rhs), factors.index(lhs)] = True
        elif lhs != rhs and lhs in items and rhs in items:
            i, j = items.index(lhs), items.index(rhs)
            residual[i, j] = residual[j, i] = value
            tied |= {lhs, rhs}
    left = 1.0 - np.diag(loadings @ factor_cor @ loadings.T)
    for i, item in enumerate(items):
        if abs(left[i]) < 1e-8:
            raise Unsupported(
                f"'{item}' has no residual variance: there is no rule for misspecifications of this model",
                hint="measure each latent variable by several items, or leave this one out",
            )
    if (left < 0).any() or np.linalg.eigvalsh(factor_cor)[0] <= 0 or np.linalg.eigvalsh(residual)[0] <= 0:
        raise ModelError(
            "the standardized values are no proper solution: a variance is negative",
            hint="check loadings and correlations; loadings of a standardized solution are smaller than 1",
        )
    return Solution(items, factors, loadings, free, np.asarray(factor_cor, dtype=float), residual, frozenset(tied))


def recipe_of_text(text: str, nobs: int, file: str | None = None) -> Recipe:
    """Return the recipe for a measurement model whose completely standardized values are given.

    Parameters
    ----------
    text : str
        lavaan syntax with a number for every loading, correlation of latent variables and correlation of residuals:
        ``F =~ .7*x1 + .6*x2 + .8*x3``, ``F ~~ .4*G``, ``x1 ~~ .2*x2``.
    nobs : int
    file : str, optional
        Where the text was read from.

    Raises
    ------
    ModelSyntaxError
        If a number is missing, or the text says something else.
    """
    parsed = parse_model(text, file)
    rows: list[tuple[str, str, str, float]] = []

    def wrong(entry: Any, message: str, hint: str) -> ModelSyntaxError:
        return ModelSyntaxError(message, file=parsed.file, line=entry.line, column=entry.column, hint=hint)

    if parsed.blocks or parsed.constraints:
        where = parsed.constraints[0] if parsed.constraints else parsed.entries[0]
        raise wrong(where, "cut-offs need one model without constraints", "leave groups and constraints out")
    for e in parsed.entries:
        if e.op not in ("=~", "~~") or (e.op == "~~" and e.lhs == e.rhs):
            raise wrong(
                e,
                f"'{e.text}' is no part of a standardized measurement model",
                "give loadings and correlations only, such as 'F =~ .7*x1' and 'F ~~ .4*G'",
            )
        fixed = e.modifiers.fixed
        if len(fixed) != 1 or fixed[0] is None:
            raise wrong(
                e,
                f"'{e.text}' has no number",
                "write its standardized value in front of it, such as .7*x1; or fit data",
            )
        rows.append((e.lhs, e.op, e.rhs, float(fixed[0])))
    factors = tuple(dict.fromkeys(lhs for lhs, op, _, _ in rows if op == "=~"))
    items = tuple(dict.fromkeys(rhs for _, op, rhs, _ in rows if op == "=~"))
    if not factors:
        raise ModelSyntaxError(
            "the model has no latent variable", file=parsed.file, hint="define some, such as 'F =~ .7*x1 + .6*x2'"
        )
    cor = np.full((len(factors), len(factors)), np.nan)
    np.fill_diagonal(cor, 1.0)
    for lhs, op, rhs, value in rows:
        if op == "~~" and lhs in factors and rhs in factors:
            i, j = factors.index(lhs), factors.index(rhs)
            cor[i, j] = cor[j, i] = value
        elif op == "~~" and not (lhs in items and rhs in items):
            raise ModelSyntaxError(
                f"'{lhs} ~~ {rhs}' names a variable that the model does not measure", file=parsed.file
            )
        elif op == "=~" and rhs in factors:
            raise Unsupported(
                f"{lhs} is measured by the latent variable {rhs}: such models are not available here",
                file=parsed.file,
                hint="use the latent variables of the first order",
            )
    for i, j in np.argwhere(np.isnan(cor)):
        raise ModelSyntaxError(
            f"the correlation of {factors[i]} and {factors[j]} is missing",
            file=parsed.file,
            hint=f"add '{factors[i]} ~~ .3*{factors[j]}' with its value",
        )
    lines = [f"{lhs} =~ {rhs}" for lhs, op, rhs, _ in rows if op == "=~"]
    lines += [f"{lhs} ~~ {rhs}" for lhs, op, rhs, _ in rows if op == "~~" and lhs in items]
    solution = _solution(items, factors, rows, cor)
    return Recipe("\n".join(lines), solution, nobs, np.ones(len(items)), settings={"std_lv": True})
