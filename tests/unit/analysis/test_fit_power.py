"""Power of tests of fit from degrees of freedom alone."""

from __future__ import annotations

import json

import pytest

import b2b_sem as bs
from b2b_sem.measures.power import rmsea_change_power, rmsea_change_rows, rmsea_power, rmsea_rows
from b2b_sem.results.power import PowerResult


def test_the_usual_tests() -> None:
    found = bs.fit_power(48, 200)
    table = found.table.set_index("test")
    assert list(table.index) == ["close fit", "not close fit", "exact fit"]
    for name, about in (("close fit", (0.05, 0.08)), ("not close fit", (0.05, 0.01)), ("exact fit", (0.0, 0.05))):
        assert table.loc[name, "power"] == float(rmsea_power(200, 48, *about))
        assert table.loc[name, "rows_needed"] == rmsea_rows(48, *about)
    assert float(rmsea_power(200, 48, 0.05, table.loc["close fit", "detectable"])) == pytest.approx(0.8, abs=1e-7)


def test_groups_share_the_noncentrality() -> None:
    found = bs.fit_power(48, 300, null=0.04, alternative=0.07, groups=3, alpha=0.1, power=0.9)
    assert found.table["power"].iloc[0] == float(rmsea_power(300, 48, 0.04, 0.07, 0.1, 3))
    assert found.curve([300])["power"].iloc[0] == found.table["power"].iloc[0]


@pytest.mark.parametrize("null", [None, (0.05, 0.05)])
def test_two_models(null: tuple[float, float] | None) -> None:
    found = bs.fit_power(30, 250, larger=24, null=null, alternative=(0.08, 0.06))
    options = {"null": null or (0.0, 0.0), "alternative": (0.08, 0.06)}
    row = found.table.iloc[0]
    assert row["power"] == pytest.approx(float(rmsea_change_power(250, (30, 24), **options)), abs=1e-10)
    assert row["rows_needed"] == rmsea_change_rows((30, 24), **options)
    assert found.curve([100])["power"].iloc[0] == pytest.approx(
        float(rmsea_change_power(100, (30, 24), **options)), abs=1e-10
    )
    assert "df 30 against df 24" in str(found)


def test_json_round_trip() -> None:
    found = bs.fit_power(30, 250)
    again = PowerResult.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert again.table.equals(found.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"df": 0}, "no power"),
        ({"nobs": "many"}, "nobs='many'"),
        ({"nobs": True}, "nobs=True"),
        ({"null": 0.05}, "alternative is missing"),
        ({"null": 0.05, "alternative": 0.05}, "same RMSEA"),
        ({"null": (0.05, 0.05), "alternative": (0.08, 0.08)}, "two models"),
        ({"larger": 24}, "must be two RMSEA"),
        ({"larger": 40, "alternative": (0.08, 0.06)}, "restricted model first"),
        ({"groups": 0}, "groups=0"),
    ],
)
def test_bad_input(change: dict, message: str) -> None:
    with pytest.raises(bs.DataError, match=message):
        bs.fit_power(**{"df": 30, "nobs": 200} | change)
