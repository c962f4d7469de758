import numpy as np
import pytest

from b2b_sem.errors import SpecError
from b2b_sem.simulate.population import cholesky, make_population, population
from b2b_sem.spec.loader import load_simulation


def three_causes(**changes):
    """Return a population with three correlated causes, a mediator with a correlated residual, and six items."""
    values = {
        "latents": ("Z", "Y", "M", "A", "B"),  # outcomes first: the order of declaration must not matter
        "loadings": {
            ("A", "a1"): 0.9,
            ("A", "a2"): 0.6,
            ("B", "b1"): 0.7,
            ("M", "m1"): 0.8,
            ("Y", "y1"): 0.8,
            ("Z", "z1"): 0.5,
        },
        "paths": {("Y", "M"): 0.5, ("Y", "A"): 0.2, ("M", "A"): 0.4, ("M", "B"): -0.3, ("Z", "M"): 0.3},
        "correlations": {("B", "A"): 0.5},
        "residual_correlations": {("Z", "Y"): 0.4, ("M", "Y"): 0.25, ("a2", "b1"): -0.3},
    }
    return make_population(**{**values, **changes})


def bundled():
    spec = load_simulation("lima2026")
    return population(spec, spec.model_spec, spec.survey_spec)


@pytest.mark.parametrize("make", [three_causes, bundled])
def test_every_variance_is_one(make):
    pop = make()
    np.testing.assert_allclose(np.diag(pop.cov()), 1, rtol=1e-13)
    assert np.linalg.eigvalsh(pop.item_cov()).min() > 0


@pytest.mark.parametrize("make", [three_causes, bundled])
def test_covariances_give_back_the_loadings_and_paths(make):
    pop = make()
    phi = pop.latent_cov()
    at = {name: i for i, name in enumerate(pop.nodes)}
    p = len(pop.items)
    cross = pop.cov()[:p, p:]
    for latent, item, value in pop.loadings:
        assert cross[pop.items.index(item), at[latent]] == pytest.approx(value, rel=1e-12)
    # With Psi known, the regression of each outcome follows from (I - B) Phi = Psi (I - B)^-T.
    b = pop.path_matrix()
    np.testing.assert_allclose((np.eye(len(b)) - b) @ phi @ (np.eye(len(b)) - b).T, pop.disturbance_cov(), atol=1e-14)


def test_paths_are_the_population_regression_of_outcomes_without_correlated_residuals():
    pop = bundled()
    phi, at = pop.latent_cov(), {name: i for i, name in enumerate(pop.nodes)}
    for outcome in pop.outcomes:
        given = {b: v for a, b, v in pop.paths if a == outcome}
        x = [at[name] for name in given]
        slopes = np.linalg.solve(phi[np.ix_(x, x)], phi[x, at[outcome]])
        np.testing.assert_allclose(slopes, list(given.values()), rtol=1e-12)
        assert pop.r2[outcome] == pytest.approx(slopes @ phi[x, at[outcome]], rel=1e-12)


def test_known_numbers_of_a_chain():
    pop = make_population(
        latents=("A", "B", "C"), loadings={("C", "c1"): 0.8}, paths={("B", "A"): 0.5, ("C", "B"): 0.6}
    )
    np.testing.assert_allclose(pop.latent_cov(), [[1, 0.5, 0.3], [0.5, 1, 0.6], [0.3, 0.6, 1]], atol=1e-15)
    assert pop.disturbance_sd["C"] ** 2 == pytest.approx(0.64)
    assert pop.residual_sd["c1"] ** 2 == pytest.approx(0.36)


def test_residual_correlations_are_kept():
    pop = three_causes()
    psi, at = pop.disturbance_cov(), {name: i for i, name in enumerate(pop.nodes)}
    for (a, b), value in {("Z", "Y"): 0.4, ("M", "Y"): 0.25}.items():
        i, j = at[a], at[b]
        assert psi[i, j] / np.sqrt(psi[i, i] * psi[j, j]) == pytest.approx(value)
    theta = pop.residual_cov()
    i, j = pop.items.index("a2"), pop.items.index("b1")
    assert theta[i, j] == pytest.approx(-0.3 * 0.8 * np.sqrt(0.51))


def test_truth_lists_what_a_fit_estimates():
    rows = {(lhs, op, rhs): value for lhs, op, rhs, value in three_causes().truth()}
    assert rows["A", "=~", "a1"] == 0.9
    assert rows["M", "~", "B"] == -0.3
    assert rows["A", "~~", "B"] == 0.5
    assert rows["Z", "~~", "Y"] == 0.4
    assert rows["Y", "~~", "M"] == 0.25
    assert rows["a2", "~~", "b1"] == -0.3
    assert rows["A", "~~", "A"] == pytest.approx(1)
    assert rows["a1", "~~", "a1"] == pytest.approx(0.19)
    without = {r[:3]: r[3] for r in three_causes(correlations={}, residual_correlations={}).truth()}
    assert without["A", "~~", "B"] == 0  # exogenous latents
    assert without["Z", "~~", "Y"] == 0  # latents that lead to nothing
    assert ("Y", "~~", "M") not in without


def test_cross_loadings_share_the_variance():
    pop = make_population(
        latents=("A", "B"),
        loadings={("A", "x"): 0.5, ("B", "x"): 0.4, ("A", "y"): 0.7},
        paths={},
        correlations={("A", "B"): 0.3},
    )
    assert pop.residual_sd["x"] ** 2 == pytest.approx(1 - 0.25 - 0.16 - 2 * 0.5 * 0.4 * 0.3)
    np.testing.assert_allclose(np.diag(pop.item_cov()), 1)


def test_more_than_all_variance_names_the_construct():
    with pytest.raises(
        SpecError, match=r"the paths into M \(A 0.9, B 0.8\) explain 2.17 times its variance \(R2 = 2.17\)"
    ) as caught:
        three_causes(paths={("M", "A"): 0.9, ("M", "B"): 0.8})
    assert "R2 must be below 1" in str(caught.value)


def test_all_variance_explained_is_refused_as_well():
    with pytest.raises(SpecError, match="R2 = 1"):
        make_population(latents=("A", "B"), loadings={}, paths={("B", "A"): 1.0})


def test_an_item_with_more_than_all_variance_is_named():
    with pytest.raises(SpecError, match=r"the loadings of x \(A 0.8, B 0.7\) explain"):
        make_population(latents=("A", "B"), loadings={("A", "x"): 0.8, ("B", "x"): 0.7}, paths={})


def test_correlations_that_cannot_exist_together_are_named():
    with pytest.raises(SpecError, match="C cannot have these correlations with A, B"):
        make_population(
            latents=("D", "A", "B", "C"),
            loadings={},
            paths={},
            correlations={("A", "B"): 0.9, ("A", "C"): 0.9, ("B", "C"): -0.5},
        )


def test_a_loop_is_refused():
    with pytest.raises(SpecError, match=r"form a loop \((A -> B -> A|B -> A -> B)\)"):
        make_population(latents=("A", "B"), loadings={}, paths={("A", "B"): 0.2, ("B", "A"): 0.2})


def test_cholesky_equals_numpy_and_refuses_what_is_not_positive_definite():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 9))
    s = x @ x.T
    np.testing.assert_allclose(np.array(cholesky(s.tolist())), np.linalg.cholesky(s), rtol=1e-12)
    assert cholesky([[1, 2], [2, 1]]) is None


def test_paths_of_a_construct_above_facets_are_no_loadings():
    pop = make_population(
        latents=("Fa", "Fb", "F", "S"),
        loadings={("Fa", "a"): 0.8, ("Fb", "b"): 0.7, ("S", "s"): 0.9},
        paths={("Fa", "F"): 0.8, ("Fb", "F"): 0.7, ("S", "F"): 0.4},
        higher=("F",),
        facets=("Fa", "Fb"),
        means={"F": 0.5, "S": 0.1},
    )
    rows = {(lhs, op, rhs): value for lhs, op, rhs, value in pop.truth()}
    assert rows["F", "=~", "Fa"] == 0.8
    assert rows["S", "~", "F"] == 0.4
    assert ("F", "=~", "S") not in rows
    # facet factors take over the mean of the construct, an outcome has its own
    assert pop.means["Fa"] == pytest.approx(0.4)
    assert pop.means["S"] == 0.1
