"""What a finished ladder of invariance allows: statements, and latent means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.ladder import LEAST_EQUAL, Ladder, estimates_of
from b2b_sem.measures.equivalence import mean_effect
from b2b_sem.spec.measurement import MeasurementModel

__all__ = ["comparable", "latent_means"]


def comparable(ladder: Ladder, operator: Mapping[str, str]) -> tuple[str, ...]:
    """Say what may be compared.

    Parameters
    ----------
    ladder : Ladder
        Its plan has steps called configural, metric, scalar and strict.
    operator : mapping of str to str
        What marks a released equality of each kind.
    """
    exempt, names = ladder.exempt, list(ladder.plan.steps)
    reached = {name: ladder.reached >= i for i, name in enumerate(names)}
    released = {kind: [n for n in exempt if sign in n] for kind, sign in operator.items()}
    out = []
    if not reached["configural"]:
        out.append("Nothing may be compared: the model does not describe the answers of all groups.")
    else:
        out.append("The same items measure the same latent variables in all groups (configural invariance).")
    if reached["metric"]:
        but = f", except {', '.join(released['loadings'])}" if released["loadings"] else ""
        out.append(f"Paths, covariances and variances of latent variables may be compared: loadings are equal{but}.")
    elif reached["configural"]:
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
    at, sizes = estimates_of(found), found.group_tests["nobs"].tolist()
    out = []
    for latent in measured.items:
        first, own = at[1, latent, "~1", ""], at[1, latent, "~~", latent]
        for g, label in enumerate(found.groups[1:], 2):
            row, variance = at[g, latent, "~1", ""], at[g, latent, "~~", latent]
            d = mean_effect(first["est"], own["est"], sizes[0], row["est"], variance["est"], sizes[g - 1])
            numbers = {name: row[name] for name in ("est", "se", "z", "pvalue", "ci_lower", "ci_upper")}
            out.append({"latent": latent, "group": label, **numbers, "d": d})
    return out
