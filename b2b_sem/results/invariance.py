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
        lines = [
            f"Measurement invariance across {self.group}: {sizes}",
            f"Estimator {self.estimator}, missing answers: {self.missing}. Criteria: {self.criteria} ({self.source}); "
            f"{kind}CFI and RMSEA.",
            "",
            _table(self._steps.drop(columns=["npar", "aic", "bic", "reason"])),
            "",
        ]
        for step, reason, holds in self._steps[["step", "reason", "holds"]].itertuples(index=False):
            lines += _wrapped(f"{step}: {'holds' if holds else 'does not hold'}: {reason}.")
        if len(self._releases):
            shown = ["step", "parameter", "chisq", "df", "pvalue_fdr", "cfi", "holds", "reason"]
            lines += ["", "Released parameters, in order:", _table(self._releases[shown])]
        if len(self._effects):
            head = f"Items that work differently (dMACS; against {next(iter(self.groups))}):"
            lines += ["", head, _table(self._effects)]
        if len(self._means):
            lines += ["", f"Latent means minus those of {next(iter(self.groups))}:", _table(self._means)]
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
        )


def _table(frame: pd.DataFrame) -> str:
    return frame.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.3f}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
