"""``b2b-sem invariance`` over waves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.invariance import InvarianceResult


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    rng = np.random.default_rng(3)
    f = rng.normal(size=(300, 1))
    g = 0.7 * f + 0.6 * rng.normal(size=(300, 1))
    items = ["x1", "x2", "x3", "x4"]
    one, two = (pd.DataFrame(v + rng.normal(size=(300, 4)), columns=items) for v in (f, g))
    long = pd.concat([one.assign(time="before", who=range(300)), two.assign(time="after", who=range(300))])
    model, wide, tall = tmp_path / "model.lav", tmp_path / "wide.csv", tmp_path / "long.csv"
    model.write_text("F =~ x1 + x2 + x3 + x4\n", encoding="utf-8")
    pd.concat([one.add_suffix("_a"), two.add_suffix("_b")], axis=1).to_csv(wide, index=False)
    long.to_csv(tall, index=False)
    return str(model), str(wide), str(tall)


def ladder(capsys: pytest.CaptureFixture[str], *arguments: str) -> InvarianceResult:
    assert run(["invariance", *arguments, "--json", "-"]) == 0
    return InvarianceResult.from_json(json.loads(capsys.readouterr().out))


def test_all_ways_to_name_waves_are_one(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    model, wide, tall = files
    first = ladder(capsys, model, "--data", wide, "--waves", "A=_a,B=_b")
    assert dict(first.groups) == {"A": 300, "B": 300}
    second = ladder(capsys, model, "--data", wide, "--waves", "A=x1_a+x2_a+x3_a+x4_a, B={}_b")
    third = ladder(capsys, model, "--data", tall, "--wave", "time", "--person", "who", "--waves", "before,after")
    assert list(third.groups) == ["before", "after"]
    for other in (second, third):
        np.testing.assert_allclose(other.steps["chisq"], first.steps["chisq"], rtol=1e-8)
    alone = ladder(capsys, model, "--data", wide, "--waves", "A=_a,B=_b", "--no-correlated", "--steps", "configural")
    assert alone.steps["df"][0] == first.steps["df"][0] + 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "'--group', '--waves', or '--wave' and '--person'"),
        (["--group", "x1_a", "--waves", "A=_a,B=_b"], "both given"),
        (["--waves", "_a,_b"], "is no list of waves"),
        (["--waves", "A=_a,A=_b"], "names the wave 'A' twice"),
        (["--waves", "A=_a,B=_c"], "Did you mean 'x1_b' or 'x1_a'"),
        (["--wave", "time"], "go together"),
        (["--group", "x1_a", "--no-correlated"], "goes with waves only"),
    ],
)
def test_mistakes(
    files: tuple[str, str, str], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    model, wide, _ = files
    assert run(["invariance", model, "--data", wide, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_survey_names_no_columns_of_waves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.csv"
    data.write_text("nr1_a,nr1_b\n1,2\n", encoding="utf-8")
    assert run(["invariance", "lima2026", "--data", str(data), "--waves", "A=_a,B=_b"]) == 2
    assert "cannot score columns of waves" in capsys.readouterr().err
