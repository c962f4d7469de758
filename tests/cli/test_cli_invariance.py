"""``b2b-sem invariance``: the ladder on the terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.invariance import InvarianceResult


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(3)
    f = rng.normal(size=(600, 1))
    frame = pd.DataFrame(f + rng.normal(size=(600, 4)), columns=["x1", "x2", "x3", "x4"])
    frame["sector"] = np.where(np.arange(600) < 300, "regulated", "free")
    frame.loc[300:, "x2"] += 0.9
    model, data = tmp_path / "model.lav", tmp_path / "data.csv"
    model.write_text("F =~ x1 + x2 + x3 + x4\n", encoding="utf-8")
    frame.to_csv(data, index=False)
    return str(model), str(data)


def test_summary_and_json(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    out = tmp_path / "ladder.json"
    assert run(["invariance", model, "--data", data, "--group", "sector", "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "Measurement invariance across sector: regulated (n = 300), free (n = 300)" in shown
    assert "scalar (partial)" in shown
    result = InvarianceResult.from_json(json.loads(out.read_text(encoding="utf-8")))
    assert result.releases["parameter"][0] == "x2~1"


def test_options_reach_the_ladder(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    options = ["--no-partial", "--steps", "configural,metric", "--estimator", "MLR", "--criteria", "chisq"]
    assert run(["invariance", model, "--data", data, "--group", "sector", *options, "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["estimator"] == "MLR"
    assert content["criteria"] == "chisq"
    assert [row["step"] for row in content["steps"]] == ["configural", "metric"]


def test_a_configural_model_that_does_not_converge_says_no(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = files
    Path(model).write_text("F =~ x1 + x2 + x3\n", encoding="utf-8")
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["x1", "x2", "x3"])
    noise.assign(sector=["a", "b"] * 30).to_csv(data, index=False)
    assert run(["invariance", model, "--data", data, "--group", "sector"]) == 1
    assert "did not converge" in capsys.readouterr().out


def test_ordinal_items(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    frame = pd.read_csv(data)
    for k in range(1, 5):
        frame[f"x{k}"] = np.searchsorted([-1.2, 0.0, 1.2], frame[f"x{k}"])
    frame.to_csv(data, index=False)
    base = ["invariance", model, "--data", data, "--group", "sector", "--json", "-"]
    assert run([*base, "--ordered", "--parameterization", "theta", "--criteria", "chisq"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["estimator"] == "WLSMV"
    assert [row["step"] for row in content["steps"]][:2] == ["configural", "thresholds"]
    assert "x2~1" in [row["parameter"] for row in content["releases"]]
    assert run([*base, "--ordered", "x1,x2", "--estimator", "WLSM", "--steps", "configural,thresholds"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content["steps"]) == 2
    assert any("x1, x2 (4 categories)" in n for n in content["notes"])
    assert run([*base, "--ordered", "--estimator", "MLR"]) == 2
    assert "WLSMV" in capsys.readouterr().err


def test_mistakes(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    assert run(["invariance", model, "--data", data]) == 2
    assert "--group" in capsys.readouterr().err
    assert run(["invariance", model, "--data", data, "--group", "sektor"]) == 2
    assert "Did you mean 'sector'" in capsys.readouterr().err
    assert run(["invariance", model, "--data", data, "--group", "sector", "--json", data]) == 2
    assert "read by the same command" in capsys.readouterr().err
