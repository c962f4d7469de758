"""Quality of the scales of a fitted model: loadings, reliability, convergent and discriminant validity.

Everything is read off a ``FitResult``; the answers themselves are not needed, but for alpha of ordered items. What
depends on the fitted model (loadings, omega, CR, AVE, latent correlations) is refused for a fit that may not be
interpreted; what depends on the sample alone (alpha, HTMT, sampling adequacy) is given in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from b2b_sem.analysis.group_scale import each_group
from b2b_sem.analysis.ordinal_scale import answers_of, ordered_items, polychorics
from b2b_sem.data.bivariate import bvn_cdf
from b2b_sem.errors import DataError, did_you_mean
from b2b_sem.measures import adequacy as adequacy_measure
from b2b_sem.measures import ordinal_reliability as ordinal_measure
from b2b_sem.measures import reliability as reliability_measure
from b2b_sem.measures import validity as validity_measure
from b2b_sem.results.fit import FitResult
from b2b_sem.results.measurement import MeasurementResult

__all__ = [
    "LOADING_COLUMNS",
    "ORDINAL_RELIABILITY_COLUMNS",
    "RELIABILITY_COLUMNS",
    "ValidityResult",
    "measurement",
    "reliability",
    "validity",
]

RELIABILITY_COLUMNS = (
    "scale",
    "items",
    "alpha",
    "omega",
    "cr",
    "ave",
    "sqrt_ave",
    "loading_min",
    "loading_max",
)
#: With ordered items.
ORDINAL_RELIABILITY_COLUMNS = (
    *RELIABILITY_COLUMNS[:3],
    "alpha_ordinal",
    "omega",
    "omega_latent",
    *RELIABILITY_COLUMNS[4:],
)
LOADING_COLUMNS = ("scale", "item", "est", "se", "std_all", "std_se", "ci_lower", "ci_upper", "r2")

# Conventions, not laws of nature: every warning names its value, its limit and its source.
_HAIR = "Hair et al. 2019, doi:10.1108/EBR-11-2018-0203"
_FORNELL = "Fornell & Larcker 1981, doi:10.1177/002224378101800104"
_HENSELER = "Henseler et al. 2015, doi:10.1007/s11747-014-0403-8"
_KAISER = "Kaiser 1974, doi:10.1007/BF02291575"
_ZUMBO = "Zumbo, Gadermann & Zeisser 2007, doi:10.22237/jmasm/1177992180"
_CHALMERS = "Chalmers 2018, doi:10.1177/0013164417727036"
_GREEN = "Green & Yang 2009, doi:10.1007/s11336-008-9099-3"
_LOADING_LOW, _LOADING_GOOD = 0.40, 0.708
_RELIABILITY_LOW, _RELIABILITY_HIGH = 0.70, 0.95
_AVE_LOW = 0.50
_HTMT_DISTINCT, _HTMT_SIMILAR = 0.85, 0.90

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ValidityResult:
    """Discriminant validity of the scales of a model.

    Attributes
    ----------
    fornell_larcker : DataFrame
        Latent correlations below the diagonal, square roots of AVE on it (scales x scales, NaN above).
    htmt, htmt2 : DataFrame
        Heterotrait-monotrait ratios of absolute correlations (scales x scales, lower triangle, NaN elsewhere).
    latent_cor : DataFrame
        Correlations of the latent variables, all pairs.
    warnings, notes : tuple of str
    """

    fornell_larcker: pd.DataFrame
    htmt: pd.DataFrame
    htmt2: pd.DataFrame
    latent_cor: pd.DataFrame
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Scale:
    """One first-order factor and its indicators."""

    name: str
    items: tuple[str, ...]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class _Setup:
    """What all tables need: the scales, the sample they were seen in, and what to tell the reader.

    With ordered items `cov` holds polychoric correlations, and `answers` the answers as numbers, also incomplete rows.
    """

    fit: FitResult
    scales: tuple[_Scale, ...]
    cov: pd.DataFrame
    nobs: int
    answers: pd.DataFrame | None
    notes: tuple[str, ...]
    ordered: frozenset[str] = frozenset()

    @property
    def conditional(self) -> bool:
        """Whether the implied moments are those given covariates, which is not how scales vary."""
        return "slopes" in self.fit.sample()

    @property
    def known(self) -> bool:
        """Whether the moments of the sample are there."""
        return bool(self.cov.notna().all(axis=None))

    @property
    def incomplete(self) -> bool:
        """Whether the moments were estimated from incomplete rows by maximum likelihood."""
        return str(self.fit.model.options.get("missing", "")).startswith("fiml") and self.answers is None

    @property
    def names(self) -> list[str]:
        return [s.name for s in self.scales]

    @property
    def items(self) -> list[str]:
        return list(dict.fromkeys(item for s in self.scales for item in s.items))

    @property
    def blocks(self) -> list[list[int]]:
        at = {item: i for i, item in enumerate(self.items)}
        return [[at[item] for item in s.items] for s in self.scales]

    def sample(self, items: Iterable[str]) -> Array:
        names = list(items)
        return self.cov.loc[names, names].to_numpy(dtype=np.float64)


def reliability(fit: FitResult, data: pd.DataFrame | None = None) -> pd.DataFrame:
    """Reliability and average variance extracted of every scale.

    Parameters
    ----------
    fit : FitResult
        A fitted CFA or SEM.
    data : DataFrame, optional
        Scored answers (reversed items recoded). Alpha is then computed from its complete rows instead of from the
        sample moments kept in `fit`. For a fit of several groups with the group column.

    Returns
    -------
    DataFrame
        One row a first-order factor: scale, items (their number), alpha, omega, cr, ave, sqrt_ave, loading_min,
        loading_max (standardized). NaN where a number is not defined (scales with a single indicator) or must not be
        used (fits that did not converge, are not identified or not admissible). A fit with ordered items also has
        alpha_ordinal and omega_latent. With groups the first column, group, holds their labels.

    Raises
    ------
    DataError
        If `data` lacks an indicator, or holds text or no complete rows.

    Notes
    -----
    omega divides by the model-implied variance of the item sum (``omega2`` of ``semTools::reliability``, Bentler), so
    residual covariances and what cross-loading items share with other scales are in the denominator. cr is the same
    for standardized items, ave the mean squared standardized loading. Formulas and sources:
    ``b2b_sem.measures.reliability``.

    Ordered items: alpha takes the answers as numbers (complete rows of the scale), and omega is that of the sum of the
    answers 1, 2, ... (Green & Yang 2009, ``b2b_sem.measures.ordinal_reliability``): both speak of a score that exists.
    alpha_ordinal (alpha of the polychoric correlations; Zumbo, Gadermann & Zeisser 2007), omega_latent, cr, ave, HTMT
    and sampling adequacy speak of the responses behind the answers. Scales that mix ordered items and numbers have
    neither omega nor alpha_ordinal.

    Incomplete answers (``missing="fiml"``): alpha, HTMT and sampling adequacy come from the covariance matrix that
    maximum likelihood estimates from the incomplete rows.
    """
    if fit.groups:
        tables = {label: _reliability(_setup(own, rows)) for label, own, rows in each_group(fit, data)}
        return pd.concat([t.assign(group=g)[["group", *t]] for g, t in tables.items()], ignore_index=True)
    return _reliability(_setup(fit, data))


def validity(fit: FitResult, data: pd.DataFrame | None = None) -> Any:
    """Fornell-Larcker table, HTMT and HTMT2 of the scales of a fitted model.

    Parameters
    ----------
    fit : FitResult
        A fitted CFA or SEM.
    data : DataFrame, optional
        Scored answers; HTMT and HTMT2 are then computed from its complete rows.

    Returns
    -------
    ValidityResult
        With groups a dict of these by label.

    Raises
    ------
    DataError
        If `data` lacks an indicator, or holds text or no complete rows.
    """
    if fit.groups:
        return {label: validity(own, rows) for label, own, rows in each_group(fit, data)}
    setup = _setup(fit, data)
    table = _reliability(setup)
    result, warnings, notes = _validity(setup, table)
    return ValidityResult(**result, warnings=(*_refusal(fit), *warnings), notes=(*setup.notes, *notes))


def measurement(fit: FitResult, data: pd.DataFrame | None = None) -> Any:
    """Report everything on the scales of a fitted model, with warnings against published conventions.

    Parameters
    ----------
    fit : FitResult
        A fitted CFA or SEM.
    data : DataFrame, optional
        Scored answers; alpha, HTMT and sampling adequacy are then computed from its complete rows.

    Returns
    -------
    MeasurementResult
        A fit that may not be interpreted gives NaN for everything that rests on it, and a warning on top. With groups
        a dict of these by label.

    Raises
    ------
    DataError
        If `data` lacks an indicator, or holds text or no complete rows.
    """
    if fit.groups:
        return {label: measurement(own, rows) for label, own, rows in each_group(fit, data)}
    setup = _setup(fit, data)
    table = _reliability(setup)
    loadings = _loadings(setup)
    tables, validity_warnings, validity_notes = _validity(setup, table)
    sampling, sampling_warnings = _adequacy(setup)
    loading_warnings, loading_notes = _loading_findings(setup, loadings, table)
    return MeasurementResult(
        reliability=table,
        loadings=loadings,
        fornell_larcker=tables["fornell_larcker"],
        htmt=tables["htmt"],
        htmt2=tables["htmt2"],
        adequacy=sampling,
        warnings=(
            *_refusal(fit),
            *loading_warnings,
            *_reliability_findings(table),
            *validity_warnings,
            *sampling_warnings,
        ),
        notes=(*setup.notes, *loading_notes, *validity_notes),
    )


# ---- reading the fit -------------------------------------------------------------------------------------------------


def _setup(fit: FitResult, data: pd.DataFrame | None) -> _Setup:
    rows = fit.parameters
    rows = rows[rows["op"] == "=~"]
    # A loading fixed to zero only states that the item is not an indicator.
    rows = rows[(rows["est"] != 0) | (rows["free"] > 0)]
    rows = rows[~rows["lhs"].str.contains(":", regex=False)]  # a product is no scale
    latents = set(fit.model.latents)
    indicators: dict[str, list[str]] = {}
    for lhs, rhs in zip(rows["lhs"], rows["rhs"], strict=True):
        indicators.setdefault(lhs, []).append(rhs)
    higher = {name: [i for i in items if i in latents] for name, items in indicators.items()}
    scales = tuple(
        _Scale(name, tuple(items), tuple(h for h, parts in higher.items() if name in parts))
        for name, items in indicators.items()
        if not higher[name]
    )
    notes = [
        f"{name} is measured by the factors {', '.join(parts)}: its own reliability and validity are not given, "
        "those of the first-order scales are"
        for name, parts in higher.items()
        if parts
    ]
    if not scales:
        notes.append("the model has no latent variable with observed indicators: there are no scales to report on")
    outcomes = fit.parameters.loc[lambda t: t["op"] == "~", "lhs"]
    if len(scales) > 1 and set(outcomes) & {s.name for s in scales}:
        notes.append(
            "latent correlations are implied by the structural model; fit the measurement model alone (all factors "
            "correlated) to see them unrestricted"
        )
    items = list(dict.fromkeys(item for s in scales for item in s.items))
    shared = [item for item in items if sum(item in s.items for s in scales) > 1]
    if shared:
        notes.append(
            f"cross-loading items ({', '.join(shared)}) count for each of their scales; what they share with another "
            "scale is error for omega and CR, and AVE uses the loading on the scale in question"
        )
    if ordered_items(fit):
        return _ordinal_setup(fit, scales, items, data, notes)
    if data is None:
        setup = _Setup(fit, scales, fit.sample()["cov"], fit.nobs, None, tuple(notes))
        return replace(setup, notes=(*notes, _INCOMPLETE)) if setup.incomplete else setup
    answers = _answers(data, items)
    cov = pd.DataFrame(np.atleast_2d(np.cov(answers, rowvar=False, bias=True)) if items else None, items, items)
    notes.append(f"alpha, HTMT and sampling adequacy come from the {len(answers)} complete rows of the data given")
    return _Setup(fit, scales, cov, len(answers), answers, tuple(notes))


_CONDITIONAL = (
    "the model describes what the covariates leave of the items, and scales vary less within the covariates than among "
    "the respondents: omega and CR are not given; fit the measurement model without the covariates"
)
_INCOMPLETE = (
    "alpha, HTMT and sampling adequacy come from the covariance matrix that maximum likelihood estimates from the "
    "incomplete rows"
)


def _ordinal_setup(
    fit: FitResult, scales: tuple[_Scale, ...], items: list[str], data: pd.DataFrame | None, notes: list[str]
) -> _Setup:
    """Return the setup of a fit with ordered items."""
    ordered = ordered_items(fit)
    answers = answers_of(fit, items, data)
    notes = [*notes, *_ordinal_notes(scales, ordered)]
    cov: pd.DataFrame | None = fit.sample()["cov"]
    conditional = "slopes" in fit.sample()
    if conditional:
        notes.append(_CONDITIONAL)
    if data is not None or conditional:
        cov = None if answers is None else polychorics(answers, items, ordered, fit)
    if cov is None:
        notes.append("this result was read from a file: ordinal alpha, HTMT and sampling adequacy are not given")
        cov = pd.DataFrame(np.nan, items, items)
    return _Setup(fit, scales, cov, fit.nobs, answers, tuple(notes), ordered)


def _ordinal_notes(scales: tuple[_Scale, ...], ordered: frozenset[str]) -> list[str]:
    notes = [
        "ordered items: alpha takes the answers as numbers, omega is that of the sum of the answers 1, 2, ... "
        f"({_GREEN}); alpha_ordinal is alpha of the polychoric correlations ({_ZUMBO}), which like omega_latent, CR, "
        "AVE, HTMT and KMO speaks of the responses behind the answers, not of a score that can be computed "
        f"({_CHALMERS})"
    ]
    mixed = [s.name for s in scales if 0 < len(ordered.intersection(s.items)) < len(s.items)]
    if mixed:
        notes.append(
            f"{', '.join(mixed)}: ordered items and numbers have no common sum, so alpha, ordinal alpha and omega are "
            "not given"
        )
    return notes


def _answers(data: pd.DataFrame, items: list[str]) -> pd.DataFrame:
    """Return the complete rows of the indicators as numbers."""
    for item in items:
        if item not in data.columns:
            raise DataError(f"the data have no column '{item}'.{did_you_mean(item, map(str, data.columns))}")
        if not pd.api.types.is_numeric_dtype(data[item]):
            raise DataError(f"column '{item}' does not hold numbers", hint="score the answers first")
    complete = data[items].astype("float64").dropna()
    if len(complete) < 2:
        raise DataError(f"{len(complete)} rows of the data are complete for the indicators; two or more are needed")
    constant = [item for item in items if complete[item].nunique() == 1]
    if constant:
        raise DataError(f"constant column: {', '.join(constant)}", hint="leave these items out of the model")
    return complete


def _refusal(fit: FitResult) -> tuple[str, ...]:
    if fit.ok:
        return ()
    return (
        f"{fit.failure}: loadings, omega, CR, AVE and latent correlations are not given; alpha, HTMT and sampling "
        "adequacy rest on the sample alone and are",
    )


# ---- tables ----------------------------------------------------------------------------------------------------------


def _reliability(setup: _Setup) -> pd.DataFrame:
    fit, rows = setup.fit, []
    columns = ORDINAL_RELIABILITY_COLUMNS if setup.ordered else RELIABILITY_COLUMNS
    loadings = _loadings(setup)
    implied, latent = fit.implied()["cov"], fit.latent_cov()
    for scale in setup.scales:
        names = list(scale.items)
        row: dict[str, Any] = dict.fromkeys(columns, float("nan")) | {"scale": scale.name, "items": len(names)}
        row |= _alpha(setup, names)
        if fit.ok:
            own = loadings[loadings["scale"] == scale.name]
            raw, std = own["est"].to_numpy(), own["std_all"].to_numpy()
            if not setup.conditional:
                phi = float(latent.loc[[scale.name], [scale.name]].to_numpy()[0, 0])
                row |= _omega(setup, names, raw, std, phi, implied.loc[names, names].to_numpy(dtype=np.float64))
            row["ave"] = reliability_measure.ave(std)
            row["sqrt_ave"] = float(np.sqrt(row["ave"]))
            row["loading_min"], row["loading_max"] = float(std.min()), float(std.max())
        rows.append(row)
    return pd.DataFrame(rows, columns=list(columns))


def _alpha(setup: _Setup, names: list[str]) -> dict[str, float]:
    """Return alpha, and for ordered items that of the responses behind them."""
    among = setup.ordered.intersection(names)
    if not among:
        return {"alpha": reliability_measure.alpha(setup.sample(names))} if setup.known else {}
    if len(among) < len(names):
        return {}
    found: dict[str, float] = {}
    if setup.answers is not None:
        complete = setup.answers[names].dropna()
        if len(complete) > 1 and (complete.nunique() > 1).all():
            found["alpha"] = reliability_measure.alpha(np.atleast_2d(np.cov(complete, rowvar=False)))
    if setup.known:
        found["alpha_ordinal"] = reliability_measure.alpha(setup.sample(names))
    return found


def _omega(setup: _Setup, names: list[str], raw: Array, std: Array, phi: float, sigma: Array) -> dict[str, float]:
    """Return omega and composite reliability from loadings and the implied covariance matrix of the items."""
    sd = np.sqrt(np.diag(sigma))
    cor = sigma / np.outer(sd, sd)
    # Whatever the factor does not bring into the implied matrix is error, also what comes from other factors.
    cr = reliability_measure.composite_reliability(std, cor - np.outer(std, std))
    among = setup.ordered.intersection(names)
    if not among:
        return {"omega": reliability_measure.omega(raw, sigma - phi * np.outer(raw, raw), phi), "cr": cr}
    if len(among) < len(names):
        return {"cr": cr}
    thresholds = setup.fit.implied()["th"]
    item = thresholds.index.str.rsplit("|", n=1).str[0]
    limits = [thresholds[item == name].to_numpy(dtype=np.float64) for name in names]
    omega = ordinal_measure.omega_categorical(std, cor, limits, bvn_cdf)
    return {"omega": omega, "omega_latent": cr, "cr": cr}


def _loadings(setup: _Setup) -> pd.DataFrame:
    fit = setup.fit
    raw = _by_pair(fit.parameters)
    std = _by_pair(fit.standardized())
    rows = []
    for scale in setup.scales:
        for item in scale.items:
            row: dict[str, Any] = {"scale": scale.name, "item": item}
            if fit.ok:
                a, b = raw[scale.name, item], std[scale.name, item]
                row |= {"est": a["est"], "se": a["se"], "std_all": b["est_std"], "std_se": b["se"]}
                row |= {"ci_lower": b["ci_lower"], "ci_upper": b["ci_upper"], "r2": fit.r2.get(item, float("nan"))}
            else:
                row |= dict.fromkeys(LOADING_COLUMNS[2:], float("nan"))
            rows.append(row)
    return pd.DataFrame(rows, columns=list(LOADING_COLUMNS))


def _by_pair(table: pd.DataFrame) -> dict[tuple[str, str], Mapping[Any, Any]]:
    rows = table[table["op"] == "=~"]
    return {(row["lhs"], row["rhs"]): row for row in rows.to_dict("records")}


def _validity(setup: _Setup, table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], tuple[str, ...], tuple[str, ...]]:
    """Return the four matrices, warnings and notes."""
    names = setup.names
    lower = np.tri(len(names), k=-1, dtype=bool)
    defined = bool(names) and setup.known
    covariance = setup.sample(setup.items)
    ratios: dict[str, pd.DataFrame] = {}
    undefined: dict[tuple[str, str], list[str]] = {}
    for key, function, geometric in (("htmt", validity_measure.htmt, False), ("htmt2", validity_measure.htmt2, True)):
        values = function(covariance, setup.blocks) if defined else np.full((len(names), len(names)), np.nan)
        ratios[key] = pd.DataFrame(np.where(lower, values, np.nan), names, names)
        problems = validity_measure.undefined_ratios(covariance, setup.blocks, geometric=geometric) if defined else {}
        for (i, j), reason in problems.items():
            undefined.setdefault((f"{names[j]} and {names[i]}", reason), []).append(key.upper())
    notes = [f"{' and '.join(keys)} of {pair} not defined: {reason}" for (pair, reason), keys in undefined.items()]
    if setup.fit.ok and names:
        latent = setup.fit.latent_cor().loc[names, names]
    else:
        latent = pd.DataFrame(np.nan, names, names)
    ave = table["ave"].to_numpy(dtype=np.float64)
    larcker = pd.DataFrame(validity_measure.fornell_larcker(latent.to_numpy(), ave), names, names)
    related = _related(setup.scales)
    if related:
        pairs = ", ".join(f"{setup.names[j]} and {setup.names[i]}" for i, j in sorted(related))
        notes.append(f"no warning on discriminant validity is given for {pairs}: they share items or a common factor")
    warnings = [
        *_htmt_findings(ratios["htmt"], related),
        *_larcker_findings(latent, ave, related),
    ]
    return {"fornell_larcker": larcker, **ratios, "latent_cor": latent}, tuple(warnings), tuple(notes)


def _related(scales: tuple[_Scale, ...]) -> set[tuple[int, int]]:
    """Pairs that are not meant to be distinct: facets of one construct, and scales with items in common."""
    return {
        (i, j)
        for i, a in enumerate(scales)
        for j, b in enumerate(scales[:i])
        if set(a.parents) & set(b.parents) or set(a.items) & set(b.items)
    }


def _adequacy(setup: _Setup) -> tuple[dict[str, float], tuple[str, ...]]:
    empty = dict.fromkeys(("kmo", "bartlett_chisq", "bartlett_df", "bartlett_pvalue"), float("nan"))
    items = setup.items
    if len(items) < 2 or not setup.known:
        return empty, ()
    try:
        if setup.answers is not None and not setup.ordered:
            found = adequacy_measure.adequacy_of_data(setup.answers[items].to_numpy(), items)
        else:
            found = adequacy_measure.adequacy(setup.sample(items), setup.nobs, items)
    except DataError as error:
        return empty, (f"sampling adequacy is not given: {error.message}",)
    warnings = [
        f"{name}: its sampling adequacy (KMO) {_number(value)} is below {_limit(adequacy_measure.KMO_ITEM_MINIMUM)} "
        f"({_KAISER})"
        for name, value in found.items
        if value < adequacy_measure.KMO_ITEM_MINIMUM
    ]
    values = (found.kmo, found.bartlett_chisq, found.bartlett_df, found.bartlett_pvalue)
    if setup.ordered or setup.incomplete:
        # Bartlett's chi-square is that of product-moment correlations of complete rows
        values = (found.kmo, *(float("nan"),) * 3)
    return dict(zip(empty, values, strict=True)), tuple(warnings)


# ---- findings --------------------------------------------------------------------------------------------------------


def _loading_findings(
    setup: _Setup, loadings: pd.DataFrame, table: pd.DataFrame
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    warnings, notes = [], []
    for scale in setup.scales:
        if len(scale.items) == 1:
            notes.append(f"{scale.name} has a single indicator: alpha, omega, CR, AVE and HTMT are not defined for it")
        if not setup.fit.ok:
            continue
        own = loadings[loadings["scale"] == scale.name]
        values = dict(zip(own["item"], own["std_all"], strict=True))
        # The direction of a factor is arbitrary: the odd ones are those that differ from the majority.
        direction = 1.0 if sum(np.sign(v) for v in values.values()) >= 0 else -1.0
        if direction < 0:
            notes.append(f"{scale.name}: most items load negatively, so high values of the factor mean low answers")
        warnings += [
            f"{scale.name}: {item} loads {'negatively' if v < 0 else 'positively'} ({_number(v)}), unlike the other "
            "items: is it reverse coded?"
            for item, v in values.items()
            if v * direction < 0
        ]
        weak = [f"{item} {_number(v)}" for item, v in values.items() if 0 <= v * direction < _LOADING_LOW]
        if weak:
            warnings.append(
                f"{scale.name}: standardized loading below {_limit(_LOADING_LOW)} ({_HAIR}): {', '.join(weak)}"
            )
        middle = [f"{item} {_number(v)}" for item, v in values.items() if _LOADING_LOW <= v * direction < _LOADING_GOOD]
        if middle:
            row = table.loc[table["scale"] == scale.name].iloc[0]
            suffers = row["ave"] < _AVE_LOW or row["cr"] < _RELIABILITY_LOW
            text = (
                f"{scale.name}: standardized loading between {_limit(_LOADING_LOW)} and {_limit(_LOADING_GOOD)}: "
                f"{', '.join(middle)}; "
            )
            if suffers:
                warnings.append(f"{text}AVE or CR of the scale suffers ({_HAIR})")
            else:
                notes.append(f"{text}kept, as AVE and CR do not suffer ({_HAIR})")
    return tuple(warnings), tuple(notes)


def _reliability_findings(table: pd.DataFrame) -> tuple[str, ...]:
    labels = {"alpha": "alpha", "omega": "omega", "cr": "CR"}
    warnings = []
    for row in table.to_dict("records"):
        low = [f"{label} {_number(row[key])}" for key, label in labels.items() if row[key] < _RELIABILITY_LOW]
        if low:
            warnings.append(
                f"{row['scale']}: {', '.join(low)} below {_limit(_RELIABILITY_LOW)}; .60 to .70 is acceptable in "
                f"exploratory work only ({_HAIR})"
            )
        high = [f"{label} {_number(row[key])}" for key, label in labels.items() if row[key] > _RELIABILITY_HIGH]
        if high:
            warnings.append(
                f"{row['scale']}: {', '.join(high)} above {_limit(_RELIABILITY_HIGH)}: some items may only repeat each "
                f"other ({_HAIR})"
            )
        if row["ave"] < _AVE_LOW:
            warnings.append(
                f"{row['scale']}: average variance extracted {_number(row['ave'])} is below {_limit(_AVE_LOW)}: the "
                f"items hold more error than common variance ({_FORNELL})"
            )
    return tuple(warnings)


def _htmt_findings(htmt: pd.DataFrame, related: set[tuple[int, int]]) -> list[str]:
    values, names = htmt.to_numpy(), list(htmt.columns)
    warnings = []
    for i, j in np.argwhere(values >= _HTMT_DISTINCT):
        if (int(i), int(j)) in related:
            continue
        value = values[i, j]
        limit, meaning = (
            (_HTMT_SIMILAR, "the scales are hard to tell apart")
            if value >= _HTMT_SIMILAR
            else (_HTMT_DISTINCT, f"acceptable only for similar concepts (limit {_limit(_HTMT_SIMILAR)})")
        )
        warnings.append(
            f"{names[j]} and {names[i]}: HTMT {_number(value)} is not below {_limit(limit)}: {meaning} ({_HENSELER})"
        )
    return warnings


def _larcker_findings(latent: pd.DataFrame, ave: Array, related: set[tuple[int, int]]) -> list[str]:
    names, r = list(latent.columns), latent.to_numpy()
    warnings = []
    for i, j in validity_measure.fornell_larcker_violations(r, ave):
        if (i, j) not in related:
            limit = float(np.fmin(np.sqrt(ave[i]), np.sqrt(ave[j])))
            owner = names[i] if limit == np.sqrt(ave[i]) else names[j]
            warnings.append(
                f"{names[j]} and {names[i]}: latent correlation {_number(r[i, j])} is not below the square root of the "
                f"AVE of {owner}, {_number(limit)} ({_FORNELL})"
            )
    return warnings


def _number(value: float) -> str:
    """Three decimals without a leading zero: two would hide which side of a limit a value is on."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _limit(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value == _LOADING_GOOD else f"{value:.2f}".lstrip("0")
