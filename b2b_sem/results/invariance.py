"""Whether groups may be compared: the result of ``b2b_sem.invariance``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pandas as pd

from b2b_sem.errors import Unsupported, did_you_mean
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import frame_from_records, plain, records
from b2b_sem.results.text import TextKind, text_table

__all__ = ["EFFECT_COLUMNS", "MEAN_COLUMNS", "RELEASE_COLUMNS", "STEP_COLUMNS", "TEST_COLUMNS", "InvarianceResult"]

STEP_COLUMNS = (
    "step",
    "partial",
    "npar",
    "chisq",
    "df",
    "pvalue",
    "cfi",
    "rmsea",
    "srmr",
    "aic",
    "bic",
    "chisq_diff",
    "df_diff",
    "pvalue_diff",
    "cfi_change",
    "rmsea_change",
    "srmr_change",
    "holds",
    "reason",
)
TEST_COLUMNS = ("step", "round", "parameter", "latent", "item", "chisq", "df", "pvalue", "pvalue_fdr")
RELEASE_COLUMNS = (*TEST_COLUMNS, "tests", "reason", "model_chisq", "model_df", "cfi", "rmsea", "srmr", "holds")
EFFECT_COLUMNS = ("latent", "item", "group", "referent", "dmacs", "signed")
MEAN_COLUMNS = ("latent", "group", "est", "se", "z", "pvalue", "ci_lower", "ci_upper", "d")
_WIDTH = 100
_FIT: tuple[tuple[str, str, TextKind], ...] = (
    ("step", "step", "text"),
    ("partial", "released", "count"),
    ("chisq", "chisq", "number"),
    ("df", "df", "count"),
    ("pvalue", "p", "p"),
    ("cfi", "cfi", "number"),
    ("rmsea", "rmsea", "number"),
    ("srmr", "srmr", "number"),
)
_CHANGE: tuple[tuple[str, str, TextKind], ...] = (
    ("step", "step", "text"),
    ("chisq_diff", "chisq", "number"),
    ("df_diff", "df", "count"),
    ("pvalue_diff", "p", "p"),
    ("cfi_change", "cfi", "number"),
    ("rmsea_change", "rmsea", "number"),
    ("srmr_change", "srmr", "number"),
    ("holds", "holds", "flag"),
)
_RELEASE: tuple[tuple[str, str, TextKind], ...] = (
    ("step", "step", "text"),
    ("parameter", "parameter", "text"),
    ("chisq", "chisq", "number"),
    ("df", "df", "count"),
    ("pvalue_fdr", "p", "p"),
    ("cfi", "cfi then", "number"),
    ("holds", "holds then", "flag"),
    ("reason", "reason", "text"),
)
_EFFECT: tuple[tuple[str, str, TextKind], ...] = (
    ("latent", "latent", "text"),
    ("item", "item", "text"),
    ("group", "group", "text"),
    ("referent", "referent", "text"),
    ("dmacs", "dmacs", "number"),
    ("signed", "signed", "number"),
)
_MEAN: tuple[tuple[str, str, TextKind], ...] = (
    ("latent", "latent", "text"),
    ("group", "group", "text"),
    ("est", "est", "number"),
    ("se", "se", "number"),
    ("z", "z", "number"),
    ("pvalue", "p", "p"),
    ("ci", "95% CI", "interval"),
    ("d", "d", "number"),
)


@dataclass(frozen=True, eq=False)
class InvarianceResult:
    """The ladder of invariance, step by step, and what it allows.

    Attributes
    ----------
    group : str
        Column that tells groups, or waves of long data, apart; "waves" for waves of wide data.
    groups : mapping of str to int
        Labels and numbers of rows, in the order of appearance; the first group is the one others are compared with. Of
        waves: how many gave an answer in each.
    model : str
        The measurement model.
    estimator, missing : str
    criteria, source : str
        Name and source of the limits.
    indices : str
        Which CFI and RMSEA are compared: "", "scaled" or "robust".
    holds : str
        The last step that holds, "" if none does.
    stopped : str
        The step that does not hold, "" if all do.
    statements : tuple of str
        What may be compared, and what not.
    notes, warnings : tuple of str
    limits : mapping of str to float
        The limits by the names of ``b2b_sem.measures.equivalence.Criteria``: only those that the criteria have.
    """

    group: str
    groups: Mapping[str, int]
    model: str
    estimator: str
    missing: str
    criteria: str
    source: str
    indices: str
    holds: str
    stopped: str
    statements: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    _steps: pd.DataFrame = field(repr=False)
    _tests: pd.DataFrame = field(repr=False)
    _releases: pd.DataFrame = field(repr=False)
    _effects: pd.DataFrame = field(repr=False)
    _means: pd.DataFrame = field(repr=False)
    _fits: Mapping[str, FitResult] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    limits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def steps(self) -> pd.DataFrame:
        """One row a model.

        step, partial (number of released parameters), npar, chisq, df, pvalue (scaled where the estimator scales),
        cfi, rmsea, srmr, aic, bic; chisq_diff, df_diff, pvalue_diff and the changes of the indices against the last
        model that held; holds, reason.
        """
        return self._steps.copy()

    @property
    def tests(self) -> pd.DataFrame:
        """Score tests of all equalities of a step that failed, in each round of releases.

        step, round, parameter, latent, item, chisq, df, pvalue, pvalue_fdr (Benjamini-Hochberg within the round).
        """
        return self._tests.copy()

    @property
    def releases(self) -> pd.DataFrame:
        """Parameters that were released, in order: the test, why, and the fit of the model afterwards."""
        return self._releases.copy()

    @property
    def effects(self) -> pd.DataFrame:
        """How differently each item works in a group than in the first: latent item group referent dmacs signed."""
        return self._effects.copy()

    @property
    def means(self) -> pd.DataFrame:
        """Latent means of the groups minus those of the first group; empty without (partial) scalar invariance.

        est is in standard deviations of the first group; d in pooled ones.
        """
        return self._means.copy()

    def fit(self, step: str) -> FitResult:
        """Return the fit of a step, the partial one where parameters were released.

        Raises
        ------
        Unsupported
            If the step was not fitted, or the result was read from a file.
        """
        if step not in self._fits:
            what = "a result read from a file has no fits" if not self._fits else f"there is no fit of '{step}'"
            hint = "run invariance() again" if not self._fits else f"fitted: {', '.join(self._fits)}"
            raise Unsupported(f"{what}.{did_you_mean(step, self._fits)}", hint=hint)
        return self._fits[step]

    def summary(self) -> str:
        """Return the result as text."""
        sizes = ", ".join(f"{label} (n = {n})" for label, n in self.groups.items())
        kind = f"{self.indices} " if self.indices else ""
        steps = self._steps.to_dict("records")
        lines = [
            *_wrapped(f"Measurement invariance across {self.group}: {sizes}"),
            *_wrapped(
                f"Estimator {self.estimator}, missing answers: {self.missing}. Criteria: {self.criteria} "
                f"({self.source}); {kind}CFI and RMSEA."
            ),
            "",
            "Fit of each step:",
            text_table(steps, _FIT),
            "",
            "Changes from the last step that held:",
            text_table(steps, _CHANGE),
            "",
        ]
        for step, reason, holds in self._steps[["step", "reason", "holds"]].itertuples(index=False):
            lines += _wrapped(f"{step}: {'holds' if holds else 'does not hold'}: {reason}.")
        if len(self._releases):
            released = self._releases.to_dict("records")
            lines += ["", "Released parameters, in order (score tests, p adjusted):", text_table(released, _RELEASE)]
        if len(self._effects):
            head = f"Items that work differently (dMACS; against {next(iter(self.groups))}):"
            lines += ["", head, text_table(self._effects.to_dict("records"), _EFFECT)]
        if len(self._means):
            means = text_table(self._means.to_dict("records"), _MEAN)
            lines += ["", f"Latent means minus those of {next(iter(self.groups))}:", means]
        lines.append("")
        for text in (*self.statements, *self.warnings, *self.notes):
            lines += _wrapped(text)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; ``from_json`` rebuilds the result without its fits."""
        head = {
            name: getattr(self, name)
            for name in (
                "group",
                "groups",
                "model",
                "estimator",
                "missing",
                "criteria",
                "source",
                "indices",
                "holds",
                "stopped",
                "statements",
                "notes",
                "warnings",
            )
        }
        out: dict[str, Any] = plain(head)
        out["limits"] = plain(dict(self.limits))
        for name in ("steps", "tests", "releases", "effects", "means"):
            out[name] = records(getattr(self, f"_{name}"))
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> InvarianceResult:
        """Rebuild a result from the output of ``to_json``."""
        return cls(
            group=data["group"],
            groups=MappingProxyType({label: int(n) for label, n in data["groups"].items()}),
            model=data["model"],
            estimator=data["estimator"],
            missing=data["missing"],
            criteria=data["criteria"],
            source=data["source"],
            indices=data["indices"],
            holds=data["holds"],
            stopped=data["stopped"],
            statements=tuple(data["statements"]),
            notes=tuple(data["notes"]),
            warnings=tuple(data["warnings"]),
            _steps=frame_from_records(data["steps"], STEP_COLUMNS),
            _tests=frame_from_records(data["tests"], TEST_COLUMNS),
            _releases=frame_from_records(data["releases"], RELEASE_COLUMNS),
            _effects=frame_from_records(data["effects"], EFFECT_COLUMNS),
            _means=frame_from_records(data["means"], MEAN_COLUMNS),
            limits=MappingProxyType({k: float(v) for k, v in (data.get("limits") or {}).items()}),
        )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
