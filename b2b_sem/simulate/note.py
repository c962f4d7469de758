"""What is said of simulated respondents: how they were drawn, and how far that bends what a fit finds."""

from __future__ import annotations

import math

import pandas as pd

from b2b_sem.simulate import nonresponse
from b2b_sem.simulate.cluster import icc_table
from b2b_sem.simulate.draw import Plan
from b2b_sem.simulate.uneven import note
from b2b_sem.spec.method import METHOD_FACTOR

__all__ = ["intraclass", "notes"]


def intraclass(plan: Plan) -> pd.DataFrame | None:
    """Return the intraclass correlations of the population, or of each level; None without clusters."""
    if not plan.levels:
        return None if plan.clustered[0] is None else icc_table(plan.population, plan.clustered[0])
    tables = [
        icc_table(level.population, own).assign(group=level.name)
        for level, own in zip(plan.levels, plan.clustered, strict=True)
        if own is not None and level.name
    ]
    return pd.concat(tables, ignore_index=True)[["name", "group", "icc"]] if tables else None


def notes(plan: Plan, n: int, seed: int, frame: pd.DataFrame) -> tuple[str, ...]:
    """Return what was drawn, and how far rounding, carelessness and the like bend what a fit finds."""
    response = plan.spec.response
    found = [f"{n} simulated respondents from the population '{plan.spec.id}', seed {seed}"]
    if plan.fact is not None and plan.spec.groups is not None:
        sizes = [(level.name, int(frame[plan.fact].isin(level.codes).sum())) for level in plan.levels]
        listing = ", ".join(f"{name or 'in no level'} {size}" for name, size in sizes)
        found.append(f"the groups of '{plan.spec.groups.split}' differ in the population: {listing}")
    if response.type == "ordinal":
        every = [level.population for level in plan.levels] or [plan.population]
        factors = [value for values in every for value in plan.factors(values).values() if not math.isnan(value)]
        low, high = min(factors, default=math.nan), max(factors, default=math.nan)
        if len(factors) < len(every) * len(plan.items):
            found.append(
                "answers are whole numbers: no loadings are expected of items whose responses are not normal; "
                "relations between latents keep about their size (within 6 %), except where strong skews of opposite "
                "sign meet: there they can come out a quarter stronger"
            )
    if response.type == "ordinal" and factors:
        found.append(
            f"answers are whole numbers: standardized loadings come out {low:.2f} to {high:.2f} times those of the "
            f"population, correlations between items {low * low:.2f} to {high * high:.2f} times; relations between "
            "latents keep their size"
        )
    if (uneven := note(plan.spec, plan.population)) is not None:
        found.append(uneven)
    absent = [scale for scale in plan.survey.scales if not set(plan.survey.items(scale)) & set(plan.items)]
    if absent:
        found.append(f"scales of the survey that the population does not contain were not drawn: {', '.join(absent)}")
    if response.missing_rate:
        found.append(f"{response.missing_rate:.1%} of the answers are missing completely at random")
    if own := [value for latent, _, value in plan.population.loadings if latent == METHOD_FACTOR]:
        low, high = (f(value * value for value in own) for f in (min, max))
        shares = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
        found.append(
            f"{shares} of the variance of {len(own)} responses is common method variance: estimates of a model without "
            "a method factor will differ from the truth"
        )
    if (icc := intraclass(plan)) is not None and plan.spec.clusters is not None:
        low, high, name = icc["icc"].min(), icc["icc"].max(), plan.spec.clusters.name
        found.append(
            f"{frame[name].nunique()} clusters ('{name}'): {low:.1%} to {high:.1%} "
            "of the variances of latents and responses lie between them"
        )
    if plan.spec.missing is not None:
        found += nonresponse.note(plan.spec.missing)
    if (straight := response.straight) is not None:
        run = f"{straight.length} questions in a row" if straight.length else "all questions after one another"
        found.append(
            f"{straight.share:.1%} of the respondents give the same answer to {run}: estimates will differ from "
            "the truth"
        )
    if response.careless_share:
        found.append(
            f"{response.careless_share:.1%} of the respondents answer at random: estimates will differ from the truth"
        )
    return tuple(found)
