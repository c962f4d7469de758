"""Which estimator suits the answers: ``advise``, and what ``fit(estimator="auto")`` does with it.

The rules are those of published simulations. Each that speaks gives a sentence with its value, its limit and its
source; what a rule cannot know (whether answers are missing at random, whether a scale is good) it does not decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from b2b_sem.analysis.fitted import Fit
from b2b_sem.data.numeric import listed
from b2b_sem.data.table import Table
from b2b_sem.engine.native.restriction import restrict
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.measures.distribution import SPARSE, count_answers, describe_moments
from b2b_sem.results.advice import Advice
from b2b_sem.spec.partable import ParameterTable, build_table, ordinal_names
from b2b_sem.spec.syntax import parse_model

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from b2b_sem.data.read import Responses
    from b2b_sem.spec.survey import SurveySpec

__all__ = ["advise", "fit_by_advice"]

#: An item with more different answers than this counts as a number, not as a response scale.
CATEGORIES_MOST = 7
#: From this many categories on, robust maximum likelihood is as good.
CATEGORIES_ENOUGH = 5
#: |skew| (and, for numbers, |excess kurtosis|) up to this is mild.
MILD = 1.0
#: |skew| from this on is strong, also in a single item.
STRONG = 2.0
#: Rows below which estimated weights are not to be trusted.
ROWS_ENOUGH = 200
#: Share of missing answers beyond which "pairwise" rests too much on answers missing completely at random.
MISSING_MUCH = 0.10
#: Rows a free parameter.
ROWS_PER_PARAMETER = 5

_RHEMTULLA = "Rhemtulla, Brosseau-Liard & Savalei 2012, doi:10.1037/a0029315"
_MUTHEN = "Muthen & Kaplan 1985, doi:10.1111/j.2044-8317.1985.tb00832.x"
_CURRAN = "Curran, West & Finch 1996, doi:10.1037/1082-989X.1.1.16"
_FLORA = "Flora & Curran 2004, doi:10.1037/1082-989X.9.4.466"
_FORERO = "Forero, Maydeu-Olivares & Gallardo-Pujol 2009, doi:10.1080/10705510903203573"
_YUAN = "Yuan & Bentler 2000, doi:10.1111/0081-1750.00078"
_ENDERS = "Enders & Bandalos 2001, doi:10.1207/S15328007SEM0803_5"
_SHI = "Shi, Lee, Fairchild & Maydeu-Olivares 2020, doi:10.1177/0013164419845039"
_BENTLER = "Bentler & Chou 1987, doi:10.1177/0049124187016001004"
_DISTEFANO = "DiStefano, Shi & Morgan 2021, doi:10.1080/10705511.2020.1803073"

#: Arguments of ``fit`` and the values that leave the choice open; any other one needs maximum likelihood.
_BINDING: dict[str, tuple[Any, ...]] = {
    "cluster": (None,),
    "engine": ("auto", "native"),
    "likelihood": ("normal",),
    "meanstructure": (None, True),
}
_LIKELIHOOD = ("fiml", "fiml.x", "ml", "ml.x", "direct", "direct.x")


@dataclass(frozen=True)
class _Item:
    """One item: the answers given to it, and the shape of their distribution."""

    name: str
    categories: int
    sparse: tuple[float, ...]
    skew: float
    kurtosis: float
    scale: bool


@dataclass(frozen=True)
class _Sample:
    """What the rules look at."""

    items: tuple[_Item, ...]
    n: int
    complete: int
    share_missing: float
    holes: bool
    covariate_holes: tuple[str, ...]

    @property
    def scales(self) -> tuple[_Item, ...]:
        return tuple(i for i in self.items if i.scale)

    @property
    def few(self) -> tuple[_Item, ...]:
        return tuple(i for i in self.scales if i.categories < CATEGORIES_ENOUGH)


def advise(
    data: pd.DataFrame | Mapping[str, Any] | Responses,
    items: Sequence[str],
    survey: SurveySpec | None = None,
    *,
    covariates: Sequence[str] = (),
    parameters: int | None = None,
    ordered: Sequence[str] | bool | None = None,
    missing: str | None = None,
) -> Advice:
    """Say which estimator suits the answers to these items, and why.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or Responses
        Scored answers, missing ones empty.
    items : sequence of str
        Indicators and observed outcomes of the model: all observed variables that something in the model explains.
    survey : SurveySpec, optional
        Response formats; an item with a format of more than seven answers counts as a number.
    covariates : sequence of str
        Observed variables that only predict. Nothing is assumed of their distribution, so that they do not decide
        about the estimator; their missing values count.
    parameters : int, optional
        Free parameters of the model, to compare the number of rows with.
    ordered : sequence of str or bool, optional
        What the user has decided: these items (True: all; False: none) are ordered.
    missing : str, optional
        What the user has decided on missing answers.

    Returns
    -------
    Advice
        Concrete estimator, ordered items, treatment of missing answers, and the reasons.

    Raises
    ------
    DataError
        For columns that are not there, are not numbers, are empty or do not vary.
    Unsupported
        If `ordered` and `missing` exclude each other.

    Notes
    -----
    In this order: fewer than 5 categories in any response scale -> WLSMV; strong asymmetry (|skew| above 1 in most of
    the items, or 2 or more in one) -> WLSMV, with 200 rows or more and at most 10 % of the answers missing; other
    response scales -> MLR; numbers -> ML where |skew| and |excess kurtosis| are at most 1, else MLR. Fewer than 200
    rows turn WLSMV for few categories into ULSMV. Holes: full information under ML and MLR, pairwise under the others.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> advise({"a": rng.integers(0, 2, 300), "b": rng.integers(1, 4, 300)}, ["a", "b"]).estimator
    'WLSMV'
    """
    sample = _look(data, items, covariates, survey)
    named = _named(ordered, sample)
    if named and missing is not None and missing in _LIKELIHOOD:
        raise Unsupported(
            f"missing='{missing}' is not available for ordered items: their estimators have no likelihood",
            hint="use missing='pairwise' or 'listwise', or leave ordered out",
        )
    estimator, chosen, reasons = _choose(sample, named, missing)
    how, why = _treat(sample, bool(chosen), missing)
    reasons += why
    if chosen:
        reasons += _sparse(sample, chosen)
    if parameters is not None and sample.n < ROWS_PER_PARAMETER * parameters:
        reasons.append(
            f"There are {sample.n} rows for {parameters} free parameters, {sample.n / parameters:.1f} each; with fewer "
            f"than {ROWS_PER_PARAMETER} each no estimator is safe ({_BENTLER})."
        )
    return Advice(estimator, chosen, how, tuple(reasons))


def fit_by_advice(fit: Callable[..., Fit], text: str, file: str | None, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model with the estimator that suits the answers; the reasons stand in the notes of the result.

    Parameters
    ----------
    fit : callable
        ``b2b_sem.fit``.
    text, file : str, str or None
        The model in lavaan syntax, and where it was read.
    arguments : mapping
        All arguments of `fit`. `missing` and `ordered` are decided here unless they differ from their defaults.
    """
    model = parse_model(text, file)
    stated = [e for e in model.entries if e.op in ("|", "~*~")]
    options = {k: arguments[k] for k in ("meanstructure", "std_lv", "orthogonal", "fixed_x")}
    table = build_table(replace(model, entries=tuple(e for e in model.entries if e not in stated)), **options)
    ordered: Any = arguments["ordered"]
    if stated and not isinstance(ordered, bool):
        ordered = ordinal_names(model, [ordered] if isinstance(ordered, str) else ordered or ())
    advice = _advise_on(table, {**arguments, "ordered": ordered})
    if advice is None:
        return fit(**{**arguments, "estimator": "ML"})
    fitted = fit(**{**arguments, **advice.arguments()})
    info = replace(fitted.model, options=MappingProxyType({**fitted.model.options, "estimator_choice": "auto"}))
    choice = f"estimator='auto' chose {advice.estimator}"
    return replace(fitted, model=info, notes=(f"{choice}: {advice.reasons[0]}", *advice.reasons[1:], *fitted.notes))


def _advise_on(table: ParameterTable, arguments: Mapping[str, Any]) -> Advice | None:
    """Return the advice for a model; None when `fit` will refuse the input, in better words."""
    data, ordered = arguments["data"], arguments["ordered"]
    restricted = arguments["bounds"] is not None or restrict(table) is not None
    if data is None or restricted:
        if ordered:
            return None
        what = "a covariance matrix was given" if data is None else "the model has bounds or nonlinear constraints"
        return Advice("ML", (), arguments["missing"], (f"{what}, and only maximum likelihood allows for that.",))
    frame = getattr(data, "frame", data)
    known = {str(c) for c in frame} if hasattr(frame, "columns") or isinstance(frame, Mapping) else set()
    if not known.issuperset(table.observed) or known.intersection(table.latents):
        return None
    missing = None if arguments["missing"] == "listwise" else arguments["missing"]
    binding = [name for name, plain in _BINDING.items() if arguments[name] not in plain]
    reasons: tuple[str, ...] = ()
    if binding and not ordered:
        shown = ", ".join(f"{name}={arguments[name]!r}" for name in binding)
        verb = "goes" if len(binding) == 1 else "go"
        complete = missing is None and binding != ["cluster"]
        missing = "listwise" if complete else missing
        rows = " of complete rows" if complete else ""
        reasons = (f"No item was ordered, because {shown} {verb} with maximum likelihood{rows} only.",)
        ordered = False
    advice = advise(
        data,
        [name for name in table.observed if name not in table.exogenous],
        getattr(arguments["model"], "survey_spec", None),
        covariates=table.exogenous,
        parameters=table.nfree,
        ordered=[ordered] if isinstance(ordered, str) else ordered,
        missing=missing,
    )
    return replace(advice, reasons=(*advice.reasons, *reasons))


# ---- looking at the answers ------------------------------------------------------------------------------------------


def _look(data: Any, items: Sequence[str], covariates: Sequence[str], survey: SurveySpec | None) -> _Sample:
    table = Table.open(data, [*items, *covariates])
    values = np.vstack(table.floats())
    table.refuse_infinite(values)
    absent = np.isnan(values)
    table.refuse_empty({name: row for name, row in zip(table.names, absent, strict=True) if row.any()})
    own = absent[: len(items)]
    answered = ~own.all(axis=0)
    found = [_item(name, values[i][~absent[i]], survey, table) for i, name in enumerate(items)]
    return _Sample(
        items=tuple(found),
        n=int(answered.sum()),
        complete=int((~absent.any(axis=0)).sum()),
        share_missing=float(own[:, answered].mean()) if answered.any() else 0.0,
        holes=bool(absent[:, answered].any()),
        covariate_holes=tuple(
            name for name, row in zip(covariates, absent[len(items) :], strict=True) if row[answered].any()
        ),
    )


def _item(name: str, values: NDArray[np.float64], survey: SurveySpec | None, table: Table) -> _Item:
    low, high = _format(name, survey)
    seen = len(np.unique(values))
    if seen == 1:
        raise DataError(
            f"item {name} has a single answer ({values[0]:g}): it cannot be analysed",
            file=table.file,
            hint="Leave it out of the model.",
        )
    scale = seen <= CATEGORIES_MOST and (low is None or high is None or high - low < CATEGORIES_MOST)
    sparse: tuple[float, ...] = ()
    if scale and (counted := count_answers(values, low, high, most=CATEGORIES_MOST)) is not None:
        answers, counts = counted
        sparse = tuple(answers[counts < SPARSE].tolist())
    moments = describe_moments(values)
    return _Item(name, seen, sparse, moments.skew, moments.kurtosis, scale)


def _format(name: str, survey: SurveySpec | None) -> tuple[int, int] | tuple[None, None]:
    """Return the lowest and the highest answer of the response format, if the survey knows the item."""
    if survey is None or name not in survey.items(active_only=False):
        return None, None
    return survey.range_of(name)


def _named(ordered: Sequence[str] | bool | None, sample: _Sample) -> tuple[str, ...] | None:
    """Return the items that the user has called ordered; None when that is left open."""
    if ordered is None:
        return None
    if ordered is True:
        return tuple(i.name for i in sample.items)
    return () if ordered is False else tuple(ordered)


# ---- rules -----------------------------------------------------------------------------------------------------------


def _choose(
    sample: _Sample, named: tuple[str, ...] | None, missing: str | None
) -> tuple[str, tuple[str, ...], list[str]]:
    """Return the estimator, the ordered items and why."""
    if named:
        count = len({i.name for i in sample.items} & set(named))
        return _least_squares(sample, named, [f"{count} items were named as ordered."])
    scales = tuple(i.name for i in sample.scales)
    few = ""
    if sample.few:
        few = (
            f"{_count(sample.few, sample.items, 'fewer')} than {CATEGORIES_ENOUGH} answer categories "
            f"({listed(f'{i.name} {i.categories}' for i in sample.few)})"
        )
    free = named is None and missing not in _LIKELIHOOD
    if few and free:
        reason = f"{few}: categorical least squares then gives better loadings and standard errors ({_RHEMTULLA})."
        return _least_squares(sample, scales, [reason])
    asymmetry = _asymmetry(sample.scales)
    if not few and asymmetry and free:
        if sample.n >= ROWS_ENOUGH and sample.share_missing <= MISSING_MUCH:
            reason = (
                f"{asymmetry}: maximum likelihood is sensitive to asymmetric categories and underestimates large "
                f"loadings then ({_RHEMTULLA})."
            )
            return "WLSMV", scales, [reason, *_numbers(sample)]
        if sample.n < ROWS_ENOUGH:
            obstacle = (
                f"there are {sample.n} rows, fewer than the {ROWS_ENOUGH} that the weights of WLSMV need ({_FLORA}), "
                "and maximum likelihood is less sensitive to the number of rows"
            )
        else:
            obstacle = (
                f"{sample.share_missing:.1%} of the answers are missing (limit {MISSING_MUCH:.0%}), and WLSMV with "
                f"pairwise answers needs them to be missing completely at random ({_SHI}), full information does not"
            )
        return "MLR", (), [f"{asymmetry}, which speaks for WLSMV; but {obstacle}. Loadings may be too small."]
    reasons = []
    if few:
        decided = "no item shall be ordered" if named is not None else f"missing='{missing}' was asked for"
        reasons.append(
            f"{few}, which speaks for WLSMV; but {decided}. Loadings and standard errors will be too small "
            f"({_RHEMTULLA})."
        )
    elif sample.scales:
        k = [i.categories for i in sample.scales]
        span = f"{min(k)}" if min(k) == max(k) else f"{min(k)} to {max(k)}"
        shape = f"asymmetry is {'strong' if asymmetry else 'mild'} ({_shape(sample.scales)})"
        reasons.append(
            f"{_count(sample.scales, sample.items, span)} answer categories (limit {CATEGORIES_ENOUGH}), and {shape}: "
            f"robust maximum likelihood does as well as categorical least squares, with fewer rows ({_RHEMTULLA})."
        )
    numbers = _numbers(sample)
    if not sample.scales and not _far(sample.items):
        reasons.append(
            f"All {len(sample.items)} items are numbers with |skew| and |excess kurtosis| of at most {MILD:g}: normal "
            f"theory is accurate ({_MUTHEN})."
        )
        return "ML", (), reasons
    return "MLR", (), [*reasons, *numbers]


def _least_squares(
    sample: _Sample, ordered: tuple[str, ...], reasons: list[str]
) -> tuple[str, tuple[str, ...], list[str]]:
    """Return WLSMV, or ULSMV where the rows are few."""
    reasons = [*reasons, *_numbers(sample)]
    if sample.n >= ROWS_ENOUGH:
        return "WLSMV", ordered, reasons
    reasons.append(
        f"There are {sample.n} rows, fewer than {ROWS_ENOUGH}: ULSMV, which needs no weights from the data, is more "
        f"accurate than WLSMV then ({_FORERO})."
    )
    return "ULSMV", ordered, reasons


def _asymmetry(scales: tuple[_Item, ...]) -> str:
    """Return a phrase if the asymmetry of the response scales is strong, else nothing."""
    beyond = [i for i in scales if abs(i.skew) > MILD]
    if 2 * len(beyond) > len(scales) or any(abs(i.skew) >= STRONG for i in scales):
        return f"Asymmetry is strong ({_shape(scales)})"
    return ""


def _shape(scales: tuple[_Item, ...]) -> str:
    beyond = sum(abs(i.skew) > MILD for i in scales)
    worst = max(scales, key=lambda i: abs(i.skew))
    return (
        f"|skew| above {MILD:g} in {beyond} of {len(scales)} items, limit: most, {_MUTHEN}; largest {worst.name} "
        f"{worst.skew:.2f}, limit {STRONG:g}, {_CURRAN}"
    )


def _far(items: Sequence[_Item]) -> list[_Item]:
    return [i for i in items if not (abs(i.skew) <= MILD and abs(i.kurtosis) <= MILD)]


def _count(some: Sequence[_Item], all_items: Sequence[_Item], what: str) -> str:
    """Return ``"2 of 9 items have fewer"``, with the verb that fits."""
    if len(some) == len(all_items):
        return f"All {len(some)} items have {what}" if len(some) > 1 else f"The item {some[0].name} has {what}"
    return f"{len(some)} of {len(all_items)} items {'has' if len(some) == 1 else 'have'} {what}"


def _numbers(sample: _Sample) -> list[str]:
    """Return what is to be said of items that are numbers rather than response scales."""
    numbers = [i for i in sample.items if not i.scale]
    far = _far(numbers)
    if not numbers:
        return []
    if sample.scales:
        return [
            f"Taken as numbers, with more than {CATEGORIES_MOST} different answers: {listed(i.name for i in numbers)}; "
            "robust standard errors allow for their shape."
        ]
    worst = max(far, key=lambda i: max(abs(i.skew), abs(i.kurtosis)), default=None)
    if worst is None:
        return []
    return [
        f"{_count(far, numbers, '|skew|')} or |excess kurtosis| above {MILD:g} ({_MUTHEN}), most "
        f"{worst.name} (skew {worst.skew:.2f}, excess kurtosis {worst.kurtosis:.2f}): standard errors and test of MLR "
        f"allow for it ({_YUAN})."
    ]


def _treat(sample: _Sample, categorical: bool, missing: str | None) -> tuple[str, list[str]]:
    """Return the treatment of missing answers and why."""
    if missing is not None:
        return missing, []
    if not sample.holes:
        return "listwise", []
    amount = (
        f"{sample.share_missing:.1%} of the answers are missing and {sample.n - sample.complete} of {sample.n} rows "
        "are incomplete"
    )
    if categorical:
        return "pairwise", [
            f"{amount}: each pair of items uses the rows that have both, which is right if answers are missing "
            f"completely at random ({_SHI}); if what is missing depends on other answers, compare with multiple "
            "imputation."
        ]
    reason = (
        f"{amount}: full information uses all answers there are and needs them to be missing at random only "
        f"({_ENDERS})."
    )
    if not sample.covariate_holes:
        return "fiml", [reason]
    return "fiml.x", [
        reason,
        f"Values of {listed(sample.covariate_holes)} are missing too: fiml.x keeps these rows, at the price of taking "
        "the covariates for normally distributed.",
    ]


def _sparse(sample: _Sample, ordered: tuple[str, ...]) -> list[str]:
    shown = [
        f"{i.name} {'/'.join(f'{a:g}' for a in i.sparse)}" for i in sample.items if i.sparse and i.name in set(ordered)
    ]
    if not shown:
        return []
    return [
        f"Answers given fewer than {SPARSE} times: {listed(shown)}. Merging them with their neighbours makes estimates "
        f"more stable ({_DISTEFANO})."
    ]
