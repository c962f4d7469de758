"""Studies on simulated groups: every grouping of the survey, and the truth beside the estimates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.recovery import RECOVERY_COLUMNS, recover_groups
from b2b_sem.report.html import render_report
from b2b_sem.report.tables import build_tables
from b2b_sem.results.comparison import GroupComparison
from b2b_sem.results.study import StudyResult

MODEL = """\
kind: model
schema_version: 1
id: short
title: Short
survey: lima2026
measurement:
  RE: {items: [re1, re2, re3]}
  PC: {items: [pc1, pc2, pc3]}
  BT: {items: [bt1, bt2, bt3]}
structural: |
  PC ~ RE
  BT ~ PC
propositions:
  - {id: P3, statement: Engagement makes credible., path: RE -> PC, sign: "+"}
  - {id: P7, statement: Credibility makes trust., path: PC -> BT, sign: "+"}
  - id: P10
    statement: Regulation matters.
    test: group
    group: sector
    level: regulated
    measurement:
      AU: {items: [au1, au2, au3]}
      DA: {items: [da1, da2, da3]}
    structural: AU ~ DA
    mediators: [DA]
    parts: [{path: RG -> AU, sign: "-"}]
"""
STUDY = """\
kind: study
schema_version: 1
id: short
title: Short
survey: lima2026
model: ./model.yaml
data: {simulate: lima2026_sectors, n: %d, seed: 11}
analyses: [fit, groups: %s]
"""


SMALL = """\
kind: model
schema_version: 1
id: small
title: Small
survey: lima2026
measurement:
  PC: {items: [pc1, pc2, pc3]}
  BT: {items: [bt1, bt2, bt3]}
structural: BT ~ PC
"""


def run(folder: Path, *splits: str, n: int, model: str = MODEL) -> StudyResult:
    (folder / "model.yaml").write_text(model, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY % (n, ", groups: ".join(splits)), encoding="utf-8")
    return bs.run_study(folder / "study.yaml")


@pytest.fixture(scope="module")
def groupings(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    splits = ("actor", "purchase", "role", "platform", "country", "purchase_size")
    return run(tmp_path_factory.mktemp("groupings"), *splits, n=700, model=SMALL)


@pytest.mark.parametrize(
    ("split", "groups", "reason"),
    [
        ("actor", {"independent", "employee", "customer", "opinion_leader"}, ""),
        ("purchase", {"small", "large"}, ""),
        ("role", {"influencer", "user", "decider", "buyer"}, "left out: initiator (n = "),
        ("platform", {"linkedin", "elsewhere"}, "joined to 'elsewhere': "),
        ("country", {"DE", "FR", "PT"}, ""),
        ("purchase_size", 5, ""),
    ],
)
def test_every_grouping_of_the_survey(groupings: StudyResult, split: str, groups: set[str] | int, reason: str) -> None:
    (found,) = [c for c in groupings.comparisons if c.name == split]
    assert found.invariance is not None
    assert found.paths is not None
    named = set(found.paths.groups)
    assert groups in (named, len(named))
    assert min(found.paths.groups.values()) >= (100 if reason or split == "country" else 40)
    assert any(reason in text for text in found.reasons) if reason else found.reasons == ()
    # these groups do not differ in the population, and it says nothing about them
    assert groupings.group_truth is None
    assert f"groups_{split}_paths" in build_tables(groupings)


def test_small_groups_of_a_fact_are_named_with_their_size(tmp_path: Path) -> None:
    (found,) = run(tmp_path, "actor", n=25, model=SMALL).comparisons
    assert found.invariance is None
    assert found.paths is None
    (reason,) = found.reasons
    assert "a covariance matrix of 6 items needs more than 6 respondents in each group" in reason
    assert "'minimum'" in reason
    sizes = [int(part.split(")")[0]) for part in reason.split("(n = ")[1:]]
    assert sizes
    assert max(sizes) <= 6


@pytest.fixture(scope="module")
def sectors(tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return run(tmp_path_factory.mktemp("sectors"), "sector", n=3000)


def test_the_truth_of_groups_stands_beside_the_estimates(sectors: StudyResult) -> None:
    table = sectors.group_truth
    assert table is not None
    assert tuple(table.columns) == RECOVERY_COLUMNS
    assert set(table["split"]) == {"sector"}
    truth = {(r["quantity"], r["name"], r["group"]): r["truth"] for r in table.to_dict("records")}
    (first, second) = sectors.comparisons[0].paths.groups if sectors.comparisons[0].paths else ("", "")
    assert truth["path", "RE -> PC", "regulated"] == 0.15
    assert truth["path", "RE -> PC", "non_regulated"] == 0.40
    assert truth["path", "PC -> BT", "regulated"] == 0.50
    assert truth["mean", "PC", second] == 0
    assert truth["total", "AU", "regulated"] == -0.45
    assert truth["direct", "AU", "regulated"] == pytest.approx(-0.45 + 0.25 * 0.30)
    assert truth["indirect", "DA -> AU", "regulated"] == pytest.approx(-0.25 * 0.30)
    assert {first, second} == {"regulated", "non_regulated"}
    se = (table["ci_upper"] - table["ci_lower"]) / (2 * 1.959964)
    # RR is not in this short model: what BT owes to it goes through PC here, so that this path is another one
    known = table["name"] != "PC -> BT"
    assert (np.abs(table["est"] - table["truth"]) < 4 * se)[known].all()
    assert table["covered"].dtype == bool


def test_a_wrong_truth_is_not_covered(sectors: StudyResult) -> None:
    (found,) = sectors.comparisons
    truth = bs.simulate("lima2026_sectors", n=2).truth
    right = recover_groups(truth, found)
    wrong = truth.assign(expected=truth["expected"] + 0.4 * truth["group"].eq("regulated"))
    moved = recover_groups(wrong, found)
    changed = moved["quantity"].isin(["mean", "total"]) | moved["group"].eq("regulated") & moved["quantity"].eq("path")
    assert right.loc[changed & (right["name"] != "PC -> BT"), "covered"].mean() > 0.7
    assert not moved.loc[changed & (right["name"] != "PC -> BT"), "covered"].any()
    # slopes that differ in truth have no direct difference that does not depend on where it is taken
    uneven = truth.copy()
    at = uneven["lhs"].eq("AU") & uneven["rhs"].eq("DA") & uneven["op"].eq("~") & uneven["group"].eq("regulated")
    uneven.loc[at, "expected"] = 0.3
    assert "direct" in set(right["quantity"])
    assert found.claims[0].equal_slopes
    assert not {"direct", "indirect"} & set(recover_groups(uneven, found)["quantity"])


def test_nothing_is_said_of_what_was_not_compared() -> None:
    truth = bs.simulate("lima2026_sectors", n=2).truth
    empty = recover_groups(truth, GroupComparison("sector", "sector", None, None))
    assert empty.empty
    assert tuple(empty.columns) == RECOVERY_COLUMNS


def test_the_fit_of_all_is_compared_only_with_what_all_share(sectors: StudyResult) -> None:
    assert sectors.truth is not None
    paths = sectors.truth[sectors.truth["op"] == "~"]
    assert paths.empty  # PC ~ RE and BT ~ PC differ
    loadings = sectors.truth[sectors.truth["op"] == "=~"]
    assert len(loadings) == 9
    note = " ".join(build_tables(sectors)["truth"].notes)
    assert "not the same in all groups of 'sector' are left out" in note


def test_report_and_files(sectors: StudyResult, tmp_path: Path) -> None:
    page = render_report(sectors)
    assert "Known values of the groups of sector" in page
    table = build_tables(sectors)["group_truth"]
    assert table.rows[0][:4] == ("total", "AU", "regulated", "non_regulated")
    sectors.save(tmp_path / "r.json")
    again = bs.read_study_result(tmp_path / "r.json")
    assert again.to_json() == sectors.to_json()
    pd.testing.assert_frame_equal(again.group_truth, sectors.group_truth, check_dtype=False)
    old = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    del old["group_truth"]
    assert StudyResult.from_json(old).group_truth is None
