"""``b2b-sem compare-groups``, groups that a survey defines, and figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run
from b2b_sem.results.path_group import PathGroupResult

MODEL = """kind: model
schema_version: 1
id: small
title: Small
survey: lima2026
measurement:
  AU: {items: [au1, au2, au3]}
  PC: {items: [pc1, pc2, pc3]}
structural: PC ~ AU
"""


def answers(n: int = 500) -> pd.DataFrame:
    """The path differs between sectors 1 to 3 and 4 to 6."""
    rng = np.random.default_rng(11)
    sector = rng.integers(1, 7, n)
    au = rng.normal(size=n)
    pc = np.where(sector < 4, 1.2, 0.2) * au + rng.normal(size=n)
    items = {f"{k}{i}": 4 + f + rng.normal(scale=0.7, size=n) for k, f in (("au", au), ("pc", pc)) for i in (1, 2, 3)}
    return pd.DataFrame(items).round().clip(1, 7).astype(int).assign(sector=sector, role=rng.integers(1, 3, n))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, Path]:
    (tmp_path / "model.yaml").write_text(MODEL, encoding="utf-8")
    answers().to_csv(tmp_path / "answers.csv", index=False)
    return str(tmp_path / "model.yaml"), tmp_path / "answers.csv"


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_paths_of_survey_groups(files: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    out, page = tmp_path / "paths.json", tmp_path / "paths.html"
    arguments = ["compare-groups", model, "--data", str(data), "--group", "sector", "--json", str(out)]
    options = ["--paths", "AU -> PC", "--estimator", "MLR", "--size", "0.3", "--figure", str(page)]
    assert run([*arguments, *options]) == 0
    shown = capsys.readouterr()
    assert "groups of 'sector' by the survey, from 'sector': regulated, non_regulated" in shown.err
    assert "Paths across sector" in shown.out
    result = PathGroupResult.from_json(json.loads(out.read_text(encoding="utf-8")))
    assert set(result.groups) == {"regulated", "non_regulated"}
    assert (result.estimator, result.size, result.equal) == ("MLR", 0.3, ("loadings",))
    est = result.estimates.set_index("group")["est"]
    assert est["regulated"] > est["non_regulated"] + 0.5
    text = page.read_text(encoding="utf-8")
    assert text.count('<figure class="plot') == 1
    assert "differs" in text
    assert not re.search(r"<(script|link|img)[^>]* (src|href)=", text)  # works without a network


def test_a_plain_column_stays_plain(files: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    options = ["--data", str(data), "--group", "sector", "--json", "-"]
    assert run(["compare-groups", model, *options, "--no-score"]) == 0
    assert set(json.loads(capsys.readouterr().out)["groups"]) == set("123456")
    assert run(["compare-groups", model, "--data", str(data), "--group", "role", "--json", "-"]) == 0
    found = capsys.readouterr()
    labels = set(json.loads(found.out)["groups"])
    assert len(labels) == 2
    assert not labels & {"1", "2"}  # the survey names the categories
    plain = pd.read_csv(data)
    plain["sector"] = np.where(plain["sector"] < 4, "regulated", "non_regulated")
    plain["team"] = np.where(plain["role"] == 1, "x", "y")
    plain.to_csv(data, index=False)
    for name, expected in (("sector", {"regulated", "non_regulated"}), ("team", {"x", "y"})):
        assert run(["compare-groups", model, "--data", str(data), "--group", name, "--json", "-"]) == 0
        shown = capsys.readouterr()
        assert set(json.loads(shown.out)["groups"]) == expected
        assert "by the survey" not in shown.err


def test_fit_and_invariance_know_the_groups(
    files: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = files
    assert run(["fit", model, "--data", str(data), "--group", "sector", "--group-equal", "loadings"]) == 0
    assert "regulated" in capsys.readouterr().out
    page = tmp_path / "ladder.html"
    assert run(["invariance", model, "--data", str(data), "--group", "sector", "--figure", str(page)]) == 0
    assert "non_regulated (n = " in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    for name in ("invariance-ladder", "dmacs", "latent-means"):
        assert f'id="figure-{name}"' in text


def test_ordinal_items(files: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    frame = pd.read_csv(data)
    items = [c for c in frame if c not in ("sector", "role")]
    frame[items] = frame[items].clip(3, 5)
    frame.to_csv(data, index=False)
    options = ["--data", str(data), "--group", "sector", "--ordered", "--json", "-"]
    assert run(["compare-groups", model, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["estimator"] == "WLSMV"
    assert found["tests"][0]["path"] == "PC~AU"


def test_people_outside_all_groups(files: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    frame = pd.read_csv(data)
    frame.loc[:9, "sector"] = 9
    frame.to_csv(data, index=False)
    run(["compare-groups", model, "--data", str(data), "--group", "sector"])
    assert "10 respondents belong to no group of 'sector'" in told(capsys)
    frame.assign(sector=9).to_csv(data, index=False)
    assert run(["compare-groups", model, "--data", str(data), "--group", "sector"]) == 2
    assert "no value of 'sector' belongs to a group" in told(capsys)


def test_two_meanings(files: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = files
    frame = pd.read_csv(data)
    frame["actor"] = np.where(frame["role"] == 1, "x", "y")
    frame.to_csv(data, index=False)
    command = ["compare-groups", model, "--data", str(data), "--group", "actor", "--json", "-"]
    assert run(command) == 0  # the survey has groups of this name, but the data lack what they come from
    assert set(json.loads(capsys.readouterr().out)["groups"]) == {"x", "y"}
    frame.assign(actor_type=frame["role"]).to_csv(data, index=False)
    assert run(command) == 2
    assert "'actor' is a column of the data, and the survey 'lima2026' makes groups of this name" in told(capsys)
    assert run([*command, "--no-score"]) == 0
    capsys.readouterr()
    frame.drop(columns="actor").to_csv(data, index=False)
    assert run(command) == 2
    assert "the groups of 'actor' come from 'actor_type'" in told(capsys)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--group", "sektor"], "Did you mean 'sector'"),
        (["--group", "sector", "--paths", "AU -> LG"], "no path 'AU -> LG'"),
        (["--group", "sector", "--figure", "a.png"], "a name that ends in .html"),
        (["--group", "sector", "--figure", "a.html", "--json", "a.html"], "name the same file"),
        (["--group", "sector", "--figure", " "], "'--figure' needs a file name"),
        (["--group", "sector", "--estimator", "WLSMV"], "not available"),
        (["--group", "sector", "--size", "-1"], "size is -1"),
        ([], "--group"),
    ],
)
def test_mistakes(files: tuple[str, Path], capsys: pytest.CaptureFixture[str], more: list[str], text: str) -> None:
    model, data = files
    assert run(["compare-groups", model, "--data", str(data), *more]) == 2
    message = told(capsys)
    assert text in message
    assert "Traceback" not in message
