import numpy as np
import pytest
from numpy.random import SeedSequence

from b2b_sem.errors import DataError
from b2b_sem.simulate.draw import draw_columns
from b2b_sem.simulate.respond import make_plan, simulate
from b2b_sem.spec.loader import load_simulation

ROWS = 100_000
ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3"]


SCALES = {
    "A": "{name: first, items: {a1: one, a2: {text: two, reverse: true}, a3: three}}",
    "B": "{name: second, items: {b1: one, b2: two, b3: {text: three, format: {low: 1, high: 5}}}}",
}
FACTS = {
    "sector": "{label: sector, type: categorical, categories: {0: free, 1: regulated}}",
    "role": "{label: role, type: categorical, categories: {user: user, buyer: buyer}}",
    "years": "{label: years, type: number, minimum: 0}",
}
VALUES = """
values: {loadings: {default: 0.8}, paths: {B ~ A: 0.5}}
facts:
  sector: {shares: {0: 0.5, 1: 0.5}}
  role: {shares: {user: 0.5, buyer: 0.5}}
  years: {mean: 10, sd: 2}
"""


@pytest.fixture
def write(small_population):
    def population(sections=""):
        return small_population(VALUES + sections, scales=SCALES, facts=FACTS, check=True)

    return population


def mechanisms(*lines):
    return "missing: {mechanisms: [" + ", ".join(lines) + "]}"


def logistic_regression(y, *columns):
    """Return the weights of standardized columns by maximum likelihood (Newton's method)."""
    x = np.column_stack([np.ones(len(y)), *((c - c.mean()) / c.std() for c in columns)])
    beta = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
    return beta


def test_answers_missing_by_a_logistic_law(write):
    whole = simulate(write(), n=ROWS, seed=8).frame
    data = simulate(
        write(mechanisms("{items: [b1, b2], rate: 0.25, depends_on: {a2: 0.8, sector: -0.5, years: 0.3}}")),
        n=ROWS, seed=8,
    )  # fmt: skip
    frame = data.frame
    seen = frame[ITEMS].notna()
    assert (frame[ITEMS].where(seen, 0) == whole[ITEMS].where(seen, 0)).all(axis=None)
    assert frame.drop(columns=["b1", "b2"]).notna().all(axis=None)
    for item in ("b1", "b2"):
        hole = frame[item].isna().to_numpy()
        assert hole.mean() == pytest.approx(0.25, abs=0.006)
        # a2 is reversed: the slope is that of the item as scored
        weights = logistic_regression(hole, 8.0 - frame["a2"], frame["sector"], frame["years"])[1:]
        np.testing.assert_allclose(weights, [0.8, -0.5, 0.3], atol=0.03)
        # given the predictors, the answer that is missing says nothing more
        further = logistic_regression(hole, 8.0 - frame["a2"], frame["sector"], frame["years"], whole[item])
        assert further[-1] == pytest.approx(0, abs=0.03)
    # each item by itself, given the predictors
    assert abs((frame["b1"].isna() & frame["b2"].isna()).mean() - 0.25) > 0.1
    assert any("25.0% of the answers to b1, b2 are missing, depending on a2, sector, years" in n for n in data.notes)


def test_answers_missing_because_of_themselves(write):
    whole = simulate(write(), n=ROWS, seed=8).frame
    frame = simulate(write(mechanisms("{items: [A], rate: 0.1, on_itself: 1.2}")), n=ROWS, seed=8).frame
    for item in ("a1", "a2", "a3"):
        hole = frame[item].isna()
        assert hole.mean() == pytest.approx(0.1, abs=0.004)
        scored = 8.0 - whole[item] if item == "a2" else whole[item]
        assert logistic_regression(hole, scored)[1] == pytest.approx(1.2, abs=0.05)
    assert frame["a1"].mean() < whole["a1"].mean() - 0.1
    assert frame["a2"].mean() > whole["a2"].mean() + 0.1


def test_items_left_out_together_and_by_chance(write):
    lines = ("{items: [B], rate: 0.3, together: true, depends_on: {a1: 1}}", "{items: [a2], rate: 0.15}")
    frame = simulate(write(mechanisms(*lines)), n=ROWS, seed=8).frame
    holes = frame[["b1", "b2", "b3"]].isna()
    assert (holes.nunique(axis=1) == 1).all()
    assert holes["b1"].mean() == pytest.approx(0.3, abs=0.006)
    assert frame["a2"].isna().mean() == pytest.approx(0.15, abs=0.005)
    assert logistic_regression(frame["a2"].isna(), frame["a1"])[1] == pytest.approx(0, abs=0.03)


def test_rates_add_up_when_an_item_has_two_reasons(write):
    lines = ("{items: [b1], rate: 0.2}", "{items: [b1], rate: 0.3}")
    frame = simulate(write(mechanisms(*lines)), n=ROWS, seed=8).frame
    assert frame["b1"].isna().mean() == pytest.approx(1 - 0.8 * 0.7, abs=0.006)


def test_what_does_not_vary_cannot_explain_missing_answers(write):
    path = write(mechanisms("{items: [b1], rate: 0.2, depends_on: {years: 1}}"))
    path.write_text(path.read_text(encoding="utf-8").replace("sd: 2", "sd: 0"), encoding="utf-8")
    with pytest.raises(DataError, match="depend on 'years', which has the same value for everybody"):
        simulate(path)


def test_planned_forms(write):
    sets = "{X: [a2], Y: [a3, b1], Z: [b2, b3]}"
    data = simulate(write(f"missing: {{planned: {{sets: {sets}}}}}"), n=ROWS, seed=8)
    holes = data.frame[ITEMS].isna()
    assert not holes["a1"].any()
    assert (holes["a3"] == holes["b1"]).all()
    assert (holes["b2"] == holes["b3"]).all()
    assert (holes[["a2", "a3", "b2"]].sum(axis=1) == 1).all()
    np.testing.assert_allclose(holes[["a2", "a3", "b2"]].mean(), 1 / 3, atol=0.006)
    assert any("respondents are not asked 1 of the sets X, Y, Z" in note for note in data.notes)
    two = simulate(write(f"missing: {{planned: {{sets: {sets}, leave_out: 2}}}}"), n=500).frame[ITEMS].isna()
    assert (two[["a2", "a3", "b2"]].sum(axis=1) == 2).all()


@pytest.mark.parametrize(
    "section",
    [
        mechanisms("{items: [B], rate: 0.3, depends_on: {a1: 1}}", "{items: [a2], rate: 0.4, on_itself: 1}"),
        "missing: {planned: {sets: {X: [a2], Y: [B]}}}",
        "response: {straight: {share: 0.5, length: 3}}",
    ],
)
def test_the_first_rows_do_not_depend_on_how_many_follow(write, section):
    path = write(section)
    few, many = simulate(path, n=7, seed=7).frame, simulate(path, n=300, seed=7).frame
    assert few.equals(many.head(7))
    assert len(simulate(path, n=1).frame) == 1


def test_straight_lining_runs_over_reversed_items_and_checks(write):
    whole = simulate(write(), n=20_000, seed=8).frame
    data = simulate(write("response: {straight: {share: 0.2, length: 4}}"), n=20_000, seed=8)
    asked = ["a1", "a2", "a3", "ac1", "b1", "b2", "b3"]
    now, before = data.frame[asked].to_numpy(), whole[asked].to_numpy()
    changed = (now != before).any(axis=1)
    assert 0.17 < changed.mean() < 0.2
    top = np.array([7, 7, 7, 7, 7, 7, 5])

    def straight(start):
        run = slice(start, start + 4)
        return (now[:, run] == np.minimum(before[:, [start]], top[run])).all(axis=1)

    found = np.column_stack([straight(start) for start in range(4)])
    assert found[changed].any(axis=1).all()
    # every start is as likely as the others: about .05 of all, and some runs that are there anyway
    np.testing.assert_allclose([(found[:, k] & changed).mean() for k in range(4)], 0.05, atol=0.01)
    assert (now[~changed] == before[~changed]).all()
    assert any("20.0% of the respondents give the same answer to 4 questions in a row" in n for n in data.notes)


def test_straight_lining_through_the_whole_questionnaire(write):
    frame = simulate(write("response: {straight: {share: 0.3}}"), n=20_000, seed=8).frame
    flat = frame[["a1", "a2", "a3", "ac1", "b1", "b2"]].nunique(axis=1) == 1
    assert flat.mean() == pytest.approx(0.3, abs=0.012)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (mechanisms("{items: [c1], rate: 0.1}"), "the population has no item or scale 'c1'"),
        (mechanisms("{items: [ac1], rate: 0.1}"), "the population has no item or scale 'ac1'"),
        (mechanisms("{items: [a1], rate: 0.1, depends_on: {A: 1}}"), "'A' is neither an item"),
        (mechanisms("{items: [a1], rate: 0.1, depends_on: {role: 1}}"), "categories of fact 'role' are not numbers"),
        (mechanisms("{items: [a1], rate: 0.1, depends_on: {a1: 1}}"), "depend on 'a1', which is missing itself"),
        (
            mechanisms("{items: [a1], rate: 0.1, depends_on: {b1: 1}}") + "\nresponse: {missing_rate: 0.1}",
            "depend on 'b1', which is missing itself",
        ),
        (mechanisms("{items: [a1], rate: 0.1, on_itself: 1, together: true}"), "cannot each depend on their own"),
        ("missing: {planned: {sets: {X: [a1], Y: [A]}}}", "'a1' stands in the set 'X', too"),
        ("missing: {planned: {sets: {X: [a1], Y: [a2]}, leave_out: 2}}", "there are 2 sets"),
        ("missing: {planned: {sets: {X: [a1], Y: [c2]}}}", "no item or scale 'c2'"),
        ("response: {straight: {share: 0.1, length: 8}}", "8 answers in a row, but 7 are asked"),
    ],
)
def test_what_cannot_be_is_refused(write, refuses, section, message):
    refuses(write(section), message)


@pytest.mark.parametrize(
    "section",
    [
        mechanisms("{items: [B], rate: 0.3, depends_on: {a1: 1, years: 1}}", "{items: [a2], rate: 0.4, on_itself: 1}"),
        "missing: {planned: {sets: {X: [a2], Y: [B]}}}",
        "response: {straight: {share: 0.5, length: 3}}",
        "clusters: {size: 3, icc: 0.2}",
        "distribution: {items: {method: independent, skew: 1, kurtosis: 0.8}}",
        "distribution: {items: {skew: 1, kurtosis: 2}}",
        "distribution: {latents: {A: {skew: 1, kurtosis: 2}}}",
    ],
)
def test_several_samples_at_once_are_those_of_their_seeds(write, section):
    plan = make_plan(load_simulation(write(section)))
    both = draw_columns(plan, 9, [SeedSequence(4), SeedSequence(5)], facts=())
    for k, seed in enumerate((4, 5)):
        alone = simulate(write(section), n=9, seed=seed).frame
        for name, values in both.items():
            np.testing.assert_array_equal(values[9 * k : 9 * k + 9], alone[name].to_numpy())
