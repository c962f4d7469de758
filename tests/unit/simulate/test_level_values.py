"""Levels with products and thresholds of their own."""

import re

import numpy as np
import pytest

from b2b_sem.simulate.respond import simulate

FACTS = "facts: {sector: {shares: {0: 0.5, 1: 0.5}}}\n"
GROUPS = "groups: {split: sector, reference: 0, levels: {1: {%s}}}\n"
VALUES = "values: {loadings: {default: 0.8}, paths: {B ~ A: 0.4}%s}\n"
PRODUCT = ", interactions: {B ~ A:A: 0.2}"


@pytest.fixture
def write(small_population):
    def population(own="", sections="", product=False):
        return small_population(
            VALUES % (PRODUCT if product else "") + sections + FACTS + (GROUPS % own if own else ""),
            structural="B ~ A + A:A" if product else "B ~ A",
        )

    return population


def test_thresholds_of_a_level_cut_the_same_responses(write):
    cuts = [-2.0, -1.0, 0.0, 0.5, 1.0, 1.5]
    plain = simulate(write(), n=4000).frame
    data = simulate(write(f"thresholds: {{a3: {cuts}}}"), n=4000)
    whole = simulate(write(sections="response: {type: continuous, mean: 4, sd: 1}\n"), n=4000).frame
    other = data.frame["sector"] == 1
    assert data.frame.drop(columns="a3").equals(plain.drop(columns="a3"))
    assert data.frame.loc[~other, "a3"].equals(plain.loc[~other, "a3"])
    # a3 is reversed: continuous answers are 8 minus the response, which lies around 4, and so are whole numbers
    responses = 8 - whole.loc[other, "a3"] - 4
    np.testing.assert_array_equal(8 - data.frame.loc[other, "a3"], 1 + np.searchsorted(cuts, responses))
    expected = data.truth.set_index(["lhs", "op", "rhs", "group"])["expected"]
    assert expected["A", "=~", "a3", "regulated"] != expected["A", "=~", "a3", "free"]
    assert expected["A", "=~", "a1", "regulated"] == expected["A", "=~", "a1", "free"]


def test_a_product_of_a_level(write):
    data = simulate(write("interactions: {B ~ A:A: -0.3}", product=True), n=200)
    values = {name: [x.value for x in pop.interactions] for name, pop in data.levels.items()}
    assert values == {"free": [0.2], "regulated": [-0.3]}
    for pop in data.levels.values():  # the variance of B stays 1
        assert pop.latent_cov()[1, 1] == pytest.approx(1)
    rows = data.truth.set_index(["lhs", "op", "rhs", "group"])["value"]
    assert rows["B", "~", "A:A", "regulated"] == -0.3
    assert data.moderated is not None
    assert not len(data.moderated)  # the equation of B is another one in each level
    same = simulate(write(product=True), n=200).frame
    reference = data.frame["sector"] == 0
    assert data.frame[reference].equals(same[reference])


@pytest.mark.parametrize(
    ("own", "sections", "message"),
    [
        ("interactions: {B ~ A:A: 0.1}", "", "the population has no product 'B ~ A:A'"),
        ("interactions: {B ~ A: 0.1}", "", "cannot read 'B ~ A'"),
        ("thresholds: {a1: [0, 1]}", "", "2 thresholds, but a1 needs 6"),
        ("thresholds: {a1: [0, 1, 2, 3, 3, 4]}", "", "thresholds must increase: 3 does not"),
        ("thresholds: {a9: [0, 1, 2, 3, 4, 5]}", "", "no item 'a9'"),
        ("thresholds: {a1: [0, 1, 2, 3, 4, 5]}", "response: {type: continuous}\n", "have no thresholds"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(write, refuses, own, sections, message):
    refuses(write(own, sections), re.escape(message))


def test_a_product_that_explains_too_much_names_the_level(write, refuses):
    refuses(write("interactions: {B ~ A:A: 0.9}", product=True), "in the level '1'")
