"""Table and figure of dynamic cut-offs: numbers are those of the result, beside the usual guides."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.report.cutoff import draw_cutoffs, tabulate_cutoffs

TWO = "F =~ .8*a + .5*b + .7*c\nG =~ .6*d + .9*e + .4*f\nF ~~ .3*G"


@pytest.fixture(scope="module")
def found() -> bs.FitCutoffs:
    return bs.fit_cutoffs(TWO, n=300, replications=100, seed=1)


@pytest.fixture(scope="module")
def fitted() -> bs.FitCutoffs:
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((300, 1)) * 0.7 + 0.7 * rng.standard_normal((300, 9))
    import pandas as pd

    names = [f"x{k}" for k in range(9)]
    fit = bs.fit("F =~ " + " + ".join(names), pd.DataFrame(rows, columns=names), engine="native")
    return bs.fit_cutoffs(fit, replications=100, seed=1)


def test_the_table_holds_the_cutoffs_and_the_usual_guides(found: bs.FitCutoffs) -> None:
    made = tabulate_cutoffs(found)
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert [r["index"] for r in rows] == ["SRMR", "RMSEA", "CFI"]
    assert [float(r["cut"]) for r in rows] == found.table["cut"].tolist()
    assert [r["criterion"] for r in rows] == found.table["criterion"].tolist()
    assert rows[2]["guide"] == "about .95 or higher"
    assert {r["left_out"] for r in rows} == {"F =~ .400*f"}
    assert {r["value"] for r in rows} == {r["reached"] for r in rows} == {""}
    assert "10.1037/met0000425" in made.notes[0]
    assert "10.1080/10705519909540118" in made.notes[1]


def test_one_factor_has_another_source_and_values_of_its_own(fitted: bs.FitCutoffs) -> None:
    made = tabulate_cutoffs(fitted)
    assert "10.3758/s13428-021-01847-y" in made.notes[0]
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert len(rows) == 9
    assert float(rows[0]["value"]) == pytest.approx(fitted.values["srmr"])
    for row in rows:
        value, cut = float(row["value"]), float(row["cut"] or "nan")
        beyond = value <= cut if row["index"] == "CFI" else value >= cut
        assert row["reached"] == ("" if row["criterion"] == "none" else "yes" if beyond else "no")
    assert rows[1]["left_out"].count("~~ .300*") == 1


def test_the_figure_draws_the_samples_and_the_cuts(found: bs.FitCutoffs, fitted: bs.FitCutoffs) -> None:
    figure = draw_cutoffs(found)
    assert [t.name for t in figure.plot.data] == ["correct model", "level 1"] * 3
    for trace in figure.plot.data:  # shares of the samples: each of 40 bins stands twice
        assert sum(trace.y[1:-1]) == pytest.approx(200)
    drawn = {round(s.x0, 12) for s in figure.plot.layout.shapes}
    cuts = [round(c, 12) for c in found.table["cut"] if math.isfinite(c)]
    assert set(cuts) | {0.08, 0.06, 0.95} == drawn
    own = {round(s.x0, 12) for s in draw_cutoffs(fitted).plot.layout.shapes}
    assert {round(v, 12) for v in fitted.values.values()} <= own
    assert "thick line is the fit" in draw_cutoffs(fitted).caption
    assert "thick line" not in figure.caption


def test_of_many_levels_some_are_drawn_and_the_rest_is_named() -> None:
    factors = [f"F{k}" for k in range(6)]
    text = "\n".join(f"{f} =~ " + " + ".join(f".{6 + j}*{f.lower()}{j}" for j in range(3)) for f in factors)
    text += "".join(f"\n{f} ~~ .3*{g}" for k, f in enumerate(factors) for g in factors[:k])
    figure = draw_cutoffs(bs.fit_cutoffs(text, n=200, replications=20, seed=1))
    assert [t.name for t in figure.plot.data][:5] == ["correct model", "level 1", "level 2", "level 4", "level 5"]
    assert "1 levels between" not in figure.caption
    assert "1 level between is not drawn" in figure.caption
    assert "level 3" in figure.alt


def test_the_page_says_what_the_indices_say(fitted: bs.FitCutoffs, tmp_path: Path) -> None:
    page = bs.write_figures(fitted, tmp_path / "cut.html").read_text(encoding="utf-8")
    for line in fitted.conclusions():
        assert line in page
    assert "one factor, 300 respondents" in page
