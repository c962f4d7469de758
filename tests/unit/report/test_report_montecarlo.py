"""Figures, tables and lines of a Monte Carlo study say what its numbers say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from b2b_sem.report.montecarlo import (
    montecarlo_tables,
    verdict_lines,
    write_monte_carlo_report,
    write_monte_carlo_tables,
)
from b2b_sem.report.montecarlo_figure import draw_coverage, draw_estimates, draw_outcomes, draw_verdicts
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.simulate.experiment import monte_carlo


@pytest.fixture(scope="module")
def result() -> MonteCarloResult:
    return monte_carlo("lima2026_samples", replications=4)


def with_table(result: MonteCarloResult, name: str, frame: pd.DataFrame) -> MonteCarloResult:
    return replace(result, _tables=MappingProxyType({**result._tables, name: frame}))


def test_estimates_stand_beside_the_truth(result: MonteCarloResult) -> None:
    figure = draw_estimates(result)
    assert figure is not None
    marks = [t for t in figure.plot.data if t.mode == "markers" and t.name == "n=300"]
    own = result.estimates.query("condition == 'n=300' and op == '~'")
    np.testing.assert_allclose(marks[0].x, own["q50"])
    true = next(t for t in figure.plot.data if t.name == "true value")
    np.testing.assert_allclose(true.x, own["true"])
    # three conditions in the row of a path do not lie on each other
    places = [t.y[0] for t in figure.plot.data if t.mode == "markers" and t.name != "true value"]
    assert len(set(places)) == 3
    assert figure.plot.layout.yaxis.ticktext[0] == "NR → PC"


def test_coverage_has_bands(result: MonteCarloResult) -> None:
    figure = draw_coverage(result)
    assert figure is not None
    own = result.parameters.query("condition == 'n=150' and op == '~'")
    first = figure.plot.data[0]
    np.testing.assert_allclose(first.x, 100 * own["coverage"])
    np.testing.assert_allclose(first.error_x.array, 196 * own["coverage_mcse"])
    assert figure.plot.layout.shapes[0].x0 == 95


def test_verdicts_that_can_be_tested(result: MonteCarloResult) -> None:
    figure = draw_verdicts(result)
    assert figure is not None
    labels = figure.plot.layout.yaxis.ticktext
    assert len(labels) == 8 * 3
    assert labels[:4] == ("P1, n=150", "P1, n=300", "P1, n=600", "P2, n=150")
    table = result.verdicts.set_index(["proposition", "condition"])
    bar = next(t for t in figure.plot.data if t.name == "supported")
    for label, value in zip(labels, bar.x, strict=True):
        assert value == pytest.approx(100 * table.loc[tuple(label.split(", ", 1)), "supported"])
    none = result.verdicts.assign(supported=0.0, not_testable=1.0)
    assert draw_verdicts(with_table(result, "verdicts", none)) is None


def test_convergence_is_drawn_where_something_failed(result: MonteCarloResult) -> None:
    whole = result.replications.assign(converged=1.0, improper=0.0)
    assert draw_outcomes(with_table(result, "replications", whole)) is None
    part = whole.assign(converged=0.8, improper=0.25)
    figure = draw_outcomes(with_table(result, "replications", part))
    assert figure is not None
    shares = {t.name: t.x[0] for t in figure.plot.data}
    assert shares == pytest.approx({"proper solution": 60.0, "improper solution": 20.0, "no solution": 20.0})


def test_without_known_values_there_is_no_figure(result: MonteCarloResult) -> None:
    unknown = result.parameters.assign(true=np.nan, coverage=np.nan)
    assert draw_coverage(with_table(result, "parameters", unknown)) is None
    assert draw_estimates(with_table(result, "estimates", result.estimates.assign(true=np.nan))) is None


def test_page_and_files(result: MonteCarloResult, tmp_path: Path) -> None:
    page = write_monte_carlo_report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    for name in montecarlo_tables(result):
        assert name in ("verdicts", "replications", "paths", "other", "measures")
    assert "Probability of each verdict" in page
    assert "http-equiv" in page
    files = write_monte_carlo_tables(result, tmp_path)
    back = pd.read_csv(next(p for p in files if p.name == "parameters.csv"), keep_default_na=False, na_values=[""])
    np.testing.assert_allclose(back["mean"], result.parameters["mean"])


def test_lines(result: MonteCarloResult) -> None:
    lines = verdict_lines(result)
    assert lines[1].split() == ["n=150", "n=300", "n=600"]
    share = result.verdicts.query("proposition == 'P2'")["supported"]
    assert next(t for t in lines if t.startswith("P2 ")).split()[1:] == [f"{100 * v:.1f}%" for v in share]
    assert next(t for t in lines if t.startswith("P9 ")).split()[1:] == ["-", "-", "-"]
    lost = result.replications.assign(failed=2)
    assert verdict_lines(with_table(result, "replications", lost))[-1] == "n=600: 2 of 4 samples have no solution"
