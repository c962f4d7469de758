"""Power from simulation files: the moments are those of the answers, and what needs samples is refused."""

from __future__ import annotations

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.simulate.power import _answers
from b2b_sem.simulate.respond import sources

TEXT = "x ~~ 1*x\ny ~ .3*x\ny ~~ .91*y"


def test_moments_are_those_of_simulated_answers() -> None:
    spec = bs.load_simulation("lima2026")
    expected = _answers(spec, *sources(spec))
    data = bs.simulate("lima2026", n=20_000, seed=5).frame[list(expected.names)].to_numpy(dtype=float)
    # some items of the survey are written the other way round
    found = np.abs(np.corrcoef(data, rowvar=False))
    # the largest of 1000 correlations lies within 4.5 standard errors; .003 is what the attenuation leaves out
    assert np.abs(found - np.abs(expected.cov)).max() < 4.5 / np.sqrt(20_000) + 0.003
    behind = _answers(
        spec.model_copy(update={"response": spec.response.model_copy(update={"type": "continuous"})}), *sources(spec)
    )
    assert np.abs(found - np.abs(behind.cov)).max() > 4.5 / np.sqrt(20_000) + 0.003


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
    ],
)
def test_bad_input(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bs.power(**arguments)


@pytest.mark.parametrize("name", ["careless_share", "missing_rate"])
def test_answers_that_moments_do_not_describe_are_refused(name: str) -> None:
    spec = bs.load_simulation("lima2026")
    worse = spec.model_copy(update={"response": spec.response.model_copy(update={name: 0.1})})
    with pytest.raises(bs.Unsupported, match="does not follow from moments"):
        bs.power(worse)
