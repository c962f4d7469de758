"""Populations that are lavaan text with values: drawn, fitted again and again, and refused."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import SeedSequence

import b2b_sem as bs
from b2b_sem.analysis.montecarlo import population as moments
from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.simulate.estimand import true_values
from b2b_sem.simulate.experiment import prepare_trial
from b2b_sem.simulate.respond import make_plan, simulate
from b2b_sem.simulate.rows import draw_rows
from b2b_sem.simulate.text import make_text_plan
from b2b_sem.simulate.trial import replication_seed
from b2b_sem.spec.loader import load_montecarlo
from b2b_sem.spec.syntax import parse_model
from b2b_sem.spec.text import TextValues, free_text, text_population

TEXT = """\
F =~ 1*x1 + .8*x2 + 1.2*x3
F ~~ 2*F
x1 ~~ .5*x1
x3 ~~ 3*x3
y ~ .6*F
y ~~ .7*y
x1 ~ 4*1
y ~ -2*1
"""
FILE = """\
kind: montecarlo
schema_version: 1
id: small
title: Small study
population:
  text: |
%s
%s
replications: 40
seed: 3
"""
KEY = ["lhs", "op", "rhs"]


@pytest.fixture
def write(tmp_path):
    def study(more="", text=TEXT, values=""):
        lines = "".join(f"    {line}\n" for line in text.splitlines()) + values
        path = tmp_path / "study.yaml"
        path.write_text(FILE % (lines, more), encoding="utf-8")
        return path

    return study


def trial_of(path, plan=None):
    spec = load_montecarlo(path)
    population = spec.population_spec
    plan = plan or make_text_plan(population)
    trial = prepare_trial(spec, plan, spec.cells()[0], 1)
    return trial, dict(zip((key[:3] for key in trial.rows), true_values(plan, trial), strict=True))


def test_rows_are_those_of_the_moments(write, tmp_path):
    data = simulate(TEXT, n=300, seed=4)
    np.testing.assert_allclose(data.frame.drop(columns="id"), draw_rows(moments(TEXT), 300, 4), atol=2e-6)
    file = tmp_path / "rows.lav"
    file.write_text(TEXT, encoding="utf-8")
    for other in (file, write()):
        assert simulate(other, n=300, seed=4).frame.equals(data.frame)
    with pytest.raises(Unsupported, match="is lavaan text"):
        _ = data.population


def test_truth_and_codebook(write):
    data = simulate(write(values="  skew: {x1: 1}\n  kurtosis: {x1: 2}\n  thresholds: {x3: [-1, 1]}"), n=20, seed=4)
    truth = data.truth.set_index(KEY)
    assert truth.loc[("F", "=~", "x2"), "raw"] == 0.8
    assert truth.loc[("F", "=~", "x2"), "value"] == pytest.approx(0.8 * (2 / 2.28) ** 0.5)
    assert np.isnan(truth.loc[("F", "=~", "x3"), "expected"])
    assert truth.loc[("y", "~1", ""), "value"] == pytest.approx(-2 / 1.42**0.5)
    assert data.codebook is not None
    book = data.codebook.set_index("column")
    assert book.loc["x3", "text"] == "cut at -1, 1"
    assert (book.loc["x3", "low"], book.loc["x3", "high"], book.loc["x1", "scale"]) == ("1", "3", "F")
    assert list(book.index) == list(data.frame.columns)


def test_cuts_shares_and_holes(write):
    text = TEXT + "y | -2.5*t1 + -1*t2\n"
    shares = "  shares: {x3: [0.2, 0.5, 0.3]}\n  missing_rate: 0.1"
    frame = simulate(write(text=text, values=shares), n=50_000, seed=2).frame
    whole = simulate(write(), n=50_000, seed=2).frame
    held = frame["y"].notna()
    np.testing.assert_array_equal(frame["y"][held], 1 + np.searchsorted([-2.5, -1], whole["y"][held]))
    np.testing.assert_allclose(frame["x3"].value_counts(normalize=True)[[1, 2, 3]], [0.2, 0.5, 0.3], atol=0.01)
    np.testing.assert_allclose(frame.drop(columns="id").isna().mean(), 0.1, atol=0.006)
    # what is not missing is as it is without holes
    kept = frame["x1"].notna()
    assert frame["x1"][kept].equals(whole["x1"][kept])


@pytest.mark.parametrize("method", ["vale-maurelli", "independent"])
def test_several_samples_at_once_are_those_of_their_seeds(write, method):
    values = f"  skew: 1\n  kurtosis: 2\n  method: {method}\n  missing_rate: 0.1"
    plan = make_text_plan(load_montecarlo(write(values=values)).population_spec)
    columns = plan.draw(9, [SeedSequence(1), SeedSequence(2)])
    for k, seed in enumerate((1, 2)):
        alone = plan.draw(9, [SeedSequence(seed)])
        for name, values in alone.items():
            np.testing.assert_array_equal(columns[name][9 * k : 9 * k + 9], values)


def test_a_study_finds_the_raw_values(write):
    result = bs.monte_carlo(write("conditions: {n: [400]}"), replications=200)
    assert bool(result.conditions["batched"].iloc[0])
    table = result.parameters.set_index(KEY)
    assert result.provenance["solution"] == "raw"
    assert table.loc[("y", "~", "F"), "true"] == 0.6
    assert table.loc[("y", "~1", ""), "true"] == -2
    assert ("F", "=~", "x1") not in table.index  # it is fixed
    assert len(table) == 2 + 1 + 5 + 4
    assert (table["bias"].abs() / table["bias_mcse"]).max() < 4
    assert (table["coverage"] - 0.95).abs().max() < 4 * (0.95 * 0.05 / 200) ** 0.5
    standardized = bs.monte_carlo(write("conditions: {n: [400]}\nsolution: standardized"), replications=20)
    own = standardized.parameters.set_index(KEY)
    assert own.loc[("y", "~", "F"), "true"] == pytest.approx(0.6 * (2 / 1.42) ** 0.5)
    assert standardized.provenance["solution"] == "standardized"


def test_single_fits_give_what_batches_give(write):
    batched, _ = trial_of(write("conditions: {n: [150]}"))
    assert batched.batch is not None
    one, two = batched.run(0), replace(batched, batch=None, size=5).run(0)
    for name in ("est", "se", "half", "pvalue"):
        np.testing.assert_allclose(one[name][:5], two[name][:5], rtol=1e-6, atol=1e-7)


def test_a_replication_can_be_drawn_again(write):
    path = write("conditions: {n: [30]}")
    trial, _ = trial_of(path)
    seed = replication_seed(1, trial.condition.key, 7)
    assert simulate(path, n=30, seed=seed).frame.drop(columns="id").equals(trial.draw(7))


def test_true_values_of_a_wrong_model_are_in_its_metric(write):
    text = "X =~ 0.5*x1 + 0.8*x2 + 1*x3\nY =~ 1*y1 + 0.6*y2 + 0.5*y3\nY ~ 0.4*X + 0.3*z\nX ~~ 2*X + 0.5*z\nz ~~ 1*z\n"
    model = "model: |\n  X =~ x1 + x2 + x3\n  Y =~ NA*y1 + y2 + 2*y3\n  Y ~ X\n"
    trial, true = trial_of(write(model, text=text))
    assert trial.raw
    # X is half, Y a quarter of that of the text; what z leaves of Y is not what this model leaves of it
    assert true["X", "=~", "x2"] == pytest.approx(1.6)
    assert true["Y", "=~", "y1"] == pytest.approx(4)
    assert true["Y", "~", "X"] == pytest.approx(0.4 * 0.25 / 0.5)
    assert true["X", "~~", "X"] == pytest.approx(0.5)
    assert np.isnan(true["Y", "~~", "Y"])
    plain = model.replace("NA*y1 + y2 + 2*y3", "y1 + y2 + y3")
    _, wide = trial_of(write(plain + "options: {std_lv: true}\n", text=text))
    assert wide["X", "=~", "x1"] == pytest.approx(0.5 * 2**0.5)
    assert np.isnan(wide["Y", "~", "X"])  # the disturbance that is 1 is not that of the text


def test_true_values_of_ordinal_items_are_those_of_responses_with_variance_1(write):
    cuts = "  thresholds: {x1: [3, 4], x2: [-1, 0, 1], x3: [0, 1], y: [-3, -2]}"
    _, true = trial_of(write("options: {ordered: true}\n", values=cuts))
    sd = {"x1": 2.5**0.5, "x2": 2.28**0.5, "x3": (1.44 * 2 + 3) ** 0.5, "y": 1.42**0.5}
    assert true["F", "=~", "x2"] == pytest.approx(0.8 / sd["x2"] * sd["x1"])
    assert true["F", "~~", "F"] == pytest.approx(2 / 2.5)
    assert true["y", "~", "F"] == pytest.approx(0.6 / sd["y"] * sd["x1"])
    # a large sample finds them
    fit = bs.fit("F =~ x1 + x2 + x3\ny ~ F", simulate(write(values=cuts), n=20_000, seed=1).frame, ordered=True)
    row = fit.parameters.set_index(KEY)
    for key in (("F", "=~", "x2"), ("y", "~", "F"), ("F", "~~", "F")):
        assert abs(row["est"][key] - true[key]) < 4 * row["se"][key]
    _, theta = trial_of(write("options: {ordered: true, parameterization: theta}\n", values=cuts))
    assert all(map(np.isnan, theta.values()))


def test_changes_touch_single_values(write):
    changes = (
        "conditions:\n  n: [100]\n  changes: {as_is: {}, none: {values: {y ~ F: 0}}, uneven: {skew: 1, kurtosis: 2}}"
    )
    result = bs.monte_carlo(write(changes), replications=10)
    table = result.parameters.query("lhs == 'y' and op == '~'").set_index("condition")["true"]
    assert table.to_dict() == {"n=100, as_is": 0.6, "n=100, none": 0.0, "n=100, uneven": 0.6}


def test_models_without_values_keep_zeros_labels_and_constraints():
    text = "F =~ 1*x1 + .8*x2 + 0*x3\nF ~~ 2*F\nx1 ~~ 0*x2 + .5*x1\ny ~ a*F + .6*F + .3*z\n"
    text += "z ~~ 1*z\ny ~ 2*1\nF ~ 1*1\nb := a^2\ny | 0*t1"
    lines = set(free_text(parse_model(text)).splitlines())
    assert lines == {
        "F =~ x1", "F =~ x2", "F =~ 0*x3", "x1 ~~ 0*x2", "y ~ a*F", "y ~ z", "y ~ 1", "b := a^2"
    }  # fmt: skip


def test_a_population_with_a_survey_and_raw_values(small_population, tmp_path):
    small_population("""
standardized: false
values:
  loadings: {default: 1, items: {a1: 0.8}}
  paths: {B ~ A: 0.6}
  variances: {A: 2}
  residual_variances: {B: 0.5, default: 0.4}
response: {type: continuous}
""")
    lines = [
        "kind: montecarlo", "schema_version: 1", "id: own", "title: own", "population: ./sim.yaml", "replications: 2",
        "conditions: {n: [200]}",
    ]  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    spec = load_montecarlo(path)
    trial, true = trial_of(path, make_plan(spec.population_spec))
    assert trial.raw
    assert true["A", "=~", "a2"] == pytest.approx(1.25)
    assert true["B", "~", "A"] == pytest.approx(0.75)
    assert true["A", "~~", "A"] == pytest.approx(1.28)
    found = trial.run(0)
    assert np.isfinite(found["est"]).all()
    path.write_text("\n".join([*lines, "solution: standardized"]), encoding="utf-8")
    _, wide = trial_of(path, make_plan(load_montecarlo(path).population_spec))
    assert wide["B", "~", "A"] == pytest.approx(0.6 * (2 / 1.22) ** 0.5)
    assert wide["A", "=~", "a1"] == pytest.approx(0.8 * (2 / (1.28 + 0.4)) ** 0.5)


@pytest.mark.parametrize(
    ("text", "values", "more", "message"),
    [
        (TEXT.replace("y ~ .6*F", "y ~ F"), "", "", "study.yaml:11:.* no value for 'y ~ F'"),
        (TEXT + "y ~ .2*F:x1\n", "", "", "product"),
        (TEXT.replace(".6*F", "c(.6, .3)*F"), "", "", "several groups"),
        (TEXT.replace(".7*y", "-.7*y"), "", "", "the variance of 'y' is -0.7|not positive definite"),
        (TEXT.replace(".5*x1", ".5*x1 + 9*x2"), "", "", "not positive definite"),
        (TEXT, "  skew: {x9: 1}", "", "no variable 'x9'"),
        (TEXT, "  skew: 3", "", "no variable has skew 3"),
        (TEXT, "  thresholds: {y: [1, 0]}", "", "thresholds must increase"),
        (TEXT, "  shares: {y: [0.5, 0.6]}", "", "sum to 1.1"),
        (TEXT, "  skew: 1\n  kurtosis: 2\n  shares: {y: [0.5, 0.5]}", "", "it is not normal"),
        (TEXT, "  values: {y ~ x1: 0.2}", "", "no parameter 'y ~ x1'"),
        (TEXT, "  file: other.lav", "", "give either 'text'"),
        (TEXT, "", "groups: sector", "needs a population with a survey"),
        (TEXT, "", "options: {group: sector}", "has no groups or clusters"),
        (TEXT, "", "conditions: {changes: {a: {response: {}}}}", "cannot touch 'response'"),
        (TEXT, "", "conditions: {changes: {a: {values: {y ~ z: 0.2}}}}", "no parameter 'y ~ z'"),
        (TEXT, "", "model: y ~ F + z", "needs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(write, text, values, more, message):
    with pytest.raises(SpecError, match=message) as caught:
        bs.monte_carlo(write(more, text=text, values=values), replications=2)
    assert caught.value.line is not None


def test_lavaan_text_given_to_simulate_is_checked():
    with pytest.raises(SpecError, match="no value for 'y ~ x'"):
        simulate("y ~ x", n=10, seed=1)


def test_a_study_of_respondents_needs_a_survey(tmp_path):
    path = tmp_path / "rows.yaml"
    path.write_text(
        "kind: simulation\nschema_version: 1\nid: rows\ntitle: rows\ntext: |\n  y ~ .5*x\n  x ~~ 1*x\nn: 30\n",
        encoding="utf-8",
    )
    assert len(simulate(path, seed=1).frame) == 30
    with pytest.raises(SpecError, match="a population with a survey is needed"):
        bs.load_simulation(path)


def test_a_text_of_its_own():
    plan = make_text_plan(text_population("own", TextValues(text="y ~ .5*x\nx ~~ 4*x")))
    assert plan.population.sd == {"y": pytest.approx(2**0.5), "x": 2.0}
