"""Sample-size plans: the numbers of theory, the same for any number of workers, and after an interruption."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plan_fixture import PLAN, load

import b2b_sem as bs
from b2b_sem.analysis.power_search import Found, Goal, Pool
from b2b_sem.errors import DataError, SpecError
from b2b_sem.results.plan import PlanResult, read_plan
from b2b_sem.simulate.plan import plan_sample
from b2b_sem.spec.plan import PlanSpec


def same(a: PlanResult, b: PlanResult) -> None:
    for name in ("table", "visits", "effects", "held"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> PlanResult:
    text = PLAN.replace("propositions:", "multiplicity: none\n    propositions:")
    spec = load(tmp_path_factory.mktemp("plan"), text, fast=True)
    return plan_sample(spec, only=("H1",), samples=400, batches=8, precision=0.06, seed=2)


def test_without_adjustment_samples_need_what_theory_says(found: PlanResult) -> None:
    row = found.table.iloc[0]
    assert (row["rows"], row["lower"], row["upper"]) == (row["single"], row["single_lower"], row["single_upper"])
    assert row["precise"]
    error = (row["upper"] - row["lower"]) / 2 / 1.96
    # large-sample theory is right within a few percent at this size
    assert abs(row["rows"] - row["theory"]) < 4 * error + 0.03 * row["theory"]


def test_a_visit_has_the_verdicts_of_a_monte_carlo_study(found: PlanResult, tmp_path: Path) -> None:
    load(tmp_path, fast=True)
    visit = found.visits.query("proposition == 'H1'").iloc[0]
    study = f"""
        kind: montecarlo
        schema_version: 1
        id: same
        title: Same
        population: small.population.yaml
        conditions: {{n: [{visit["nobs"]}], changes: {{H1.some: {{values: {{paths: {{C~A: -0.2}}}}}}}}}}
        replications: {visit["samples"]}
        multiplicity: none
        seed: 2
    """
    (tmp_path / "same.yaml").write_text(dedent(study), encoding="utf-8")
    row = bs.monte_carlo(tmp_path / "same.yaml").verdicts.query("proposition == 'H1'").iloc[0]
    assert row["supported"] == visit["supported"] / visit["samples"]
    assert row["not_testable"] == visit["not_testable"] / visit["samples"]


def test_tables_hang_together(found: PlanResult) -> None:
    visits = found.visits
    counts = visits[["supported", "not_supported", "contradicted", "not_testable"]].sum(axis=1)
    assert (counts == visits["samples"]).all()
    np.testing.assert_allclose(visits["power"], visits["supported"] / visits["samples"])
    assert ((visits["power_lower"] < visits["power"]) & (visits["power"] < visits["power_upper"])).all()
    drawn = visits.groupby("proposition")["samples"].sum()
    assert drawn.to_dict() == found.table.set_index("proposition")["samples"].to_dict()
    # the answer lies where the shares cross the power
    for name, own in visits.groupby("proposition"):
        rows = float(found.table.set_index("proposition").loc[name, "rows"])
        assert own.loc[own["power"] < 0.8, "nobs"].min() < rows < own.loc[own["power"] > 0.8, "nobs"].max()
    held = found.held.set_index(["lhs", "rhs"])["value"]
    assert held["C", "A"] == 0.25
    assert list(found.wide().columns) == ["some"]
    assert found.wide().loc["H1", "some"] == found.table["rows"].iloc[0]


def test_a_smaller_effect_and_adjustment_need_more(found: PlanResult, tmp_path: Path) -> None:
    text = PLAN.replace("propositions:", "multiplicity: bonferroni\n    propositions:")
    text = text.replace("sizes: {some: {path: 0.2,", "sizes: {less: {path: 0.13, f2: 0.03, d: 0.5}, some: {path: 0.2,")
    more = plan_sample(load(tmp_path, text, fast=True), only=("H1",), samples=200, batches=8, precision=0.1, seed=2)
    needs = more.table.set_index("size")
    assert needs.loc["less", "rows"] > 1.5 * needs.loc["some", "rows"]
    # two propositions on paths are a family
    assert needs.loc["some", "rows"] > needs.loc["some", "single"]
    first = found.table.iloc[0]
    width = [(r["single_upper"] - r["single_lower"]) / 2 / 1.96 for r in (first, needs.loc["some"])]
    assert abs(needs.loc["some", "single"] - first["single"]) < 4 * math.hypot(*width)


def test_the_numbers_depend_on_the_seed_alone(tmp_path: Path) -> None:
    spec = load(tmp_path, fast=True)
    plain = plan_sample(spec, only=("H1",), samples=60, batches=4, seed=7)
    kept = tmp_path / "kept"
    seen: list[tuple[int, int]] = []
    again = plan_sample(
        spec, only=("H1",), samples=60, batches=4, seed=7, jobs=2, folder=kept, progress=lambda *p: seen.append(p)
    )
    same(plain, again)
    assert seen == [(0, 1), (1, 1)]
    # an interruption: what is there is read, what is missing is drawn again
    blocks = sorted(kept.rglob("*.npz"))
    blocks[-1].unlink()
    before = {path: path.stat().st_mtime_ns for path in blocks[:-1]}
    same(plain, plan_sample(spec, only=("H1",), samples=60, batches=4, seed=7, folder=kept))
    assert {path: path.stat().st_mtime_ns for path in blocks[:-1]} == before
    assert blocks[-1].is_file()
    with pytest.raises(DataError, match="another study"):
        plan_sample(spec, only=("H1",), samples=60, batches=4, seed=8, folder=kept)
    other = plan_sample(spec, only=("H1",), samples=60, batches=4, seed=8)
    assert not other.visits["supported"].equals(plain.visits["supported"])


def test_claims_on_moderation_and_groups_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def look_once(look: Any, tests: int, goal: Goal, **settings: Any) -> tuple[Pool, tuple[Found, ...]]:
        hits, trials = look(400.0, 0)
        tried.append((tests, settings["start"], hits.tolist(), trials.tolist()))
        return Pool(), (Found(math.nan, math.nan, math.nan, False, "", 400.0),)

    # a search takes hundreds of such samples
    monkeypatch.setattr(sys.modules[plan_sample.__module__], "search", look_once)
    text = PLAN.replace("f2: 0.03, d: 0.5", "f2: 0.15, d: 1.2")
    found = plan_sample(load(tmp_path, text, fast=True), only=("H3", "H4"), samples=5, seed=3)
    assert [t[0] for t in tried] == [1, 1]
    assert tried[0][1] == pytest.approx(7.85 / 0.6 / 0.15, abs=1)
    # a product with f2 = .15, and groups that far apart, are seldom missed by 400 respondents
    assert [t[2:] for t in tried] == [([5.0], [5.0])] * 2
    assert found.visits["supported"].tolist() == [5, 5]
    assert set(found.effects["kind"]) == {"f2", "d"}
    assert found.table["rows"].isna().all()
    assert found.warnings == ("H3 some, H4 some: the samples do not tell where the power is 0.8; allow more batches.",)


def test_json_round_trip(found: PlanResult, tmp_path: Path) -> None:
    back = read_plan(found.save(tmp_path / "results.json"))
    same(found, back)
    assert back.to_dict() == found.to_dict()
    assert back.summary() == found.summary()
    assert "H1" in back.summary()
    for text in ("[]", '{"kind": "study"}', "{"):
        (tmp_path / "bad.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError):
            read_plan(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only": ("H9",)}, "no proposition 'H9'"),
        ({"power": 0.04}, "power=0.04"),
        ({"samples": 4}, "samples=4"),
        ({"precision": 1.5}, "precision=1.5"),
        ({"seed": -1}, "seed=-1"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        plan_sample(load(tmp_path), **settings)  # type: ignore[arg-type]


def test_a_plan_without_its_population_is_refused(tmp_path: Path) -> None:
    bare = PlanSpec.model_validate(load(tmp_path).model_dump())
    with pytest.raises(SpecError, match="without its population"):
        plan_sample(bare)


def test_where_no_number_of_respondents_is_enough_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[plan_sample.__module__], "MOST", 200)
    text = PLAN.replace("path: 0.2", "path: 0.02")
    found = plan_sample(load(tmp_path, text, fast=True), only=("H1",), samples=50, batches=5, seed=1)
    assert math.isnan(found.table["rows"].iloc[0])
    assert found.warnings == ("H1 some: more than 200 respondents.",)
    assert "?" in found.summary()
