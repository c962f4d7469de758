"""``b2b-sem fit`` with latent products: groups, the test of the products, and the bootstrap."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run

MODEL = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\ny ~ X + M + c(p, q)*X:M\ngap := p - q\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Write a model and data of two groups; return the first arguments of the command."""
    rng = np.random.default_rng(9)
    x, m = rng.normal(size=(2, 240))
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + rng.normal(size=240)
    items = {f"{k}{i}": f + 0.5 * rng.normal(size=240) for k, f in (("x", x), ("m", m)) for i in (1, 2, 3)}
    pd.DataFrame(items | {"y": y, "team": ["a", "b"] * 120}).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "model.lav").write_text(MODEL, encoding="utf-8")
    return ["fit", str(tmp_path / "model.lav"), "--data", str(tmp_path / "answers.csv"), "--group", "team"]


def test_groups(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    more = ["--estimator", "MLR", "--group-equal", "loadings", "--interaction", "lms", "--json", str(out)]
    assert run([*files, *more]) == 0
    shown = capsys.readouterr().out
    assert "Model Test against the Model without Products" in shown
    assert "Group 2 [b]" in shown
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["measures"]["product_df"] == 2
    assert content["measures"]["product_chisq_scaled"] == pytest.approx(
        content["measures"]["product_chisq"] / content["measures"]["product_scaling_factor"]
    )
    rows = {(r["lhs"], r["rhs"], r["group"]): r for r in content["parameters"]}
    assert rows["y", "X:M", 1]["est"] != rows["y", "X:M", 2]["est"]
    assert rows["X", "x2", 1]["est"] == rows["X", "x2", 2]["est"]


def test_bootstrap(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*files, "--group-equal", "loadings", "--bootstrap", "4", "--seed", "1", "--json", "-"]) == 0
    boot = json.loads(capsys.readouterr().out)["bootstrap"]
    assert boot["n"] == 4
    assert {r["lhs"] for r in boot["parameters"] if r["op"] == ":="} == {"gap"}


def test_refused(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*files, "--interaction", "ca"]) == 2
    assert "the constrained approach is for one group" in capsys.readouterr().err
