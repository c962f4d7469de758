"""``b2b-sem diagram``: what it draws, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.cli.app import run

RESULT = Path(__file__).parents[1] / "unit" / "report" / "demo_result.json"
MODEL = """\
kind: model
schema_version: 1
id: m
title: T
measurement:
  X: {items: [x1, x2, x3]}
  Y: {items: [y1, y2, y3]}
structural: Y ~ X + w
diagram:
  positions: {X: [100, 60], Y: [500, 160]}
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 200))
    y = 0.5 * x + 0.2 * w + rng.standard_normal(200)
    items = {f"{k}{i}": v + 0.5 * rng.standard_normal(200) for k, v in (("x", x), ("y", y)) for i in (1, 2, 3)}
    pd.DataFrame(items | {"w": w, "g": np.repeat(["a", "b"], 100)}).to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "m.yaml").write_text(MODEL, encoding="utf-8")
    return [str(tmp_path / "m.yaml"), "--data", str(tmp_path / "d.csv")]


def test_a_study_is_drawn_from_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(RESULT, tmp_path / "run" / "results.json")
    for form in ("svg", "tex", "html", "pdf", "png"):
        out = tmp_path / f"a.{form}"
        assert (
            run(["diagram", str(tmp_path / "run"), "--out", str(out), "--kind", "full", "--grey", "--dpi", "50"]) == 0
        )
        assert out.stat().st_size > 2000
    shown = capsys.readouterr()
    assert "Standardized coefficients" in shown.out
    assert "diagram ->" in shown.err


def test_a_model_is_fitted_and_keeps_its_positions(files: list[str], tmp_path: Path) -> None:
    plain, moved, groups = (tmp_path / f"{n}.svg" for n in ("plain", "moved", "groups"))
    assert run(["diagram", *files, "--out", str(moved)]) == 0
    assert run(["diagram", *files, "--out", str(groups), "--group", "g", "--label", "p"]) == 0
    assert ">a</text>" in groups.read_text(encoding="utf-8")
    (tmp_path / "m.yaml").write_text(MODEL.split("diagram:")[0], encoding="utf-8")
    assert run(["diagram", *files, "--out", str(plain)]) == 0
    assert plain.read_text(encoding="utf-8") != moved.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "a.docx"], "ends in none of the forms"),
        (["--out", "a.svg", "--kind", "ful"], "Did you mean 'full'"),
        (["--out", "a.svg", "--only", "a"], "there is no group 'a'"),
        (["--out", "a.png", "--dpi", "1"], "resolution"),
        (["--out", ""], "needs a file name"),
    ],
)
def test_wrong_options_are_one_message(
    files: list[str],
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["diagram", *files, *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))


def test_wrong_sources_are_one_message(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "a.svg")
    for words, message in (
        ([files[0]], "Missing option '--data'"),
        ([str(tmp_path)], "cannot read the results"),
        ([str(tmp_path), "--group", "g"], "'--group' goes with '--data' only"),
        (["Y ~ X", *files[1:]], "name of a file"),
    ):
        assert run(["diagram", *words, "--out", out]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "m.yaml").write_text(MODEL.replace("{X: [100", "{Z: [100"), encoding="utf-8")
    assert run(["diagram", *files, "--out", out]) == 2
    assert "no variable 'Z' to place" in capsys.readouterr().err


def test_matplotlib_is_loaded_for_pdf_and_png_only(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(RESULT.read_bytes())
    code = "import sys; from b2b_sem.cli.app import run; run(sys.argv[1:]); print('matplotlib' in sys.modules)"
    for form, loaded in (("svg", "False"), ("pdf", "True")):
        words = ["diagram", str(tmp_path), "--out", str(tmp_path / f"a.{form}")]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == loaded
