"""The truth beside estimates is that of the quantity which the fitted model estimates, or there is none."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from b2b_sem.simulate.estimand import true_values
from b2b_sem.simulate.experiment import monte_carlo, prepare_trial
from b2b_sem.simulate.respond import make_plan
from b2b_sem.spec.loader import load_montecarlo

SURVEY = """
    kind: survey
    schema_version: 1
    id: s
    title: Three scales
    format: {low: 1, high: 5, anchors: {1: no, 5: yes}}
    scales:
      F: {name: first, items: {f1: One., f2: Two., f3: {text: Three., reverse: true}}}
      M: {name: second, items: {m1: One., m2: Two., m3: Three.}}
      Y: {name: third, items: {y1: One., y2: Two., y3: Three.}}
    facts:
      sector: {label: sector, type: categorical, categories: {0: free, 1: regulated, 2: public}}
      region: {label: region, type: categorical, categories: {1: north, 2: south}}
"""
MODEL = """
    kind: model
    schema_version: 1
    id: m
    title: Mediation
    survey: survey.yaml
    measurement: {F: {scale: F}, M: {scale: M}, Y: {scale: Y}}
    structural: |
      %s
"""
POPULATION = """
    kind: simulation
    schema_version: 1
    id: p
    title: Population
    model: model.yaml
    values:
      loadings: {default: 0.7, items: {f3: 0.5}}
      paths: {M ~ F: 0.4, Y ~ M: 0.3, Y ~ F: 0.2}
    facts: {sector: {shares: {0: 0.5, 1: 0.3, 2: 0.2}}, region: {shares: {1: 0.5, 2: 0.5}}}
    response: {type: continuous, mean: 3, sd: 1.5}
    %s
"""
STUDY = """
    kind: montecarlo
    schema_version: 1
    id: study
    title: Study
    population: population.yaml
    model: fitted.yaml
    conditions: {n: [300]}
    replications: 2
    %s
"""
FULL = "M ~ F\n      Y ~ M + F"


@pytest.fixture
def truth(tmp_path: Path):
    def of(fitted: str, population: str = "", study: str = "") -> dict[str, float]:
        files = {"survey": SURVEY, "model": MODEL % FULL, "fitted": MODEL % fitted.replace("\n", "\n      ")}
        files |= {"population": POPULATION % population, "study": STUDY % study}
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(dedent(text), encoding="utf-8")
        spec = load_montecarlo(tmp_path / "study.yaml")
        assert spec.population_spec is not None
        plan = make_plan(spec.population_spec)
        trial = prepare_trial(spec, plan, spec.cells()[0], 1)
        values = true_values(plan, trial)
        names = ["".join(key[:3]) + (f" {key[3]}" if key[3] else "") for key in trial.rows]
        return dict(zip(names, values.tolist(), strict=True))

    return of


def test_the_model_of_the_population_has_the_values_of_its_file(truth) -> None:
    found = truth("M ~ F\nY ~ M + F")
    expected = {"F=~f1": 0.7, "F=~f3": 0.5, "M~F": 0.4, "Y~M": 0.3, "Y~F": 0.2, "F~~F": 1.0, "M~~M": 0.84}
    expected |= {"Y~~Y": 1 - 0.09 - 0.04 - 2 * 0.3 * 0.2 * 0.4, "f3~~f3": 0.75}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert np.isfinite(list(found.values())).all()


def test_correlations_of_a_measurement_model_follow_from_the_paths(truth) -> None:
    found = truth("F ~~ M + Y\nM ~~ Y")
    # variances are whole, not what predictors leave of them
    expected = {"F~~F": 1.0, "M~~M": 1.0, "Y~~Y": 1.0, "F~~M": 0.4, "F~~Y": 0.2 + 0.3 * 0.4, "M~~Y": 0.3 + 0.2 * 0.4}
    expected |= {"F=~f1": 0.7, "f3~~f3": 0.75}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_what_the_population_does_not_have_is_zero(truth) -> None:
    found = truth("M ~ F\nY ~ M + F\nf1 ~~ m1\nF =~ y2")
    assert found["f1~~m1"] == found["F=~y2"] == 0.0
    assert found["Y=~y2"] == pytest.approx(0.7)
    assert found["y2~~y2"] == pytest.approx(0.51)


def test_defined_parameters_follow(truth) -> None:
    found = truth("M ~ a*F\nY ~ b*M + c*F\nindirect := a*b\ntotal := c + a*b")
    assert found["indirect:=a*b"] == pytest.approx(0.12, abs=1e-6)
    assert found["total:=c+a*b"] == pytest.approx(0.32, abs=1e-6)


def test_a_path_keeps_its_value_where_another_is_left_out(truth) -> None:
    found = truth("M ~ F\nY ~ M")
    assert found["Y~M"] == pytest.approx(0.3)
    assert found["M~~M"] == pytest.approx(0.84)
    # another residual than that of the population, in a model that does not hold
    assert np.isnan(found["Y~~Y"])
    without = truth("Y ~ M\nY ~~ F\nM ~~ F")
    assert without["Y~M"] == pytest.approx(0.3)
    assert np.isnan(without["Y~~Y"])
    # the model reproduces all covariances, with 0.38 for Y ~ M: its parameters are not those of the file
    assert np.isnan(truth("Y ~ M\nF ~ M + Y")["F~M"])


def test_turned_round_it_has_the_values_it_tends_to(truth) -> None:
    found = truth("F ~ M\nY ~ M + F")
    assert found["F~M"] == pytest.approx(0.4, abs=1e-6)
    assert found["F~~F"] == pytest.approx(0.84, abs=1e-6)


LEVELS = "groups: {split: sector, reference: 0, levels: {1: {paths: {M ~ F: 0.1}, loadings: {m2: 0.5}}}}"
GROUPS = "options: {group: %s}"


def test_values_are_standardized_within_their_level(truth) -> None:
    found = truth("M ~ F\nY ~ M + F", LEVELS, GROUPS % "sector")
    # the residual of m2 is that of the reference level, 0.51, so its variance is 0.76
    assert found["M=~m2 regulated"] == pytest.approx(0.5 / np.sqrt(0.76))
    assert found["m2~~m2 regulated"] == pytest.approx(0.51 / 0.76)
    assert found["M=~m2 free"] == found["M=~m2 public"] == pytest.approx(0.7)
    assert [found[f"M~F {name}"] for name in ("free", "regulated", "public")] == pytest.approx([0.4, 0.1, 0.4])
    assert np.isfinite(list(found.values())).all()


def test_levels_of_a_population_without_groups_are_alike(truth) -> None:
    found = truth("M ~ F\nY ~ M + F", "", GROUPS % "sector")
    assert [found[f"M~F {name}"] for name in ("free", "regulated", "public")] == pytest.approx([0.4] * 3)


def test_levels_of_another_fact_are_mixtures(truth) -> None:
    found = truth("M ~ F\nY ~ M + F", LEVELS, GROUPS % "region")
    assert found["F=~f1 north"] == found["F=~f1 south"] == pytest.approx(0.7)
    assert np.isnan(found["M~F north"])


def test_within_level_values_are_those_of_large_samples(tmp_path: Path, truth) -> None:
    truth("M ~ F\nY ~ M + F", LEVELS, GROUPS % "sector")
    text = (tmp_path / "study.yaml").read_text(encoding="utf-8").replace("[300]", "[100_000]")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    table = monte_carlo(tmp_path / "study.yaml").parameters
    off = (table["mean"] - table["true"]).abs() / (table["mean_se"] / np.sqrt(2)).clip(lower=1e-6)
    assert off[table["mean_se"] > 0].max() < 4.5
    assert (table["true"] - table["mean"]).abs().max() < 0.02


GROWTH = """
    kind: montecarlo
    schema_version: 1
    id: growth
    title: Growth
    population:
      text: |
        i =~ 1*y1 + 1*y2 + 1*y3 + 1*y4
        s =~ 0*y1 + 1*y2 + 2*y3 + 3*y4
        i ~ 5*1
        s ~ 0.8*1
        i ~~ 2*i
        s ~~ 0.3*s
        i ~~ 0.2*s
        y1 ~~ 1*y1
        y2 ~~ 1*y2
        y3 ~~ 1*y3
        y4 ~~ 1*y4
    model: growth.lav
    conditions: {n: [500]}
    options: {kind: growth}
    replications: 12
    seed: 5
"""


def test_growth_has_means_of_its_factors(tmp_path: Path) -> None:
    (tmp_path / "growth.yaml").write_text(dedent(GROWTH), encoding="utf-8")
    text = "i =~ 1*y1 + 1*y2 + 1*y3 + 1*y4\ns =~ 0*y1 + 1*y2 + 2*y3 + 3*y4\n"
    (tmp_path / "growth.lav").write_text(text, encoding="utf-8")
    table = monte_carlo(tmp_path / "growth.yaml").parameters
    rows = {f"{r['lhs']}{r['op']}{r['rhs']}": r for r in table.to_dict("records")}
    true = {"i~1": 5.0, "s~1": 0.8, "i~~i": 2.0, "s~~s": 0.3, "i~~s": 0.2}
    assert {name: rows[name]["true"] for name in true} == pytest.approx(true, abs=1e-6)
    assert set(rows) == {*true, *(f"y{k}~~y{k}" for k in range(1, 5))}
    assert all(abs(r["bias"]) < 4 * r["bias_mcse"] for r in rows.values())
    assert all(abs(r["mean"] - r["true"]) < 0.15 for r in rows.values())


def test_products_do_not_take_the_values_of_other_equations(tmp_path: Path) -> None:
    study = dedent(STUDY % (GROUPS % "sector")).replace("population.yaml", "lima2026_sectors")
    (tmp_path / "study.yaml").write_text(study.replace("fitted.yaml", "short.lav"), encoding="utf-8")
    model = "PC =~ pc1 + pc2 + pc3 + pc4\nRE =~ re1 + re2 + re3 + re4\nPC ~ RE\nRE ~~ a*RE\ntwice := 2*a\n"
    (tmp_path / "short.lav").write_text(model.replace("RE ~~ a*RE", "PC ~~ c(a, b)*PC"), encoding="utf-8")
    spec = load_montecarlo(tmp_path / "study.yaml")
    assert spec.population_spec is not None
    plan = make_plan(spec.population_spec)
    trial = prepare_trial(spec, plan, spec.cells()[0], 1)
    found = dict(zip(trial.rows, true_values(plan, trial), strict=True))
    assert found["PC", "~", "RE", "regulated"] == pytest.approx(0.15)
    assert found["PC", "~", "RE", "non_regulated"] == pytest.approx(0.40)
    assert np.isnan(found["PC", "~~", "PC", "regulated"])  # NR is left out
    assert all(np.isnan(v) for key, v in found.items() if key[1] == ":=")
