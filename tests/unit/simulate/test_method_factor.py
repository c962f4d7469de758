import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.simulate.respond import simulate

METHOD = "  method: {share: 0.16, scales: {M: 0}, items: {a1: 0.04}%s}"
ITEMS = ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4", "m1", "m2", "m3"]


SCALES = {
    "A": "{name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}, a4: four}}",
    "B": "{name: second, items: {b1: one, b2: two, b3: three, b4: {text: four, reverse: true}}}",
    "M": "{name: marker, items: {m1: one, m2: two, m3: three}}",
}


@pytest.fixture
def write(small_population):
    def population(section=""):
        return small_population(
            f"values:\n  loadings: {{default: 0.7}}\n  paths: {{B ~ A: 0.4, B ~ M: 0}}\n{section}\n"
            "response: {type: continuous, mean: 4, sd: 1}",
            scales=SCALES,
            structural="B ~ A + M",
        )

    return population


def scored(frame):
    out = frame[ITEMS].copy()
    out[["a3", "b4"]] = 8 - out[["a3", "b4"]]
    return out


@pytest.mark.parametrize("direction", ["scored", "recorded"])
def test_covariances_are_raised_by_the_method(write, direction):
    plain = simulate(write(), n=2).population
    data = simulate(write(METHOD % f", direction: {direction}"), n=200_000, seed=1)
    sign = np.ones(len(ITEMS))
    if direction == "recorded":
        sign[[2, 7]] = -1
    load = sign * np.sqrt([0.04, *[0.16] * 7, 0, 0, 0])
    want = plain.item_cov() + np.outer(load, load)
    np.fill_diagonal(want, 1)
    np.testing.assert_allclose(data.population.item_cov(), want, atol=1e-12)
    np.testing.assert_allclose(np.cov(scored(data.frame).to_numpy(), rowvar=False), want, atol=0.012)
    truth = data.truth.set_index(["lhs", "op", "rhs"])["value"]
    assert truth["CMF", "=~", "a3"] == pytest.approx(sign[2] * 0.4)
    assert ("CMF", "=~", "m1") not in truth.index
    assert truth["b1", "~~", "b1"] == pytest.approx(1 - 0.49 - 0.16)
    assert any("4.0% to 16.0% of the variance of 8 responses is common method variance" in n for n in data.notes)


def test_markers_answer_as_they_do_without_a_method(write):
    plain, data = simulate(write(), n=300).frame, simulate(write(METHOD % ""), n=300).frame
    assert plain[["m1", "m2", "m3"]].equals(data[["m1", "m2", "m3"]])
    assert not plain["a2"].equals(data["a2"])


def test_a_fit_with_the_method_factor_finds_the_truth_and_one_without_does_not(write):
    data = simulate(write("  method: {share: 0.16, scales: {M: 0}, direction: recorded}"), n=20_000, seed=4)
    frame = scored(data.frame)
    text = "A =~ a1 + a2 + a3 + a4\nB =~ b1 + b2 + b3 + b4\nM =~ m1 + m2 + m3\nB ~ A + M\n"
    method = (
        "CMF =~ 1*a1 + 1*a2 + -1*a3 + 1*a4 + 1*b1 + 1*b2 + 1*b3 + -1*b4\n"
        "CMF ~~ NA*CMF\nCMF ~~ 0*A\nCMF ~~ 0*M\nM ~~ 0*A"
    )
    found = {}
    for name, model in (("without", text), ("with", text + method)):
        table = bs.fit(model, frame, engine="native").parameters
        row = table[(table["lhs"] == "B") & (table["op"] == "~") & (table["rhs"] == "A")]
        found[name] = float(row["std_all"].iloc[0])
    assert found["with"] == pytest.approx(0.4, abs=0.06)
    assert found["without"] > 0.5


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("  method: {share: 0.6}", "the loadings of a1 .* explain 1.09 times its variance"),
        ("  method: {share: 0.1, items: {a9: 0}}", "there is no item 'a9'"),
        ("  method: {share: 0.1, scales: {Z: 0}}", "there is no scale 'Z'"),
    ],
)
def test_what_cannot_be_is_refused(write, refuses, section, message):
    refuses(write(section), message)
