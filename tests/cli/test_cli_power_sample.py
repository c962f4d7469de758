"""``b2b-sem power`` by samples: what is printed and written, exit codes, messages."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from b2b_sem.cli import app
from b2b_sem.results.power_sample import EffectSearch, RowSearch, SampledPower

TRUTH = "x ~~ 1*x\nm ~ .4*x\ny ~ .3*m + .1*x\nm ~~ .84*m\ny ~~ .9*y\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "truth.lav").write_text(TRUTH, encoding="utf-8")
    (tmp_path / "model.lav").write_text("m ~ x\ny ~ m + x\n", encoding="utf-8")
    return [str(tmp_path / "truth.lav"), "--model", str(tmp_path / "model.lav")]


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    text = "NR =~ nr1 + nr2 + nr3\nPC =~ pc1 + pc2 + pc3\nPC ~ NR\n"
    (tmp_path / "small.lav").write_text(text, encoding="utf-8")
    return ["lima2026", "--model", str(tmp_path / "small.lav")]


def read(folder: Path) -> dict:
    data = json.loads((folder / "power.json").read_text(encoding="utf-8"))
    assert {f["path"] for f in data["files"]} == {p.name for p in folder.iterdir()}
    return data


def test_power_at_several_sizes(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    more = ["--n", "100", "--replications", "300", "--curve", "60,200", "--seed", "0", "--out", str(out)]
    assert app.run(["power", *files, *more]) == 0
    shown = capsys.readouterr()
    assert "Power at 100 rows by 300 samples" in shown.out
    assert "samples: 900 of 900 (100%)" in shown.err
    result = SampledPower.from_json(read(out))
    assert result.seed == 0
    table, shares = pd.read_csv(out / "power.csv"), pd.read_csv(out / "shares.csv")
    assert table["power"].tolist() == result.table["power"].tolist()
    assert set(table["basis"]) == {"Monte Carlo"}
    assert sorted(shares["nobs"].unique()) == [60, 100, 200]
    curve = pd.read_csv(out / "curve.csv")
    assert (curve["nobs"].min(), curve["nobs"].max()) == (60, 200)
    page = (out / "power.html").read_text(encoding="utf-8")
    assert "Power with 100 respondents" in page
    assert "x → m" in page


def test_search_and_resume(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from b2b_sem.simulate.trial import Trial

    out, other = tmp_path / "out", tmp_path / "other"
    more = ["--search", "--test", "PC~NR", "--n", "60", "--precision", "0.3", "--replications", "3000", "--seed", "1"]
    assert app.run(["power", *small, *more, "--out", str(out)]) == 0
    assert "Rows for power 0.8" in capsys.readouterr().out
    found = RowSearch.from_json(read(out))
    assert found.precision == 0.3
    assert found.table["precise"].all()
    run, calls = Trial.run, []

    def broken(self: Trial, block: int) -> dict:
        calls.append(block)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return run(self, block)

    monkeypatch.setattr(Trial, "run", broken)
    assert app.run(["power", *small, *more, "--out", str(other)]) != 0
    assert [p.name for p in other.iterdir()] == [".samples"]
    assert app.run(["power", *small, *more, "--out", str(other), "--resume"]) == 0
    capsys.readouterr()
    ours, theirs = read(other), read(out)
    assert {k: v for k, v in ours.items() if k != "command"} == {k: v for k, v in theirs.items() if k != "command"}


def test_a_search_that_is_not_precise_says_no(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--search", "--test", "y~x", "--replications", "500", "--precision", "0.01", "--seed", "1"]
    assert app.run(["power", *files, *more]) == 1
    assert "wider than asked" in capsys.readouterr().out


def test_smallest_effect(small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    more = ["--effect", "PC ~ NR", "--n", "150", "--precision", "0.3", "--seed", "1", "--out", str(out)]
    assert app.run(["power", *small, *more]) == 0
    assert "PC ~ NR by PC~NR, power 0.8 at 150 rows" in capsys.readouterr().out
    found = EffectSearch.from_json(read(out))
    assert found.lower < found.detectable < found.upper


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--seed", "1"], "'--seed' is for power by samples"),
        (["--test", "m~x"], "'--test' is for power by samples"),
        (["--search", "--effect", "m ~ x"], "either '--search' or '--effect'"),
        (["--search", "--shares", "1,2"], "'--shares' is for power by theory"),
        (["--replications", "20", "--precision", ".1"], "'--precision' is for a search"),
        (["--replications", "20", "--jobs", "2", "--cluster", "tcp://127.0.0.1:1"], "either '--jobs' or '--cluster'"),
        (["--search", "--resume"], "'--resume' needs the '--out'"),
        (["--search", "--test", "m~z"], "no test 'm~z'"),
        (["--effect", "m ~ x"], "lavaan text"),
        (["--replications", "20"], "no number of rows"),
    ],
)
def test_bad_input_is_one_message(
    change: list[str], message: str, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["power", *files, *change]) == 2
    shown = capsys.readouterr().err
    assert "error: " in shown
    assert message in shown


def test_a_monte_carlo_file_needs_no_further_option(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["power", "lima2026_samples", *small[1:], "--replications", "10"]) == 0
    assert "Power at 150 rows by 10 samples" in capsys.readouterr().out
