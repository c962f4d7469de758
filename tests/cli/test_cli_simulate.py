from pathlib import Path

import pandas as pd
import pytest

from b2b_sem.cli.app import run

ARGUMENTS = ["simulate", "lima2026", "--n", "20", "--seed", "1", "--out", "a.csv"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_codebook_and_truth_stand_beside_the_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ARGUMENTS, "--truth", "t.csv", "--codebook", "c.csv"]) == 0
    said = capsys.readouterr()
    assert "codebook -> c.csv" in said.out + said.err
    book = pd.read_csv("c.csv", keep_default_na=False)
    assert book["column"].tolist() == pd.read_csv("a.csv").columns.tolist()
    assert (book.set_index("column").loc[["nr1", "nr4"], "reverse"] == ["no", "yes"]).all()
    # the same command writes the same files again
    assert run([*ARGUMENTS, "--truth", "t.csv", "--codebook", "c.csv"]) == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--codebook", "a.csv"], "--out and --codebook name the same file"),
        (["--truth", "t.csv", "--codebook", "t.csv"], "--truth and --codebook name the same file"),
        (["--codebook", "c.xlsx"], "only CSV can be written"),
    ],
)
def test_wrong_names_are_refused(more: list[str], said: str, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert run([*ARGUMENTS, *more]) == 2
    assert said in capsys.readouterr().err
    assert not list(here.iterdir())


def test_a_codebook_that_is_another_file_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.csv").write_text("mine\n", encoding="utf-8")
    assert run([*ARGUMENTS, "--codebook", "c.csv"]) == 2
    assert "holds other data" in capsys.readouterr().err
    assert not Path("a.csv").exists()
    assert run([*ARGUMENTS, "--codebook", "c.csv", "--force"]) == 0
    assert Path("c.csv").read_text(encoding="utf-8").startswith("column,kind,text")
