"""Claims on groups with latents of their own: from the model file to verdict and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.claim_effect import compare_claim
from b2b_sem.analysis.group_claim import claim_parts
from b2b_sem.analysis.split import split_answers
from b2b_sem.errors import Unsupported
from b2b_sem.results.comparison import ClaimPart, GroupComparison
from b2b_sem.results.fit import FitResult
from b2b_sem.results.group_claim import GroupClaim
from b2b_sem.results.study import StudyResult
from b2b_sem.results.verdict import Verdict
from b2b_sem.spec.claim import ClaimModel
from b2b_sem.spec.loader import load_model, load_survey

MODEL = """kind: model
schema_version: 1
id: sectors
title: Sectors
survey: lima2026
measurement:
  NR: {items: [nr1, nr2, nr3]}
  PC: {items: [pc1, pc2, pc3]}
structural: PC ~ NR
propositions:
  - {id: P1, statement: Relevant people are credible., path: NR -> PC, sign: "+"}
  - id: P10
    statement: Regulation matters.
    test: group
    group: sector
    level: regulated
    measurement:
      AU: {items: [au1, au2, au3]}
      LG: {items: [lg1, lg2, lg3]}
      DA: {items: [da1, da2, da3]}
    structural: |
      AU ~ DA
      LG ~ DA
    mediators: [DA]
    parts:
      - {path: RG -> AU, sign: "-"}
      - {path: RG -> LG, sign: "+"}
"""
COVARIATES = MODEL.replace("mediators", "covariates")
#: Stringency is measured and takes the place of the groups.
OWN_RG = MODEL.replace("      DA: {items", "      RG: {items: [rg1, rg2, rg3]}\n      DA: {items").replace(
    "AU ~ DA\n      LG ~ DA", "AU ~ RG + DA\n      LG ~ RG + DA\n      DA ~ RG"
)
MAIN_RG = """kind: model
schema_version: 1
id: sectors
title: Sectors
survey: lima2026
measurement:
  NR: {items: [nr1, nr2, nr3]}
  PC: {items: [pc1, pc2, pc3]}
  RG: {items: [rg1, rg2, rg3]}
  AU: {items: [au1, au2, au3]}
  LG: {items: [lg1, lg2, lg3]}
  DA: {items: [da1, da2, da3]}
structural: |
  PC ~ NR
  DA ~ RG
  AU ~ RG + DA
  LG ~ RG + DA
propositions:
  - {id: P1, statement: Relevant people are credible., path: NR -> PC, sign: "+"}
  - id: P10
    statement: Regulation matters.
    test: group
    group: sector
    level: regulated
    mediators: [DA]
    parts:
      - {path: RG -> AU, sign: "-"}
      - {path: RG -> LG, sign: "+"}
"""
STUDY = """kind: study
schema_version: 1
id: sectors
title: Sectors
survey: lima2026
model: model.yaml
data: {file: answers.csv}
options: {estimator: ML}
analyses:
  - fit
  - propositions
  - groups: sector
"""


def respondents(
    au: float = -0.5, lg: float = 0.5, da: float = 0.8, au_da: float = -0.3, turn: float = 0.0, n: int = 350
) -> pd.DataFrame:
    """Answers of regulated sectors first: what regulation does to AU and LG beside DA, and to DA.

    `turn` is how much steeper AU falls with DA under regulation. Stringency RG is 0.5 higher under regulation, and
    changes AU and LG within groups, too.
    """
    rng = np.random.default_rng(11)
    regulated = np.repeat([1.0, 0.0], n)
    rg = 0.5 * regulated + rng.normal(size=2 * n)
    aware = da * regulated + 0.4 * rg + rng.normal(size=2 * n)
    own = {
        "rg": rg,
        "da": aware,
        "au": au * regulated - 0.3 * rg + (au_da - turn * regulated) * aware + rng.normal(size=2 * n),
        "lg": lg * regulated + 0.3 * rg + 0.3 * aware + rng.normal(size=2 * n),
        "nr": rng.normal(size=2 * n),
    }
    own["pc"] = (0.3 + 0.5 * regulated) * own["nr"] + rng.normal(size=2 * n)
    columns = {
        f"{code}{i}": 4 + 0.7 * latent + rng.normal(scale=0.5, size=2 * n)
        for code, latent in own.items()
        for i in (1, 2, 3)
    }
    sector = np.where(regulated == 1, rng.integers(1, 4, 2 * n), rng.integers(4, 7, 2 * n))
    return pd.DataFrame(columns).clip(1, 7).assign(sector=sector)


Run = Callable[..., StudyResult]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the study on a model and answers, each combination once."""
    done: dict[tuple[str, str], StudyResult] = {}

    def once(data: pd.DataFrame, model: str = MODEL) -> StudyResult:
        answers = data.to_csv(index=False)
        if (answers, model) not in done:
            folder = tmp_path_factory.mktemp("study")
            (folder / "answers.csv").write_text(answers, encoding="utf-8")
            (folder / "model.yaml").write_text(model, encoding="utf-8")
            (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
            done[answers, model] = bs.run_study(folder / "study.yaml")
        return done[answers, model]

    return once


Look = Callable[..., tuple[GroupClaim, tuple[ClaimPart, ...], FitResult]]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Test the claim of a model without the rest of a study."""
    survey = load_survey("lima2026")

    def once(data: pd.DataFrame, model: str = MODEL) -> tuple[GroupClaim, tuple[ClaimPart, ...], FitResult]:
        path = tmp_path_factory.mktemp("model") / "model.yaml"
        path.write_text(model, encoding="utf-8")
        spec = load_model(path, survey=survey)
        fit, claim = bs.fit(spec.syntax(), data), spec.claim_model("P10")
        assert claim is not None
        _, groups = split_answers(data, survey, "sector")
        found = compare_claim(claim, data, groups, {}, alpha=0.05, level=0.95, fit=fit)
        compared = GroupComparison("sector", "sector", None, None, (), (found,))
        return found, claim_parts(spec.proposition("P10"), fit, compared, 0.05), fit

    return once


def claim_of(result: StudyResult) -> GroupClaim:
    ((claim,),) = [c.claims for c in result.comparisons]
    return claim


def effect(claim: GroupClaim, outcome: str, name: str, at: str = "") -> float:
    table = claim.effects
    row = table[(table["outcome"] == outcome) & (table["effect"] == name) & (table["at"] == at)]
    assert len(row) == 1
    return float(row["est"].iloc[0])


def outcomes(verdict: Verdict) -> list[str]:
    return [part.outcome for part in verdict.parts]


def test_mediators_split_the_total_difference(run: Run) -> None:
    result = run(respondents())
    plain, claimed = result.verdicts
    assert plain.verdict == claimed.verdict == "supported"
    assert outcomes(claimed) == ["holds", "holds", "holds"]
    claim = claim_of(result)
    assert (claim.role, claim.between, claim.equal_slopes) == ("mediators", ("DA",), True)
    assert claim.invariance is not None
    assert claim.invariance.holds == "scalar"
    assert "only" not in result.fit.model.observed
    assert result.fit.model.latents == ("NR", "PC")  # the main model stays as it is
    for outcome in ("AU", "LG"):
        total = effect(claim, outcome, "total")
        assert total == pytest.approx(effect(claim, outcome, "direct") + effect(claim, outcome, "indirect"), abs=1e-12)
        assert abs(effect(claim, outcome, "indirect")) > 0.1
    assert claimed.parts[0].estimate == effect(claim, "AU", "total")
    assert "the mean of AU in regulated minus that in non_regulated is -" in claimed.parts[0].text
    assert "direct -" in claimed.parts[0].text
    assert "through DA -" in claimed.parts[0].text
    assert "do not differ reliably between the groups" in claim.statements[0]


def test_covariates_judge_what_remains(look: Look) -> None:
    """AU is lower under regulation only because more is disclosed: a mediator explains it, a covariate removes it."""
    data = respondents(au=0.15, au_da=-0.5, da=1.0)
    total, adjusted = look(data)[1], look(data, COVARIATES)[1]
    assert [p.outcome for p in total] == ["holds", "holds", "not tested"]
    assert [p.outcome for p in adjusted] == ["open", "holds", "not tested"]
    assert "with DA held equal, is" in adjusted[0].text
    assert adjusted[0].text.count("total -") == 1


def test_unequal_slopes_are_said_and_shown(run: Run) -> None:
    claim = claim_of(run(respondents(turn=0.5), COVARIATES))
    assert claim.equal_slopes is False
    assert claim.slopes_test["pvalue"] < 0.001
    assert "differ between the groups" in claim.statements[0]
    low, high = effect(claim, "AU", "direct", "non_regulated"), effect(claim, "AU", "direct", "regulated")
    # groups of one size: the mean of all respondents lies midway
    assert high < low
    assert effect(claim, "AU", "direct") == pytest.approx((low + high) / 2, abs=1e-9)
    slopes = claim.slopes.set_index("path")
    assert slopes.loc["AU~DA", "pvalue"] < 0.001 < slopes.loc["LG~DA", "pvalue"]


def test_unequal_slopes_are_part_of_the_words(run: Run) -> None:
    found = run(respondents(turn=0.5), COVARIATES).verdicts[1]
    assert "with DA held equal, at the mean of all respondents is -" in found.parts[0].text


@pytest.fixture(scope="module")
def claim(tmp_path_factory: pytest.TempPathFactory) -> ClaimModel:
    path = tmp_path_factory.mktemp("model") / "model.yaml"
    path.write_text(MODEL, encoding="utf-8")
    found = bs.load_model(path).claim_model("P10")
    assert found is not None
    return found


def test_who_comes_first_in_the_data_does_not_matter(claim: ClaimModel) -> None:
    data = respondents()
    found = []
    for own in (data, data.iloc[::-1]):
        groups = (own["sector"] <= 3).map({True: "regulated", False: "open"})
        found.append(compare_claim(claim, own, groups, {}, alpha=0.05, level=0.95))
    one, two = found
    assert one.reference == two.reference == "open"
    numbers = ["est", "se", "pvalue"]
    np.testing.assert_allclose(one.effects[numbers], two.effects[numbers], rtol=1e-6, atol=1e-9)


def test_groups_that_cannot_be_compared_are_said(claim: ClaimModel) -> None:
    data = respondents()
    three = pd.Series(np.resize(["regulated", "open", "other"], len(data)), index=data.index)
    for groups, text in (
        (three, "the groups are open, other, regulated, not 'regulated' and one other"),
        (three.where(three == "regulated"), "the groups are regulated, not 'regulated' and one other"),
    ):
        found = compare_claim(claim, data, groups, {}, alpha=0.05, level=0.95)
        assert text in found.reasons[0]
        assert found.effects.empty
    two = three.replace("other", "open")
    levelless = replace(claim, level=None)
    assert "('level')" in compare_claim(levelless, data, two, {}, alpha=0.05, level=0.95).reasons[0]
    short = compare_claim(claim, data.drop(columns="da1"), two, {}, alpha=0.05, level=0.95)
    assert "da1" in short.reasons[0]


def test_other_estimators_are_replaced_and_said(claim: ClaimModel) -> None:
    data = respondents(n=150)
    groups = (data["sector"] <= 3).map({True: "regulated", False: "open"})
    found = compare_claim(claim, data, groups, {"estimator": "WLSMV"}, alpha=0.05, level=0.9)
    assert "MLR: WLSMV is not available" in found.notes[0]
    row = found.effects.iloc[0]
    assert row["ci_upper"] - row["ci_lower"] == pytest.approx(2 * 1.6448536269514722 * row["se"])


def test_ordinal_items_of_a_claim_stay_ordinal(claim: ClaimModel) -> None:
    data = respondents()
    groups = (data["sector"] <= 3).map({True: "regulated", False: "open"})
    items = data.columns.drop("sector")
    coarse = data.assign(**{item: np.searchsorted([3.2, 4.0, 4.8], data[item]) for item in items})
    exact = compare_claim(claim, data, groups, {}, alpha=0.05, level=0.95)
    found = compare_claim(claim, coarse, groups, {"estimator": "WLSMV", "ordered": ["pc1"]}, alpha=0.05, level=0.95)
    assert found.reasons == ()
    assert found.notes == exact.notes
    assert found.invariance is not None
    assert found.invariance.estimator == "WLSMV"
    assert "thresholds" in found.invariance.steps["step"].tolist()
    keys = ["outcome", "effect", "through", "at"]
    both = found.effects.merge(exact.effects, on=keys)
    assert len(both) == len(exact.effects)
    assert ((both["est_x"] - both["est_y"]).abs() < 2 * both["se_y"]).all()
    assert (both["se_x"] > 0.95 * both["se_y"]).all()


def test_items_of_the_claim_do_not_harm_the_paths(run: Run) -> None:
    data = respondents()
    regulated = data["sector"] <= 3
    for item, shift in (("au1", 1.6), ("au2", -1.6), ("lg1", 1.6), ("lg2", -1.6)):
        data.loc[regulated, item] += shift
    result = run(data.clip(1, 7))
    found = result.verdicts[1]
    assert outcomes(found) == ["not tested", "not tested", "holds"]
    assert found.verdict == "not testable here"
    assert "equal intercepts were not established" in found.parts[0].text
    assert result.comparisons[0].paths is not None


def test_items_of_the_main_model_do_not_harm_the_means(run: Run) -> None:
    data = respondents()
    # regulated respondents answer some questions on relevance as if they were about credibility, and the other way
    data.loc[data["sector"] <= 3, ["nr1", "pc1"]] = data[["pc1", "nr1"]].to_numpy(copy=True)[:350]
    found = run(data).verdicts[1]
    assert outcomes(found) == ["holds", "holds", "not tested"]
    assert "loadings are not equal" in found.parts[2].text


def test_items_that_were_not_asked(run: Run) -> None:
    result = run(respondents().drop(columns=["lg2"]))
    assert result.verdicts[0].verdict == "supported"
    assert outcomes(result.verdicts[1]) == ["not tested", "not tested", "holds"]
    assert "lg2" in result.verdicts[1].parts[0].text


def test_without_a_comparison_of_groups(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("  - groups: sector\n", ""), encoding="utf-8")
    (tmp_path / "model.yaml").write_text(MODEL, encoding="utf-8")
    respondents()[["nr1", "nr2", "nr3", "pc1", "pc2", "pc3"]].to_csv(tmp_path / "answers.csv", index=False)
    result = bs.run_study(tmp_path / "study.yaml")
    assert [v.verdict for v in result.verdicts] == ["supported", "not testable here"]


def test_no_paths_means_plain_differences(look: Look) -> None:
    plain = MODEL.replace("    structural: |\n      AU ~ DA\n      LG ~ DA\n    mediators: [DA]\n", "")
    claim, _, _ = look(respondents(), plain)
    assert claim.equal_slopes is None
    assert claim.effects["effect"].tolist() == ["total", "total"]
    assert claim.invariance is not None
    ladder = claim.invariance.means.set_index("latent")
    for row in claim.effects.to_dict("records"):
        for name in ("est", "se", "pvalue", "ci_lower", "ci_upper"):
            assert row[name] == pytest.approx(ladder.loc[row["outcome"], name], rel=1e-9)


def test_a_marker_in_the_text_does_not_fix_a_second_scale(look: Look) -> None:
    """Latents of a main model in lavaan text may have a loading fixed at 1; the joint model has no need of it."""
    lines = "  NR =~ {m}nr1 + nr2 + nr3\n  AU =~ {m}au1 + au2 + au3\n  LG =~ lg1 + lg2 + lg3\n  DA =~ da1 + da2 + da3\n"
    head, tail = MAIN_RG[: MAIN_RG.index("measurement:")], MAIN_RG[MAIN_RG.index("propositions:") :]
    tail = tail.replace("path: NR -> PC", "path: DA -> AU")
    text = head + "text: |\n" + lines + "  AU ~ DA\n  LG ~ DA\n" + tail
    (plain, _, _), (marked, _, _) = (look(respondents(), text.replace("{m}", m)) for m in ("", "1*"))
    assert marked.reasons == ()
    numbers = ["est", "se", "pvalue"]
    np.testing.assert_allclose(plain.effects[numbers], marked.effects[numbers], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("model", [OWN_RG, MAIN_RG], ids=["own", "main"])
def test_measured_regulation_as_total_effect(look: Look, model: str) -> None:
    claim, parts, main = look(respondents(), model)
    assert [p.outcome for p in parts[:2]] == ["holds", "holds"]
    assert claim.invariance is None
    fit = main if model is MAIN_RG else bs.fit(claim.text, respondents())
    effects = fit.indirect_effects()
    for outcome, part in zip(("AU", "LG"), parts, strict=False):
        total = effects.select("total", outcome=outcome, predictor="RG").iloc[0]
        assert part.estimate == pytest.approx(total["est"], rel=1e-6)
        assert part.se == pytest.approx(total["se"], rel=1e-6)
        assert f"the effect of RG on {outcome} is" in part.text
        assert "through DA" in part.text
        assert effect(claim, outcome, "direct") + effect(claim, outcome, "indirect") == pytest.approx(part.estimate)


@pytest.mark.parametrize("without", ["", "  DA ~ RG\n"], ids=["on the way", "beside"])
def test_measured_regulation_beside_a_covariate(look: Look, without: str) -> None:
    model = MAIN_RG.replace("mediators", "covariates")
    _, parts, fit = look(respondents(), model.replace(without, "") if without else model)
    table = fit.parameters
    row = table[(table["op"] == "~") & (table["lhs"] == "AU") & (table["rhs"] == "RG")].iloc[0]
    assert parts[0].estimate == pytest.approx(row["est"], rel=1e-9)
    assert parts[0].se == pytest.approx(row["se"], rel=1e-9)
    assert "the effect of RG on AU, with DA held equal, is" in parts[0].text


def test_full_mediation_of_measured_regulation(look: Look) -> None:
    claim, parts, _ = look(respondents(), MAIN_RG.replace("AU ~ RG + DA", "AU ~ DA"))
    own = claim.effects[claim.effects["outcome"] == "AU"]
    assert own["effect"].tolist() == ["indirect", "total"]
    assert own["est"].iloc[0] == pytest.approx(own["est"].iloc[1])
    assert parts[0].outcome == "holds"


def test_a_study_with_measured_regulation(run: Run) -> None:
    found = run(respondents(), MAIN_RG).verdicts[1]
    assert found.verdict == "supported"
    assert outcomes(found) == ["holds", "holds", "holds"]


def test_json_and_report(run: Run) -> None:
    from b2b_sem.report.html import render_report
    from b2b_sem.report.tables import build_tables

    result = run(respondents(turn=0.5), COVARIATES)
    data: dict[str, Any] = json.loads(json.dumps(result.comparisons[0].to_json(), allow_nan=False))
    again = GroupComparison.from_json(data)
    assert again.to_json() == result.comparisons[0].to_json()
    old = {k: v for k, v in data.items() if k != "claims"}
    assert GroupComparison.from_json(old).claims == ()
    tables = build_tables(result)
    rows = tables["groups_sector_P10"].rows
    assert len(rows) == 2 * 5
    assert {"groups_sector_P10_steps", "groups_sector_P10_slopes"} <= set(tables)
    assert "DA -> AU" in tables["groups_sector_P10_slopes"].to_csv()
    page = render_report(result)
    assert "P10: total, direct and indirect effects" in page
    assert "differ between the groups" in page
    assert math.isfinite(result.comparisons[0].claims[0].slopes_test["wald"])


def test_settings_that_do_not_carry_over(claim: ClaimModel, tmp_path: Path) -> None:
    data = respondents(n=150).assign(firm=np.arange(300) // 3)
    data.to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "model.yaml").write_text(MODEL, encoding="utf-8")
    study = STUDY.replace("{estimator: ML}", "{estimator: MLR, cluster: firm}")
    (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
    with pytest.raises(Unsupported, match="cluster='firm': groups of a study cannot be compared") as error:
        bs.run_study(tmp_path / "study.yaml")
    assert error.value.line == 8
    groups = (data["sector"] <= 3).map({True: "regulated", False: "open"})
    clustered = compare_claim(claim, data, groups, {"cluster": "firm"}, alpha=0.05, level=0.95)
    assert clustered.effects.empty
    assert "cluster" in clustered.reasons[0]
    plain = compare_claim(claim, data, groups, {"se": "robust.sem", "test": "standard"}, alpha=0.05, level=0.95)
    assert "Groups were compared without the settings se, test." in plain.notes
