"""The study of P10 in the documents: its replications are repeated, and the page shows the numbers of its file."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from study_script import FOLDER, load_script

NUMBERS = ("au", "au_se", "lg", "lg_se", "pa", "pb", "pc", "pc_wald")


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load_script("p10_study")


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "p10.csv", dtype={"parts": str})


def repeat(study: ModuleType, results: pd.DataFrame, truth: str, n: int, number: int) -> None:
    """Run one replication again and compare it with its row."""
    row = results[(results.truth == truth) & (results.n == n) & (results.number == number)].iloc[0]
    found = study.replicate(truth, n, number)
    assert set(found) <= set(study.COLUMNS) == set(results.columns)
    for name, value in found.items():
        if name in NUMBERS:
            assert value == pytest.approx(row[name], rel=6e-4, abs=1e-12), name
        else:
            assert value == row[name], name


@pytest.mark.parametrize(("truth", "n", "number"), [("nothing", 150, 0), ("all", 300, 1)])
def test_a_replication_gives_its_row_again(
    study: ModuleType, results: pd.DataFrame, truth: str, n: int, number: int
) -> None:
    repeat(study, results, truth, n, number)


def test_a_study_finds_the_same(study: ModuleType, results: pd.DataFrame) -> None:
    """The steps of the script are those of `b2b-sem run`."""
    spec = study.study()
    data = spec.data.model_copy(update={"n": 300})
    analyses = ("propositions", *(a for a in spec.analyses if getattr(a, "groups", None)))
    other = spec.model_copy(update={"data": data, "analyses": analyses})
    other._simulation = study.population("all")  # without the product of P9
    found = study.bs.run_study(other, seed=study.stream("all", 150, 0), engine="native")
    row = results[(results.truth == "all") & (results.n == 150) & (results.number == 0)].iloc[0]
    parts = next(v for v in found.verdicts if v.id == "P10").parts
    assert "".join(study.LETTER[p.outcome] for p in parts) == row["parts"]
    assert [p.pvalue for p in parts] == pytest.approx([row["pa"], row["pb"], row["pc"]], rel=6e-4)
    assert [p.estimate for p in parts[:2]] == pytest.approx([row["au"], row["lg"]], rel=6e-4)


@pytest.mark.slow
def test_more_replications_give_their_rows_again(study: ModuleType, results: pd.DataFrame) -> None:
    for number, (truth, n) in enumerate(dict.fromkeys(zip(results.truth, results.n, strict=True)), 40):
        repeat(study, results, truth, int(n), number)


def test_every_condition_has_its_replications(study: ModuleType, results: pd.DataFrame) -> None:
    counts = results.groupby(["truth", "n"], sort=False)["number"].agg(["nunique", "size", "max"])
    assert counts.index.tolist() == [(t, n) for t, sizes in study.DESIGN.items() for n in sizes]
    assert (counts["nunique"] == study.REPLICATIONS).all()
    assert (counts["size"] == study.REPLICATIONS).all()
    assert (counts["max"] == study.REPLICATIONS - 1).all()


def test_seeds_are_all_different(study: ModuleType) -> None:
    seeds = {study.stream(t, n, k) for t in study.TRUTHS for n in study.SIZES for k in range(100)}
    assert len(seeds) == 100 * len(study.TRUTHS) * len(study.SIZES)
    assert study.stream("all", 300, 7) == study.stream("all", 300, 7)


def test_truths_differ_in_what_they_say(study: ModuleType) -> None:
    for truth, means, paths in (("nothing", False, False), ("means", True, False), ("all", True, True)):
        level = study.population(truth).groups.levels[study.LEVEL]
        assert (bool(level.means), bool(level.paths)) == (means, paths)
    drawn = study.bs.simulate(study.population("nothing"), 50, 1)
    value = drawn.truth.pivot_table(index=["lhs", "op", "rhs"], columns="group", values="value")
    assert value[study.LEVEL].tolist() == value[study.REFERENCE].tolist()
    drawn = study.bs.simulate(study.population("all"), 50, 1)
    value = drawn.truth.pivot_table(index=["lhs", "op", "rhs"], columns="group", values="value")
    paths = value[value.index.get_level_values("op") == "~"]
    apart = paths[(paths[study.LEVEL] - paths[study.REFERENCE]).abs() > 1e-12]
    assert {f"{y}~{x}" for y, _, x in apart.index} == set(study.DIFFERENT)


def test_a_run_goes_on_where_it_stopped(study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def quick(truth: str, n: int, number: int) -> dict[str, Any]:
        made.append((truth, n, number))
        return {"truth": truth, "n": n, "number": number, "au": 1 / 3, "parts": "nn-"}

    monkeypatch.setattr(study, "replicate", quick)
    file = tmp_path / "p10.csv"
    study.run(file, 2, {"all": (300, 150)}, 1)
    assert len(made) == 4
    table = study.run(file, 3, {"all": (300, 150)}, 1)
    assert len(made) == len(set(made)) == 6
    assert table[["n", "number"]].to_numpy().tolist() == [[n, k] for n in (150, 300) for k in (0, 1, 2)]
    assert table["au"].tolist() == [0.3333] * 6
    assert table["parts"].tolist() == ["nn-"] * 6


def test_what_is_counted(study: ModuleType) -> None:
    rows = pd.DataFrame({"parts": ["hhh", "ohh", "nhn", "---"]})
    found = {k: v.tolist() for k, v in study.outcomes(rows).items()}
    assert found["a"] == [True, False, False, False]
    assert found["b"] == [True, True, True, False]
    assert found["c"] == [True, True, False, False]
    assert found["P10"] == [True, False, False, False]
    assert found["a either"] == [True, True, False, False]
    share, error = study.rate(pd.Series([True, False, False, False]))
    assert (share, error) == (0.25, pytest.approx(math.sqrt(0.25 * 0.75 / 4)))
    # 0 of 10: Wilson's upper end is z^2 / (n + z^2)
    assert study.likely(0.0, 10) == pytest.approx((0.0, 3.8414588 / 13.8414588), abs=1e-7)


def test_error_rates_and_power_are_as_they_should_be(study: ModuleType, results: pd.DataFrame) -> None:
    rates = {(t, n): study.outcomes(rows) for t, n, rows in study.conditions(results)}
    for n in study.SIZES:
        own = rates["nothing", n]
        for key, nominal in (("a", 0.025), ("b", 0.025), ("c", 0.05), ("a either", 0.05), ("b either", 0.05)):
            error = math.sqrt(nominal * (1 - nominal) / study.REPLICATIONS)
            assert own[key].mean() <= nominal + 3 * error, (n, key)
        assert own["P10"].mean() <= 0.05
    power = [rates["all", n]["P10"].mean() for n in study.SIZES]
    assert power == sorted(power)
    assert power[-1] > 0.9


def test_the_page_shows_the_numbers_of_the_file(study: ModuleType, results: pd.DataFrame) -> None:
    page = (FOLDER.parent / "p10-study.md").read_text(encoding="utf-8")
    lines = [line for line in study.tables(results).splitlines() if line.startswith("|")]
    assert len(lines) == 3 * 2 + 4 * sum(map(len, study.DESIGN.values()))
    assert [line for line in lines if line not in page] == []
    assert (FOLDER / "p10.svg").read_text(encoding="utf-8") == study.draw_figure(results)
