"""A whole study result to build reports from, and small variations of it.

``demo_result.json`` holds what the study ``demo`` found when it had 500 respondents of the population ``lima2026`` and
compared no groups, shortened by :func:`shorten`. To renew it, run such a study and shorten what it found::

    b2b-sem run STUDY --out DIR && python tests/unit/report/study_fixture.py DIR/results.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import FitResult
from b2b_sem.results.study import StudyResult, read_study_result

PATH = Path(__file__).with_name("demo_result.json")


def demo() -> StudyResult:
    return read_study_result(PATH)


def failed(result: StudyResult) -> StudyResult:
    """The same study with a fit that did not converge, and verdicts as a study gives them then."""
    nan = float("nan")
    verdicts = tuple(
        replace(v, verdict="not testable here", reason="the fit failed", p_adjusted=nan, pvalue=nan, std=nan, z=nan)
        for v in result.verdicts
    )
    fit = replace(result.fit, converged=False, warnings=("the optimiser stopped after 1000 steps",))
    return replace(result, fit=fit, verdicts=verdicts)


def judged(result: StudyResult, **verdicts: str) -> StudyResult:
    """The same study with some verdicts changed: ``judged(result, P1="contradicted")``."""
    changed = tuple(
        replace(v, verdict=verdicts[v.id], p_adjusted=0.2 if verdicts[v.id] == "not supported" else v.p_adjusted)
        if v.id in verdicts
        else v
        for v in result.verdicts
    )
    return replace(result, verdicts=changed)


def structure(
    *,
    latents: Iterable[str] = (),
    observed: Iterable[str] = (),
    paths: Sequence[tuple[str, str]] = (),
    covariances: Sequence[tuple[str, str]] = (),
    loadings: Sequence[tuple[str, str]] = (),
) -> StudyResult:
    """A study of any structure: coefficients are .10, .11, ... in order."""
    base = demo()
    rows = (
        [(a, "=~", b) for a, b in loadings] + [(b, "~", a) for a, b in paths] + [(a, "~~", b) for a, b in covariances]
    )
    table: list[dict[str, Any]] = []
    standard: list[dict[str, Any]] = []
    for k, (lhs, op, rhs) in enumerate(rows):
        value = round(0.1 + 0.01 * k, 2)
        shared = {"lhs": lhs, "op": op, "rhs": rhs, "group": 1, "label": "", "se": 0.05, "z": 3.0, "pvalue": 0.003}
        limits = {"ci_lower": value - 0.1, "ci_upper": value + 0.1}
        table.append({**shared, **limits, "free": k + 1, "est": 2 * value, "std_lv": value, "std_all": value})
        standard.append({**shared, **limits, "est_std": value})
    names = tuple(latents)
    identity = pd.DataFrame(np.eye(len(names)), index=list(names), columns=list(names))
    fit: FitResult = replace(
        base.fit,
        model=replace(base.fit.model, latents=names, observed=tuple(observed)),
        _parameters=pd.DataFrame(table, columns=list(PARAMETER_COLUMNS)),
        _standardized=pd.DataFrame(standard, columns=list(STANDARDIZED_COLUMNS)),
        _latent_cov=identity,
        _r2=MappingProxyType({}),
    )
    return replace(base, fit=fit, verdicts=(), measurement=None, rivals=(), truth=None, warnings=())


def shorten(data: dict[str, Any]) -> dict[str, Any]:
    """Round numbers to six digits and leave out the tables of the rival models."""
    for rival in data["rivals"]:
        if rival["fit"]:
            rival["fit"].update(parameters=[], standardized=[], r2={})
            for name in ("sample_cov", "implied_cov", "latent_cov"):
                rival["fit"][name] = {"rows": [], "columns": [], "values": []}

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.6g}")
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items()}
        return [rounded(v) for v in value] if isinstance(value, list) else value

    short: dict[str, Any] = rounded(data)
    return short


if __name__ == "__main__":
    text = json.dumps(shorten(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), ensure_ascii=False)
    PATH.write_text(text + "\n", encoding="utf-8")
