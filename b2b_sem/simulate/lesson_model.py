"""The model that somebody fitted beside the model of the population: the same latents under other names, other "
"paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from b2b_sem.results.fit import FitResult
from b2b_sem.simulate.population import Population
from b2b_sem.spec.method import METHOD_FACTOR

__all__ = ["FittedModel", "measured", "read_model"]

Pair = tuple[str, str]
#: A latent that this share of all items loads on, of several constructs, is a method or general factor.
_GENERAL = 0.5


@dataclass(frozen=True)
class FittedModel:
    """How a fitted model relates to the true one; paths are (outcome, predictor) under the true names.

    Attributes
    ----------
    names : mapping of str to str
        Latent of the fit -> latent of the population that has most of its items.
    fit : FitResult
        With the names of the population.
    regressions : tuple of Pair
        Paths that were fitted.
    general : tuple of str
        Latents of the fit behind items of most constructs: method factors.
    strangers : tuple of str
        Observed variables that are no items of the population.
    misplaced : mapping of str to str
        Item -> what it was fitted to instead of its own latent.
    left_out : tuple of str
        Items of fitted latents that were not used.
    absent : tuple of str
        Latents of the population that were not fitted.
    """

    names: Mapping[str, str]
    fit: FitResult
    regressions: tuple[Pair, ...]
    general: tuple[str, ...]
    strangers: tuple[str, ...]
    misplaced: Mapping[str, str]
    left_out: tuple[str, ...]
    absent: tuple[str, ...]


def measured(values: Population) -> dict[str, tuple[str, ...]]:
    """Return latent -> items of a population; of a latent above facets those of its facets."""
    out: dict[str, list[str]] = {}
    for latent, item, _ in values.loadings:
        if latent != METHOD_FACTOR:
            out.setdefault(latent, []).append(item)
    return {latent: tuple(items) for latent, items in out.items()}


def read_model(fit: FitResult, values: Population, main: tuple[str, ...]) -> FittedModel:
    """Return how a fitted model relates to the population.

    Parameters
    ----------
    fit : FitResult
    values : Population
    main : tuple of str
        Latents of the true main model, with those above or below facets.
    """
    true = measured(values)
    loadings = fit.parameters
    loadings = loadings[(loadings["op"] == "=~") & ((loadings["free"] > 0) | (loadings["est"] != 0))]
    observed = set(fit.model.observed)
    own: dict[str, tuple[str, ...]] = {}
    for latent, rows in loadings.groupby("lhs", sort=False):
        items = tuple(name for name in rows["rhs"] if name in observed)
        if items:
            own[str(latent)] = items
    general = tuple(latent for latent, items in own.items() if _is_general(items, true))
    names = _matched({k: v for k, v in own.items() if k not in general}, true)
    general = general if names else ()  # one factor behind everything is no method beside the constructs
    renamed = _rename(fit, names)
    known = {item for items in true.values() for item in items}
    at = {item: names.get(latent, latent) for latent, items in own.items() if latent not in general for item in items}
    home = {item: {latent for latent, items in true.items() if item in items} for item in known}
    used = set(at)
    paths = renamed.parameters
    paths = paths[(paths["op"] == "~") & ~paths["rhs"].str.contains(":", regex=False)]
    regressions = tuple(dict.fromkeys(zip(paths["lhs"].map(str), paths["rhs"].map(str), strict=True)))
    fitted = set(names.values())
    return FittedModel(
        names=names,
        fit=renamed,
        regressions=regressions,
        general=general,
        strangers=tuple(name for name in fit.model.observed if name not in known),
        misplaced={item: latent for item, latent in at.items() if item in home and latent not in home[item]},
        left_out=tuple(item for latent in true if latent in fitted for item in true[latent] if item not in used),
        absent=tuple(latent for latent in main if latent in true and latent not in fitted),
    )


def _is_general(items: tuple[str, ...], true: Mapping[str, tuple[str, ...]]) -> bool:
    every = {item for own in true.values() for item in own}
    touched = [latent for latent, own in true.items() if set(own) & set(items)]
    return len(touched) > 2 and len(set(items) & every) >= _GENERAL * len(every)


def _matched(own: Mapping[str, tuple[str, ...]], true: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the latents of a fit with the latent of the population that each stands for: most of its items."""
    shared = sorted(
        (
            (-len(set(items) & set(theirs)), latent != name, latent, name)
            for latent, items in own.items()
            for name, theirs in true.items()
            if 2 * len(set(items) & set(theirs)) > len(items)
        ),
    )
    out: dict[str, str] = {}
    for _, _, latent, name in shared:
        if latent not in out and name not in out.values():
            out[latent] = name
    return out


def _rename(fit: FitResult, names: Mapping[str, str]) -> FitResult:
    """Return a fit under other names of its latents, as one read from a file."""
    plain = FitResult.from_json(fit.to_json())
    taken = set(names.values())
    change = {old: new for old, new in names.items() if old != new}
    # a latent that stands for none must not bear the name of another
    change |= {name: f"{name}_own" for name in plain.model.latents if name not in names and name in taken}
    if not change:
        return plain

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{side: table[side].replace(change) for side in ("lhs", "rhs")})

    latents = tuple(change.get(name, name) for name in plain.model.latents)
    return replace(
        plain,
        model=replace(plain.model, latents=latents),
        _parameters=renamed(plain.parameters),
        _standardized=renamed(plain.standardized()),
        _latent_cov=plain.latent_cov().rename(index=change, columns=change),
    )
