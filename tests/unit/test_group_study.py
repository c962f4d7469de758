"""A study that compares groups, from files to report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_group_claim import respondents

import b2b_sem as bs
from b2b_sem.errors import SpecError
from b2b_sem.results.study import StudyResult

MODEL = """kind: model
schema_version: 1
id: sectors
title: Sectors
survey: lima2026
measurement:
  AU: {items: [au1, au2, au3]}
  LG: {items: [lg1, lg2, lg3]}
  PC: {items: [pc1, pc2, pc3]}
structural: PC ~ AU + LG
propositions:
  - {id: P1, statement: Authentic people are credible., path: AU -> PC, sign: "+"}
  - id: P10
    statement: Regulation matters.
    test: group
    group: sector
    level: regulated
    needs: a comparison of groups
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
analyses:
  - fit
  - propositions
  - groups: sector
"""


def write(folder: Path, study: str = STUDY, model: str = MODEL) -> Path:
    data = respondents(n=300)
    codes = {f"{a}{i}": f"{b}{i}" for a, b in (("a", "au"), ("l", "lg"), ("p", "pc")) for i in (1, 2, 3)}
    data = data.rename(columns=codes)
    items = list(codes.values())
    data[items] = data[items].round().clip(1, 7).astype(int)
    data.to_csv(folder / "answers.csv", index=False)
    (folder / "model.yaml").write_text(model, encoding="utf-8")
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    return folder / "study.yaml"


def test_study(tmp_path: Path) -> None:
    result = bs.run_study(write(tmp_path))
    (found,) = result.comparisons
    assert (found.name, found.reasons) == ("sector", ())
    assert found.invariance is not None
    assert found.invariance.holds == "scalar"
    assert found.paths is not None
    assert dict(found.paths.groups) == {"regulated": 300, "non_regulated": 300}
    assert found.paths.tests["path"].tolist() == ["PC~AU"]  # what P1 names
    path, claim = result.verdicts
    assert path.verdict == claim.verdict == "supported"
    assert [p.outcome for p in claim.parts] == ["holds", "holds", "holds"]
    result.save(tmp_path / "results.json")
    again = bs.read_study_result(tmp_path / "results.json")
    assert isinstance(again, StudyResult)
    assert again.to_json() == result.to_json()


def test_invariance_alone(tmp_path: Path) -> None:
    from b2b_sem.report.html import render_report
    from b2b_sem.report.tables import build_tables

    study = write(tmp_path, STUDY.replace("  - groups: sector", "  - invariance: sector"))
    result = bs.run_study(study)
    assert result.comparisons == ()
    (found,) = result.ladders
    assert found.paths is None
    assert found.invariance is not None
    assert found.invariance.holds == "strict"
    assert result.study["analyses"] == ["fit", "propositions", "invariance"]
    assert result.verdicts[1].verdict == "not testable here"  # P10 needs the comparison of groups
    result.save(tmp_path / "results.json")
    assert bs.read_study_result(tmp_path / "results.json").to_json() == result.to_json()
    tables = build_tables(result)
    assert [row[0] for row in tables["invariance_sector_steps"].rows] == ["configural", "metric", "scalar", "strict"]
    assert "invariance_sector_means" in tables
    page = render_report(result)
    assert '<section id="invariance">' in page
    assert '<section id="groups">' not in page
    assert 'id="figure-invariance-sector-invariance-ladder"' in page


def test_invariance_of_ordinal_items(tmp_path: Path) -> None:
    text = STUDY.replace("  - groups: sector", "  - invariance: sector").replace("  - propositions\n", "")
    study = write(tmp_path, f"{text}options: {{ordered: true, missing: pairwise}}\n")
    data = pd.read_csv(tmp_path / "answers.csv")
    items = [c for c in data if c != "sector"]
    data[items] = data[items].clip(3, 5)
    data.to_csv(tmp_path / "answers.csv", index=False)
    result = bs.run_study(study)
    (found,) = result.ladders
    assert found.reasons == ()
    assert found.invariance is not None
    assert (found.invariance.estimator, found.invariance.missing) == ("WLSMV", "pairwise")
    assert found.invariance.steps["step"].tolist()[:3] == ["configural", "thresholds", "metric"]


def test_report_of_a_comparison(tmp_path: Path) -> None:
    from b2b_sem.report.comparison import ALL_PATHS
    from b2b_sem.report.html import render_report
    from b2b_sem.report.tables import build_tables

    result = bs.run_study(write(tmp_path))
    page, tables = render_report(result), build_tables(result)
    (found,) = result.comparisons
    assert found.paths is not None
    for name in ("invariance-ladder", "dmacs", "latent-means", "paths-by-group"):
        assert f'id="figure-groups-sector-{name}"' in page
    keys = [c.key for c in tables["groups_sector_paths"].columns]
    last = dict(zip(keys, tables["groups_sector_paths"].rows[-1], strict=True))
    assert last["path"] == ALL_PATHS
    assert (last["wald"], last["pvalue_diff"]) == (found.paths.omnibus["wald"], found.paths.omnibus["pvalue_diff"])
    parts = tables["verdict_parts"]
    assert [row[:2] for row in parts.rows] == [("P10", f"P10{letter}") for letter in "abc"]
    power = found.paths.differences["power"].iloc[0]
    assert f"with a chance of {power:.2f}".replace("0.", ".") in page
    assert "what it finds" not in page
    assert "All paths equal in all groups: difference of χ²" in page
    assert "May the groups be compared?" in page


def test_releases_are_shown(tmp_path: Path) -> None:
    from b2b_sem.report.html import render_report

    study = write(tmp_path)
    data = pd.read_csv(tmp_path / "answers.csv")
    data.loc[data["sector"] <= 3, "pc2"] = (data["pc2"] + 2).clip(1, 7)
    data.to_csv(tmp_path / "answers.csv", index=False)
    result = bs.run_study(study)
    assert result.comparisons[0].invariance is not None
    assert "pc2~1" in set(result.comparisons[0].invariance.releases["parameter"])
    page = render_report(result)
    assert "Released parameters, in order" in page
    assert "Score tests of equalities" in page


def test_terminal_and_report_show_the_claim(tmp_path: Path) -> None:
    from b2b_sem.report.html import render_report
    from b2b_sem.report.tables import build_tables
    from b2b_sem.report.terminal import verdict_table

    result = bs.run_study(write(tmp_path))
    assert "supported" in next(line for line in verdict_table(result).splitlines() if line.startswith("P10"))
    page = render_report(result)
    assert "P10 is supported." in page
    assert "Groups compared" in page
    assert "Regulatory environment of the sector (sector)" in page
    assert "Latent means minus those of regulated" in page
    tables = build_tables(result)
    assert tables["groups_sector_paths"].rows[0][0] == "AU -> PC"
    assert {"groups_sector_steps", "groups_sector_means", "groups_sector_differences"} <= set(tables)
    bare = render_report(replace(result, comparisons=()))
    assert "Groups compared" not in bare


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("groups: sector", "groups: sectr", "has no groups 'sectr'. Did you mean 'sector'"),
        ("groups: sector", "groups: firm_size", "has no groups 'firm_size'"),
        ("groups: sector", "invariance: sectr", "has no groups 'sectr'. Did you mean 'sector'"),
        ("groups: sector", "invariance: {a: b}", "'invariance' must be text"),
        ("groups: sector", "groups: [sector]", "'groups' must be text"),
        ("data: {file: answers.csv}", "data: {covariance: answers.csv, n: 100}", "who belongs to which"),
        ("    level: regulated", "    level: regulatd", "has no level 'regulatd'. Did you mean 'regulated'"),
        ("path: AU -> PC", "level: x, path: AU -> PC", "P1 names a level, but its test is 'path'"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert (old in STUDY) != (old in MODEL)
    with pytest.raises(SpecError) as error:
        bs.load_study(write(tmp_path, STUDY.replace(old, new), MODEL.replace(old, new)))
    assert text in str(error.value)


@pytest.mark.parametrize("options", ["{ordered: true}", "{estimator: auto, missing: pairwise}"])
def test_groups_of_ordinal_answers(tmp_path: Path, options: str) -> None:
    from b2b_sem.report.html import render_report

    study = write(tmp_path, STUDY.replace("analyses:", f"options: {options}\nanalyses:"))
    data = pd.read_csv(tmp_path / "answers.csv")
    for item in data.columns.drop("sector"):
        data[item] = np.searchsorted([3.5, 5.5], data[item]) + 1
    data.to_csv(tmp_path / "answers.csv", index=False)
    result = bs.run_study(study)
    (found,) = result.comparisons
    assert found.invariance is not None
    assert found.paths is not None
    assert (result.fit.estimator, found.invariance.estimator, found.paths.estimator) == ("WLSMV",) * 3
    assert not any("MLR" in r for r in found.reasons)
    p10 = result.verdicts[1]
    assert [part.outcome for part in p10.parts][:2] == ["holds", "holds"]
    assert "thresholds" in render_report(result)
