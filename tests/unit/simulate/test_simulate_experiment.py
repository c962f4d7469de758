"""Monte Carlo studies: both ways give the same numbers, which depend on nothing but seed, size, change and number."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster
from threadpoolctl import threadpool_info, threadpool_limits

import b2b_sem as bs
from b2b_sem.data.read import Responses
from b2b_sem.data.score import rules_from_survey, score
from b2b_sem.engine.rowerror import MEASURES
from b2b_sem.propositions import judge
from b2b_sem.results.montecarlo import MonteCarloResult, read_monte_carlo
from b2b_sem.results.store import StoredArrays
from b2b_sem.simulate import experiment
from b2b_sem.simulate import trial as trial_module
from b2b_sem.simulate.decision import VERDICTS
from b2b_sem.simulate.experiment import monte_carlo, prepare_trial
from b2b_sem.simulate.respond import make_plan
from b2b_sem.simulate.trial import FIT_MEASURES, Trial, replication_seed
from b2b_sem.spec.loader import load_montecarlo
from b2b_sem.spec.montecarlo import MonteCarloSpec

SURVEY = """
    kind: survey
    schema_version: 1
    id: small
    title: Three scales
    format: {low: 1, high: 7, anchors: {1: no, 7: yes}}
    scales:
      A: {name: first, items: {a1: One., a2: Two., a3: {text: Three., reverse: true}}}
      B: {name: second, items: {b1: One., b2: Two., b3: Three.}}
      C: {name: third, items: {c1: One., c2: Two., c3: Three.}}
"""
MODEL = """
    kind: model
    schema_version: 1
    id: small
    title: A chain
    survey: small.survey.yaml
    measurement: {A: {scale: A}, B: {scale: B}, C: {scale: C}}
    structural: |
      B ~ A
      C ~ A + B
    propositions:
      - {id: H1, statement: A leads to B., path: A -> B, sign: "+"}
      - {id: H2, statement: A leads to C., path: A -> C, sign: "-"}
      - {id: H3, statement: B leads to C., path: B -> C, sign: "+"}
"""
POPULATION = """
    kind: simulation
    schema_version: 1
    id: small
    title: Small
    model: small.model.yaml
    values:
      loadings: {default: 0.8, items: {a3: 0.6}}
      paths: {B ~ A: 0.3, C ~ A: 0.25, C ~ B: 0.0}
    response: {type: ordinal, mean: 4.2, sd: 1.3}
"""
STUDY = """
    kind: montecarlo
    schema_version: 1
    id: small
    title: Small
    population: small.population.yaml
    conditions:
      n: [80, 150]
    replications: 12
    seed: 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("survey", SURVEY), ("model", MODEL), ("population", POPULATION), ("study", STUDY)):
        (tmp_path / f"small.{name}.yaml").write_text(dedent(text), encoding="utf-8")
    return tmp_path


def study(folder: Path, old: str = "", new: str = "") -> MonteCarloSpec:
    text = dedent(STUDY)
    assert old in text
    (folder / "small.study.yaml").write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return load_montecarlo(folder / "small.study.yaml")


def trial(spec: MonteCarloSpec, number: int = 0) -> Trial:
    cell = spec.cells()[number]
    assert spec.population_spec is not None
    return prepare_trial(spec, make_plan(spec.changed(spec.population_spec, cell.change)), cell, spec.seed)


def sample(one: Trial, number: int) -> pd.DataFrame:
    """Replication `number` as a user would draw it."""
    seed = replication_seed(one.seed, one.condition.key, number)
    frame = bs.simulate(one.plan.spec, one.condition.n, seed).frame
    return score(Responses.from_frame(frame), rules_from_survey(one.plan.survey, one.plan.items)).frame


# ---- both ways -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", ["", "options: {meanstructure: true}", "options: {likelihood: wishart, std_lv: true}"]
)
def test_batches_give_what_fit_gives(folder: Path, options: str) -> None:
    one = replace(trial(study(folder, "replications: 12", f"{options}\nreplications: 12")), size=3)
    assert one.batch is not None
    assert one.reason == ""
    settings = one.condition.settings.stated()
    found = one.run(0)
    for number in range(3):
        fit = bs.fit(one.text, sample(one, number), **settings)
        raw, std = (t.set_index(["lhs", "op", "rhs"]).sort_index() for t in (fit.parameters, fit.standardized()))
        for k, key in enumerate(one.rows):
            row, plain = std.loc[key[:3]], raw.loc[key[:3]]
            np.testing.assert_allclose(found["est"][number, k], row["est_std"], rtol=0, atol=1e-7)
            np.testing.assert_allclose(found["se"][number, k], row["se"], rtol=0, atol=1e-7)
            half = (row["ci_upper"] - row["ci_lower"]) / 2 if row["se"] > 0 else np.nan
            np.testing.assert_allclose(found["half"][number, k], half, rtol=0, atol=2e-7)
            p = plain["pvalue"] if plain["free"] else row["pvalue"]
            np.testing.assert_allclose(found["pvalue"][number, k], p, rtol=1e-6, atol=1e-9)
        measures = dict(zip(FIT_MEASURES, found["measures"][number], strict=True))
        for name in MEASURES:
            np.testing.assert_allclose(measures[name], fit.measures[name], rtol=1e-6, atol=1e-7)
        verdicts = judge(one.propositions, fit)
        assert [VERDICTS[v] for v in found["verdict"][number]] == [v.verdict for v in verdicts]
        assert bool(found["improper"][number]) == (not fit.admissible)


def test_samples_one_by_one_give_the_same(folder: Path) -> None:
    one = replace(trial(study(folder)), size=12)
    together, alone = one.run(0), replace(one, batch=None).run(0)
    for name in together:
        if together[name].dtype.kind == "f":
            np.testing.assert_allclose(together[name], alone[name], rtol=1e-6, atol=1e-7)
        else:
            np.testing.assert_array_equal(together[name], alone[name])
    # the sample is small and two of three paths are weak: all verdicts on them occur
    assert len(np.unique(together["verdict"])) > 1


def test_trouble_goes_to_the_single_fit(folder: Path) -> None:
    spec = study(folder, "n: [80, 150]", "n: [14]")
    one = replace(trial(spec), size=3)
    together, alone = one.run(0), replace(one, batch=None).run(0)
    assert together["improper"].any() or not together["converged"].all()
    for name in ("improper", "converged", "why", "verdict"):
        np.testing.assert_array_equal(together[name], alone[name])


def test_indirect_propositions_are_judged_by_the_words(folder: Path) -> None:
    model = dedent(MODEL) + '  - {id: H4, statement: Through B., test: indirect, path: A -> B -> C, sign: "+"}\n'
    (folder / "small.model.yaml").write_text(model, encoding="utf-8")
    one = replace(trial(study(folder)), size=2)
    assert one.batch is None
    assert "indirect" in one.reason
    found = one.run(0)
    for number in range(2):
        verdicts = judge(one.propositions, bs.fit(one.text, sample(one, number)))
        assert [VERDICTS[v] for v in found["verdict"][number]] == [v.verdict for v in verdicts]


def test_options_share_the_respondents(folder: Path) -> None:
    options = "  options: {plain: {}, robust: {estimator: MLR}}"
    spec = study(folder, "  n: [80, 150]", "  n: [80]\n" + options)
    result = monte_carlo(spec, replications=6)
    assert result.conditions["batched"].tolist() == [True, False]
    assert result.conditions["reason"].tolist() == ["", "estimator='MLR'"]
    plain, robust = (result.samples[name] for name in ("n=80, plain", "n=80, robust"))
    np.testing.assert_allclose(plain["est"], robust["est"], atol=1e-6)
    assert np.abs(plain["se"] - robust["se"]).max() > 1e-3
    scaled = result.measures[result.measures["measure"] == "pvalue_scaled"]
    assert scaled["condition"].tolist() == ["n=80, robust"]


# ---- numbers depend on nothing else ----------------------------------------------------------------------------------


def test_a_condition_keeps_its_numbers(folder: Path) -> None:
    both = monte_carlo(study(folder), replications=4)
    one = monte_carlo(study(folder, "n: [80, 150]", "n: [150]"), replications=8)
    for name in ("est", "pvalue"):
        np.testing.assert_array_equal(both.samples["n=150"][name], one.samples["n=150"][name][:4])
    other = monte_carlo(study(folder), replications=4, seed=4)
    assert np.abs(both.samples["n=150"]["est"] - other.samples["n=150"]["est"]).max() > 0.01


def test_resuming_gives_the_same_and_refuses_another_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, kept = study(folder), folder / "kept"
    whole = monte_carlo(spec)
    monte_carlo(spec, folder=kept, replications=4)
    parts = sorted(kept.glob("*/run-*.npz"))
    assert parts
    parts[0].unlink()  # as if the run had been killed before this block
    parts[-1].write_bytes(parts[-1].read_bytes()[:100])  # or in the middle of it, on a file system without renames
    again = monte_carlo(spec, folder=kept)
    for name, own in whole.samples.items():
        for key in own:
            np.testing.assert_array_equal(own[key], again.samples[name][key])
    with pytest.raises(bs.DataError, match=r"another study: not the same seed\n"):
        monte_carlo(spec, folder=kept, seed=9)
    with pytest.raises(bs.DataError, match=r"another study: not the same content of the files\n"):
        monte_carlo(study(folder, "n: [80, 150]", "n: [80]"), folder=kept)
    # the words of an item are no matter, its answers are
    (folder / "small.survey.yaml").write_text(dedent(SURVEY).replace("high: 7", "high: 6").replace("7: yes", "6: yes"))
    with pytest.raises(bs.DataError, match=r"another study: not the same content of the files\n"):
        monte_carlo(study(folder), folder=kept)
    (folder / "small.survey.yaml").write_text(dedent(SURVEY))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    with pytest.raises(bs.DataError, match=r"another study: not the same version of b2b-sem\n"):
        monte_carlo(study(folder), folder=kept)
    (kept / "montecarlo.json").write_text("half a fi")
    with pytest.raises(bs.DataError, match="another study"):
        monte_carlo(study(folder), folder=kept)


def assert_same(first: MonteCarloResult, second: MonteCarloResult) -> None:
    """Compare every sample and every table to the last bit."""
    assert first.to_dict() == second.to_dict()
    assert list(first.samples) == list(second.samples)
    for name, own in first.samples.items():
        assert set(own) == set(second.samples[name])
        for key in own:
            np.testing.assert_array_equal(own[key], second.samples[name][key])


def test_many_samples_stay_in_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(folder)
    whole = monte_carlo(spec, replications=70)
    monkeypatch.setattr(experiment, "IN_MEMORY", 0.0)
    monkeypatch.setattr("b2b_sem.results.store._NUMBERS", 70 * 5)  # five parameters at a time
    kept, own = monte_carlo(spec, replications=70, folder=folder / "kept"), monte_carlo(spec, replications=70)
    for result in (kept, own):
        assert all(isinstance(found, StoredArrays) for found in result.samples.values())
        assert_same(whole, result)
    temporary = own.samples["n=80"]._owner.path
    assert temporary.is_dir()
    del own, result
    gc.collect()
    assert not temporary.exists()
    # fewer replications of the same folder, and a folder that is gone
    assert_same(monte_carlo(spec, replications=20), monte_carlo(spec, replications=20, folder=folder / "kept"))
    shutil.rmtree(folder / "kept")
    with pytest.raises(bs.DataError, match="no longer there"):
        kept.samples["n=80"]["est"]


@pytest.mark.slow
def test_workers_do_not_change_a_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch, living_workers: Callable[[], list[int]]
) -> None:
    """One process, two of which one is killed, and a dask cluster: the same bits in results and in what is kept."""
    spec = study(folder, "n: [80, 150]", "n: [2000]")
    monkeypatch.setattr(trial_module, "_NUMBERS", 2000 * 9 * 6)  # blocks of 6
    monkeypatch.setattr("b2b_sem.engine.blocks.WORTHWHILE", 0.0)
    alone = monte_carlo(spec, replications=50, folder=folder / "one")
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        if done >= 12 and not killed and (workers := living_workers()):
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)

    with pytest.warns(bs.B2BSemWarning, match="done again"):
        spread = monte_carlo(spec, replications=50, jobs=2, folder=folder / "two", progress=kill)
    assert killed
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(host="127.0.0.1", **options) as cluster:
        afar = monte_carlo(spec, replications=50, cluster=cluster.scheduler_address, folder=folder / "dask")
    blocks = {path.name: path.read_bytes() for path in (folder / "one").glob("*/*.npz")}
    assert len(blocks) == 9
    for result, place in ((spread, "two"), (afar, "dask")):
        assert_same(alone, result)
        assert {path.name: path.read_bytes() for path in (folder / place).glob("*/*.npz")} == blocks


def test_samples_are_fitted_on_one_thread_everywhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    one = replace(trial(study(folder)), size=2, batch=None)
    seen: list[set[int]] = []
    monkeypatch.setattr(Trial, "_alone", lambda self, number, r, out: seen.append(threads()))
    with threadpool_limits(limits=2, user_api="blas"):
        assert threads() == {2}
        one.run(0)
    assert seen == [{1}, {1}]


def test_progress_is_told_to_the_end(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    monte_carlo(study(folder), replications=5, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_tables_hold_truth_and_summary(folder: Path) -> None:
    result = monte_carlo(study(folder), replications=40)
    table = result.parameters
    own = table[(table["condition"] == "n=150") & (table["op"] == "~") & (table["lhs"] == "C")].set_index("rhs")
    assert own["true"].to_dict() == {"A": 0.25, "B": 0.0}
    k = result_rows(result).index(("C", "~", "A"))
    est = result.samples["n=150"]["est"][:, k]
    assert own.loc["A", "mean"] == pytest.approx(est.mean())
    assert own.loc["A", "rmse"] == pytest.approx(np.sqrt(((est - 0.25) ** 2).mean()))
    assert np.isnan(own.loc["B", "rel_bias"])
    # four standard errors: a wrong truth or a wrong standard error would be outside
    assert abs(own.loc["A", "bias"]) < 4 * own.loc["A", "bias_mcse"]
    assert own.loc["A", "coverage"] > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 40)
    shares = result.verdicts[["supported", "not_supported", "contradicted", "not_testable"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1.0)
    # H2 states the wrong sign: it is never supported
    wrong = result.verdicts[result.verdicts["proposition"] == "H2"]
    assert wrong["contradicted"].sum() > 0
    assert (wrong["supported"] == 0).all()


def result_rows(result: MonteCarloResult) -> list[tuple[str, str, str]]:
    first = result.parameters[result.parameters["condition"] == "n=150"]
    return list(zip(first["lhs"], first["op"], first["rhs"], strict=True))


def test_a_correct_model_keeps_its_promises(folder: Path) -> None:
    """Normal answers: 95 % coverage, standard errors as large as the spread, 5 % false alarms of Wald and fit tests."""
    spec = study(folder, "  n: [80, 150]", "  n: [500]\n  changes: {normal: {response: {type: continuous}}}")
    count = 1500
    result = monte_carlo(spec, replications=count)
    # a standardized residual variance near its bound of 1 has a skewed distribution: symmetric intervals miss it
    table = result.parameters[result.parameters["op"].isin(["=~", "~"])]
    within = 4 * np.sqrt(0.95 * 0.05 / count)
    assert len(table) == 12
    assert (table["coverage"] - 0.95).abs().max() < within
    assert (table["se_bias"].abs() < 4 * table["se_bias_mcse"]).all()
    # standardized estimates have a bias of the order 1 / n of their own
    assert (table["bias"].abs() < 4 * table["bias_mcse"] + 1 / 500).all()
    alarm = table.query("lhs == 'C' and op == '~' and rhs == 'B'")["power"].iloc[0]
    assert alarm == pytest.approx(0.05, abs=within)
    fit = result.measures.set_index("measure").loc["pvalue", "rejected"]
    assert fit == pytest.approx(0.05, abs=within)


def test_json_round_trip(folder: Path) -> None:
    result = monte_carlo(study(folder), replications=4)
    back = read_monte_carlo(result.save(folder / "results.json"))
    for name in ("conditions", "parameters", "estimates", "measures", "verdicts", "replications"):
        pd.testing.assert_frame_equal(getattr(result, name), getattr(back, name), check_dtype=False)
    assert back.to_dict() == result.to_dict()
    assert back.samples == {}
    with pytest.raises(bs.DataError, match="not the result"):
        MonteCarloResult.from_dict({"kind": "study"})


def test_holes_skew_and_clusters_reach_the_samples(folder: Path) -> None:
    item = trial(study(folder)).plan.items[0]
    changes = (
        f"  changes: {{holes: {{missing: {{mechanisms: [{{items: [{item}], rate: 0.3, on_itself: 1}}]}}}}, "
        "skewed: {distribution: {items: {skew: 1, kurtosis: 2}}}, firms: {clusters: {size: 5, icc: 0.2}}}"
    )
    spec = study(folder, "  n: [80, 150]", "  n: [80]\n" + changes)
    result = monte_carlo(spec, replications=3)
    assert result.conditions["reason"].tolist() == ["answers are missing", "", ""]
    assert result.replications["converged"].tolist() == [1, 1, 1]
    holes, skewed, firms = (trial(spec, k) for k in range(3))
    assert 0.1 < sample(holes, 0)[item].isna().mean() < 0.5
    assert not sample(skewed, 0).equals(sample(firms, 0)[sample(skewed, 0).columns])
    assert sample(firms, 0)["cluster"].max() == 16


# ---- input -----------------------------------------------------------------------------------------------------------


def test_changes_reach_the_population(folder: Path) -> None:
    changes = "  changes: {as_is: {}, strong: {values: {paths: {C ~ A: 0.5}}}, holes: {response: {missing_rate: 0.1}}}"
    spec = study(folder, "  n: [80, 150]", "  n: [80]\n" + changes)
    result = monte_carlo(spec, replications=3)
    own = result.parameters.query("lhs == 'C' and rhs == 'A' and op == '~'").set_index("condition")["true"]
    assert own.to_dict() == {"n=80, as_is": 0.25, "n=80, strong": 0.5, "n=80, holes": 0.25}
    assert result.conditions["reason"].tolist() == ["", "", "answers are missing"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n: [80, 150]", "n: [80, 80]", "twice"),
        ("n: [80, 150]", "changes: {x: {model: other}}", "cannot touch 'model'"),
        ("n: [80, 150]", "changes: {x: {values: {paths: {C ~ Z: 0.5}}}}", "no path 'C ~ Z'"),
        ("n: [80, 150]", "changes: {x: {response: {missing_rate: 2}}}", "less than 1"),
        ("n: [80, 150]", "options: {x: {estimator: MLX}}", "MLX"),
        ("n: [80, 150]", "options: {x: {seed: 2}}", "a seed of its own"),
        ("population: small.population.yaml", "population: nothing", "nothing"),
        ("replications: 12", "replications: 1", "2"),
    ],
)
def test_bad_files_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(bs.SpecError, match=message) as error:
        study(folder, old, new)
    assert error.value.line is not None


def test_impossible_populations_are_refused_before_the_work(folder: Path) -> None:
    spec = study(folder, "n: [80, 150]", "changes: {as_is: {}, x: {values: {paths: {B ~ A: 1.5}}}}")
    with pytest.raises(bs.SpecError, match="B"):
        monte_carlo(spec, progress=lambda *_: pytest.fail("work began"))


@pytest.mark.parametrize("wrong", [{"replications": 1}, {"seed": -1}, {"jobs": 0}])
def test_bad_arguments_are_refused(folder: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(bs.DataError, match=next(iter(wrong))):
        monte_carlo(study(folder), **wrong)  # type: ignore[arg-type]


def test_groups_need_a_fact(folder: Path) -> None:
    spec = study(folder, "replications: 12", "options: {group: sector}\nreplications: 12")
    with pytest.raises(bs.B2BSemError, match="sector"):
        monte_carlo(spec)
    with pytest.raises(bs.SpecError, match="sector"):
        study(folder, "replications: 12", "groups: sector\nreplications: 12")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ("cluster: firm", bs.DataError, "n=80: cluster='firm': the population 'small' has no such column"),
        ("ordered: [b9]", bs.DataError, "n=80: ordered='b9'.*no such column"),
        ("missing: fiml, estimator: GLS", bs.Unsupported, "n=80: missing='fiml'.* needs complete rows"),
    ],
)
def test_options_that_cannot_be_are_refused_before_any_work(folder: Path, options: str, error: type, text: str) -> None:
    spec = study(folder, "replications: 12", f"options: {{{options}}}\nreplications: 12")
    done: list[int] = []
    with pytest.raises(error, match=text):
        monte_carlo(spec, progress=lambda part, _: done.append(part))
    assert done == []


def test_options_that_fail_in_some_samples_only_are_counted(folder: Path) -> None:
    # nine respondents are too few for nine items: a property of the sample, not of the options
    spec = study(folder, "n: [80, 150]", "n: [9]\n  options: {mlr: {estimator: MLR}}")
    row = monte_carlo(spec, replications=2).replications.iloc[0]
    assert row["failed"] == 2
    assert "9 complete rows for 9 variables" in row["why"]


def test_impossible_values_are_refused_at_the_change(folder: Path) -> None:
    spec = study(folder, "n: [80, 150]", "changes: {strong: {values: {paths: {B ~ A: 1.2}}}}")
    with pytest.raises(bs.SpecError, match="the change 'strong' of 'small': impossible values") as caught:
        monte_carlo(spec)
    assert caught.value.file == str(folder / "small.study.yaml")
    assert caught.value.line == 8


def test_continuous_answers_may_leave_the_response_format(folder: Path) -> None:
    text = dedent(POPULATION).replace("type: ordinal, mean: 4.2, sd: 1.3", "type: continuous, mean: 4.2, sd: 3")
    (folder / "small.population.yaml").write_text(text, encoding="utf-8")
    one = replace(trial(study(folder)), size=6)
    drawn = one.draw(0)
    assert (drawn["a3"] > 7).any()
    assert (drawn["a3"] < 1).any()
    assert one.batch is not None
    together, alone = one.run(0), replace(one, batch=None).run(0)
    np.testing.assert_allclose(alone["est"], together["est"], atol=1e-6)


# ---- groups and claims -----------------------------------------------------------------------------------------------

SECTORS = """
    kind: montecarlo
    schema_version: 1
    id: sectors
    title: Sectors
    population: lima2026_sectors
    conditions: {n: [600]}
    replications: 2
    seed: 1
"""


def test_groups_have_their_own_truth(tmp_path: Path) -> None:
    path = tmp_path / "sectors.yaml"
    path.write_text(dedent(SECTORS) + "options: {group: sector}\n", encoding="utf-8")
    spec = load_montecarlo(path)
    one = replace(trial(spec), size=1)
    assert "group" in one.reason
    assert one.propositions == ()
    found, levels = one.run(0), dict.fromkeys(key[3] for key in one.rows)
    assert list(levels) == ["regulated", "non_regulated"]
    assert np.isfinite(found["est"]).mean() > 0.9
    true = bs.simulate("lima2026_sectors", 2, 0).truth
    rows = true[(true["lhs"] == "PC") & (true["op"] == "~") & (true["rhs"] == "RE")].set_index("group")["value"]
    assert rows["regulated"] != rows["non_regulated"]
    result = monte_carlo(spec, replications=2)
    table = result.parameters.query("lhs == 'PC' and op == '~' and rhs == 'RE'").set_index("group")["true"]
    assert table.to_dict() == pytest.approx(rows.to_dict())


@pytest.mark.slow
def test_claims_get_the_verdicts_of_a_study(tmp_path: Path) -> None:
    path = tmp_path / "sectors.yaml"
    path.write_text(dedent(SECTORS) + "moderation: true\ngroups: sector\n", encoding="utf-8")
    one = replace(trial(load_montecarlo(path)), size=1)
    assert one.reason == "models of single propositions"
    found = one.run(0)
    seed = replication_seed(one.seed, one.condition.key, 0)
    whole = bs.run_study("demo", seed=seed)
    assert whole.fit.nobs == 600
    assert [VERDICTS[v] for v in found["verdict"][0]] == [v.verdict for v in whole.verdicts]
    assert "not testable here" not in [v.verdict for v in whole.verdicts]


TEXT_STUDY = """
    kind: montecarlo
    schema_version: 1
    id: words
    title: Words
    population:
      text: |
        F =~ 1*x1 + .8*x2 + .9*x3 + .7*x4
        F ~~ 1*F
        x1 ~~ .5*x1
        x2 ~~ .5*x2
        x3 ~~ .5*x3
        x4 ~~ .5*x4
      shares: {x4: [0.2, 0.5, 0.3]}
    conditions:
      n: [200]
    replications: 6
    seed: 3
"""


def test_a_population_of_text_says_whether_answers_are_cut_and_resumes(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    said = []
    for old, new in (("", ""), ("      shares: {x4: [0.2, 0.5, 0.3]}\n", "")):
        path.write_text(dedent(TEXT_STUDY.replace(old, new)), encoding="utf-8")
        kept = tmp_path / f"kept{len(said)}"
        first = monte_carlo(path, replications=3, folder=kept)
        assert_same(monte_carlo(path), monte_carlo(path, folder=kept))
        said.append(any("whole numbers" in note for note in first.notes))
    assert said == [True, False]
    with pytest.raises(bs.DataError, match="content of the files"):
        monte_carlo(path, folder=tmp_path / "kept0")
