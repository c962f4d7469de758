import hashlib

import numpy as np
import pandas as pd
import pytest

from b2b_sem.errors import DataError, SpecError
from b2b_sem.simulate.respond import ID_COLUMN, answer_attenuation, simulate

SURVEY = """
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7, missing: {-99: no answer}}
scales:
  NR:
    name: network relevance
    items: {nr1: one, nr2: two, nr3: {text: three, reverse: true}}
  RR:
    name: risk reduction
    facets: {fin: financial, op: operational}
    items:
      rr1: {text: a, facet: fin}
      rr2: {text: b, facet: fin}
      rr3: {text: c, facet: op}
      rr4: {text: d, facet: op}
  PX:
    name: not in the model
    items: {px1: e, px2: f}
attention_checks:
  ac1: {text: tick three, answer: 3, after: nr2}
  ac2: {text: tick five, answer: 5}
facts:
  sector: {label: sector, type: categorical, categories: {0: free, 1: regulated}}
  role: {label: role, type: categorical, categories: {user: user, buyer: buyer}}
  years: {label: years, type: number, minimum: 0, maximum: 30}
  score: {label: score, type: number}
  country: {label: country, type: text}
"""

MODEL = """
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement:
  NR: {scale: NR}
  RR: {scale: RR%s}
structural: RR ~ NR
%s
"""

SIMULATION = """
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
values:
  loadings: {default: 0.8, scales: {RR: 0.7}, items: {nr3: 0.6}}
  paths: {RR ~ NR: 0.5%s}
response: {%s}
facts: {%s}
n: 40
seed: 3
"""


@pytest.fixture
def write(tmp_path):
    def write_files(response="mean: 4.5, sd: 1.4", facts="", *, facets=False, covariate="", values=""):
        second = ", second_order: facets" if facets else ""
        (tmp_path / "survey.yaml").write_text(SURVEY, encoding="utf-8")
        (tmp_path / "model.yaml").write_text(MODEL % (second, covariate), encoding="utf-8")
        path = tmp_path / "sim.yaml"
        path.write_text(SIMULATION % (values, response, facts), encoding="utf-8")
        return path

    return write_files


def scored(data, reverse):
    """Return the answers in the order of the population, reversed items recoded."""
    frame = data.frame[list(data.population.items)].astype(float)
    frame[reverse] = 8 - frame[reverse]
    return frame


def test_columns_follow_the_questionnaire(write):
    data = simulate(write(facts="sector: {shares: {0: 0.4, 1: 0.6}}, years: {mean: 10, sd: 5}"))
    assert list(data.frame.columns) == [
        ID_COLUMN, "nr1", "nr2", "ac1", "nr3", "rr1", "rr2", "rr3", "rr4", "ac2", "sector", "years",
    ]  # fmt: skip
    assert len(data.frame) == data.n == 40
    assert data.seed == 3
    assert data.simulation == "small"
    assert data.frame[ID_COLUMN].tolist() == list(range(1, 41))
    assert (data.frame["ac1"] == 3).all()
    assert (data.frame["ac2"] == 5).all()
    items = data.frame[["nr1", "nr2", "nr3", "rr1", "rr2", "rr3", "rr4"]]
    assert items.isin(range(1, 8)).all(axis=None)
    assert set(data.frame["sector"]) == {0, 1}
    assert data.frame["years"].between(0, 30).all()
    assert any("PX" in note for note in data.notes)


def test_digests_name_the_files(write):
    path = write()
    digests = simulate(path).digests
    assert set(digests) == {"simulation", "model", "survey"}
    assert digests["simulation"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_answers_and_another_seed_others():
    first = simulate("lima2026", n=50, seed=7)
    pd.testing.assert_frame_equal(first.frame, simulate("lima2026", n=50, seed=7).frame)
    assert not first.frame.equals(simulate("lima2026", n=50, seed=8).frame)


def test_the_first_rows_do_not_depend_on_how_many_follow():
    few, many = simulate("lima2026", n=7, seed=7).frame, simulate("lima2026", n=300, seed=7).frame
    pd.testing.assert_frame_equal(few, many.head(7))


def test_answers_of_a_seed_never_change(write):
    # A change here means that published seeds no longer give the published data.
    frame = simulate(write(facts="sector: {shares: {0: 0.4, 1: 0.6}}"), n=3, seed=20260517).frame
    assert frame.to_csv(index=False, lineterminator="\n") == (
        "id,nr1,nr2,ac1,nr3,rr1,rr2,rr3,rr4,ac2,sector\n"
        "1,4,6,3,4,5,6,6,6,5,1\n"
        "2,5,4,3,2,4,4,4,3,5,1\n"
        "3,6,3,3,4,7,6,6,7,5,1\n"
    )


def test_one_respondent_is_enough(write):
    assert len(simulate(write(), n=1).frame) == 1
    assert len(simulate(write("missing_rate: 0.5, careless_share: 0.5"), n=1).frame) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0 must be a whole number of 1 or more"),
        ({"n": -5}, "n=-5 must be"),
        ({"n": 2.5}, r"n=2\.5 must be"),
        ({"n": True}, "n=True must be"),
        ({"n": 5, "seed": -1}, "seed=-1 must be a whole number of 0 or more"),
        ({"n": 5, "seed": "1"}, "seed='1' must be"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        simulate("lima2026", **arguments)


def test_whole_numbers_of_numpy_are_accepted(write):
    assert simulate(write(), n=np.int64(4), seed=np.uint32(2)).n == 4


def test_continuous_answers_approach_the_population(write):
    data = simulate(write("type: continuous, mean: 4, sd: 1.5"), n=40_000, seed=1)
    items = list(data.population.items)
    got = np.corrcoef(scored(data, ["nr3"]).to_numpy(), rowvar=False)
    np.testing.assert_allclose(got, data.population.item_cov(), atol=0.02)
    moments = data.frame[items].agg(["mean", "std"])
    np.testing.assert_allclose(moments.loc["mean"], 4, atol=0.03)
    np.testing.assert_allclose(moments.loc["std"], 1.5, atol=0.02)
    np.testing.assert_allclose(data.truth["expected"], data.truth["value"], rtol=1e-12)


def test_rounded_answers_approach_the_expected_values():
    data = simulate("lima2026", n=40_000, seed=1)
    items = list(data.population.items)
    answers = scored(data, ["nr4", "pe5", "pc5", "eq5", "bt4", "de5"])
    got = np.corrcoef(answers.to_numpy(), rowvar=False)
    rows = data.truth[(data.truth["op"] == "=~")].set_index("rhs")
    factor = (rows["expected"] / rows["value"]).loc[items].to_numpy()
    assert ((factor > 0.95) & (factor < 0.99)).all()
    want = data.population.item_cov() * np.outer(factor, factor)
    np.fill_diagonal(want, 1)
    np.testing.assert_allclose(got, want, atol=0.02)
    assert np.abs(got - data.population.item_cov()).max() > 0.03


def test_expected_variances_and_loadings_add_up():
    truth = simulate("lima2026", n=1).truth.set_index(["lhs", "op", "rhs"])["expected"]
    loading = truth["PC", "=~", "pc1"]
    assert truth["pc1", "~~", "pc1"] == pytest.approx(1 - loading**2)
    assert truth["EQ", "~~", "DE"] == 0.1
    assert truth["BT", "~", "RR"] == 0.35


def test_reversed_items_are_stored_as_answered():
    frame = simulate("lima2026", n=400, seed=2).frame
    for scale, item in (("nr", "nr4"), ("pe", "pe5"), ("pc", "pc5"), ("eq", "eq5"), ("bt", "bt4"), ("de", "de5")):
        assert frame[f"{scale}1"].corr(frame[item]) < -0.2
        assert frame[f"{scale}1"].corr(8 - frame[item]) > 0.2


def test_the_response_shape_sets_mean_and_thresholds(write):
    high = simulate(write("mean: 6, sd: 1"), n=4000).frame
    assert high["nr1"].mean() > 5.7
    assert high["nr3"].mean() < 2.3  # the shape is that of the answers as scored
    cuts = "thresholds: [-1.5, -1, -0.5, 0, 0.5, 3]"
    shares = simulate(write(cuts), n=20_000).frame["nr1"].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(shares, [0.0668, 0.0919, 0.1499, 0.1915, 0.1915, 0.3072, 0.0013], atol=0.012)


def test_missing_answers_and_facts_leave_the_other_answers_alone(write):
    whole = simulate(write(), n=500).frame
    holes = simulate(write("mean: 4.5, sd: 1.4, missing_rate: 0.1", "years: {mean: 9, sd: 4}"), n=500).frame
    items = [c for c in whole if c not in (ID_COLUMN, "ac1", "ac2")]
    assert holes[items].isna().to_numpy().mean() == pytest.approx(0.1, abs=0.02)
    assert holes[["ac1", "ac2", "years", ID_COLUMN]].notna().all(axis=None)
    seen = holes[items].notna()
    assert (holes[items].where(seen, 0) == whole[items].where(seen, 0)).all(axis=None)


def test_careless_respondents_answer_at_random(write):
    data = simulate(write("mean: 4.5, sd: 1.4, careless_share: 0.3"), n=5000)
    failed = (data.frame["ac1"] != 3) | (data.frame["ac2"] != 5)
    assert failed.mean() == pytest.approx(0.3 * (1 - 1 / 49), abs=0.03)
    careless = data.frame.loc[failed, ["nr1", "nr2"]]
    assert abs(careless.corr().iloc[0, 1]) < 0.08
    np.testing.assert_allclose(careless["nr1"].value_counts(normalize=True), 1 / 7, atol=0.03)
    assert data.frame.loc[~failed, ["nr1", "nr2"]].corr().iloc[0, 1] > 0.4
    assert any("30.0% of the respondents answer at random" in note for note in data.notes)


def test_facet_factors_stand_between_construct_and_items(write):
    pop = simulate(write(facets=True), n=1).population
    assert pop.latents == ("NR", "RR_fin", "RR_op", "RR")
    cov, at = pop.item_cov(), pop.items.index
    assert cov[at("rr1"), at("rr2")] == pytest.approx(0.7**2)
    assert cov[at("rr1"), at("rr3")] == pytest.approx(0.7**4)
    assert cov[at("nr1"), at("rr1")] == pytest.approx(0.8 * 0.5 * 0.7 * 0.7)
    truth = simulate(write(facets=True), n=1).truth.set_index(["lhs", "op", "rhs"])["value"]
    assert truth["RR", "=~", "RR_fin"] == 0.7
    assert truth["RR", "~", "NR"] == 0.5


def test_a_covariate_shifts_the_outcome(write):
    path = write(
        "type: continuous",
        "sector: {shares: {0: 0.5, 1: 0.5}}",
        covariate="covariates: {sector: [RR]}",
        values=", RR ~ sector: 0.4",
    )
    data = simulate(path, n=20_000)
    score = data.frame[["rr1", "rr2", "rr3", "rr4"]].mean(axis=1)
    total = np.sqrt((4 + 12 * 0.49) / 16)  # standard deviation of the mean of four responses
    difference = score[data.frame["sector"] == 1].mean() - score[data.frame["sector"] == 0].mean()
    # A fact with two equal halves has standard deviation 1/2: the halves are 2 * 0.4 apart in the latent.
    assert difference / 1.5 == pytest.approx(2 * 0.4 * 0.7, abs=0.05)
    assert score.std() / 1.5 == pytest.approx(total, abs=0.02)


def test_covariates_need_a_distribution_and_numbers(write):
    with pytest.raises(
        SpecError, match="'sector' is a predictor in the model: say under 'facts' how it is distributed"
    ):
        simulate(write(covariate="covariates: {sector: [RR]}", values=", RR ~ sector: 0.4"))
    with pytest.raises(SpecError, match="fact 'role' is a predictor in the model, but its categories are not numbers"):
        simulate(
            write(
                facts="role: {shares: {user: 0.5, buyer: 0.5}}",
                covariate="covariates: {role: [RR]}",
                values=", RR ~ role: 0.4",
            )
        )
    with pytest.raises(SpecError, match="fact 'score' is a predictor in the model, but it does not vary"):
        simulate(
            write(facts="score: {mean: 1, sd: 0}", covariate="covariates: {score: [RR]}", values=", RR ~ score: 0.4")
        )


def test_facts_of_all_types(write):
    data = simulate(
        write(facts="role: {shares: {user: 0.25, buyer: 0.75}}, years: {mean: 2, sd: 4}, score: {mean: 1, sd: 2}"),
        n=4000,
    )
    assert (data.frame["role"] == "buyer").mean() == pytest.approx(0.75, abs=0.03)
    assert data.frame["years"].dtype == np.int64
    assert data.frame["years"].min() == 0
    assert data.frame["score"].mean() == pytest.approx(1, abs=0.15)
    with pytest.raises(SpecError, match="fact 'country' is of type text: give shares"):
        simulate(write(facts="country: {mean: 1, sd: 2}"))


def test_impossible_values_name_file_and_line(write):
    path = write()
    path.write_text(path.read_text(encoding="utf-8").replace("RR ~ NR: 0.5", "RR ~ NR: 1.3"), encoding="utf-8")
    with pytest.raises(SpecError, match=r"the paths into RR \(NR 1.3\) explain 1.69 times its variance") as caught:
        simulate(path)
    line = path.read_text(encoding="utf-8").splitlines().index("  paths: {RR ~ NR: 1.3}") + 1
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}:{line}:")


def test_a_study_is_not_a_population():
    with pytest.raises(SpecError, match="study"):
        simulate("demo")


def test_attenuation_of_known_cuts():
    assert answer_attenuation([0.0]) == pytest.approx(np.sqrt(2 / np.pi))  # point-biserial of a median split
    assert answer_attenuation(np.arange(-5, 5, 0.01).tolist()) == pytest.approx(1, abs=1e-4)
    assert np.isnan(answer_attenuation([60.0]))
