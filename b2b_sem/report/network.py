"""What a path diagram shows, before anything has a place: nodes, paths, covariances, products that moderate paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from b2b_sem.report.structure import (
    PathEstimate,
    exogenous_covariances,
    item_loadings,
    residual_variances,
    structural_paths,
)
from b2b_sem.results.fit import FitResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.verdict import Verdict

__all__ = ["Item", "Moderation", "Network", "Node", "network_of"]


@dataclass(frozen=True)
class Item:
    """An indicator that hangs on one latent variable: its loading and its residual variance (None without one)."""

    name: str
    loading: PathEstimate
    residual: PathEstimate | None


@dataclass(frozen=True)
class Node:
    """A variable that takes part in the structure.

    `residual` is the variance of its disturbance where something leads to it; `items` are there in full diagrams.
    """

    code: str
    name: str
    latent: bool
    r2: float | None
    residual: PathEstimate | None = None
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Moderation:
    """A variable that changes the effect of `predictor`: the estimate leads from it to the outcome."""

    estimate: PathEstimate
    predictor: str

    @property
    def moderator(self) -> str:
        """The variable at the blunt end of the arrow."""
        return self.estimate.source

    @property
    def edge(self) -> tuple[str, str]:
        """The path on which the arrow ends."""
        return self.predictor, self.estimate.target


@dataclass(frozen=True)
class Network:
    """Everything that may be drawn of one group.

    Attributes
    ----------
    nodes, paths, covariances, moderations : tuples
        Paths include loadings of factors and of variables that take part in regressions; covariances are those of
        nodes that are not fixed to zero.
    item_covariances : tuple of PathEstimate
        Among indicators, or between one and a node.
    usable : bool
        Whether numbers may be shown.
    label : str
        Of the group; empty without groups.
    apart : tuple of str
        Moderations taken from models of their own, by id.
    """

    nodes: tuple[Node, ...]
    paths: tuple[PathEstimate, ...]
    covariances: tuple[PathEstimate, ...]
    moderations: tuple[Moderation, ...]
    item_covariances: tuple[PathEstimate, ...]
    usable: bool
    label: str = ""
    apart: tuple[str, ...] = ()


def network_of(
    fit: FitResult,
    *,
    verdicts: Iterable[Verdict] = (),
    claims: Iterable[ModerationClaim] = (),
    names: Mapping[str, str] | None = None,
    group: int | None = None,
    full: bool = False,
) -> Network:
    """Return what a diagram of one group of a fit shows.

    Parameters
    ----------
    fit : FitResult
    verdicts : iterable of Verdict
    claims : iterable of ModerationClaim
        Moderations that were tested with models of their own; those that gave an answer are added.
    names : mapping of code to name, optional
    group : int, optional
        Number of the group, from 1; default the first.
    full : bool
        With indicators and disturbances.
    """
    verdicts = tuple(verdicts)
    names = names or {}
    label = fit.groups[(group or 1) - 1] if fit.groups else ""
    rows = structural_paths(fit, verdicts, group)
    products = {r.source for r in rows if ":" in r.source}
    paths = [r for r in rows if ":" not in r.source and ":" not in r.target]
    moderations, others = _moderations([r for r in rows if r.source in products], paths, verdicts)
    paths += others  # products of which no factor has a path of its own
    dropped = {m.estimate_product for m in moderations}
    latents = [n for n in fit.model.latents if n not in dropped]
    involved = dict.fromkeys([*latents, *(n for p in paths for n in (p.source, p.target))])
    found = [m.moderation for m in moderations]
    involved |= dict.fromkeys(m.moderator for m in found)
    apart = []
    for claim in claims:
        moderation = _claimed(claim, verdicts, found, {(p.source, p.target) for p in paths})
        if moderation is not None:
            found.append(moderation)
            apart.append(claim.id)
            involved |= dict.fromkeys([moderation.moderator])
    if not paths and not latents:
        involved = dict.fromkeys(fit.model.observed)

    own = set(fit.model.latents) | {m.moderator for m in found if m.moderator not in fit.model.observed}
    loadings = item_loadings(fit, group)
    paths += [r for r in loadings if r.target in involved and r.source in involved]
    items = [r for r in loadings if r.target not in involved and r.source in involved] if full else []
    home: dict[str, PathEstimate] = {}
    further = [r for r in items if home.setdefault(r.target, r) is not r]
    residuals = residual_variances(fit, group) if full else {}
    ends = {p.target for p in paths} | {m.estimate.target for m in found}
    r2 = fit.r2.get(label, {}) if fit.groups else fit.r2
    nodes = tuple(
        Node(
            code,
            names.get(code, ""),
            code in own,
            r2.get(code),
            residuals.get(code) if code in ends else None,
            tuple(Item(r.target, r, residuals.get(r.target)) for r in home.values() if r.source == code),
        )
        for code in involved
    )
    everything = [*involved, *home]
    covariances = [c for c in exogenous_covariances(fit, everything, group) if c.est != 0]
    return Network(
        nodes=nodes,
        paths=tuple(paths),
        covariances=tuple(c for c in covariances if c.source in involved and c.target in involved),
        moderations=tuple(found),
        item_covariances=(*(c for c in covariances if {c.source, c.target} & set(home)), *further),
        usable=fit.ok,
        label=label,
        apart=tuple(apart),
    )


@dataclass(frozen=True)
class _Found:
    moderation: Moderation
    estimate_product: str


def _moderations(
    rows: list[PathEstimate], paths: list[PathEstimate], verdicts: tuple[Verdict, ...]
) -> tuple[list[_Found], list[PathEstimate]]:
    """Split products into those that moderate a path of the model, and the rest.

    The first factor that has a path to the outcome is the one whose effect is moderated, unless a proposition says
    otherwise.
    """
    drawn = {(p.source, p.target) for p in paths}
    found, rest = [], []
    for row in rows:
        factors = row.source.split(":")
        verdict = next((v for v in verdicts if _claims(v, factors, row.target)), None)
        order = factors if verdict is None else sorted(factors, key=lambda f: f not in verdict.path.split(" x ")[0])
        focal = next((f for f in order if (f, row.target) in drawn), None)
        if focal is None or len(factors) != 2:
            rest.append(row)
            continue
        moderator = factors[1] if factors[0] == focal else factors[0]
        estimate = replace(row, source=moderator, kind="moderation", proposition=verdict)
        found.append(_Found(Moderation(estimate, focal), row.source))
    kept = {r.source for r in rest}
    return [f for f in found if f.estimate_product not in kept], rest


def _claims(verdict: Verdict, factors: list[str], outcome: str) -> bool:
    left, _, right = (part.strip() for part in verdict.path.partition("->"))
    return verdict.test == "moderation" and right == outcome and {p.strip() for p in left.split(" x ")} == set(factors)


def _claimed(
    claim: ModerationClaim, verdicts: tuple[Verdict, ...], found: list[Moderation], drawn: set[tuple[str, str]]
) -> Moderation | None:
    """Return a moderation from a model of its own, if it has numbers and the path it acts on is drawn."""
    row = claim.row
    edge = (claim.predictor, claim.outcome)
    known = any(m.edge == edge and m.moderator == claim.moderator for m in found)
    if known or not claim.ok or not row or edge not in drawn or not math.isfinite(row.get("std", math.nan)):
        return None
    verdict = next((v for v in verdicts if v.id == claim.id), None)
    estimate = PathEstimate(
        source=claim.moderator,
        target=claim.outcome,
        kind="moderation",
        est=row["est"],
        se=row["se"],
        pvalue=row["pvalue"],
        std=row["std"],
        ci_lower=row["std_lower"],
        ci_upper=row["std_upper"],
        proposition=verdict,
    )
    return Moderation(estimate, claim.predictor)
