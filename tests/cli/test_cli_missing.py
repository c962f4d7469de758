"""Missing answers and growth on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    level, slope = rng.normal(3, 1, (150, 1)), rng.normal(0.5, 0.3, (150, 1))
    waves = level + slope * np.arange(4) + rng.normal(size=(150, 4))
    data = pd.DataFrame(waves, columns=["t1", "t2", "t3", "t4"]).assign(a=waves[:, 0] + rng.normal(size=150))
    data.loc[data["a"] > 4, "t4"] = np.nan
    data.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "model.lav").write_text("i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\n")
    return tmp_path


def test_growth_with_auxiliary_variables(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", str(files / "model.lav"), "--data", str(files / "data.csv"), "--json", "-"]
    assert run([*command, "--kind", "growth", "--missing", "fiml", "--auxiliary", "a"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["nobs"] == 150
    assert content["measures"]["df"] == 5
    means = {r["lhs"]: r for r in content["parameters"] if r["op"] == "~1"}
    assert means["i"]["free"]
    assert means["t1"]["est"] == 0
    assert content["parameters"][-1]["rhs"] == "a"


def test_auxiliary_variables_need_fiml(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", str(files / "model.lav"), "--data", str(files / "data.csv"), "--kind", "growth"]
    assert run([*command, "--auxiliary", "a"]) == 2
    assert "auxiliary variables need missing='fiml'" in capsys.readouterr().err


def test_a_study_reports_missing_answers(files: Path) -> None:
    (files / "study.yaml").write_text(
        "kind: study\nschema_version: 1\nid: study\ntitle: Holes\nmodel: ./model.lav\n"
        "data: {file: data.csv}\nanalyses: [fit, missingness]\noptions: {kind: growth, missing: fiml, auxiliary: [a]}\n"
    )
    out = files / "out"
    assert run(["run", str(files / "study.yaml"), "--out", str(out)]) == 0
    found = json.loads((out / "results.json").read_text())["missingness"]
    assert found["n"] == 150
    assert [r["item"] for r in found["items"]] == ["t1", "t2", "t3", "t4"]
    assert {r["variable"] for r in found["related"]} >= {"a"}
    assert (out / "tables" / "missing_patterns.csv").is_file()
    page = (out / "report.html").read_text()
    assert "Auxiliary variables that tell about the holes: a." in page
