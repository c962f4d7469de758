"""Studies on answers with holes and on rating scales: what the report says, and what comes back from results.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.report.html import render_report
from b2b_sem.report.tables import build_tables
from b2b_sem.report.terminal import WIDTH, fit_lines
from b2b_sem.results.columns import PARAMETER_COLUMNS
from b2b_sem.results.study import StudyResult, read_study_result
from b2b_sem.study import run_study

MODEL = """
kind: model
schema_version: 1
id: small
title: Two constructs
measurement:
  F: {items: [x1, x2, x3]}
  G: {items: [y1, y2, y3]}
structural: G ~ F
propositions:
  - id: P1
    statement: The more of F, the more of G.
    path: F -> G
    sign: "+"
rivals:
  smaller:
    title: No path
    why: Nothing may be there.
    remove: [G ~ F]
    add: [F ~~ 0*G]
"""
HOW = {
    "listwise": "missing: listwise",
    "fiml": "missing: fiml",
    "mi": "missing: mi, imputations: 2, seed: 1",
    "wlsmv": "estimator: WLSMV, ordered: true, missing: pairwise",
    "theta": "ordered: [x1, x2, x3], parameterization: theta, missing: listwise",
    "auto": "estimator: auto",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies")
    rng = np.random.default_rng(31)
    f = rng.normal(size=(400, 1))
    g = 0.5 * f + 0.8 * rng.normal(size=(400, 1))
    latent = 0.8 * np.hstack([f, f, f, g, g, g]) + 0.6 * rng.normal(size=(400, 6))
    data = pd.DataFrame(np.digitize(latent, [-0.8, 0.2, 1.0]) + 1.0, columns=["x1", "x2", "x3", "y1", "y2", "y3"])
    data.loc[data["x1"] > 2, "y3"] = np.nan  # missing at random, not completely
    data.loc[rng.random(400) < 0.5, "y3"] = data["y1"]
    data.to_csv(path / "data.csv", index=False)
    (path / "model.yaml").write_text(MODEL)
    for name, options in HOW.items():
        (path / f"{name}.yaml").write_text(
            f"kind: study\nschema_version: 1\nid: {name}\ntitle: Study\nmodel: ./model.yaml\ndata: {{file: data.csv}}\n"
            "analyses: [fit, measurement, effects, missingness, propositions, rivals]\n"
            f"options: {{{options}}}\n"
        )
    return path


@pytest.fixture(scope="module")
def study(folder: Path):
    return cache(lambda name: run_study(folder / f"{name}.yaml"))


@pytest.mark.parametrize("name", HOW)
def test_results_come_back_whole(study, name: str, tmp_path: Path) -> None:
    result: StudyResult = study(name)
    again = read_study_result(result.save(tmp_path / "results.json"))
    assert "NaN" not in (tmp_path / "results.json").read_text()
    assert render_report(again) == render_report(result)
    assert fit_lines(again) == fit_lines(result)
    assert all(len(line) <= WIDTH for line in fit_lines(result).splitlines())


@pytest.mark.parametrize(
    ("name", "label", "text"),
    [
        ("fiml", "estimator ML, full information (FIML), N = 400", "All answers of 400 respondents were used"),
        ("mi", "estimator ML, 2 imputed data sets, N = 400", "Missing answers were imputed 2 times (seed 1)"),
        ("wlsmv", "estimator WLSMV, all 6 variables ordered, pairwise deletion, N = 400", "Parameterization: delta"),
        ("auto", "estimator WLSMV, all 6 variables ordered, pairwise deletion, N = 400", "&#39;estimator: auto&#39;"),
    ],
)
def test_the_report_says_how_the_numbers_came_about(study, name: str, label: str, text: str) -> None:
    result = study(name)
    page = render_report(result)
    summary = page.split('<section id="summary"')[1].split("</section>")[0]
    assert text in summary
    assert f"They rest on one fit: {label}." in page.split('<section id="verdicts"')[1].split("</section>")[0]
    assert label in fit_lines(result)


@pytest.mark.parametrize(
    ("name", "start"),
    [("listwise", "rows with missing answers were left out, but"), ("wlsmv", "Each correlation was estimated from")],
)
def test_a_warning_where_holes_are_not_random(study, name: str, start: str) -> None:
    result = study(name)
    assert result.missingness.pvalue < 0.001
    (warning,) = [w for w in result.warnings if "not missing completely at random" in w]
    assert start in warning
    assert "Little's test, p < .001" in warning
    assert "'missing: fiml'" in warning
    assert result.warnings[0] == warning


@pytest.mark.parametrize("name", ["fiml", "mi"])
def test_no_warning_where_all_answers_are_used(study, name: str) -> None:
    assert not any("completely at random" in w for w in study(name).warnings)


@pytest.mark.parametrize("name", HOW)
def test_rivals_are_tested_whatever_the_estimator(study, name: str) -> None:
    result = study(name)
    (rival,) = result.rivals
    assert rival.relation == "restricted"
    assert rival.df_diff == 1
    assert rival.pvalue_diff < 1e-4
    rows = build_tables(result)["rivals"]
    ordinal = bool(result.fit.model.options.get("ordered"))
    assert [c.shown for c in rows.columns if c.key in ("aic", "bic")] == [not ordinal] * 2
    assert ("This estimator has no AIC and BIC." in rows.notes) == ordinal


def test_the_fit_table_leads_with_what_to_read(study) -> None:
    def lines(name: str) -> dict[str, tuple]:
        from b2b_sem.report.fit import tabulate_fit

        found = tabulate_fit(study(name).fit)
        return {row[0]: row for row in found.rows} | {"notes": found.notes}

    fiml = lines("fiml")
    assert list(fiml)[:5] == ["chisq", "cfi_robust", "tli_robust", "rmsea_robust", "rmsea_pvalue_robust"]
    assert fiml["cfi"][1] == "CFI, not robust"
    assert fiml["cfi"][3] == ""  # the guide stands beside the robust one
    assert fiml["cfi_robust"][3] == "about .95 or higher"
    assert fiml["chisq"][3] != ""
    assert any("Zhang & Savalei 2023" in note for note in fiml["notes"])
    wlsmv = lines("wlsmv")
    assert list(wlsmv)[:2] == ["chisq_scaled", "cfi_robust"]
    assert not {"logl", "aic", "bic", "bic2"} & set(wlsmv)
    assert any("WLSMV weights the residuals" in note for note in wlsmv["notes"])
    mixed = lines("theta")
    assert "cfi_scaled" in mixed
    assert any("Xia & Yang 2019" in note for note in mixed["notes"])
    imputed = lines("mi")
    assert imputed["cfi"][1] == "CFI"
    assert "Chi-square and what follows from it are pooled over the imputed data sets." in imputed["notes"]


def test_sample_moments_are_called_what_they_are(study) -> None:
    found = build_tables(study("wlsmv"))["sample_covariance"]
    assert found.title == "Sample correlations of the responses behind the answers"
    assert found.rows[0][1] == 1
    assert "polychoric" in " ".join(found.notes)
    found = build_tables(study("fiml"))["sample_covariance"]
    assert "Estimated by maximum likelihood from all answers, without the model." in found.notes
    assert "means over the imputed data sets" in " ".join(build_tables(study("mi"))["residuals"].notes)


def test_json_of_the_command_line_keeps_its_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "model.lav"
    model.write_text("F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F\n")
    for more in (
        ["--missing", "fiml"],
        ["--ordered", "--missing", "pairwise"],
        ["--missing", "mi", "--imputations", "2", "--seed", "1"],
        ["--estimator", "auto"],
    ):
        assert run(["fit", str(model), "--data", str(folder / "data.csv"), "--json", "-", *more]) == 0
        content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        known = {"converged", "estimator", "engine", "nobs", "measures", "standardized", "r2", "warnings"}
        assert known <= set(content)
        assert tuple(content["parameters"][0]) == PARAMETER_COLUMNS


def test_multiple_imputation_without_a_seed_says_where_to_write_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model.lav").write_text("F =~ x1 + x2 + x3\n")
    assert run(["fit", str(folder / "model.lav"), "--data", str(folder / "data.csv"), "--missing", "mi"]) == 2
    assert "--seed 1 on the command line, 'seed: 1' in a file" in capsys.readouterr().err


def test_known_values_are_those_of_the_way_items_were_fitted(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "kind: model\nschema_version: 1\nid: small\ntitle: Small\nsurvey: lima2026\n"
        "measurement: {PC: {scale: PC}, RR: {scale: RR}}\nstructural: RR ~ PC\n"
    )

    def truth(options: str) -> pd.DataFrame:
        (tmp_path / "study.yaml").write_text(
            "kind: study\nschema_version: 1\nid: small\ntitle: Small\nsurvey: lima2026\nmodel: ./model.yaml\n"
            f"data: {{simulate: lima2026, n: 600, seed: 3}}\nanalyses: [fit]\noptions: {{{options}}}\n"
        )
        found = run_study(tmp_path / "study.yaml").truth
        assert found is not None
        return found.set_index(["lhs", "op", "rhs"])

    numbers, ordered = truth("estimator: MLR"), truth("ordered: true")
    loading = [("PC", "=~", f"pc{k}") for k in range(1, 6)]
    assert (numbers.loc[loading, "truth"] < 0.99 * numbers.loc[loading, "population"]).all()
    assert (ordered.loc[loading, "truth"] == ordered.loc[loading, "population"]).all()
    assert (ordered.loc[loading, "est_std"] > numbers.loc[loading, "est_std"]).all()
    assert ordered["covered"].mean() > 0.8
    # a pair of an ordered item and a number has no known value; loadings of numbers keep theirs
    mixed = truth("ordered: [pc1, pc2, pc3, pc4, pc5]")
    assert (mixed.loc[loading, "truth"] == ordered.loc[loading, "truth"]).all()
    other = [("RR", "=~", f"rr{k}") for k in range(2, 7)]
    assert (mixed.loc[other, "truth"] == numbers.loc[other, "truth"]).all()
