"""Power from simulation files: the moments are those of the answers, and what needs samples is refused."""

from __future__ import annotations

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.simulate.answer_moments import answer_population
from b2b_sem.simulate.respond import make_plan

TEXT = "x ~~ 1*x\ny ~ .3*x\ny ~~ .91*y"


def test_moments_are_those_of_simulated_answers() -> None:
    spec = bs.load_simulation("lima2026")
    expected = answer_population(make_plan(spec)).parts[0]
    data = bs.simulate("lima2026", n=20_000, seed=5).frame[list(expected.names)].to_numpy(dtype=float)
    # some items of the survey are written the other way round
    found = np.abs(np.corrcoef(data, rowvar=False))
    sd = np.sqrt(np.diag(expected.cov))
    assert np.abs(data.std(axis=0) / sd - 1).max() < 0.025
    # the largest of 1000 correlations lies within 4.5 standard errors
    assert np.abs(found - np.abs(expected.cov / np.outer(sd, sd))).max() < 4.5 / np.sqrt(20_000)
    smooth = spec.model_copy(update={"response": spec.response.model_copy(update={"type": "continuous"})})
    behind = answer_population(make_plan(smooth)).parts[0]
    sd = np.sqrt(np.diag(behind.cov))
    assert np.abs(found - np.abs(behind.cov / np.outer(sd, sd))).max() > 4.5 / np.sqrt(20_000)


def test_defaults_are_those_of_the_file() -> None:
    found = bs.power("lima2026", indirect=False)
    assert found.nobs == 500
    paths = found.table[found.table["kind"] == "path"].set_index("test")
    assert set(paths.index) == {"PC~NR", "PC~RE", "TV~PE", "RR~PC", "EQ~TV", "BT~RR", "BT~PC", "DE~BT"}
    # fewer respondents find a strong path than a weak one
    assert paths.loc["TV~PE", "rows_needed"] < paths.loc["PC~NR", "rows_needed"]


def test_one_regression_is_the_test_of_a_correlation() -> None:
    found = bs.power(TEXT, "y ~ x", nobs=85).table
    # likelihood-ratio: N log(1 / (1 - r^2))
    assert found["noncentrality"].iloc[0] == pytest.approx(-85 * np.log(1 - 0.09), rel=1e-9)
    assert len(found) == 1  # no degree of freedom is left to test the model with


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"population": TEXT, "nobs": 100}, bs.DataError, "no model"),
        ({"population": TEXT, "model": "y ~ x"}, bs.DataError, "no number of rows"),
        ({"population": "lima2026_sectors"}, bs.Unsupported, "products"),
        ({"population": "lima2027"}, bs.SpecError, "lima2027"),
        ({"population": "lima2026", "group": "sector"}, bs.DataError, "no groups differ"),
        ({"population": TEXT, "model": "y ~ x", "nobs": 90, "group": "sector"}, bs.DataError, "simulation files"),
        ({"population": TEXT, "model": "y ~ x", "nobs": 90, "estimator": "WLSMV"}, bs.DataError, "'estimator' is no"),
        ({"population": "lima2026", "shares": [1]}, bs.DataError, "shares follows"),
        ({"population": "lima2026", "missing": "pairwise"}, bs.DataError, "missing='pairwise'"),
    ],
)
def test_bad_input(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bs.power(**arguments)


def test_answers_at_random_are_refused() -> None:
    spec = bs.load_simulation("lima2026")
    worse = spec.model_copy(update={"response": spec.response.model_copy(update={"careless_share": 0.1})})
    with pytest.raises(bs.Unsupported, match="does not follow from moments") as caught:
        bs.power(worse)
    assert "replications" in str(caught.value)


def test_rows_with_missing_answers_count() -> None:
    spec = bs.load_simulation("lima2026")
    holes = spec.model_copy(update={"response": spec.response.model_copy(update={"missing_rate": 0.01})})
    tables = [bs.power(s, indirect=False).table.set_index("test") for s in (spec, holes)]
    items = len(make_plan(spec).items)
    assert tables[1].loc["PC~NR", "per_row"] == pytest.approx(0.99**items * tables[0].loc["PC~NR", "per_row"])
    assert tables[1].loc["close fit", "power"] <= tables[0].loc["close fit", "power"]
