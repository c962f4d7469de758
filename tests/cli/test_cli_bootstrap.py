"""``b2b-sem fit --bootstrap``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(3)
    f = rng.normal(size=120)
    frame = pd.DataFrame({f"x{k}": f + rng.normal(scale=0.7, size=120) for k in range(1, 5)})
    frame.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "model.lav").write_text("F =~ x1 + a*x2 + b*x3 + x4\ngap := a - b\n", encoding="utf-8")
    return str(tmp_path / "model.lav"), str(tmp_path / "data.csv")


def test_json_gets_the_bootstrap(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    assert run(["fit", model, "--data", data, "--bootstrap", "50", "--seed", "1", "--json", "-"]) == 0
    boot = json.loads(capsys.readouterr().out)["bootstrap"]
    assert (boot["n"], boot["seed"], boot["ci"], boot["failed"]) == (50, 1, "bca", 0)
    assert [r["lhs"] for r in boot["parameters"]][-1] == "gap"
    assert boot["parameters"][-1]["se"] > 0
    assert boot["standardized"][0]["ci_upper"] < 1


def test_text_shows_the_test(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    arguments = ["fit", model, "--data", data, "--bootstrap", "50", "--seed", "1", "--bootstrap-kind", "bollen-stine"]
    assert run(arguments) == 0
    assert "Bollen-Stine p = 0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--bootstrap", "50"], "needs '--seed'"),
        (["--seed", "1"], "'--seed' goes with '--bootstrap' or '--missing mi' only"),
        (["--jobs", "2"], "'--jobs' goes with '--bootstrap' only"),
    ],
)
def test_options_go_together(
    files: tuple[str, str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = files
    assert run(["fit", model, "--data", data, *extra]) == 2
    assert message in capsys.readouterr().err
