"""What a fit finds in large samples of populations with facets, facts, levels that differ, products and raw values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "studies"
N, SEED = 20_000, 7
#: Standard errors that an estimate may be away from its true value.
FAR = 4.0
KEY = ["lhs", "op", "rhs"]
ITEMS = "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\n"


@pytest.fixture
def drawn(tmp_path: Path) -> Any:
    """Draw from a population of the check in the documentation, and return respondents as scored and the truth."""
    sys.path.insert(0, str(FOLDER))
    try:
        import population_check as check
    finally:
        sys.path.remove(str(FOLDER))

    def draw(name: str) -> tuple[pd.DataFrame, bs.SimulatedData]:
        files = next(files for case, files, _ in check.cases() if case == name)
        check.draw(files, 2, tmp_path)  # writes the files
        data = bs.simulate(tmp_path / "population.yaml", n=N, seed=SEED)
        scored = data.frame.assign(a3=8 - data.frame["a3"])
        # the first group of a fit is the first in the rows
        return (scored.sort_values("sector") if "sector" in scored else scored), data

    return draw


def agree(found: pd.DataFrame, truth: pd.DataFrame, est: str, true: str, *, at_least: int, by: list[str] = KEY) -> None:
    """Check that estimates with a standard error lie near their true values, and that there are as many of them."""
    swapped = found[found["op"] == "~~"].rename(columns={"lhs": "rhs", "rhs": "lhs"})
    both = pd.concat([found, swapped[swapped["lhs"] != swapped["rhs"]]]).merge(truth, on=by)
    both = both[both["se"] > 0]
    assert len(both) >= at_least
    away = (both[est] - both[true]).abs() / both["se"]
    assert away.max() < FAR, both[away >= FAR].to_string()
    # of so many some are far from 0: true values of another kind would not be hit
    assert (both[est].abs() / both["se"]).max() > 10 * FAR


@pytest.mark.slow
def test_second_order(drawn: Any) -> None:
    frame, data = drawn("second order")
    text = "A =~ a1 + a2 + a3\nH_u =~ h1 + h2\nH_v =~ h3 + h4\nH_w =~ h5 + h6\nH =~ H_u + H_v + H_w\nH ~ A"
    fit = bs.fit(text, frame, engine="native")
    agree(fit.standardized(), data.truth, "est_std", "value", at_least=9 + 3 + 1 + 9 + 4)


@pytest.mark.slow
def test_facts_that_predict(drawn: Any) -> None:
    frame, data = drawn("facts that predict")
    fit = bs.fit(ITEMS + "B ~ A + size\nC ~ A + B + sector", frame, engine="native")
    agree(fit.standardized(), data.truth, "est_std", "value", at_least=9 + 5 + 9 + 2)


@pytest.mark.slow
def test_levels_that_are_not_invariant(drawn: Any) -> None:
    frame, data = drawn("levels that are not invariant")
    fit = bs.fit(
        ITEMS + "B ~ A\nC ~ A + B", frame, group="sector", group_equal=("loadings", "intercepts"),
        group_partial=("B=~b2", "c1~1"), engine="native",
    )  # fmt: skip
    assert list(fit.groups) == ["0", "1"]
    found = fit.standardized()
    found["group"] = [{1: "free", 2: "regulated"}[g] for g in found["group"]]
    within = data.truth[~data.truth["op"].isin(("~1", "mean"))]
    agree(found, within, "est_std", "expected", at_least=2 * (9 + 3 + 9 + 2), by=[*KEY, "group"])
    # what differs, in units of answers: the intercept of c1 by .4, the mean of A by half a standard deviation
    raw = fit.parameters.set_index([*KEY, "group"])
    apart = raw["est"]["c1", "~1", "", 2] - raw["est"]["c1", "~1", "", 1]
    error = np.hypot(raw["se"]["c1", "~1", "", 2], raw["se"]["c1", "~1", "", 1])
    assert abs(apart - 0.4) < FAR * error
    mean = raw["est"]["A", "~1", "", 2] / raw["est"]["A", "~~", "A", 1] ** 0.5
    assert abs(mean - 0.5) < FAR * raw["se"]["A", "~1", "", 2] / raw["est"]["A", "~~", "A", 1] ** 0.5 + 0.01


@pytest.mark.slow
def test_raw_values_by_level(drawn: Any) -> None:
    frame, data = drawn("raw values by level")
    fit = bs.fit(
        ITEMS + "B ~ A + size\nC ~ A + B\na1 ~~ b1", frame, group="sector", group_equal=("loadings", "intercepts"),
        group_partial=("C=~c2", "c3~1"), engine="native",
    )  # fmt: skip
    found = fit.parameters
    found["group"] = [{1: "free", 2: "regulated"}[g] for g in found["group"]]
    # latents of the first group have the mean 0 in the fit, not in the population
    agree(
        found, data.truth[~data.truth["op"].isin(("~1", "mean"))], "est", "raw",
        at_least=2 * (6 + 4 + 9 + 3), by=[*KEY, "group"],
    )  # fmt: skip


@pytest.mark.slow
def test_products_by_level(drawn: Any) -> None:
    frame, data = drawn("products by level")
    for level, code, value in (("free", 0, 0.25), ("regulated", 1, -0.1)):
        own = frame[frame["sector"] == code]
        fit = bs.fit(ITEMS + "C ~ A + B + A:B", own, interaction="dmc", engine="native")
        est = fit.parameters.set_index(KEY)["est"]
        se = fit.parameters.set_index(KEY)["se"]
        sd = [est[name, "~~", name] ** 0.5 for name in ("A", "B")]
        truth = data.truth[data.truth["group"] == level].set_index(KEY)["value"]
        assert truth["C", "~", "A:B"] == value
        # loadings of the first items are those of the others: the metric of C is that of its item, .8 of 1
        scale = sd[0] * sd[1] / 0.8
        assert abs(est["C", "~", "A:B"] * scale - value) < FAR * se["C", "~", "A:B"] * scale
