"""Power by simulated answers: the samples are those of a Monte Carlo study, whatever runs them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.results.power_sample import EffectSearch, SampledPower
from b2b_sem.simulate.power_trial import as_study, make_sampler
from b2b_sem.simulate.sampled import load_source
from b2b_sem.spec.montecarlo import MonteCarloSpec

SMALL = "NR =~ nr1 + nr2 + nr3 + nr4\nPC =~ pc1 + pc2 + pc3 + pc4\nRR =~ rr1 + rr2 + rr3\nPC ~ a*NR\nRR ~ b*PC"


@cache
def study() -> MonteCarloSpec:
    source = load_source("lima2026_samples")
    assert isinstance(source, MonteCarloSpec)
    return source


@cache
def sampled() -> SampledPower:
    return bs.power(study(), nobs=150, replications=60, seed=9)


def test_samples_are_those_of_a_monte_carlo_study() -> None:
    conditions = study().conditions.model_copy(update={"n": (150,)})
    population, model = study().population_spec, study().model_spec
    assert population is not None
    assert model is not None
    one = study().model_copy(update={"conditions": conditions}).tie(population, model)
    theirs = bs.monte_carlo(one, replications=60, seed=9)
    ours = sampled().table.set_index("test")
    paths = theirs.parameters[theirs.parameters["op"] == "~"]
    assert len(paths) == 8
    for row in paths.to_dict("records"):
        own = ours.loc[f"{row['lhs']}~{row['rhs']}"]
        assert (own["power"], own["mcse"], own["value"]) == (row["power"], row["power_mcse"], row["true"])
    for row in theirs.verdicts.to_dict("records"):
        if row["not_testable"] < 1:
            assert ours.loc[row["proposition"], "power_all"] == row["supported"]
    assert set(ours.index) >= {f"P{k}" for k in range(1, 9)}
    assert "P9" not in ours.index  # nothing of this study can decide it
    p = theirs.measures.set_index("measure").loc["pvalue"]
    assert ours.loc["chi-square", "power"] == p["rejected"]
    pvalue = theirs.samples["n=150"]["pvalue"]
    at = [k for k, r in enumerate(theirs.parameters.to_dict("records")) if (r["op"], r["lhs"]) == ("~", "PC")]
    names = [theirs.parameters["rhs"].iloc[k] for k in at]
    chain = theirs.parameters.query("op == '~' and lhs == 'RR' and rhs == 'PC'").index[0]
    joint = (pvalue[:, at[names.index("NR")]] < 0.05) & (pvalue[:, chain] < 0.05)
    assert ours.loc["NR -> PC -> RR", "power"] == joint.mean()


def test_a_monte_carlo_file_brings_its_sizes_seed_and_alpha() -> None:
    strict = (
        study()
        .model_copy(update={"alpha": 0.01, "replications": 20, "seed": 9})
        .tie(
            study().population_spec,
            study().model_spec,  # type: ignore[arg-type]
        )
    )
    found = bs.power(strict, SMALL)
    assert sorted(found.shares["nobs"].unique()) == [150, 300, 600]
    assert (found.alpha, found.replications, found.seed, found.nobs) == (0.01, 20, 9, 150)
    loose = bs.power(strict, SMALL, alpha=0.2, nobs=150)
    assert (loose.table["power"] >= found.table["power"]).all()
    assert (loose.table["power"] > found.table["power"]).any()


def test_a_visit_goes_on_where_the_last_one_ended() -> None:
    sampler = make_sampler(as_study(bs.load_simulation("lima2026"), SMALL), seed=4)
    whole = sampler.draw(120, 0, 60)
    parts = [sampler.draw(120, visit, 20) for visit in range(3)]
    assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)
    assert whole.shape == (60, len(sampler.tests))


def test_numbers_do_not_depend_on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    from b2b_sem.engine import blocks

    alone = bs.power("lima2026", SMALL, nobs=100, replications=128, seed=3)
    monkeypatch.setattr(blocks, "WORTHWHILE", 0.0)
    assert bs.power("lima2026", SMALL, nobs=100, replications=128, seed=3, jobs=2).to_json() == alone.to_json()


def test_numbers_do_not_depend_on_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from b2b_sem.simulate.trial import Trial

    arguments: dict = {"tests": ["RR~PC", "PC~NR"], "start": 80, "precision": 0.25, "batch": 40, "seed": 3}
    alone = bs.find_rows("lima2026", SMALL, **arguments)
    run, calls = Trial.run, []

    def broken(self: Trial, block: int) -> dict:
        calls.append(block)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(self, block)

    monkeypatch.setattr(Trial, "run", broken)
    with pytest.raises(KeyboardInterrupt):
        bs.find_rows("lima2026", SMALL, folder=tmp_path, **arguments)
    monkeypatch.setattr(Trial, "run", lambda self, block: calls.append(block) or run(self, block))
    calls.clear()
    again = bs.find_rows("lima2026", SMALL, folder=tmp_path, **arguments)
    looks = alone.shares.drop_duplicates("nobs")["drawn"].sum() / 40
    assert len(calls) == looks - 2
    assert again.to_json() == alone.to_json()
    with pytest.raises(bs.DataError, match="another study"):
        bs.find_rows("lima2026", SMALL, folder=tmp_path, **arguments | {"seed": 4})
    with pytest.raises(bs.DataError, match="other tests"):
        bs.find_rows("lima2026", SMALL, folder=tmp_path, restrictions=["a == b"], **arguments)


def test_propositions_bring_what_they_need() -> None:
    spec = bs.load_simulation("lima2026_sectors")
    sampler = make_sampler(as_study(spec), seed=1, tests=["P9"])
    assert sampler.spec.moderation
    assert sampler.spec.groups is None
    usual = {t.test for t in sampler.tests if t.usual and t.kind == "proposition"}
    assert usual == {f"P{k}" for k in range(1, 10)}
    sampler = make_sampler(as_study(spec), seed=1, tests=["P10"])
    assert sampler.spec.groups == "sector"
    assert not sampler.spec.moderation
    with pytest.raises(bs.DataError, match="sector"):
        make_sampler(as_study(bs.load_simulation("lima2026"), groups="role"), seed=1, tests=["P10"])


def test_products_are_tests_of_paths() -> None:
    model = "PC =~ pc1 + pc2 + pc3\nPX =~ px1 + px2 + px3\nRR =~ rr1 + rr2 + rr3\nRR ~ PC + PX + PC:PX"
    found = bs.power("lima2026_sectors", model, nobs=400, replications=10, interaction="dmc", seed=1).table
    own = found.set_index("test").loc["RR~PC:PX"]
    assert (own["value"], own["used"]) == (0.2, 10)
    assert own["power"] > 0.3


def test_groups_have_paths_of_their_own_and_differences() -> None:
    model = "PC =~ pc1 + pc2 + pc3 + pc4\nRE =~ re1 + re2 + re3 + re4\nNR =~ nr1 + nr2 + nr3\nPC ~ RE + NR"
    found = bs.power(
        "lima2026_sectors", model, nobs=600, replications=12, group="sector", group_equal=("loadings",), seed=1
    )
    table = found.table
    paths = table[table["test"] == "PC~RE"].query("kind == 'path'").set_index("group")["value"]
    assert paths.to_dict() == {"regulated": 0.15, "non_regulated": 0.40}
    row, other = table[table["kind"] == "difference"].to_dict("records")
    assert (row["test"], other["test"], other["value"]) == ("PC~RE", "PC~NR", 0.0)
    assert row["value"] == pytest.approx(0.25)
    assert row["used"] == 12
    assert 0 < row["power"] <= 1
    # the difference of two estimates is that of one fit: check the last sample by hand
    sampler = make_sampler(
        as_study(
            bs.load_simulation("lima2026_sectors"), model, options={"group": "sector", "group_equal": ("loadings",)}
        ),
        seed=1,
    )
    hit = sampler.draw(600, 0, 1)[0]
    place = next(k for k, t in enumerate(sampler.tests) if t.kind == "difference")
    trial = sampler._trial(600)
    from b2b_sem.analysis.split import split_answers

    frame = trial.draw(0)
    _, levels = split_answers(frame, trial.plan.survey, "sector")
    frame = frame.assign(sector=levels)[levels.notna()]
    text = model.replace("PC ~ RE + NR", "PC ~ c(p, q)*RE + NR\nd := p - q")
    fit = bs.fit(text, frame, group="sector", group_equal=("loadings",))
    p = fit.parameters.query("op == ':='")["pvalue"].iloc[0]
    assert hit[place] == (p < 0.05)


def test_definitions_and_restrictions_are_tests() -> None:
    found = bs.power(
        "lima2026", SMALL + "\nab := a*b", nobs=300, replications=20, restrictions=["a == b", "a == 0.5"], seed=2
    ).table.set_index("test")
    assert found.loc["ab", "kind"] == "definition"
    assert found.loc[["a == b", "a == 0.5"], "kind"].tolist() == ["restriction"] * 2
    assert (found["used"] == 20).all()
    assert found.loc["ab", "power"] <= found.loc["NR -> PC -> RR", "power"]  # the delta method finds less


def test_text_has_definitions_and_restrictions_too() -> None:
    truth = "x ~~ 1*x\nm ~ .3*x\ny ~ .1*m\nm ~~ .91*m\ny ~~ .99*y"
    model = "m ~ a*x\ny ~ b*m\nd := a - b"
    asked = {"nobs": 150, "replications": 60, "seed": 1}
    found = bs.power(truth, model, restrictions=["a == b"], tests=["d", "a == b", "m~x"], **asked).table.set_index(
        "test"
    )
    assert found.loc[["d", "a == b"], "kind"].tolist() == ["definition", "restriction"]
    assert found.loc["d", "power"] == found.loc["a == b", "power"]
    theory = bs.power(truth, model, nobs=150, restrictions=["a == b"]).table.set_index("test")["power"]
    assert found.loc["a == b", "power"] == pytest.approx(theory["a == b"], abs=4 * np.sqrt(0.25 / 60))
    alone = bs.power(truth, model, tests=["d"], **asked).table.set_index("test")
    assert alone.loc["d", "power"] == found.loc["d", "power"]  # the same samples
    moments = bs.power(truth, model, tests=["m~x"], **asked)
    assert moments.table["test"].tolist() == ["m~x"]
    with pytest.raises(bs.DataError, match="there is no test 'e'"):
        bs.power(truth, model, tests=["e"], **asked)
    with pytest.raises(bs.DataError, match="rows"):
        bs.power(truth, model, tests=["d"], replications=60)


def test_categories_are_fitted_as_such() -> None:
    found = bs.power(
        "lima2026", "NR =~ nr1 + nr2 + nr3\nPC =~ pc1 + pc2 + pc3\nPC ~ NR", nobs=150, replications=10,
        estimator="WLSMV", ordered=True, seed=1,
    )  # fmt: skip
    assert found.table.set_index("test").loc["PC~NR", "used"] == 10
    assert found.table.set_index("test").loc["chi-square", "used"] == 10  # the scaled test


def test_samples_without_a_solution_say_why() -> None:
    found = bs.power("lima2026", SMALL, nobs=8, replications=20, seed=1)
    row = found.table.set_index("test").loc["PC~NR"]
    assert row["failed"] > 0
    assert row["used"] + row["failed"] == 20
    assert "samples have no usable solution (most often: " in found.summary()


def test_smallest_effect_has_the_power_that_was_asked_for() -> None:
    found = bs.find_effect("lima2026", "PC ~ NR", SMALL, nobs=200, precision=0.2, batch=64, seed=5)
    assert found.precise
    assert 0 < found.lower < found.detectable < found.upper < 1
    assert (found.test, found.null, found.value) == ("PC~NR", 0.0, 0.25)
    spec = bs.load_simulation("lima2026")
    paths = {**spec.values.paths, "PC ~ NR": found.detectable}
    changed = spec.model_copy(update={"values": spec.values.model_copy(update={"paths": paths})})
    power = bs.power(changed, SMALL, nobs=200, replications=192, seed=77).table.set_index("test")
    # 4 Monte Carlo standard errors, and what the interval of 20 % leaves open
    assert power.loc["PC~NR", "power"] == pytest.approx(0.8, abs=4 * 0.029 + 0.1)
    again = EffectSearch.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.summary() == found.summary()
    assert again.shares.equals(found.shares)


@pytest.mark.parametrize(
    ("effect", "null", "value"),
    [
        ("NR ~~ PE", 0.0, 0.40),
        ("RR~PC:PX", 0.0, 0.20),
        ("RR ~ PX:PC", 0.0, 0.20),
        ("regulated: PC ~ RE", 0.40, 0.15),
        ("regulated: AU", 0.0, -0.45),
    ],
)
def test_effects_of_a_file_are_found(effect: str, null: float, value: float) -> None:
    from b2b_sem.simulate.sampled import _nested, _place
    from b2b_sem.spec.montecarlo import changed_population

    spec = bs.load_simulation("lima2026_sectors")
    place, zero, stated, _ = _place(spec, effect)
    assert (zero, stated) == (null, value)
    changed = changed_population(spec, _nested(place, 0.11))
    assert _place(changed, effect)[2] == 0.11
    before, after = (json.loads(s.model_dump_json()) for s in (spec, changed))
    for name in place[:-1]:
        before, after = before[str(name)], after[str(name)]
    assert {k: v for k, v in before.items() if k != str(place[-1])} == {
        k: v for k, v in after.items() if k != str(place[-1])
    }


def test_effects_end_where_the_population_does() -> None:
    found = bs.find_effect("lima2026", "RR ~ PC", SMALL, nobs=20, power=0.999, batch=20, replications=200, seed=1)
    assert found.bound in ("", "more than")
    assert found.shares["effect"].max() <= 1.0  # PC would explain more than all of RR


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tests": ["PC~XX"]}, bs.DataError, "no test 'PC~XX'"),
        ({"change": "weak"}, bs.DataError, "no change 'weak'"),
        ({"variant": "MLR"}, bs.DataError, "no variant 'MLR'"),
        ({"estimater": "ML"}, bs.DataError, "no option 'estimater'"),
        ({"estimator": "XYZ"}, bs.DataError, "estimator"),
        ({"multiplicity": "scheffe"}, bs.DataError, "multiplicity"),
        ({"groups": "planet"}, bs.DataError, "planet"),
        ({"model": "A =~ zz1 + zz2 + zz3"}, bs.DataError, "zz1"),
        ({"restrictions": ["a == b; a == 0"]}, bs.Unsupported, "several parameters"),
        ({"restrictions": ["PC ~ NR"]}, bs.ModelSyntaxError, "no restriction"),
        ({"replications": 3}, bs.DataError, "replications=3"),
        ({"jobs": 0}, bs.DataError, "jobs=0"),
        ({"seed": -1}, bs.DataError, "seed=-1"),
        ({"nobs": 1}, bs.DataError, "nobs=1"),
        ({"detectable": True}, bs.DataError, "by theory"),
    ],
)
def test_bad_input_has_one_message(change: dict, error: type[Exception], message: str) -> None:
    arguments = {"population": "lima2026", "model": SMALL, "replications": 10} | change
    with pytest.raises(error, match=message):
        bs.power(**arguments)


def test_what_is_for_samples_needs_replications() -> None:
    with pytest.raises(bs.DataError, match="by samples"):
        bs.power("lima2026", seed=1)


@pytest.mark.parametrize(
    ("effect", "message"),
    [("PC ~ XX", "does not state"), ("regulated: PC ~ RE", "does not state"), ("NR ~~ PE", "which test")],
)
def test_unknown_effects(effect: str, message: str) -> None:
    with pytest.raises(bs.DataError, match=message):
        bs.find_effect("lima2026", effect, nobs=100)
    with pytest.raises(bs.Unsupported, match="detectable=True"):
        bs.find_effect("y ~ .3*x\nx ~~ 1*x", "y ~ x")


TEXT = """kind: simulation
schema_version: 1
id: chain
title: A chain of observed variables
text: |
  x ~~ 1*x
  m ~ .3*x
  y ~ .3*m + .1*x
  m ~~ .91*m
  y ~~ .9*y
n: 150
"""


def test_populations_of_text_are_drawn_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "odd.yaml").write_text(TEXT + "skew: 1.5\nkurtosis: 4\nmissing_rate: 0.2\n", encoding="utf-8")
    theory = bs.power(tmp_path / "plain.yaml")
    counted = bs.power(tmp_path / "plain.yaml", replications=100, seed=1)
    assert theory.nobs == counted.nobs == 150
    both = theory.table.set_index("test")["power"], counted.table.set_index("test")["power"]
    for name in ("m~x", "y~m", "y~x"):
        # 4 Monte Carlo standard errors, and .02 for what is left of small samples
        assert both[1][name] == pytest.approx(
            both[0][name], abs=4 * np.sqrt(both[0][name] * (1 - both[0][name]) / 100) + 0.02
        )
    with pytest.raises(bs.Unsupported, match="skew"):
        bs.power(tmp_path / "odd.yaml")
    odd = bs.power(tmp_path / "odd.yaml", replications=40, seed=1).table.set_index("test")
    assert odd.loc["y~m", "power"] < both[1]["y~m"]  # a third of the rows is complete
    found = bs.find_effect(tmp_path / "plain.yaml", "y ~ m", precision=0.3, batch=60, seed=2)
    assert (found.test, found.value, found.nobs) == ("y~m", 0.3, 150)
    # of one regression coefficient: (z + z) times its standard error
    assert found.lower < (1.96 + 0.84) * np.sqrt(0.9 / 0.91 / 150) < found.upper
    with pytest.raises(bs.DataError, match="does not state an effect 'y ~ z'"):
        bs.find_effect(tmp_path / "plain.yaml", "y ~ z")
