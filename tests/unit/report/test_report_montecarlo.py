"""Figures, tables and lines of a Monte Carlo study say what its numbers say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from b2b_sem.measures.power import binomial_band
from b2b_sem.report.montecarlo import (
    montecarlo_tables,
    verdict_lines,
    write_monte_carlo_report,
    write_monte_carlo_tables,
)
from b2b_sem.report.montecarlo_curve import draw_power_curves, draw_verdict_curves, draw_verdicts
from b2b_sem.report.montecarlo_figure import (
    draw_bias,
    draw_coverage,
    draw_estimates,
    draw_rejections,
    draw_se_bias,
    parts_of,
)
from b2b_sem.report.montecarlo_finding import findings
from b2b_sem.report.montecarlo_sample import draw_fit, draw_outcomes
from b2b_sem.results.montecarlo import MonteCarloResult
from b2b_sem.simulate.experiment import monte_carlo


@pytest.fixture(scope="module")
def result() -> MonteCarloResult:
    return monte_carlo("lima2026_samples", replications=4)


def with_table(result: MonteCarloResult, name: str, frame: pd.DataFrame) -> MonteCarloResult:
    return replace(result, _tables=MappingProxyType({**result._tables, name: frame}))


def several(result: MonteCarloResult, count: int) -> MonteCarloResult:
    """Return the result with as many changes as asked, each with the sizes and numbers of the first."""
    tables = {}
    for name, table in result._tables.items():
        own = []
        for k in range(count):
            part = table.assign(condition=table["condition"] + f", change_{k}")
            own.append(part.assign(change=f"change_{k}") if name == "conditions" else part)
        tables[name] = pd.concat(own, ignore_index=True)
    return replace(result, _tables=MappingProxyType(tables))


def of_size(result: MonteCarloResult, name: str) -> MonteCarloResult:
    tables = {k: t[t["condition"] == name].reset_index(drop=True) for k, t in result._tables.items()}
    return replace(result, _tables=MappingProxyType(tables))


def test_estimates_stand_beside_the_truth(result: MonteCarloResult) -> None:
    figure = draw_estimates(result)
    assert figure is not None
    marks = [t for t in figure.plot.data if t.mode == "markers" and t.name == "n=300"]
    own = result.estimates.query("condition == 'n=300' and op == '~'")
    np.testing.assert_allclose(marks[0].x, own["q50"])
    true = next(t for t in figure.plot.data if t.name == "true value")
    np.testing.assert_allclose(true.x, result.estimates.query("op == '~'")["true"])
    # three conditions in the row of a path do not lie on each other
    places = [t.y[0] for t in figure.plot.data if t.mode == "markers" and t.name != "true value"]
    assert len(set(places)) == 3
    np.testing.assert_allclose(sorted(true.y[::8]), sorted(places))
    assert figure.plot.layout.yaxis.ticktext[0] == "NR → PC"
    low, high = figure.plot.layout.xaxis.range
    assert low < own["q05"].min()
    assert own["q95"].max() < high


def limits(trace: Any) -> tuple[np.ndarray, np.ndarray]:
    x = np.array(trace.x, dtype=float)
    return x - np.array(trace.error_x.arrayminus), x + np.array(trace.error_x.array)


def test_coverage_has_bands(result: MonteCarloResult) -> None:
    figure = draw_coverage(result)
    assert figure is not None
    own = result.parameters.query("condition == 'n=150' and op == '~'")
    first = figure.plot.data[0]
    np.testing.assert_allclose(first.x, 100 * own["coverage"])
    # bands of shares, which have a width where all intervals hold the true value, too
    expected = binomial_band(own["coverage"] * 4, np.full(8, 4))
    np.testing.assert_allclose(limits(first), 100 * np.array(expected))
    assert (limits(first)[1] > limits(first)[0] + 10).all()
    assert figure.plot.layout.shapes[0].x0 == 95


def test_bias_and_errors_have_bands(result: MonteCarloResult) -> None:
    for draw, name, factor in ((draw_bias, "bias", 1), (draw_se_bias, "se_bias", 100)):
        figure = draw(result)
        assert figure is not None
        assert figure.plot.layout.shapes[0].x0 == 0
        own = result.parameters.query("condition == 'n=600' and op == '~'")
        last = figure.plot.data[-1]
        np.testing.assert_allclose(last.x, factor * own[name])
        low, high = limits(last)
        np.testing.assert_allclose(high - low, 2 * 1.959964 * factor * own[f"{name}_mcse"])


def test_of_many_parameters_those_farthest_off_are_drawn(result: MonteCarloResult) -> None:
    loadings = result.parameters.query("op == '=~'").reset_index(drop=True)
    assert loadings.groupby("condition").size().max() > 30
    only = with_table(result, "parameters", loadings)
    figure = draw_bias(only)
    assert figure is not None
    labels = figure.plot.layout.yaxis.ticktext
    assert len(labels) == 30
    worst = loadings.loc[loadings["bias"].abs().idxmax()]
    assert f"{worst['lhs']} → {worst['rhs']}" in labels
    assert f"Of {loadings['rhs'].nunique()} loadings the 30 that are farthest off" in figure.caption


def test_many_conditions_are_spread_over_figures(result: MonteCarloResult) -> None:
    assert [p.names for p in parts_of(result)] == [("n=150", "n=300", "n=600")]
    many = several(result, 5)
    parts = parts_of(many)
    assert [len(p.names) for p in parts] == [6, 6, 3]
    assert [name for p in parts for name in p.names] == list(many.conditions["condition"])
    figures = [draw_coverage(many, part) for part in parts]
    assert len({f.name for f in figures if f is not None}) == 3
    assert [len(f.plot.data) for f in figures if f is not None] == [6, 6, 3]


def test_power_over_sample_sizes(result: MonteCarloResult) -> None:
    (figure,) = draw_power_curves(several(result, 2))
    lines = [t for t in figure.plot.data if t.mode == "lines+markers"]
    assert len(lines) == 8 * 2
    own = result.parameters.query("lhs == 'PC' and rhs == 'NR' and op == '~'")
    np.testing.assert_allclose(lines[0].y, 100 * own["power"])
    # two lines of the same height are both seen
    assert list(lines[0].x) != list(lines[1].x)
    np.testing.assert_allclose(np.array(lines[0].x) + lines[1].x, 2 * np.array([150, 300, 600]))
    (verdicts,) = draw_verdict_curves(result)
    shown = [t for t in verdicts.plot.data if t.mode == "lines+markers"]
    share = result.verdicts.query("proposition == 'P7'")["supported"]
    np.testing.assert_allclose(shown[6].y, 100 * share)
    assert list(shown[6].x) == [150, 300, 600]
    single = of_size(result, "n=300")
    assert draw_power_curves(single) == draw_verdict_curves(single) == []
    dots = draw_rejections(single)
    assert dots is not None
    np.testing.assert_allclose(dots.plot.data[0].x, 100 * single.parameters.query("op == '~'")["power"])


def test_a_path_of_zero_is_called_that(result: MonteCarloResult) -> None:
    frame = result.parameters
    zero = frame.assign(true=frame["true"].where((frame["op"] != "~") | (frame["rhs"] != "NR"), 0.0))
    (figure,) = draw_power_curves(with_table(result, "parameters", zero))
    assert "<b>NR → PC (true value 0)</b>" in [a.text for a in figure.plot.layout.annotations]


def test_fit_measures_are_drawn_with_their_quantiles(result: MonteCarloResult) -> None:
    figure = draw_fit(result)
    assert figure is not None
    assert [a.text for a in figure.plot.layout.annotations] == [f"<b>{m}</b>" for m in ("CFI", "TLI", "RMSEA", "SRMR")]
    own = result.measures.query("measure == 'rmsea' and condition == 'n=150'").iloc[0]
    lines = [t for t in figure.plot.data if t.xaxis == "x3" and t.mode == "lines"]
    assert list(lines[0].x) == [own["q05"], own["q95"], None]
    assert list(lines[1].x) == [own["q25"], own["q75"], None]


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
        assert f'id="table-{name}"' in page
    for part in ("In short", "Verdicts", "Samples", "Estimates and standard errors", "Intervals and tests"):
        assert f"<h2>{part}</h2>" in page
    ids = re.findall(r'id="(figure-[^"]*)"', page)
    assert len(ids) == len(set(ids)) >= 7
    assert "http-equiv" in page
    files = write_monte_carlo_tables(result, tmp_path)
    back = pd.read_csv(next(p for p in files if p.name == "parameters.csv"), keep_default_na=False, na_values=[""])
    np.testing.assert_allclose(back["mean"], result.parameters["mean"])


def test_tables_have_the_errors(result: MonteCarloResult) -> None:
    tables = montecarlo_tables(result)
    paths = tables["paths"]
    own = result.parameters.query("lhs == 'BT' and rhs == 'PC' and op == '~'")
    keys = [c.key for c in paths.columns]
    rows = [r for r in paths.rows if r[keys.index("parameter")] == "PC → BT"]
    assert [r[keys.index("condition")] for r in rows] == ["n=150", "n=300", "n=600"]
    for key in ("bias", "rel_bias", "sd", "se_bias", "rmse", "coverage", "power"):
        assert [r[keys.index(key)] for r in rows] == [*zip(own[key], own[f"{key}_mcse"], strict=True)]
    support = tables["support"]
    assert [c.key for c in support.columns] == ["condition", *(f"P{k}" for k in range(1, 9))]
    shares = result.verdicts.set_index(["condition", "proposition"])
    cell = shares.loc[("n=600", "P7")]
    assert support.rows[2][7] == (cell["supported"], cell["supported_mcse"])
    assert "(" in paths.to_html()
    assert "bias,bias_mcse" in paths.to_csv()


def test_findings_name_the_worst(result: MonteCarloResult) -> None:
    frame = result.parameters
    wrong = frame.copy()
    at = wrong.index[(wrong["rhs"] == "RE") & (wrong["op"] == "~") & (wrong["condition"] == "n=300")]
    wrong.loc[at, ["bias", "bias_mcse", "rel_bias", "coverage", "coverage_mcse"]] = [0.5, 0.01, 1.4, 0.25, 0.2]
    said = dict(findings(with_table(result, "parameters", wrong)))
    assert (
        "to 0.500; the largest is that of RE → PC, n=300 (0.500 ± 0.010, 140.0% of the true value)"
        in (said["Bias of paths"])
    )
    assert "in 25.0% ± 20.0 (RE → PC, n=300)" in said["95% intervals of paths"]
    assert said["Verdicts"].endswith("Not testable by these fits: P9, P10.")
    assert said["Solutions"].startswith("All 12 samples" if (result.replications["improper"] == 0).all() else "0 of 12")
    unknown = dict(findings(with_table(result, "parameters", frame.assign(true=np.nan))))
    assert unknown["No true value"].startswith(f"{len(frame)} of {len(frame)} rows")
    lost = result.replications.assign(failed=[1, 0, 0], converged=[0.75, 1.0, 1.0])
    text = dict(findings(with_table(result, "replications", lost)))["Solutions"]
    assert text.startswith("1 of 12 samples have no solution, most of them with n=150: 25.0%")


def test_a_page_without_any_solution(result: MonteCarloResult, tmp_path: Path) -> None:
    tables = dict(result._tables)
    numbers = [c for c in tables["parameters"].columns if c not in ("condition", "lhs", "op", "rhs", "group", "true")]
    tables["parameters"] = tables["parameters"].assign(**dict.fromkeys(numbers, np.nan) | {"n_used": 0})
    spread = [c for c in tables["estimates"].columns if c.startswith("q")]
    tables["estimates"] = tables["estimates"].assign(**dict.fromkeys(spread, np.nan))
    tables["measures"] = tables["measures"].iloc[:0]
    tables["verdicts"] = tables["verdicts"].assign(supported=0.0, not_supported=0.0, contradicted=0.0, not_testable=1.0)
    lost = {"converged": 0.0, "improper": np.nan, "improper_mcse": np.nan, "failed": 4, "why": "too few (4)"}
    tables["replications"] = tables["replications"].assign(**lost)
    none = replace(result, _tables=MappingProxyType(tables))
    page = write_monte_carlo_report(none, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "12 of 12 samples have no solution" in page
    assert "figure-convergence" in page
    assert verdict_lines(none)[-1] == "n=600: 4 of 4 samples have no solution: too few (4)"


def test_lines_of_long_names_stand_below_each_other(result: MonteCarloResult) -> None:
    lines = verdict_lines(several(result, 4))
    assert lines[1].split() == [f"P{k}" for k in range(1, 11)]
    row = next(t for t in lines if t.startswith("n=150, change_3")).split()[2:]
    shares = result.verdicts.query("condition == 'n=150'")
    assert row[:8] == [f"{100 * v:.1f}%" for v in shares["supported"][:8]]
    assert row[8:] == ["-", "-"]


def test_lines(result: MonteCarloResult) -> None:
    lines = verdict_lines(result)
    assert lines[1].split() == ["n=150", "n=300", "n=600"]
    share = result.verdicts.query("proposition == 'P2'")["supported"]
    assert next(t for t in lines if t.startswith("P2 ")).split()[1:] == [f"{100 * v:.1f}%" for v in share]
    assert next(t for t in lines if t.startswith("P9 ")).split()[1:] == ["-", "-", "-"]
    lost = result.replications.assign(failed=2)
    assert verdict_lines(with_table(result, "replications", lost))[-1] == "n=600: 2 of 4 samples have no solution"


RAW = """
kind: montecarlo
schema_version: 1
id: raw
title: Raw values
population:
  text: |
    F =~ 1*x1 + 12*x2 + 0.5*x3
    F ~~ 2*F
    x1 ~~ 1*x1
    x2 ~~ 90*x2
    x3 ~~ 1*x3
    x2 ~ 40*1
conditions: {n: [200]}
options: {meanstructure: true}
replications: 6
seed: 2
"""


def test_raw_values_are_not_called_standardized(tmp_path: Path) -> None:
    (tmp_path / "raw.yaml").write_text(RAW, encoding="utf-8")
    result = monte_carlo(tmp_path / "raw.yaml")
    tables = montecarlo_tables(result)
    loading = next(row for row in tables["loadings"].rows if row[0] == "F → x2")
    assert loading[2] == pytest.approx(12.0)
    means = {row[0]: row[2] for row in tables["intercepts"].rows}
    assert means == pytest.approx({"x1 ~1": 0.0, "x2 ~1": 40.0, "x3 ~1": 0.0})
    page = write_monte_carlo_report(result, tmp_path / "raw.html").read_text(encoding="utf-8")
    assert "Raw solution" in page
    assert "Standardized" not in page.split("<script")[0]
    figure = draw_estimates(result)
    assert figure is not None
    assert figure.plot.layout.xaxis.title.text == "Estimate"
