"""The quasi-likelihood of several groups: sums of those of the groups, and their derivatives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_quasi import draw, measured

from b2b_sem.analysis.compare import compare
from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.native.loss import evaluate, gradient, hessian
from b2b_sem.errors import Unsupported

TEXT = measured("XMPY") + "P ~ X\nY ~ P + M + P:M"
PARTS = {"north": draw(130, 11, 0.6), "south": draw(110, 12, 0.2)}
DATA = pd.concat([part.assign(region=name) for name, part in PARTS.items()], ignore_index=True)


def column(found, name: str, group: int | None = None) -> pd.Series:
    rows = found.parameters
    if group is not None:
        rows = rows[rows["group"] == group]
    return rows.set_index(["lhs", "op", "rhs"])[name].dropna()


@pytest.mark.parametrize("estimator", ["ML", "MLR"])
def test_without_equal_parameters_each_group_is_alone(estimator: str) -> None:
    joint = fit(TEXT, DATA, group="region", interaction="qml", estimator=estimator)
    assert joint.ok
    alone = [fit(TEXT, part, interaction="qml", estimator=estimator) for part in PARTS.values()]
    assert joint.measures["logl"] == pytest.approx(sum(f.measures["logl"] for f in alone), abs=1e-7)
    chisq = sum(f.measures["product_chisq"] for f in alone)
    assert joint.measures["product_chisq"] == pytest.approx(chisq, abs=1e-6)
    assert joint.measures["product_df"] == 2
    for number, one in enumerate(alone, start=1):
        for name, tolerance in (("est", 1e-6), ("se", 1e-5), ("std_all", 1e-6)):
            both = pd.concat([column(joint, name, number), column(one, name)], axis=1).dropna()
            assert len(both) > 30
            np.testing.assert_allclose(both.iloc[:, 0], both.iloc[:, 1], rtol=tolerance, atol=tolerance)


def test_equal_paths_and_their_derivatives() -> None:
    free = fit(TEXT, DATA, group="region", interaction="qml")
    same = fit(TEXT, DATA, group="region", interaction="qml", group_equal=["loadings", "regressions"])
    assert same.ok
    product = column(same, "est", 1)["Y", "~", "P:M"]
    assert product == column(same, "est", 2)["Y", "~", "P:M"]
    assert same.measures["logl"] < free.measures["logl"] - 1.0
    problem = context_of(same).problem
    theta = context_of(same).solution.theta + 0.01 * np.random.default_rng(1).normal(size=problem.table.nfree)
    point = evaluate(problem.structure, problem.moments, theta)
    slope, bend = (f(problem.structure, problem.moments, point) for f in (gradient, hessian))
    for k in range(0, len(theta), 5):
        step = np.zeros_like(theta)
        step[k] = 1e-5
        above, below = (evaluate(problem.structure, problem.moments, theta + s * step) for s in (1.0, -1.0))
        assert slope[k] == pytest.approx((above.value - below.value) / 2e-5, rel=1e-5, abs=3e-7)
        rows = [gradient(problem.structure, problem.moments, at) for at in (above, below)]
        np.testing.assert_allclose(bend[k], (rows[0] - rows[1]) / 2e-5, rtol=2e-5, atol=3e-6)


def test_two_copies_of_a_data_set() -> None:
    """With everything equal the estimates are those of one copy, with standard errors of twice as many rows."""
    part = PARTS["north"]
    twice = pd.concat([part.assign(copy="a"), part.assign(copy="b")], ignore_index=True)
    everything = [
        "loadings", "intercepts", "residuals", "residual.covariances", "lv.variances", "lv.covariances", "regressions",
    ]  # fmt: skip
    joint = fit(TEXT, twice, group="copy", interaction="qml", group_equal=everything, estimator="MLR")
    one = fit(TEXT, part, interaction="qml", estimator="MLR")
    assert joint.measures["logl"] == pytest.approx(2.0 * one.measures["logl"], abs=1e-6)
    ours, theirs = column(joint, "est", 1), column(one, "est")
    row = ("Y", "~", "P:M")
    assert ours[row] == pytest.approx(theirs[row], abs=1e-6)
    assert column(joint, "se", 1)[row] == pytest.approx(column(one, "se")[row] / np.sqrt(2.0), rel=1e-5)


def test_a_product_that_is_equal_in_both_groups_is_tested() -> None:
    text = TEXT.replace("P:M", "c(a, b)*P:M")
    free = fit(text, DATA, group="region", interaction="qml")
    equal = fit(text + "\na == b", DATA, group="region", interaction="qml")
    table = compare(free, equal).table
    assert table["df_diff"].iloc[1] == 1
    wald = free.wald_test("a == b")
    # the two tests ask the same
    assert table["chisq_diff"].iloc[1] == pytest.approx(wald.chisq, rel=0.2)
    assert wald.chisq > 3.0


def test_a_group_without_products_is_refused() -> None:
    plain = TEXT.replace(" + P:M", "")
    text = f"group: north\n{TEXT}\ngroup: south\n{plain}"
    with pytest.raises(Unsupported, match="a product in every group"):
        fit(text, DATA, group="region", interaction="qml")
    zero = fit(f"group: north\n{TEXT}\ngroup: south\n{plain} + 0*P:M", DATA, group="region", interaction="qml")
    alone = [fit(TEXT, PARTS["north"], interaction="qml"), fit(plain, PARTS["south"], meanstructure=True)]
    assert zero.measures["logl"] == pytest.approx(sum(f.measures["logl"] for f in alone), abs=1e-6)
