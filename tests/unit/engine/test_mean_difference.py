"""Differences of latent means: the decomposition adds up, and derivatives are those of the values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.engine.mean_difference import MeanDifference, mean_differences

TEXT = """
A =~ a1 + a2 + a3
B =~ b1 + b2 + b3
C =~ c1 + c2 + c3
B ~ A
C ~ A + B
"""


@pytest.fixture(scope="module", params=[True, False], ids=["equal", "free"])
def fit(request: pytest.FixtureRequest) -> Fit:
    rng = np.random.default_rng(3)
    g = np.repeat([0.0, 1.0], [120, 200])
    a = 0.4 * g + rng.normal(size=320)
    b = 0.2 * g + (0.5 + 0.2 * g) * a + rng.normal(size=320)
    c = -0.3 * g + 0.3 * a + 0.4 * b + rng.normal(size=320)
    latent = {"a": a, "b": b, "c": c}
    data = {f"{k}{i}": 0.8 * v + rng.normal(scale=0.6, size=320) for k, v in latent.items() for i in (1, 2, 3)}
    kinds = ["loadings", "intercepts", *(["regressions"] if request.param else [])]
    return bs.fit(TEXT, pd.DataFrame(data).assign(g=g), group="g", group_equal=kinds, std_lv=True)


def differences(
    fit: Fit, theta: np.ndarray | None = None, shares: tuple[float, float] = (0.375, 0.625)
) -> list[MeanDifference]:
    context = context_of(fit)
    raw = context.problem.values(context.solution.theta if theta is None else theta)
    return mean_differences(context.problem.table, raw, ["A", "C"], (1, 2), shares, unequal=True)


def test_values_by_hand(fit: Fit) -> None:
    at = {(r["group"], r["lhs"], r["op"], r["rhs"]): r["est"] for r in fit.parameters.to_dict("records")}

    def means(g: int) -> dict[str, float]:
        m = {"A": at[g, "A", "~1", ""]}
        m["B"] = at[g, "B", "~1", ""] + at[g, "B", "~", "A"] * m["A"]
        m["C"] = at[g, "C", "~1", ""] + at[g, "C", "~", "A"] * m["A"] + at[g, "C", "~", "B"] * m["B"]
        return m

    one, two = means(1), means(2)
    unit = np.sqrt(fit.latent_cov()["0"].loc["C", "C"])
    found = {(d.outcome, d.effect, d.through, d.at): d.value for d in differences(fit)}
    assert found["A", "total", "", ""] == pytest.approx(two["A"] - one["A"])
    assert found["C", "total", "", ""] == pytest.approx((two["C"] - one["C"]) / unit)
    carried = 0.0
    for x in ("A", "B"):
        slope = 0.375 * at[2, "C", "~", x] + 0.625 * at[1, "C", "~", x]
        carried += slope * (two[x] - one[x]) / unit
        assert found["C", "indirect", x, ""] == pytest.approx(slope * (two[x] - one[x]) / unit)
    assert found["C", "indirect", "", ""] == pytest.approx(carried)
    assert found["C", "direct", "", ""] == pytest.approx(found["C", "total", "", ""] - carried)
    # the direct difference is that at the mean of all respondents
    gap = at[2, "C", "~1", ""] - at[1, "C", "~1", ""]
    for place, (w1, w2) in {"": (0.375, 0.625), "first": (1.0, 0.0), "second": (0.0, 1.0)}.items():
        here = gap + sum((at[2, "C", "~", x] - at[1, "C", "~", x]) * (w1 * one[x] + w2 * two[x]) for x in ("A", "B"))
        assert found["C", "direct", "", place] == pytest.approx(here / unit)
    assert not any(d.outcome == "A" and d.effect != "total" for d in differences(fit))


def test_derivatives(fit: Fit) -> None:
    theta = context_of(fit).solution.theta
    own = differences(fit)
    for k in range(len(theta)):
        step = np.zeros_like(theta)
        step[k] = 1e-6
        up, down = differences(fit, theta + step), differences(fit, theta - step)
        for d, high, low in zip(own, up, down, strict=True):
            assert d.slope[k] == pytest.approx((high.value - low.value) / 2e-6, abs=1e-7)
