"""What a finished ladder of invariance allows: statements, latent means, and how differently items work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.ladder import LEAST_EQUAL, Ladder, estimates_of
from b2b_sem.measures.equivalence import drift, mean_effect
from b2b_sem.spec.measurement import MeasurementModel

__all__ = ["Estimates", "comparable", "drift_effects", "effect_rows", "group_sizes", "latent_means", "mean_rows"]

#: Rows of the parameters by group (or wave) from 1, lhs, op, rhs.
Estimates = Mapping[tuple[int, str, str, str], Mapping[Any, Any]]


def comparable(
    ladder: Ladder, operator: Mapping[str, str], noun: str = "groups", untested: Sequence[str] = ()
) -> tuple[str, ...]:
    """Say what may be compared.

    Parameters
    ----------
    ladder : Ladder
        Its plan has steps called configural, metric, scalar and strict.
    operator : mapping of str to str
        What marks a released equality of each kind.
    noun : str
        What is compared.
    untested : sequence of str
        Latent variables whose loadings the metric step does not test.
    """
    exempt, names = ladder.exempt, list(ladder.plan.steps)
    reached = {name: ladder.reached >= i for i, name in enumerate(names)}
    released = {kind: [n for n in exempt if sign in n] for kind, sign in operator.items()}
    out = []
    if not reached["configural"]:
        out.append(f"Nothing may be compared: the model does not describe the answers of all {noun}.")
    else:
        out.append(f"The same items measure the same latent variables in all {noun} (configural invariance).")
    unsure = untested if reached["metric"] and not reached["scalar"] else ()
    if unsure:
        what = "latent variables" if len(unsure) == len(ladder.plan.measured.items) else ", ".join(unsure)
        out.append(
            f"Paths, covariances and variances of {what} may not be compared: loadings of items with two categories "
            "can only be tested together with thresholds and intercepts (scalar)."
        )
    if reached["metric"] and len(unsure) < len(ladder.plan.measured.items):
        but = f", except {', '.join(released['loadings'])}" if released["loadings"] else ""
        which = "other latent variables" if unsure else "latent variables"
        out.append(f"Paths, covariances and variances of {which} may be compared: loadings are equal{but}.")
    if reached["configural"] and not reached["metric"]:
        out.append("Paths, covariances and variances of latent variables may not be compared: no equal loadings.")
    if reached["scalar"]:
        levels = [*released.get("thresholds", ()), *released["intercepts"]]
        but = f", except {', '.join(levels)}" if levels else ""
        what = "thresholds and intercepts" if "thresholds" in operator else "intercepts"
        out.append(f"Latent means may be compared: {what} are equal{but}.")
    elif reached["configural"]:
        out.append("Latent means may not be compared: equal intercepts were not established.")
    if reached["strict"] and not exempt:
        out.append("Sums and means of observed answers may be compared: all parameters of the items are equal.")
    elif reached["configural"]:
        why = "strict invariance does not hold"
        if reached["scalar"] and exempt:
            why = "some items work differently"
        if ladder.stopped == "" and not reached["strict"]:
            why = "strict invariance was not tested"
        out.append(f"Sums and means of observed answers may not be compared: {why}.")
    for latent in ladder.plan.measured.items:
        equal = ladder.plan.equal_items(latent, exempt)
        if reached["metric"] and len(equal) < LEAST_EQUAL:
            out.append(
                f"{latent} has {len(equal)} item{'' if len(equal) == 1 else 's'} with equal parameters: that these "
                "are equal cannot be tested by the data."
            )
    return tuple(out)


def latent_means(found: Fit, measured: MeasurementModel) -> list[dict[str, Any]]:
    """Return the latent means of each group minus those of the first, in a model with equal intercepts."""
    return mean_rows(estimates_of(found), group_sizes(found), measured)


def drift_effects(
    found: Fit, measured: MeasurementModel, exempt: Collection[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return dMACS of all items in each group, and notes about it; arguments are those of :func:`effect_rows`."""
    covs = [found.sample()[label]["cov"] for label in found.groups]
    return effect_rows(estimates_of(found), group_sizes(found), covs, measured, exempt)


def group_sizes(found: Fit) -> dict[str, int]:
    """Return labels and numbers of rows of the groups."""
    return dict(zip(found.groups, map(int, found.group_tests["nobs"]), strict=True))


def mean_rows(at: Estimates, groups: Mapping[str, int], measured: MeasurementModel) -> list[dict[str, Any]]:
    """Return the latent means of all groups but the first.

    Parameters
    ----------
    at : mapping of (group, lhs, op, rhs) to rows
    groups : mapping of str to int
        Labels and sizes.
    measured : MeasurementModel
    """
    out, sizes = [], list(groups.values())
    for latent in measured.items:
        first, own = at[1, latent, "~1", ""], at[1, latent, "~~", latent]
        for g, label in enumerate(list(groups)[1:], 2):
            row, variance = at[g, latent, "~1", ""], at[g, latent, "~~", latent]
            d = mean_effect(first["est"], own["est"], sizes[0], row["est"], variance["est"], sizes[g - 1])
            numbers = {name: row[name] for name in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")}
            out.append({"latent": latent, "group": label, **numbers, "d": d})
    return out


def effect_rows(
    at: Estimates,
    groups: Mapping[str, int],
    covs: Sequence[pd.DataFrame],
    measured: MeasurementModel,
    exempt: Collection[str],
    noun: str = "groups",
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return dMACS of all items from the configural model, its scales linked by one item of each latent variable.

    Parameters
    ----------
    at : mapping of (group, lhs, op, rhs) to rows
    groups : mapping of str to int
        Labels and sizes.
    covs : sequence of DataFrame
        Sample covariances of the items in each group, with divisor n.
    measured : MeasurementModel
    exempt : collection of str
        Released parameters.
    noun : str
        What is compared.

    Returns
    -------
    rows, notes
    """
    factor, sizes = measured.factor, list(groups.values())
    sds = [
        pd.Series(np.sqrt(np.diag(cov.to_numpy()) * n / (n - 1)), index=cov.index)
        for cov, n in zip(covs, sizes, strict=True)
    ]
    out, crossed = [], []
    for latent, items in measured.items.items():
        single = [i for i in items if factor.get(i) == latent]
        crossed += [i for i in items if i not in factor and i not in crossed]
        free = [i for i in single if f"{latent}=~{i}" not in exempt and f"{i}~1" not in exempt]
        if len(single) < 2:
            continue
        referent = (free or single)[0]

        def line(g: int, item: str, latent: str = latent) -> tuple[float, float]:
            return at[g, latent, "=~", item]["est"], at[g, item, "~1", ""]["est"]

        for g, label in enumerate(list(groups)[1:], 2):
            (slope1, level1), (slope2, level2) = line(1, referent), line(g, referent)
            # the group's latent variable on the scale of the first group: mean + spread * eta
            mean, spread = (level2 - level1) / slope1, slope2 / slope1
            for item in single:
                loading, intercept = line(g, item)
                loading /= spread
                weights = np.array([sizes[0] - 1, sizes[g - 1] - 1], dtype=float)
                sd = float(np.average([sds[0][item], sds[g - 1][item]], weights=weights))
                size = drift(*line(1, item), loading, intercept - loading * mean, mean, spread**2, sd)
                row = {"latent": latent, "item": item, "group": label, "referent": referent}
                out.append({**row, "dmacs": size.dmacs, "signed": size.signed})
    notes = [
        f"dMACS compares the expected answers of two {noun} over the latent distribution of the second, in standard "
        "deviations of the item; scales are linked by the referent, whose own difference is 0 by construction."
    ]
    if crossed:
        notes.append(f"No dMACS for items of several latent variables: {', '.join(crossed)}.")
    return out, notes if out else notes[1:]
