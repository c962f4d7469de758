"""The structural part of a fit as a list of paths, each with its test, its interval and the verdict on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from b2b_sem.results.fit import FitResult
from b2b_sem.results.verdict import Verdict

__all__ = [
    "PathEstimate",
    "ends",
    "exogenous_covariances",
    "item_loadings",
    "residual_variances",
    "structural_paths",
]


@dataclass(frozen=True)
class PathEstimate:
    """One directed path.

    Attributes
    ----------
    source, target : str
    kind : str
        ``"path"`` (a regression), ``"loading"`` (a factor that measures factors) or ``"covariance"``.
    est, se, pvalue : float
        Unstandardized coefficient and its test.
    std, ci_lower, ci_upper : float
        Completely standardized coefficient and its interval.
    proposition : Verdict or None
        The proposition about this path, if there is one.
    """

    source: str
    target: str
    kind: str
    est: float
    se: float
    pvalue: float
    std: float
    ci_lower: float
    ci_upper: float
    proposition: Verdict | None = None

    @property
    def p(self) -> float:
        """The p-value decisions rest on: adjusted where a proposition is tested, else the raw one."""
        return self.pvalue if self.proposition is None else self.proposition.p_adjusted


def ends(path: str) -> tuple[str, str] | None:
    """Return source and target of ``"NR -> PC"``, or None for any other kind of path (products, chains)."""
    parts = [part.strip() for part in path.split("->")]
    if len(parts) != 2 or not all(part.isidentifier() or part.replace(".", "_").isidentifier() for part in parts):
        return None
    return parts[0], parts[1]


def structural_paths(
    fit: FitResult, verdicts: Iterable[Verdict] = (), group: int | None = None
) -> tuple[PathEstimate, ...]:
    """Return regressions and second-order loadings in model order, of one group (default: the first).

    A verdict belongs to a path when its test is ``path`` and its path names the same two variables.
    """
    owners = {pair: v for v in verdicts if v.test == "path" and (pair := ends(v.path)) is not None}
    latents = set(fit.model.latents)
    out = []
    for row in _rows(fit, group):
        if row["op"] == "~":
            source, target, kind = row["rhs"], row["lhs"], "path"
        elif row["op"] == "=~" and row["rhs"] in latents:
            source, target, kind = row["lhs"], row["rhs"], "loading"
        else:
            continue
        out.append(_estimate(row, source, target, kind, owners.get((source, target)) if kind == "path" else None))
    return tuple(out)


def exogenous_covariances(fit: FitResult, names: Iterable[str], group: int | None = None) -> tuple[PathEstimate, ...]:
    """Return the covariances (of residuals, where endogenous) between different variables of `names`."""
    wanted = set(names)
    return tuple(
        _estimate(row, row["lhs"], row["rhs"], "covariance", None)
        for row in _rows(fit, group)
        if row["op"] == "~~" and row["lhs"] != row["rhs"] and {row["lhs"], row["rhs"]} <= wanted
    )


def item_loadings(fit: FitResult, group: int | None = None) -> tuple[PathEstimate, ...]:
    """Return the loadings of observed variables in model order."""
    latents = set(fit.model.latents)
    return tuple(
        _estimate(row, row["lhs"], row["rhs"], "loading", None)
        for row in _rows(fit, group)
        if row["op"] == "=~" and row["rhs"] not in latents
    )


def residual_variances(fit: FitResult, group: int | None = None) -> dict[str, PathEstimate]:
    """Return the variance (of the residual, where something leads to it) of each variable that has a row."""
    return {
        row["lhs"]: _estimate(row, row["lhs"], row["lhs"], "variance", None)
        for row in _rows(fit, group)
        if row["op"] == "~~" and row["lhs"] == row["rhs"]
    }


def _rows(fit: FitResult, group: int | None = None) -> list[dict]:
    key = ["lhs", "op", "rhs", "group"]
    both = fit.parameters[[*key, "est", "se", "pvalue"]].merge(
        fit.standardized()[[*key, "est_std", "ci_lower", "ci_upper"]], on=key, how="left"
    )
    rows = both.to_dict("records")
    wanted = group if group is not None else rows[0]["group"] if rows else None
    return [r for r in rows if r["group"] == wanted]


def _estimate(row: dict, source: str, target: str, kind: str, verdict: Verdict | None) -> PathEstimate:
    return PathEstimate(
        source=source,
        target=target,
        kind=kind,
        est=row["est"],
        se=row["se"],
        pvalue=row["pvalue"],
        std=row["est_std"],
        ci_lower=row["ci_lower"],
        ci_upper=row["ci_upper"],
        proposition=verdict,
    )
