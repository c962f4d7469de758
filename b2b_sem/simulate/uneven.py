"""What is not normal in a population: the draws that a section ``distribution`` asks for, solved for once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from b2b_sem.simulate.nonnormal import IndependentSums, Infeasible, Polynomials
from b2b_sem.simulate.population import Matrix, Population, add_terms, cholesky
from b2b_sem.spec.base import Location
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["Uneven", "check_shares", "correlated", "make_uneven", "note", "uneven_items"]

Array = NDArray[np.float64]


def correlated(cor: Matrix, z: Array) -> list[Array]:
    """Give independent standard normal columns the correlations `cor`, term by term."""
    factor = cholesky(cor)
    if factor is None:
        raise ValueError("a population holds only correlation matrices")
    out = []
    for row in factor:
        out.append(add_terms(np.zeros(len(z)), row, z))
    return out


@dataclass(frozen=True)
class Uneven:
    """How nodes or items of one population are drawn that are not normal; None where they are."""

    nodes: Polynomials | None = None
    items: Polynomials | IndependentSums | None = None

    def disturbances(self, cor: Matrix, z: Array) -> list[Array]:
        """Return what is unexplained in the nodes, with variance 1 and correlations `cor`."""
        if self.nodes is None:
            return correlated(cor, z)
        return self.nodes.draw(correlated(self.nodes.intermediate, z))

    def responses(
        self, values: Population, noise: Array, streams: Sequence[Callable[[], Generator]]
    ) -> dict[str, Array] | None:
        """Return the responses to the items with mean 0, or None if they are made of latents and residuals."""
        if self.items is None:
            return None
        if isinstance(self.items, Polynomials):
            drawn = self.items.draw(correlated(self.items.intermediate, noise))
        else:
            drawn = self.items.draw(noise, streams)
        sd = values.response_sd
        return {item: sd.get(item, 1.0) * x for item, x in zip(values.items, drawn, strict=True)}


def make_uneven(spec: SimulationSpec, survey: SurveySpec, values: Population) -> Uneven:
    """Solve for the draws that the file asks for.

    Raises
    ------
    SpecError
        If the moments cannot be reached by the method, or observed predictors stand beside moments of items.
    """
    asked = spec.distribution
    if asked is None:
        return Uneven()
    if asked.latents:
        moments = [
            (own.skew, own.kurtosis) if (own := asked.latents.get(node)) is not None else (0.0, 0.0)
            for node in values.nodes
        ]
        try:
            return Uneven(nodes=Polynomials.of(values.disturbance_cor, moments))
        except Infeasible as error:
            names = ", ".join(values.nodes[k] for k in error.names)
            at: Location = ("distribution", "latents")
            if len(error.names) == 1 and names in asked.latents:
                at = (*at, names)
            raise spec.error(at, _subject(names, error), hint=_HINT) from None
    if asked.items is None:
        return Uneven()
    if values.covariates:
        raise spec.error(
            ("distribution", "items"),
            f"items whose moments are asked for cannot depend on the fact '{values.covariates[0]}'",
            hint="Ask for moments of latents, or take the fact out of the model.",
        )
    every = [asked.items.of(item, survey.scale_of(item)) for item in values.items]
    p = len(values.items)
    cov = values.item_cov()
    sd = np.sqrt(np.diag(cov))
    # summed by matrix products: the last digits are cut off, so that they are the same on every machine
    cor = tuple(
        tuple(1.0 if i == j else round(float(cov[i, j] / (sd[i] * sd[j])), 12) for j in range(p)) for i in range(p)
    )
    method = Polynomials if asked.items.method == "vale-maurelli" else IndependentSums
    try:
        return Uneven(items=method.of(cor, [(own.skew, own.kurtosis) for own in every]))
    except Infeasible as error:
        names = ", ".join(values.items[k] for k in error.names)
        raise spec.error(("distribution", "items"), _subject(names, error), hint=_HINT) from None


_HINT = "Ask for more kurtosis or less skew, the other method for items, or correlations nearer to zero."


def _subject(names: str, error: Infeasible) -> str:
    return f"{names}: {error}" if names else str(error)


def uneven_items(spec: SimulationSpec, survey: SurveySpec, values: Population) -> frozenset[str]:
    """Return the items whose responses are not normal because of the section ``distribution``."""
    asked = spec.distribution
    if asked is None:
        return frozenset()
    if asked.items is not None:
        return frozenset(i for i in values.items if not asked.items.of(i, survey.scale_of(i)).normal)
    return _reached(values, {name for name, own in asked.latents.items() if not own.normal})


def _reached(values: Population, sources: set[str]) -> frozenset[str]:
    """Return the items that any of these nodes leads to."""
    reached = set(sources)
    for name in values.order:
        if any(outcome == name and b in reached for outcome, b, _ in values.paths):
            reached.add(name)
    return frozenset(item for latent, item, _ in values.loadings if latent in reached)


def check_shares(spec: SimulationSpec, survey: SurveySpec, values: Population, items: Sequence[str]) -> None:
    """Refuse asked shares of answers where the response is not normal, as the cut points would give others.

    Raises
    ------
    SpecError
        Names the item and why its response is not normal.
    """
    sources: Mapping[str, frozenset[str]] = {
        "the section 'distribution'": uneven_items(spec, survey, values),
        "products": _reached(values, {x.outcome for x in values.interactions}),
        "predictors with categories": _reached(
            values, {c for c in values.covariates if c in spec.facts and spec.facts[c].shares is not None}
        ),
    }
    for item in items:
        scale = survey.scale_of(item)
        if spec.shape(item, scale).shares is None:
            continue
        at: Location = ("response",)
        if item in spec.response.items:
            at = ("response", "items", item)
        elif scale in spec.response.scales:
            at = ("response", "scales", scale)
        for why, uneven in sources.items():
            if item in uneven:
                raise spec.error(
                    (*at, "shares"),
                    f"shares of the answers to '{item}' cannot be asked for: its response is not normal ({why})",
                    hint="Give thresholds, or mean and sd.",
                )


def note(spec: SimulationSpec, values: Population) -> str | None:
    """Return what the section ``distribution`` means for the data, or None without one."""
    asked = spec.distribution
    if asked is None:
        return None
    if asked.items is not None:
        how = {
            "vale-maurelli": "polynomials of normal variables (Vale & Maurelli 1983)",
            "independent": "independent generators (Foldnes & Olsson 2016)",
        }[asked.items.method]
        return f"responses have the asked skew and kurtosis, as {how}"
    listing = ", ".join(f"{name} (skew {own.skew:g}, kurtosis {own.kurtosis:g})" for name, own in asked.latents.items())
    return f"not normal, apart from what predictors explain: {listing}"
