import numpy as np
import pytest

from b2b_sem.simulate.respond import simulate

ITEMS = ["a1", "a2", "a3", "b1", "b2", "b3"]


@pytest.fixture
def write(small_population):
    def population(sections="", response="type: continuous, "):
        return small_population(
            "values: {loadings: {default: 0.8}, paths: {B ~ A: 0.5}, residual_correlations: {a1 ~~ b1: 0.3}}\n"
            f"response: {{{response}mean: 4, sd: 1}}\n"
            f"facts: {{sector: {{shares: {{0: 0.5, 1: 0.5}}}}}}\n{sections}",
            check=True,
        )

    return population


def scored(data):
    frame = data.frame[ITEMS].astype(float)
    frame["a3"] = 8 - frame["a3"]
    return frame


def anova_icc(x, cluster):
    """Return ICC(1) by analysis of variance, for clusters of unequal size."""
    groups = x.groupby(cluster)
    sizes, n, k = groups.size(), len(x), groups.ngroups
    between = (sizes * (groups.mean() - x.mean()) ** 2).sum() / (k - 1)
    within = ((x - groups.transform("mean")) ** 2).sum() / (n - k)
    size = (n - (sizes**2).sum() / n) / (k - 1)
    return (between - within) / (between + (size - 1) * within)


SHARES = "icc: 0.2, latents: {B: 0.1}, residuals: 0.05, items: {b2: 0.3}"


@pytest.mark.parametrize("sizes", ["size: 10", "sizes: {3: 0.5, 20: 0.5}"])
def test_variance_between_clusters_is_as_asked(write, sizes):
    data = simulate(write(f"clusters: {{name: firm, {sizes}, {SHARES}}}"), n=200_000, seed=4)
    frame, got = data.frame, scored(data)
    # of A .2; of B its part of A's, and a tenth of what is left: .25 * .2 + .75 * .1
    latent = {"a": 0.2, "b": 0.125}
    icc = data.icc.set_index("name")["icc"]
    assert icc["A"] == pytest.approx(0.2)
    assert icc["B"] == pytest.approx(0.125)
    for item in ITEMS:
        want = 0.64 * latent[item[0]] + 0.36 * (0.3 if item == "b2" else 0.05)
        assert icc[item] == pytest.approx(want)
        assert anova_icc(got[item], frame["firm"]) == pytest.approx(want, abs=0.008)
    # all respondents together have the covariances of the model
    np.testing.assert_allclose(np.cov(got.to_numpy(), rowvar=False), data.population.item_cov(), atol=0.02)
    assert any("clusters ('firm')" in note for note in data.notes)


def test_paths_hold_between_and_within_clusters(write):
    data = simulate(write("clusters: {size: 10, icc: 0.3}"), n=200_000, seed=4)
    got = scored(data)
    mean = got.groupby(data.frame["cluster"]).transform("mean")
    within = (got - mean).cov().loc[["a2", "a3"], ["b2", "b3"]].to_numpy() * 10 / 9
    np.testing.assert_allclose(within, 0.64 * 0.5 * 0.7, atol=0.01)
    between = got.groupby(data.frame["cluster"]).mean().cov().loc[["a2", "a3"], ["b2", "b3"]].to_numpy() - within / 10
    np.testing.assert_allclose(between, 0.64 * 0.5 * 0.3, atol=0.012)


def test_sizes_are_as_asked(write):
    data = simulate(write("clusters: {name: firm, sizes: {2: 0.25, 5: 0.75}, icc: 0.1}"), n=40_000, seed=4)
    firm = data.frame["firm"]
    assert (firm.diff().dropna().isin([0, 1])).all()
    assert firm.iloc[0] == 1
    sizes = firm.value_counts().drop(firm.iloc[-1])
    assert set(sizes) == {2, 5}
    assert (sizes == 2).mean() == pytest.approx(0.25, abs=0.015)
    assert (
        simulate(write("clusters: {size: 7, icc: 0.1}"), n=20).frame["cluster"].tolist() == [1] * 7 + [2] * 7 + [3] * 6
    )


def test_clusters_without_variance_leave_the_answers_as_they_are(write):
    plain, none = simulate(write(), n=300).frame, simulate(write("clusters: {size: 10, icc: 0}"), n=300).frame
    assert plain.equals(none[plain.columns])
    few = simulate(write(f"clusters: {{sizes: {{3: 0.5, 20: 0.5}}, {SHARES}}}"), n=7).frame
    many = simulate(write(f"clusters: {{sizes: {{3: 0.5, 20: 0.5}}, {SHARES}}}"), n=300).frame
    assert few.equals(many.head(7))


def test_clusters_with_groups_and_a_method_factor(write):
    groups = "groups: {split: sector, reference: 0, levels: {1: {means: {A: 1}, paths: {B ~ A: 0.2}}}}"
    path = write(f"clusters: {{name: firm, size: 8, icc: 0.2}}\n{groups}")
    path.write_text(
        path.read_text(encoding="utf-8").replace("values: {", "values: {method: {share: 0.1}, "), encoding="utf-8"
    )
    data = simulate(path, n=200_000, seed=4)
    icc = data.icc.set_index(["group", "name"])["icc"]
    free, regulated = dict.fromkeys(data.icc["group"])
    got = scored(data)
    for name, code in ((free, 0), (regulated, 1)):
        rows = data.frame["sector"] == code
        assert icc[name, "CMF"] == 0
        for item in ("a2", "b3"):
            assert icc[name, item] == pytest.approx(0.64 * 0.2)
            assert anova_icc(got[item][rows], data.frame["firm"][rows]) == pytest.approx(icc[name, item], abs=0.012)
        np.testing.assert_allclose(np.cov(got[rows].to_numpy(), rowvar=False), data.levels[name].item_cov(), atol=0.025)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("clusters: {icc: 0.1}", "give either 'size'"),
        ("clusters: {size: 3, sizes: {3: 1}, icc: 0.1}", "give either 'size'"),
        ("clusters: {sizes: {3: 0.5, 4: 0.4}, icc: 0.1}", "the shares sum to 0.9, not to 1"),
        ("clusters: {size: 3, icc: 0.1, latents: {C: 0.1}}", "there is no latent 'C'"),
        ("clusters: {size: 3, icc: 0.1, items: {c1: 0.1}}", "there is no item 'c1'"),
        ("clusters: {size: 3, icc: 0.1, name: sector}", "the column 'sector' stands for something else"),
        ("clusters: {size: 3, icc: 0.1, name: ac1}", "the column 'ac1' stands for something else"),
        ("clusters: {size: 3, icc: 0.1}\ndistribution: {latents: {A: {skew: 1, kurtosis: 2}}}", "no distribution"),
        ("clusters: {size: 3, icc: 0.1, items: {a1: 0.99, b1: 0}}", None),
    ],
)
def test_what_cannot_be_is_refused(write, refuses, section, message):
    path = write(section)
    if (
        message is None
    ):  # a correlation of .98 cannot be within clusters alone if one of the two has hardly any variance
        text = path.read_text(encoding="utf-8").replace("a1 ~~ b1: 0.3", "a1 ~~ b1: 0.98")
        path.write_text(text, encoding="utf-8")
        message = "no correlations within clusters are left"
    refuses(path, message)
