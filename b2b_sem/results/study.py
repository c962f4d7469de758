"""The result of one study: sample, fit, scales, verdicts, rivals, and where it all came from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from b2b_sem.errors import DataError
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.cutoff import FitCutoffs
from b2b_sem.results.effect import EffectsResult
from b2b_sem.results.fit import FitResult
from b2b_sem.results.io import frame_from_records, plain, records, write_json
from b2b_sem.results.measurement import MeasurementResult
from b2b_sem.results.missingness import MissingnessResult
from b2b_sem.results.moderation_claim import ModerationClaim
from b2b_sem.results.verdict import Verdict

__all__ = ["RESULTS_VERSION", "RivalResult", "SampleDescription", "StudyResult", "read_study_result"]

RESULTS_VERSION = 1


@dataclass(frozen=True)
class SampleDescription:
    """Who answered, and how the answers are distributed.

    Attributes
    ----------
    source : str
        The data file, or a sentence on the simulation.
    n_read, n_used, n_dropped : int
    items : DataFrame
        One row an indicator: name, scale, text, reverse, n, missing, mean, sd, min, max, skew, kurtosis
        (skew and excess kurtosis from moments with divisor n), categories (different answers given), floor, ceiling
        (percentages of the lowest and highest possible answer), empty, sparse (answers given never, and fewer than
        five times).
    background : tuple of (str, DataFrame)
        For each background variable: its label and a table category, n, percent.
    notes : tuple of str
        What was done while reading: dialect, reverse coding, missing codes, rows dropped.
    answers : DataFrame or None
        One row an item and possible answer: name, answer, label, n, percent. None in results of older versions.
    """

    source: str
    n_read: int
    n_used: int
    n_dropped: int
    items: pd.DataFrame
    background: tuple[tuple[str, pd.DataFrame], ...] = ()
    notes: tuple[str, ...] = ()
    answers: pd.DataFrame | None = None


@dataclass(frozen=True)
class RivalResult:
    """A rival model fitted to the same data.

    `relation` is ``"restricted"`` (the rival is nested in the main model), ``"extended"`` (the main model is nested
    in the rival), or ``"other"``; the chi-square difference is given only for nested models.
    """

    name: str
    title: str
    why: str
    fit: FitResult | None
    relation: str
    chisq_diff: float
    df_diff: int | None
    pvalue_diff: float
    message: str


@dataclass(frozen=True)
class StudyResult:
    """Everything one study found.

    Attributes
    ----------
    id, title : str
    study : mapping
        The study file's settings as plain types (alpha, multiplicity, level, analyses, data source, seed, ...).
    propositions_source : str
        Citation of the framework.
    fit : FitResult
    verdicts : tuple of Verdict
    measurement : MeasurementResult or None
    sample : SampleDescription
    rivals : tuple of RivalResult
    truth : DataFrame or None
        For simulated data: lhs, op, rhs, truth (standardized population value), est_std, ci_lower, ci_upper, covered.
        Of respondents whose groups differ, only values that hold in all groups.
    provenance : mapping
        versions, digests of the input files, seed, engine, platform, created (UTC).
    warnings : tuple of str
    effects : EffectsResult or None
        Direct, indirect and total effects, if the study asks for them.
    missingness : MissingnessResult or None
        Which answers are missing, if the study asks for it and there are answers to look at.
    comparisons : tuple of GroupComparison
        Groups of respondents, if the study compares any.
    ladders : tuple of GroupComparison
        Measurement invariance alone, without a comparison of paths, if the study asks for it.
    group_truth : DataFrame or None
        For simulated groups that were compared: split, quantity (path, mean, ...), name, group, reference, truth, est,
        ci_lower, ci_upper, covered.
    moderations : tuple of ModerationClaim
        Propositions on moderation, if the study asks for them.
    moderation_truth : DataFrame or None
        For simulated respondents: id, lhs, op, rhs, truth, est_std, ci_lower, ci_upper, covered of the equations with a
        product.
    fit_cutoffs : FitCutoffs or None
        Cut-offs of fit indices for this model, if the study asks for them.
    """

    id: str
    title: str
    study: Mapping[str, Any]
    propositions_source: str
    fit: FitResult
    verdicts: tuple[Verdict, ...]
    measurement: MeasurementResult | None
    sample: SampleDescription
    rivals: tuple[RivalResult, ...]
    truth: pd.DataFrame | None
    provenance: Mapping[str, Any]
    warnings: tuple[str, ...]
    effects: EffectsResult | None = None
    missingness: MissingnessResult | None = None
    comparisons: tuple[GroupComparison, ...] = ()
    ladders: tuple[GroupComparison, ...] = ()
    group_truth: pd.DataFrame | None = None
    moderations: tuple[ModerationClaim, ...] = ()
    moderation_truth: pd.DataFrame | None = None
    fit_cutoffs: FitCutoffs | None = None

    @property
    def ok(self) -> bool:
        """Whether the main fit may be interpreted."""
        return self.fit.ok

    def to_json(self) -> dict[str, Any]:
        """Return the whole result as plain JSON types; ``from_json`` rebuilds it."""
        fit = self.fit.to_json()
        return {
            "results_version": RESULTS_VERSION,
            "id": self.id,
            "title": self.title,
            # the keys every `--json` output of the command line has, at the same place
            **{
                k: fit[k]
                for k in (
                    "converged",
                    "estimator",
                    "engine",
                    "nobs",
                    "measures",
                    "parameters",
                    "standardized",
                    "r2",
                )
            },
            "warnings": list(self.warnings),
            "verdicts": [v.to_json() for v in self.verdicts],
            "propositions_source": self.propositions_source,
            "study": plain(self.study),
            "fit": fit,
            "measurement": None if self.measurement is None else self.measurement.to_json(),
            "effects": None if self.effects is None else self.effects.to_json(),
            "missingness": None if self.missingness is None else self.missingness.to_json(),
            "fit_cutoffs": None if self.fit_cutoffs is None else self.fit_cutoffs.to_json(),
            "comparisons": [c.to_json() for c in self.comparisons],
            "ladders": [c.to_json() for c in self.ladders],
            "moderations": [c.to_json() for c in self.moderations],
            "sample": {
                "source": self.sample.source,
                "n_read": self.sample.n_read,
                "n_used": self.sample.n_used,
                "n_dropped": self.sample.n_dropped,
                "items": records(self.sample.items),
                "background": [[label, records(t)] for label, t in self.sample.background],
                "notes": list(self.sample.notes),
                "answers": None if self.sample.answers is None else records(self.sample.answers),
            },
            "rivals": [
                {
                    "name": r.name,
                    "title": r.title,
                    "why": r.why,
                    "fit": None if r.fit is None else r.fit.to_json(),
                    "relation": r.relation,
                    "chisq_diff": plain(r.chisq_diff),
                    "df_diff": r.df_diff,
                    "pvalue_diff": plain(r.pvalue_diff),
                    "message": r.message,
                }
                for r in self.rivals
            ],
            "truth": None if self.truth is None else records(self.truth),
            "group_truth": None if self.group_truth is None else records(self.group_truth),
            "moderation_truth": None if self.moderation_truth is None else records(self.moderation_truth),
            "provenance": plain(self.provenance),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudyResult:
        """Rebuild a result from the output of ``to_json``."""

        def number(value: Any) -> float:
            return float("nan") if value is None else float(value)

        sample = data["sample"]
        return cls(
            id=data["id"],
            title=data["title"],
            study=data["study"],
            propositions_source=data["propositions_source"],
            fit=FitResult.from_json(data["fit"]),
            verdicts=tuple(Verdict.from_json(v) for v in data["verdicts"]),
            measurement=None if data["measurement"] is None else MeasurementResult.from_json(data["measurement"]),
            sample=SampleDescription(
                source=sample["source"],
                n_read=sample["n_read"],
                n_used=sample["n_used"],
                n_dropped=sample["n_dropped"],
                items=frame_from_records(sample["items"]),
                background=tuple((label, frame_from_records(rows)) for label, rows in sample["background"]),
                notes=tuple(sample["notes"]),
                answers=None
                if sample.get("answers") is None
                else frame_from_records(sample["answers"], ("name", "answer", "label", "n", "percent")),
            ),
            rivals=tuple(
                RivalResult(
                    name=r["name"],
                    title=r["title"],
                    why=r["why"],
                    fit=None if r["fit"] is None else FitResult.from_json(r["fit"]),
                    relation=r["relation"],
                    chisq_diff=number(r["chisq_diff"]),
                    df_diff=r["df_diff"],
                    pvalue_diff=number(r["pvalue_diff"]),
                    message=r["message"],
                )
                for r in data["rivals"]
            ),
            truth=None if data["truth"] is None else frame_from_records(data["truth"]),
            provenance=data["provenance"],
            warnings=tuple(data["warnings"]),
            effects=None if data.get("effects") is None else EffectsResult.from_json(data["effects"]),
            missingness=None if data.get("missingness") is None else MissingnessResult.from_json(data["missingness"]),
            comparisons=tuple(GroupComparison.from_json(c) for c in data.get("comparisons") or ()),
            ladders=tuple(GroupComparison.from_json(c) for c in data.get("ladders") or ()),
            group_truth=None if data.get("group_truth") is None else frame_from_records(data["group_truth"]),
            moderations=tuple(ModerationClaim.from_json(c) for c in data.get("moderations") or ()),
            moderation_truth=None
            if data.get("moderation_truth") is None
            else frame_from_records(data["moderation_truth"]),
            fit_cutoffs=None if data.get("fit_cutoffs") is None else FitCutoffs.from_json(data["fit_cutoffs"]),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``results.json``-style output to `path`, whole or not at all."""
        return write_json(path, self.to_json())


def read_study_result(path: str | os.PathLike[str]) -> StudyResult:
    """Read a ``results.json`` written by ``StudyResult.save``.

    Raises
    ------
    DataError
        If the file is missing, not JSON, or of another results version.
    """
    source = Path(path)
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the results: {error.strerror}", file=source) from error
    except ValueError as error:
        raise DataError("not a results file: it is not valid JSON", file=source) from error
    version = data.get("results_version") if isinstance(data, dict) else None
    if version != RESULTS_VERSION:
        raise DataError(
            f"results version {version!r} cannot be read; this program reads version {RESULTS_VERSION}",
            file=source,
            hint="run the study again with this version",
        )
    return StudyResult.from_json(data)
