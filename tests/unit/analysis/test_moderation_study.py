"""The study of the routes to a moderation: its samples are as stated, and the page shows the numbers of its files."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from study_script import FOLDER, load_script

NUMBERS = ("est", "se", "pvalue", "lr", "std", "std_se")


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return load_script("moderation_study")


@pytest.fixture(scope="module")
def first(study: ModuleType) -> pd.DataFrame:
    return study.read(FOLDER / "moderation_first.csv")


@pytest.fixture(scope="module")
def summary(study: ModuleType) -> pd.DataFrame:
    return study.read(FOLDER / "moderation.csv")


CONDITIONS = [("main", "normal"), ("main", "skewed"), ("chain", "normal")]


@pytest.mark.parametrize("truth", ["none", "product"])
@pytest.mark.parametrize(("model", "distribution"), CONDITIONS)
def test_factors_have_the_moments_that_are_stated(study: ModuleType, model: str, distribution: str, truth: str) -> None:
    factors = study.draw_factors(model, distribution, truth, 400_000, np.random.default_rng(3))
    table = pd.DataFrame(factors)
    assert table.mean().abs().max() < 0.01
    assert table.var().sub(1).abs().max() < 0.02
    correlation = table.corr()
    assert correlation.loc["x", "m"] == pytest.approx(study.RHO, abs=0.01)
    x, m, y = (table[v] for v in "xmy")
    skewed = distribution == "skewed"
    assert x.skew() == pytest.approx(-2 / math.sqrt(study.SHAPE) if skewed else 0.0, abs=0.05)
    assert m.kurt() == pytest.approx(6 / study.SHAPE if skewed else 0.0, abs=0.4)
    variance, covariance = study.moments(distribution)
    assert (x * m).var() == pytest.approx(variance, rel=0.03)
    assert (x * m).cov(x) == pytest.approx(covariance, abs=0.03)
    # the coefficients by least squares are those of the design
    design = np.column_stack([np.ones(len(x)), x, m, x * m])
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    assert found[1:] == pytest.approx([study.B_X, study.B_M, study.TRUTHS[truth]], abs=0.01)
    if model == "chain":
        assert correlation.loc["w", "x"] == pytest.approx(study.B_W, abs=0.01)
        assert correlation.loc["y", "z"] == pytest.approx(study.B_Z, abs=0.01)


def test_items_have_the_loadings_that_are_stated(study: ModuleType) -> None:
    frame = study.draw("main", "normal", "product", 200_000, 0)
    assert frame.var().sub(1).abs().max() < 0.02
    correlation = frame.corr()
    a, b, c = study.LOADINGS
    for name in "xmy":
        own = [correlation.loc[f"{name}{i}", f"{name}{j}"] for i, j in ((1, 2), (1, 3), (2, 3))]
        assert own == pytest.approx([a * b, a * c, b * c], abs=0.01)


def test_samples_are_children_of_one_seed(study: ModuleType) -> None:
    numbers = {study.stream(*key[:5]).integers(2**62) for key in study.plan(20, ["lms"])}
    assert len(numbers) == 20 * sum(len(sizes) for sizes, _ in study.DESIGN.values())
    child: Any = np.random.SeedSequence(study.SEED)
    for place in (0, 1, 1, 200, 3):
        child = child.spawn(place + 1)[place]
    expected = np.random.default_rng(child).standard_normal(5)
    assert study.stream("main", "skewed", "product", 200, 3).standard_normal(5).tolist() == expected.tolist()


def repeat(study: ModuleType, first: pd.DataFrame, key: tuple[Any, ...]) -> None:
    """Ask a route again and compare what it says with its row."""
    (row,) = (r for r in first.to_dict("records") if tuple(r[k] for k in study.KEY) == key)
    found = study.replicate(*key)
    assert set(found) <= set(study.COLUMNS) == set(first.columns)
    assert found["state"] == row["state"]
    for name in NUMBERS:
        # five digits are kept, and a maximum is found to about the same
        if isinstance(found.get(name), float):
            assert found[name] == pytest.approx(row[name], rel=1e-3, abs=2e-4), (key, name)
    assert found.get("covered") == (None if pd.isna(row["covered"]) else row["covered"])


def test_routes_give_their_rows_again(study: ModuleType, first: pd.DataFrame) -> None:
    for route in study.ROUTES:
        repeat(study, first, ("main", "skewed", "product", 200, 1, route))
    repeat(study, first, ("chain", "normal", "product", 400, 0, "lms"))


@pytest.mark.slow
def test_more_rows_come_again(study: ModuleType, first: pd.DataFrame) -> None:
    for key in study.plan(1, study.ROUTES):
        repeat(study, first, key)


@pytest.mark.parametrize("distribution", ["normal", "skewed"])
def test_large_samples_find_the_truth(study: ModuleType, distribution: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = study.draw("main", distribution, "product", 6_000, 0)
    found = {route: study.ask(route, "main", frame) for route in ("dmc", "scores", "split")}
    truth = study.TRUTHS["product"]
    if distribution == "normal":
        found |= {route: study.ask(route, "main", frame) for route in ("lms", "qml")}
        for route in ("lms", "qml", "dmc"):
            assert found[route]["std"] == pytest.approx(truth, abs=0.04), route
    assert found["scores"]["std"] < 0.85 * truth
    assert found["split"]["pvalue"] < 0.001


def test_a_route_without_an_answer_is_a_row(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise study.bs.ModelError("no")

    monkeypatch.setattr(study, "ask", refuse)
    row = study.replicate("main", "normal", "none", 200, 0, "lms")
    assert row["state"] == "failed"
    assert "est" not in row

    def broken(*_: Any, **__: Any) -> None:
        raise study.bs.Unsupported("never")

    monkeypatch.setattr(study, "ask", broken)
    with pytest.raises(study.bs.Unsupported):  # a route that is not there at all is no lost sample
        study.replicate("main", "normal", "none", 200, 0, "lms")


def test_a_run_goes_on_where_it_stopped(study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def quick(*key: Any) -> dict[str, Any]:
        made.append(key)
        return dict(zip(study.KEY, key, strict=True)) | {"state": "ok", "est": 1 / 3}

    monkeypatch.setattr(study, "replicate", quick)
    design = {("main", "skewed", "none"): ((400, 200), ("lms", "qml")), ("chain", "normal", "none"): ((400,), ("lms",))}
    file = tmp_path / "all.csv"
    study.run(file, study.plan(2, ["lms"], design), 1)
    assert len(made) == 6
    rows = study.run(file, study.plan(2, ["lms", "qml"], design), 1)
    assert len(made) == len(set(made)) == 10
    assert rows["truth"].tolist() == ["none"] * 10
    keys = [tuple(key) for key in rows[list(study.KEY)].to_numpy().tolist()]
    assert sorted(keys) == sorted(made)
    assert rows["model"].tolist() == ["main"] * 8 + ["chain"] * 2
    assert rows["n"].tolist() == [200] * 4 + [400] * 6
    assert rows["est"].unique().tolist() == [0.33333]


def test_what_is_counted(study: ModuleType) -> None:
    head = {"model": "main", "distribution": "normal", "truth": "product", "n": 200, "route": "lms", "state": "ok"}
    rows = [
        head | {"std": 0.25, "std_se": 0.1, "pvalue": 0.01, "lr": 0.06, "covered": 1},
        head | {"std": 0.15, "std_se": 0.1, "pvalue": 0.20, "lr": 0.01, "covered": 1},
        head | {"std": 0.05, "std_se": 0.1, "pvalue": 0.04, "lr": 0.30, "covered": 0},
        head | {"std": -0.05, "std_se": 0.1, "pvalue": 0.04, "lr": 0.20, "covered": 0},
        head | {"state": "Heywood"},
    ]
    (found,) = study.summarize(pd.DataFrame(rows)).to_dict("records")
    spread = math.sqrt(np.var([0.1, 0.0, -0.1, -0.2], ddof=1))
    expected = {
        "replications": 5, "lost": 1, "bias": -0.05, "bias_mcse": spread / 2, "spread": spread, "mean_se": 0.1,
        "rmse": math.sqrt(0.06 / 4), "coverage": 0.5, "coverage_mcse": 0.25, "rejected": 0.75,
        "rejected_mcse": math.sqrt(0.75 * 0.25 / 4), "lr_rejected": 0.25,
        "lr_rejected_mcse": math.sqrt(0.25 * 0.75 / 4),
    }  # fmt: skip
    assert {k: found[k] for k in expected} == pytest.approx(expected)
    other = study.summarize(pd.DataFrame([r | {"truth": "none", "lr": math.nan} for r in rows]))
    assert other["bias"].iloc[0] == pytest.approx(0.10)
    assert other["lr_rejected"].isna().all()


def test_every_condition_has_its_samples(study: ModuleType, summary: pd.DataFrame, first: pd.DataFrame) -> None:
    wanted = {(*c, n, route) for c, (sizes, routes) in study.DESIGN.items() for n in sizes for route in routes}
    keys = [tuple(k) for k in summary[["model", "distribution", "truth", "n", "route"]].to_numpy().tolist()]
    assert len(keys) == len(set(keys))
    assert set(keys) == wanted
    assert (summary["replications"] == study.REPLICATIONS).all()
    assert {tuple(k) for k in first[list(study.KEY)].to_numpy().tolist()} == set(study.plan(study.FIRST, study.ROUTES))


def test_what_the_page_says_is_true(study: ModuleType, summary: pd.DataFrame) -> None:
    table = summary[summary["model"] == "main"].set_index(["distribution", "truth", "n", "route"])
    for n in study.SIZES:
        likely_at_most = study.ALPHA + 3 * math.sqrt(study.ALPHA * (1 - study.ALPHA) / study.REPLICATIONS)
        for route in study.ROUTES:
            if ("normal", "none", n, route) in table.index:
                assert table.loc[("normal", "none", n, route), "rejected"] < likely_at_most, (n, route)
        power = table.loc[("normal", "product", n)]["rejected"]
        assert power["lms"] > max(power[r] for r in ("dmc", "dmc-all", "rc", "split"))
        skewed = table.loc[("skewed", "none", n)]["rejected"]
        assert max(skewed["dmc"], skewed["dmc-all"]) < likely_at_most
        assert skewed["lms"] > skewed["dmc"]
        assert table.loc[("normal", "product", n, "scores"), "bias"] < -0.03
        # LMS and QML say the same
        for distribution in study.DISTRIBUTIONS:
            for truth in study.TRUTHS:
                pair = table.loc[(distribution, truth, n)].loc[["lms", "qml"]]
                assert np.ptp(pair["bias"]) < 0.003
                assert np.ptp(pair["rejected"]) < 0.02
    # more respondents do not help against a wrong distribution
    wrong = [table.loc[("skewed", "none", n, "lms"), "rejected"] for n in study.SIZES]
    assert wrong == sorted(wrong)
    assert wrong[-1] > 0.10


def test_the_page_shows_the_numbers_of_the_files(study: ModuleType, summary: pd.DataFrame) -> None:
    page = (FOLDER.parent / "moderation-study.md").read_text(encoding="utf-8")
    lines = [line for line in study.tables(summary).splitlines() if line.startswith("|")]
    pairs = summary[summary["truth"] == "none"]
    assert len(lines) == 4 * 2 + len(pairs) + 12
    assert [line for line in lines if line not in page] == []
    for distribution in study.DISTRIBUTIONS:
        picture = (FOLDER / f"moderation-{distribution}.svg").read_text(encoding="utf-8")
        assert picture == study.draw_figure(summary, distribution)
