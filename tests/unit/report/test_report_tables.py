import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import study_fixture as studies

from b2b_sem.report.tables import (
    build_tables,
    tabulate_fit,
    tabulate_parameters,
    tabulate_residuals,
    tabulate_rivals,
    tabulate_truth,
    tabulate_verdicts,
    write_tables,
)


@pytest.fixture(scope="module")
def result():
    return studies.demo()


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_tables_are_written_and_listed(result, tmp_path):
    paths = write_tables(result, tmp_path / "deep" / "tables")
    assert [p.name for p in paths] == [*(f"{n}.csv" for n in build_tables(result)), "index.csv"]
    assert all(p.is_file() for p in paths)
    assert {p.name for p in paths[-1].parent.iterdir()} == {p.name for p in paths}  # no temporary files left
    assert [r["file"] for r in read(paths[-1])] == [p.name for p in paths[:-1]]


def test_parameters_csv_gives_back_every_number(result, tmp_path):
    write_tables(result, tmp_path)
    rows = read(tmp_path / "parameters.csv")
    frame = result.fit.parameters
    assert [(r["lhs"], r["op"], r["rhs"]) for r in rows] == list(
        frame[["lhs", "op", "rhs"]].itertuples(index=False, name=None)
    )
    free = frame["z"].notna().to_numpy()
    for key in ("est", "std_all"):
        np.testing.assert_array_equal([float(r[key]) for r in rows], frame[key])
    np.testing.assert_array_equal([float(r["se"]) for r, f in zip(rows, free, strict=True) if f], frame["se"][free])
    assert all(r["se"] == r["ci_lower"] == "" for r, f in zip(rows, free, strict=True) if not f)


def test_fit_table_has_value_guide_and_source_for_every_index(result):
    rows = {r[0]: r for r in tabulate_fit(result.fit).rows}
    m = result.fit.measures
    assert f"({m['df']:.0f})" in rows["chisq"][2]
    assert f"{m['chisq']:.2f}" in rows["chisq"][2]
    for key, guide in (("cfi", ".95"), ("tli", ".95"), ("rmsea", ".06"), ("srmr", ".08")):
        assert guide in rows[key][3]
        assert "doi:10.1080/10705519909540118" in rows[key][4]
        assert rows[key][2].startswith(f"{m[key]:.3f}".removeprefix("0"))
    text = tabulate_fit(result.fit).to_text(110).lower()
    assert "pass" not in text
    assert "fail" not in text


def test_fit_table_marks_what_is_missing(result):
    fit = replace(result.fit, _measures={"chisq": 3.2, "df": 0.0, "pvalue": math.nan})
    rows = {r[0]: r[2] for r in tabulate_fit(fit).rows}
    assert rows["chisq"] == "3.20 (0), -"
    assert rows["rmsea"] == "- -"


def test_verdicts_show_adjustment_only_if_there_is_one(result):
    table = tabulate_verdicts(result)
    assert "p (Holm)" in [c.heading for c in table.columns if c.shown]
    assert "adjusted over the 8 propositions tested" in " ".join(table.notes)
    plain = replace(result, verdicts=tuple(replace(v, adjustment="none") for v in result.verdicts))
    assert "p_adjusted" not in [c.key for c in tabulate_verdicts(plain).columns if c.shown]
    assert tabulate_verdicts(replace(result, verdicts=())).rows == ()


def test_residuals_are_the_largest_first_and_add_up(result):
    table = tabulate_residuals(result.fit, largest=5)
    assert len(table.rows) == 5
    sizes = [abs(r[4]) for r in table.rows]
    assert sizes == sorted(sizes, reverse=True)
    matrix = result.fit.residuals("cor")["cov"]
    lower = np.abs(matrix.to_numpy()[np.tril_indices(len(matrix), -1)])
    assert sizes[0] == pytest.approx(lower.max(), rel=1e-12)
    for first, second, observed, implied, residual in table.rows:
        assert observed - implied == pytest.approx(residual, abs=1e-12)
        assert matrix.loc[first, second] == residual
    assert f"{(lower > 0.10).sum()} of {lower.size} absolute" in table.notes[0]


def test_a_failed_rival_shows_no_numbers(result):
    rival = result.rivals[0]
    broken = replace(rival, fit=replace(rival.fit, converged=False), message="")
    row = tabulate_rivals(replace(result, rivals=(broken,))).rows[1]
    assert all(v is None for v in row[3:13])
    assert row[13] == "the estimation did not converge"
    absent = replace(rival, fit=None, message="the model is not identified")
    row = tabulate_rivals(replace(result, rivals=(absent,))).rows[1]
    assert all(v is None for v in row[3:13])
    assert row[13] == "the model is not identified"
    assert tabulate_rivals(replace(result, rivals=())) is None


def test_rivals_keep_their_difference(result):
    restricted = next(r for r in result.rivals if r.relation == "restricted")
    row = next(r for r in tabulate_rivals(result).rows if r[0] == restricted.name)
    assert row[10] == restricted.chisq_diff
    assert row[11] == restricted.df_diff


def test_truth_can_be_split_by_kind(result):
    paths = tabulate_truth(result, ops=("~",))
    assert {r[1] for r in paths.rows} == {"~"}
    assert len(tabulate_truth(result).rows) == len(result.truth)
    covered = sum(bool(r[-1]) for r in paths.rows)
    assert paths.notes[0].startswith(f"{covered} of {len(paths.rows)} intervals")
    assert tabulate_truth(replace(result, truth=None)) is None


def test_square_tables_have_an_empty_upper_triangle(result):
    for name in ("htmt", "htmt2", "latent_correlations", "fornell_larcker"):
        table = build_tables(result)[name]
        for i, row in enumerate(table.rows):
            assert set(row[i + 2 :]) <= {""}
    assert build_tables(result)["latent_correlations"].rows[3][4] == pytest.approx(1.0, abs=1e-12)


def test_sample_covariance_has_divisor_n_minus_1(result, tmp_path):
    write_tables(result, tmp_path)
    rows = read(tmp_path / "sample_covariance.csv")
    n = result.fit.nobs
    first = result.fit.sample()["cov"].iloc[0, 0]
    name = rows[0]["name"]
    assert float(rows[0][name]) == pytest.approx(first * n / (n - 1), rel=1e-14)
    assert [r["name"] for r in rows] == list(rows[0])[1:]


def test_an_observed_variable_model_has_no_latent_tables():
    result = studies.structure(observed=["x", "y"], paths=[("x", "y")])
    names = set(build_tables(result))
    assert {"verdicts", "fit", "parameters", "provenance"} <= names
    assert not names & {"loadings", "htmt", "latent_correlations", "rivals", "truth"}
    assert tabulate_parameters(result.fit).rows[0][3] == "regression"


def test_after_a_scaled_test_the_scaled_lines_come_first_and_have_the_guides(result):
    scaled = {
        "chisq_scaled": 950.5,
        "df_scaled": 890.0,
        "pvalue_scaled": 0.077,
        "chisq_scaling_factor": 0.951,
        "cfi_scaled": 0.955,
        "cfi_robust": 0.961,
        "rmsea_scaled": 0.012,
        "rmsea_robust": 0.013,
        "rmsea_ci_lower_robust": 0.0,
        "rmsea_ci_upper_robust": 0.021,
    }
    fit = replace(result.fit, _measures={**result.fit.measures, **scaled})
    found = tabulate_fit(fit)
    keys = [r[0] for r in found.rows]
    assert keys[:3] == ["chisq_scaled", "cfi_robust", "rmsea_robust"]
    rows = {r[0]: r for r in found.rows}
    assert rows["chisq_scaled"][2] == "950.50 (890), .077"
    assert rows["rmsea_robust"][2] == ".013 [.000, .021]"
    assert (".95" in rows["cfi_robust"][3], rows["cfi"][3]) == (True, "")
    assert rows["cfi"][1] == "CFI, not scaled"
    assert "scaling factor 0.951" in found.notes[0]
    rivals = tabulate_rivals(replace(result, fit=fit))
    assert [c.key for c in rivals.columns][3:7] == ["chisq_scaled", "df_scaled", "cfi_robust", "rmsea_robust"]
    assert rivals.rows[0][3:7] == (950.5, 890.0, 0.961, 0.013)
