"""Fits of several groups through the door: results, further questions, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelError, ModelSyntaxError, Unsupported
from b2b_sem.results.fit import FitResult

MODEL = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ng ~ c(p1, p2)*f\ngap := p1 - p2"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    n = 260
    f = rng.normal(size=n)
    g = 0.5 * f + rng.normal(size=n)
    items = np.column_stack([f, f, f, g, g, g]) * [1, 0.8, 1.2, 1, 0.7, 1.1] + rng.normal(size=(n, 6))
    data = pd.DataFrame(items, columns=[f"x{i}" for i in range(1, 7)])
    return data.assign(team=np.where(np.arange(n) % 5 < 2, "red", "blue"))


@pytest.fixture(scope="module")
def fitted(frame):
    return bs.fit(MODEL, frame, group="team", group_equal=["loadings", "intercepts"])


def test_results_are_by_group(fitted):
    assert fitted.groups == ("red", "blue")
    assert fitted.group_tests["nobs"].tolist() == [104, 156]
    assert fitted.group_tests["chisq"].sum() == pytest.approx(fitted.measures["chisq"])
    for found in (fitted.r2, fitted.implied(), fitted.sample(), fitted.latent_cov(), fitted.latent_cor()):
        assert tuple(found) == ("red", "blue")
    residual = fitted.residuals()["blue"]["cov"] - (fitted.sample()["blue"]["cov"] - fitted.implied()["blue"]["cov"])
    assert not residual.to_numpy().any()
    assert sorted(set(fitted.parameters["group"])) == [0, 1, 2]
    assert fitted.model.options["group"] == "team"


def test_json_brings_everything_back(fitted):
    again = FitResult.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.groups == fitted.groups
    assert again.r2 == fitted.r2
    assert again.implied()["red"]["cov"].equals(fitted.implied()["red"]["cov"])
    assert again.group_tests.equals(fitted.group_tests)
    assert again.parameters.equals(fitted.parameters)
    assert again.summary() == fitted.summary()


def test_the_summary_goes_group_by_group(fitted):
    text = fitted.summary()
    assert text.index("Group 1 [red]:") < text.index("Group 2 [blue]:") < text.index("Defined Parameters:")
    assert text.count("R-Square:") == 2
    assert "Test statistic for each group:" in text


def test_a_difference_of_paths(fitted):
    row = fitted.parameters.query("lhs == 'gap'").iloc[0]
    paths = fitted.parameters.query("lhs == 'g' and op == '~'")["est"].tolist()
    assert row["est"] == pytest.approx(paths[0] - paths[1])
    assert fitted.wald_test("p1 == p2").chisq == pytest.approx(row["z"] ** 2)
    assert fitted.wald_test("gap == 0").chisq == pytest.approx(row["z"] ** 2)


def test_moments_give_the_same_fit(frame, fitted):
    parts = {team: frame[frame["team"] == team].drop(columns="team") for team in ("red", "blue")}
    found = bs.fit(
        MODEL,
        sample_cov={team: part.cov() for team, part in parts.items()},
        sample_mean={team: part.mean() for team, part in parts.items()},
        nobs={team: len(part) for team, part in parts.items()},
        group_equal=["loadings", "intercepts"],
    )
    assert found.groups == fitted.groups
    assert found.parameters["est"].to_numpy() == pytest.approx(fitted.parameters["est"].to_numpy(), abs=1e-8)
    assert found.measures == pytest.approx(fitted.measures, rel=1e-8, abs=1e-8)


def test_effects_and_scores_of_a_group(frame, fitted):
    found = fitted.indirect_effects(group="blue").table.query("kind == 'direct'").iloc[0]
    own = fitted.parameters.query("lhs == 'g' and op == '~' and group == 2").iloc[0]
    assert found["est"] == pytest.approx(own["est"])
    assert found["se"] == pytest.approx(own["se"])
    assert found["est_std"] == pytest.approx(own["std_all"])
    scores = fitted.factor_scores()
    assert {team: len(part) for team, part in scores.items()} == {"red": 104, "blue": 156}
    assert scores["red"].index.equals(frame.index[frame["team"] == "red"])


def test_effects_are_those_of_one_group(fitted):
    with pytest.raises(Unsupported, match="one group"):
        fitted.indirect_effects()


def test_an_unknown_group_is_named(fitted):
    with pytest.raises(DataError, match="no group 'rd'"):
        fitted.indirect_effects(group="rd")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"missing": "mi", "seed": 1, "cluster": "x1"}, "cluster"),
        ({"auxiliary": ["x1"]}, "missing='fiml'"),
        ({"auxiliary": ["g1"], "missing": "fiml", "bounds": "pos.var"}, "bounds"),
        ({"bounds": "pos.var", "estimator": "MLR"}, "maximum likelihood"),
        ({"bounds": "pos"}, "bounds='pos'"),
        ({"bounds": "wide", "std_lv": True, "group_equal": ["loadings"]}, "no range for variances"),
        ({"engine": "semopy"}, "semopy"),
    ],
)
def test_what_does_not_go_with_groups(frame, options, match):
    with pytest.raises(Unsupported, match=match):
        bs.fit("f =~ x1 + x2 + x3 + x4", frame, group="team", **options)


@pytest.mark.parametrize("extra", ["p1 < p2", "p1*p2 == 0.2", "x1 ~~ lower(0)*x1"])
def test_constraints_that_are_not_linear_equations(frame, extra):
    found = bs.fit(MODEL + "\n" + extra, frame, group="team")
    paths = found.parameters.query("lhs == 'g' and op == '~'")["est"].tolist()
    assert found.converged
    assert paths[0] <= paths[1] + 1e-9 or "<" not in extra
    assert paths[0] * paths[1] == pytest.approx(0.2) or "==" not in extra
    with pytest.raises(Unsupported, match="bounds or nonlinear constraints"):
        found.bootstrap(10, seed=1)


def test_a_text_names_one_kind_of_equality(frame, fitted):
    found = bs.fit(MODEL, frame, group="team", group_equal="loadings", group_partial="f=~x2")
    assert found.model.options["group_equal"] == ("loadings",)
    assert found.model.options["group_partial"] == ("f=~x2",)
    with pytest.raises(DataError, match="compares groups"):
        bs.fit("f =~ x1 + x2 + x3 + x4", frame, group_equal="loadings")


def test_labels_that_look_alike_are_said(frame):
    other = frame.assign(team=np.where(np.arange(len(frame)) % 5 == 0, "Red ", frame["team"]))
    notes = bs.fit("f =~ x1 + x2 + x3 + x4", other, group="team").notes
    assert [n for n in notes if "'Red'" in n and "'red'" in n and "blanks or capital letters" in n]
    assert not [n for n in bs.fit("f =~ x1 + x2 + x3 + x4", frame, group="team").notes if "capital" in n]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (pd.Categorical(["b", "a"] * 130, categories=["a", "b", "unused"]), ("b", "a")),
        (np.array([True, False] * 130), ("True", "False")),
        (np.array([1.0, 0.0] * 130), ("1", "0")),
        (pd.array([1, 0] * 130, dtype="Int64"), ("1", "0")),
        (np.array(["Ü s.a.", "Österreich"] * 130), ("Ü s.a.", "Österreich")),
    ],
)
def test_columns_of_any_kind_tell_groups_apart(frame, values, labels):
    found = bs.fit("f =~ x1 + x2 + x3 + x4", frame.assign(own=values), group="own")
    assert found.groups == labels
    assert set(found.r2) == set(labels)


def test_an_item_that_one_group_never_answered_is_named(frame):
    frame = frame.assign(x3=frame["x3"].where(frame["team"] == "red"))
    for missing in ("listwise", "fiml"):
        with pytest.raises(DataError, match=r"group blue: every value is missing in x3"):
            bs.fit("f =~ x1 + x2 + x3 + x4", frame, group="team", missing=missing)


def test_clusters_that_span_groups_are_said(frame):
    model, rows = "f =~ x1 + x2 + x3 + x4", np.arange(len(frame))
    data = frame.assign(firm=rows % 12, place=[f"{team}{k % 10}" for team, k in zip(frame["team"], rows, strict=True)])
    spanning = bs.fit(model, data, group="team", cluster="firm", estimator="MLR")
    within = bs.fit(model, data, group="team", cluster="place", estimator="MLR")
    assert [w for w in spanning.warnings if "12 of 12 clusters in column firm" in w]
    assert not [w for w in within.warnings if "clusters" in w]
    assert spanning.model.options["cluster"] == "firm"
    with pytest.raises(DataError, match="both groups and clusters"):
        bs.fit(model, data, group="team", cluster="team", estimator="MLR")
    with pytest.raises(Unsupported, match="drawn one by one"):
        within.bootstrap(10, seed=1)


def test_score_tests_of_parameters_in_some_groups(fitted):
    both = fitted.score_test("x1 ~~ x2")
    assert both.univariate["lhs"].tolist() == ["x1~~x2", "x1~~x2.g2"]
    one = fitted.score_test("group: blue\nx1 ~~ x2")
    assert one.univariate["lhs"].tolist() == ["x1~~x2.g2"]
    assert one.univariate["chisq"].item() == pytest.approx(both.univariate["chisq"].iloc[1])
    with pytest.raises(ModelSyntaxError, match="names no group"):
        fitted.score_test("group: rd\nx1 ~~ x2")
    with pytest.raises(ModelSyntaxError, match="already free"):
        fitted.score_test("x1 ~~ x1")


def test_bootstrap_of_groups(fitted):
    found = fitted.bootstrap(40, seed=1, ci="percentile")
    assert found.parameters["group"].tolist() == fitted.parameters["group"].tolist()
    assert found.parameters["est"].to_numpy() == pytest.approx(fitted.parameters["est"].to_numpy())
    gap = found.parameters.query("lhs == 'gap'").iloc[0]
    assert gap["ci_lower"] < gap["est"] < gap["ci_upper"]
    again = fitted.bootstrap(40, seed=1, ci="percentile", jobs=2)
    assert np.array_equal(found.theta, again.theta)
    effects = fitted.indirect_effects(group="blue", ci="percentile", bootstrap=found).table.query("kind == 'direct'")
    row = found.parameters.query("lhs == 'g' and op == '~' and group == 2").iloc[0]
    assert effects["ci_lower"].item() == pytest.approx(row["ci_lower"])
    assert effects["se"].item() == pytest.approx(row["se"])


def test_bollen_stine_of_groups(fitted):
    found = fitted.bootstrap(60, seed=1, kind="bollen-stine")
    assert found.test["df"] == fitted.measures["df"]
    assert found.test["chisq"] == fitted.measures["chisq"]
    # under a true model chi-squares are about as large as their degrees of freedom
    assert found.chisq.mean() == pytest.approx(found.test["df"], rel=0.25)


def test_imputation_by_group(frame):
    holes = frame.assign(x2=frame["x2"].where(np.arange(len(frame)) % 7 > 0))
    model = "f =~ x1 + x2 + x3 + x4"
    found = bs.fit(model, holes, group="team", missing="mi", imputations=3, seed=1)
    again = bs.fit_imputed(
        model, bs.impute(holes, m=3, seed=1, items=["x1", "x2", "x3", "x4"], group="team"), group="team"
    )
    assert found.parameters["est"].to_numpy() == pytest.approx(again.parameters["est"].to_numpy())
    assert found.groups == ("red", "blue")
    assert "Test statistic for each group" not in found.summary()
    assert " in group " in found.imputation.summary()
    again_read = FitResult.from_json(json.loads(json.dumps(found.to_json())))
    assert again_read.groups == found.groups
    assert not again.imputation.failed
    with pytest.raises(DataError, match="without regard to groups"):
        bs.fit_imputed(model, bs.impute(holes, m=3, seed=1, items=["x1", "x2", "x3", "x4"]), group="team")


def test_each_group_is_imputed_by_itself(frame):
    holes = frame.assign(x2=frame["x2"].where(np.arange(len(frame)) % 7 > 0))
    completed = bs.impute(holes, m=2, seed=1, group="team", items=["x1", "x2", "x3"])
    assert completed.group == "team"
    assert completed[0].index.equals(frame.index)
    assert completed[0]["x1"].equals(frame["x1"])
    assert set(completed.convergence()["group"]) == {"red", "blue"}
    assert completed.missing["x2"] == holes["x2"].isna().sum()
    # answers of the other group do not matter
    moved = holes.assign(x1=holes["x1"].where(holes["team"] == "red", -holes["x1"]))
    other = bs.impute(moved, m=2, seed=1, group="team", items=["x1", "x2", "x3"])
    red = frame["team"] == "red"
    assert other[0].loc[red, "x2"].equals(completed[0].loc[red, "x2"])
    assert not other[0].loc[~red, "x2"].equals(completed[0].loc[~red, "x2"])
    with pytest.raises(DataError, match="tells groups apart"):
        bs.impute(holes.assign(team=red * 1), m=2, seed=1, group="team", items=["x1", "x2", "team"])


def test_bad_groups(frame):
    with pytest.raises(DataError, match=r"no column 'taem'.*team"):
        bs.fit(MODEL, frame, group="taem")
    with pytest.raises(DataError, match="single value"):
        bs.fit("f =~ x1 + x2 + x3 + x4", frame[frame["team"] == "red"], group="team")
    with pytest.raises(DataError, match="variable of the model"):
        bs.fit("f =~ x1 + x2 + x3 + half", frame.assign(half=1 * (frame["x1"] > 0)), group="half")
    with pytest.raises(ModelSyntaxError, match="not identified"):
        bs.fit("f =~ x1 + x2", frame, group="team")


def test_models_of_groups_are_compared(frame, fitted):
    free = bs.fit(MODEL, frame, group="team", group_equal=["loadings"])
    table = bs.compare(free, fitted).table
    assert table["df_diff"].iloc[1] == 4
    assert table["chisq_diff"].iloc[1] == pytest.approx(fitted.measures["chisq"] - free.measures["chisq"])
    other = bs.fit(MODEL, frame.assign(team=frame["team"].replace({"red": "crimson"})), group="team")
    with pytest.raises(DataError, match="different groups"):
        bs.compare(other, fitted)


def test_advice_works_for_groups(frame):
    found = bs.fit("f =~ x1 + x2 + x3 + x4", frame, group="team", estimator="auto")
    assert found.groups == ("red", "blue")
    assert found.estimator in ("ML", "MLR")


def correlations(r12: float, r13: float, r23: float) -> pd.DataFrame:
    """Return a matrix of three items; one factor leaves the first a residual variance of 1 - r12 r13 / r23."""
    names = ["a", "b", "c"]
    return pd.DataFrame([[1, r12, r13], [r12, 1, r23], [r13, r23, 1]], index=names, columns=names)


def test_warnings_name_the_group():
    found = bs.fit(
        "f =~ a + b + c",
        sample_cov={"fine": correlations(0.5, 0.5, 0.5), "odd": correlations(0.7, 0.7, 0.3)},
        nobs={"fine": 200, "odd": 200},
    )
    assert not found.admissible
    heywood = [text for text in found.warnings if "Heywood" in text]
    assert len(heywood) == 1
    assert heywood[0].startswith("Group odd: Heywood case: negative variance of a")


def test_the_group_of_an_unidentified_parameter_is_named(frame):
    model = "f =~ x1 + x2 + x3 + x4\nf ~ c(0, NA)*1"
    found = bs.fit(model, frame, group="team")
    assert not found.identified
    assert any("f~1 (group blue)" in text for text in found.warnings)


def test_nesting_is_found_in_another_parameterization(frame):
    model = "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6"
    free = bs.fit(model, frame, group="team")
    equal = bs.fit(model, frame, group="team", group_equal=["loadings"], std_lv=True)
    test = bs.compare(free, equal).table.iloc[1]
    assert test["df_diff"] == 4
    assert test["chisq_diff"] == pytest.approx(equal.measures["chisq"] - free.measures["chisq"])
    other = bs.fit("f =~ x1 + x2 + x4\ng =~ x3 + x5 + x6", frame, group="team", group_equal=["loadings"])
    with pytest.raises(ModelError, match="not nested"):
        bs.compare(free, other)


def test_a_study_names_no_group():
    from types import SimpleNamespace

    from b2b_sem import study

    model, data = (
        SimpleNamespace(syntax=lambda survey, rival: "f =~ a", regressions=dict),
        SimpleNamespace(responses=object()),
    )
    with pytest.raises(Unsupported, match="one group at a time"):
        study._fit(model, None, data, {"group": "sector"}, None)


def test_one_equality_may_be_given_as_text_and_none_as_none(frame):
    text = bs.fit(MODEL, frame, group="team", group_equal="loadings", group_partial=None)
    listed = bs.fit(MODEL, frame, group="team", group_equal=["loadings"])
    assert text.model.options["group_equal"] == ("loadings",)
    assert text.model.options == listed.model.options
    assert text.measures == listed.measures


def test_the_group_column_may_have_a_number_for_its_name(frame):
    numbered = frame.rename(columns={"team": 5})
    found = bs.fit(MODEL, numbered, group=5)
    assert found.groups == bs.fit(MODEL, frame, group="team").groups
    assert found.model.options["group"] == "5"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"group": ["team"]}, "group is a list, not the name of a column"),
        ({"group": "team", "group_equal": [5]}, "group_equal holds 5, which is no name"),
        ({"group_equal": ["loadings"]}, "group_equal compares groups, and there is one"),
        ({"group_partial": ["f=~x2"]}, "group_partial compares groups, and there is one"),
    ],
)
def test_arguments_of_groups_that_cannot_be_used(frame, options, match):
    with pytest.raises(DataError, match=match) as info:
        bs.fit("f =~ x1 + x2 + x3 + x4", frame, **options)
    assert info.value.hint


def test_effects_of_a_group_whose_label_is_a_number(frame):
    numbered = frame.assign(team=frame["team"].map(dict(zip(frame["team"].unique(), (1, 2), strict=True))))
    found = bs.fit(MODEL, numbered, group="team")
    assert found.indirect_effects(group=1).table.equals(found.indirect_effects(group="1").table)
