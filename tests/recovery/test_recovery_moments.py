"""Rows of every kind of population have the moments that its file asks for: the check of the documentation, smaller."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "studies"
#: Of 600 quantities, with standard errors from 50 parts: a t value beyond this is found once in 400 such tests.
FAR = 5.0


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    sys.path.insert(0, str(FOLDER))
    try:
        import population_check
    finally:
        sys.path.remove(str(FOLDER))
    return population_check.check(population_check.QUICK)


@pytest.mark.slow
def test_what_is_asked_is_found(found: pd.DataFrame) -> None:
    import population_check

    solved = found["what"].isin(population_check.SOLVED_FOR)
    apart = (found["found"] - found["asked"]).abs()
    limit = (FAR * found["error"] + 1e-12).where(~solved, population_check.SOLVED + FAR * found["error"])
    assert (apart <= limit).all(), found[apart > limit].to_string()
    assert found["population"].nunique() == 18
    assert len(found) > 500


@pytest.mark.slow
def test_the_check_sees_a_difference(found: pd.DataFrame) -> None:
    """A correlation that is .05 away, or a share .02, is beyond what chance does."""
    tight = found[found["what"].isin(("correlations", "shares of answers"))]
    assert (tight["error"] * FAR < 0.05).all()
    assert tight.loc[tight["what"] == "shares of answers", "error"].max() * FAR < 0.02
