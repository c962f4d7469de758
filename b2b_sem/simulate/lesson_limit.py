"""What an analysis of a lesson would find with very many respondents: the part of an error that is no chance.

The population is drawn again with many respondents, treated as somebody treated the answers, and their model is fitted.
Two such fits share their random numbers, so that their difference is much more exact than each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.montecarlo import Population
from b2b_sem.analysis.power import analytic_power
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.errors import B2BSemError, SpecError
from b2b_sem.simulate.lesson_answers import Treatment, keep_rows, scored
from b2b_sem.simulate.power import power
from b2b_sem.simulate.respond import simulate
from b2b_sem.spec.part import clean
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["MANY", "Analysis", "Limits"]

#: Respondents who stand for very many.
MANY = 20_000
Paths = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Analysis:
    """What decides where an analysis leads with very many respondents.

    Attributes
    ----------
    text : str
        The model.
    treatment : Treatment
    settings : mapping
        Options that shape the model: std_lv, orthogonal, fixed_x.
    listwise : bool
        Whether incomplete rows are left out; else missing answers do no harm as long as others tell of them.
    ordered : bool
        Whether items are fitted as ordered: the cutting of answers then does no harm.
    method : bool
        Whether common method variance is there.
    """

    text: str
    treatment: Treatment
    settings: Mapping[str, Any]
    listwise: bool = True
    ordered: bool = False
    method: bool = True


@dataclass
class Limits:
    """Fits to many respondents of a population; what was drawn or fitted once is kept."""

    spec: SimulationSpec
    survey: SurveySpec
    seed: int
    _frames: dict[tuple[bool, ...], pd.DataFrame] = field(default_factory=dict)
    _paths: dict[str, Paths | None] = field(default_factory=dict)

    def paths(self, analysis: Analysis) -> Paths | None:
        """Return standardized paths, (outcome, predictor) -> value; None if there is no solution."""
        key = repr(analysis)
        if key not in self._paths:
            self._paths[key] = self._fit(analysis)
        return self._paths[key]

    def best(self, analysis: Analysis, text: str) -> Analysis:
        """Return the analysis of the same kind without any fault, of the model `text`."""
        return replace(analysis, text=text, treatment=Treatment("attentive"), listwise=False, method=False, settings={})

    def moments(self, analysis: Analysis, names: tuple[str, ...]) -> tuple[pd.DataFrame, int]:
        """Return the covariance matrix of columns as they were treated, and the rows behind it."""
        treatment = analysis.treatment
        attentive = treatment.rows == "attentive"
        frame = self._frame(attentive, not analysis.listwise, not analysis.method, analysis.ordered)
        rows = np.ones(len(frame), dtype=bool)
        if not attentive:
            rows = keep_rows(treatment.rows, frame, self.survey, rows)
        known = set(self.survey.items(active_only=False))
        items = [name for name in names if name in known]
        # codes that are taken for answers stand where answers are missing
        answers = scored(frame, self.survey, items)
        if treatment.coded:
            for name in items:
                codes = self.survey.missing_codes(name)
                low, high = self.survey.range_of(name)
                shown = np.array(codes)[frame["id"].to_numpy() % len(codes)].astype(float) if codes else np.nan
                shown = low + high - shown if self.survey.item(name).reverse else shown
                answers[name] = answers[name].where(answers[name].notna(), shown)
        for name in treatment.flipped:
            if name in answers:
                answers[name] = -answers[name]
        for name in names:
            if name not in known:
                answers[name] = frame[name].to_numpy(dtype=float)
        kept = answers[rows].dropna()
        return kept[list(names)].cov(), len(kept)

    def power(self, analysis: Analysis, nobs: int, alpha: float) -> pd.DataFrame | None:
        """Return the power of the tests of the model at `nobs` rows of careful and complete answers, path by path.

        From the moments of the population where they are known, else from those of many respondents.
        """
        given = {k: v for k, v in analysis.settings.items() if k in ("std_lv", "orthogonal")}
        try:
            found = power(clean(self.spec), analysis.text, nobs=nobs, alpha=alpha, indirect=False, **given)
        except B2BSemError:
            try:
                names = _observed(analysis.text, self._frame(True, True, True, False))
                cov, _ = self.moments(self.best(analysis, analysis.text), names)
                drawn = Population(names, cov.to_numpy(), np.zeros(len(names)), {})
                found = analytic_power(drawn, analysis.text, nobs=nobs, alpha=alpha, indirect=False, **given)
            except (B2BSemError, KeyError, ValueError):
                return None
        table = found.table
        return table[table["kind"] == "path"]

    def _frame(self, attentive: bool, complete: bool, pure: bool, uncut: bool) -> pd.DataFrame:
        key = attentive, complete, pure, uncut
        if key not in self._frames:
            try:
                spec = clean(self.spec, careless=attentive, missing=complete, method=pure, cuts=uncut)
            except SpecError:  # asked shares are of answers that were cut
                spec = clean(self.spec, careless=attentive, missing=complete, method=pure)
            self._frames[key] = simulate(spec, MANY, self.seed).frame
        return self._frames[key]

    def _fit(self, analysis: Analysis) -> Paths | None:
        try:
            names = _observed(analysis.text, self._frame(True, True, True, False))
            cov, rows = self.moments(analysis, names)
            found = fit_model(analysis.text, sample_cov=cov, nobs=rows, engine="native", se="none", **analysis.settings)
        except (B2BSemError, KeyError, ValueError):
            return None
        if not isinstance(found, Fit) or not found.converged:
            return None
        table = found.standardized()
        table = table[table["op"] == "~"]
        return {(r["lhs"], r["rhs"]): float(r["est_std"]) for r in table.to_dict("records")}


def _observed(text: str, frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that a model uses, in the order of the model."""
    from b2b_sem.spec.syntax import parse_model

    names = [name for entry in parse_model(text).entries for name in (entry.lhs, entry.rhs)]
    return tuple(dict.fromkeys(name for name in names if name in frame.columns))
