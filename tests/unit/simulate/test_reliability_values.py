import math

import numpy as np
import pytest

from b2b_sem.errors import SpecError
from b2b_sem.simulate.respond import simulate

SCALES = {
    "A": "{name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}, a4: four}}",
    "B": "{name: second, facets: {x: ex, y: why}, items: {b1: {text: a, facet: x}, b2: {text: b, facet: x}, "
    "b3: {text: c, facet: y}, b4: {text: d, facet: y}}}",
}


@pytest.fixture
def write(small_population):
    def population(loadings, section="", *, facets=False):
        return small_population(
            f"values:\n  loadings: {loadings}\n  paths: {{B ~ A: 0.5}}\n{section}",
            scales=SCALES,
            measured={"B": "{scale: B, second_order: facets}"} if facets else None,
        )

    return population


def omega(pop, latent):
    """Return the squared correlation of the sum of a latent's items with it."""
    cov = pop.cov()
    at = [pop.items.index(item) for name, item, _ in pop.loadings if name == latent]
    f = len(pop.items) + pop.nodes.index(latent)
    return cov[at, f].sum() ** 2 / (cov[np.ix_(at, at)].sum() * cov[f, f])


@pytest.mark.parametrize(
    "method",
    ["", "  method: {share: 0.1, items: {a1: 0}}", "  method: {share: 0.1, direction: recorded}"],
)
def test_sums_of_items_have_the_asked_reliability(write, method):
    pop = simulate(write("{reliability: {A: 0.85, B: 0.6}}", method), n=2).population
    assert omega(pop, "A") == pytest.approx(0.85, abs=1e-12)
    assert omega(pop, "B") == pytest.approx(0.6, abs=1e-12)
    own = {item: value for latent, item, value in pop.loadings if latent == "A"}
    assert len(set(own.values())) == 1
    if not method:
        # Spearman and Brown, from one item to four
        assert 4 * own["a1"] ** 2 / (1 + 3 * own["a1"] ** 2) == pytest.approx(0.85)
    np.testing.assert_allclose(np.diag(pop.item_cov()), 1)


def test_other_loadings_stay(write):
    pop = simulate(write("{default: 0.7, items: {b2: 0.5}, reliability: {A: 0.9}}"), n=2).population
    own = {item: value for _, item, value in pop.loadings}
    assert own == pytest.approx(
        {**dict.fromkeys(("a1", "a2", "a3", "a4"), math.sqrt(0.9 / 1.3)), "b1": 0.7, "b2": 0.5, "b3": 0.7, "b4": 0.7}
    )


@pytest.mark.parametrize(
    ("loadings", "message"),
    [
        ("{reliability: {A: 0.8}}", "no loading for b1, b2, b3, b4 of B"),
        ("{scales: {A: 0.8}, items: {b1: 0.5, b2: 0.5}}", "no loading for b3, b4 of B"),
        ("{default: 0.7, reliability: {C: 0.8}}", "there is no latent 'C'"),
        ("{default: 0.7, reliability: {A: 0.8}, items: {a2: 0.5}}", "the loading of a2 is given under 'items', too"),
        ("{default: 0.7, reliability: {A: 0.8}, scales: {A: 0.5}}", "the loadings of A are given under 'scales', too"),
    ],
)
def test_what_cannot_be_is_refused(write, refuses, loadings, message):
    refuses(write(loadings), message)


def test_residuals_of_a_sum_with_a_reliability_are_independent(write):
    path = write("{default: 0.7, reliability: {A: 0.8}}", "  residual_correlations: {a1 ~~ a2: 0.2}")
    with pytest.raises(SpecError, match="'a1 ~~ a2' is given: the reliability of A gives no loadings"):
        simulate(path)
    pop = simulate(write("{default: 0.7, reliability: {A: 0.8}}", "  residual_correlations: {a1 ~~ b2: 0.2}"), n=2)
    assert omega(pop.population, "A") == pytest.approx(0.8, abs=1e-12)


def test_reliabilities_need_one_step_from_latent_to_items_and_room(write):
    with pytest.raises(SpecError, match="B is measured through facets"):
        simulate(write("{default: 0.7, reliability: {B: 0.8}}", facets=True))
    with pytest.raises(SpecError, match=r"4 items of A cannot reach the reliability 0\.95"):
        simulate(write("{default: 0.5, reliability: {A: 0.95}}", "  method: {share: 0.3}"))
