"""``b2b-sem moderation``: the routes of one question from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.moderation import ModerationResult

MODEL = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\nY ~ X + M + X:M\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(6)
    x, m = rng.normal(size=(2, 250))
    y = 0.4 * x + 0.3 * x * m + rng.normal(size=250)
    items = {f"{k}{i}": f + 0.6 * rng.normal(size=250) for k, f in (("x", x), ("m", m), ("y", y)) for i in (1, 2, 3)}
    pd.DataFrame(items).to_csv(tmp_path / "answers.csv", index=False)
    (tmp_path / "model.lav").write_text(MODEL, encoding="utf-8")
    return str(tmp_path / "model.lav"), str(tmp_path / "answers.csv")


def test_routes_side_by_side(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    out, page = tmp_path / "routes.json", tmp_path / "routes.html"
    options = [
        "--product",
        "M:X",
        "--outcome",
        "Y",
        "--routes",
        "lms, scores,split",
        "--moderator",
        "X",
        "--cut",
        "0.5",
    ]
    assert run(["moderation", model, "--data", data, *options, "--json", str(out), "--figure", str(page)]) == 0
    shown = capsys.readouterr()
    assert "the effect of M on Y, moderated by X (X:M)" in shown.out
    assert "The verdict" in shown.out
    result = ModerationResult.from_json(json.loads(out.read_text(encoding="utf-8")))
    assert result.routes["route"].tolist() == ["lms", "scores", "split"]
    assert result.options["cut"] == 0.5
    assert all(row.ok for row in result.rows)
    text = page.read_text(encoding="utf-8")
    assert 'id="figure-moderation-routes"' in text
    assert "M → Y, moderated by X" in text
    assert "One question by 3 routes" in text


def test_json_on_stdout(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    options = ["--routes", "scores", "--score-by", "regression", "--alpha", "0.01", "--level", "0.9", "--json", "-"]
    assert run(["moderation", model, "--data", data, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["alpha"], found["level"], found["options"]["score"]) == (0.01, 0.9, "regression")
    assert found["rows"][0]["n"] == 250


def test_a_claim_brings_its_own_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "answers.csv")
    assert run(["simulate", "lima2026_sectors", "--n", "300", "--seed", "1", "--out", data]) == 0
    options = ["--data", data, "--routes", "scores,observed", "--json", "-"]
    capsys.readouterr()
    assert run(["moderation", "lima2026", "--claim", "P9", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["focal"], found["moderator"]) == ("RR", "PC", "PX")
    assert [row["decision"] != "" for row in found["rows"]] == [True, True]
    # items of the moderator are scored by the survey: outside their range they are an error
    frame = pd.read_csv(data)
    frame.loc[3, "px1"] = 77
    frame.to_csv(data, index=False)
    assert run(["moderation", "lima2026", "--claim", "P9", *options]) == 2
    assert "px1" in capsys.readouterr().err
    for more, text in (
        (["--claim", "P1"], "no proposition on moderation"),
        (["--claim", "P9", "--product", "PC:PX"], "leave '--product' and '--outcome' out"),
    ):
        assert run(["moderation", "lima2026", *more, *options]) == 2
        assert text in capsys.readouterr().err


def test_no_answer_is_exit_code_1(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    assert run(["moderation", model, "--data", data, "--routes", "split", "--cut", "99"]) == 1
    shown = capsys.readouterr()
    assert "no respondent lies above the cut 99" in shown.out
    assert "error: no route has an answer" in shown.err


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--routes", "lmss"], "Did you mean 'lms'"),
        (["--routes", ","], "names no route"),
        (["--product", "X:Z"], "has no 'X:Z'"),
        (["--product", "XM"], "no product of two variables"),
        (["--outcome", "M"], "has no 'M ~ a product'"),
        (["--moderator", "Y"], "no factor of"),
        (["--cut", "middle"], "'--cut' is a score or 'median'"),
        (["--cut", "nan"], "is no score"),
        (["--score-by", "sum"], "score='sum'"),
        (["--cluster", "firm"], "firm"),
        (["--alpha", "5"], "alpha is 5"),
        (["--figure", "a.png"], "a name that ends in .html"),
    ],
)
def test_mistakes(files: tuple[str, str], capsys: pytest.CaptureFixture[str], more: list[str], text: str) -> None:
    model, data = files
    assert run(["moderation", model, "--data", data, *more]) == 2
    message = capsys.readouterr().err
    assert text in message
    assert "Traceback" not in message
