"""``b2b-sem probe``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.probe import ConditionalEffects, JohnsonNeyman, ModerationSize, SimpleSlopes

MODEL = """
X =~ x1 + x2
M =~ m1 + m2
Y =~ y1 + y2
X ~ a
Y ~ X + M + w + X:M
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Write a model and data; return the first arguments of the command."""
    rng = np.random.default_rng(9)
    a, m, w = rng.normal(size=(3, 200))
    x = 0.5 * a + rng.normal(size=200)
    y = 0.4 * x + 0.2 * m + 0.3 * x * m + 0.1 * w + rng.normal(size=200)
    items = {f"{k}{i}": f + 0.5 * rng.normal(size=200) for k, f in (("x", x), ("m", m), ("y", y)) for i in (1, 2)}
    pd.DataFrame(items | {"a": a, "w": w}).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "model.lav").write_text(MODEL, encoding="utf-8")
    return ["probe", str(tmp_path / "model.lav"), "--data", str(tmp_path / "answers.csv"), "--product", "X:M"]


def test_results_are_printed_and_written(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = tmp_path / "out.json", tmp_path / "out.html"
    more = ["--at=-1,0,1", "--unit", "sd", "--hold", "w=0", "--json", str(out), "--figure", str(page)]
    assert run([*files, *more]) == 0
    shown = capsys.readouterr().out
    content = json.loads(out.read_text(encoding="utf-8"))
    slopes = SimpleSlopes.from_json(content["slopes"])
    assert slopes.table["at"].tolist() == ["-1 SD", "mean", "+1 SD"]
    assert slopes.surface.held["w"] == 0.0
    region = JohnsonNeyman.from_json(content["region"])
    effects = ConditionalEffects.from_json(content["effects"])
    assert set(effects.table["predictor"]) == {"a", "X"}
    size = ModerationSize.from_json(content["size"])
    for part in (slopes, region, effects, size):
        assert str(part) in shown
    assert page.read_text(encoding="utf-8").count('<figure class="plot') == 3


def test_json_alone(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*files, "--moderator", "X", "--simultaneous", "--alpha", "0.1", "--json", "-"]) == 0
    content = json.loads(capsys.readouterr().out)
    region = JohnsonNeyman.from_json(content["region"])
    assert (region.simultaneous, region.alpha, region.surface.moderator) == (True, 0.1, "X")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--at", "low"], "give sd, percentiles, or numbers"),
        (["--hold", "w"], "write NAME=VALUE"),
        (["--hold", "w=x"], "write NAME=VALUE"),
        (["--hold", "q=1"], "'q' cannot be held"),
        (["--moderator", "w"], "not part of the product"),
        (["--outcome", "X"], "not in the equation"),
        (["--interaction", "magic"], "interaction='magic'"),
        (["--alpha", "2"], "alpha must lie"),
        (["--figure", "x.png"], "HTML page"),
    ],
)
def test_what_is_refused(files: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*files, *more]) == 2
    assert message in capsys.readouterr().err
