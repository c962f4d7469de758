"""Long data made wide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data.panel import widen
from b2b_sem.errors import DataError


def long(**changes: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "id": ["b", "b", "a", "a", "c"],
            "year": [2020, 2019, 2019, 2020, 2020],
            "x1": [1, 2, 3, 4, 5],
            "x2": [1.5, np.nan, 3.5, 4.5, 5.5],
        }
    )
    return frame.assign(**changes)


def test_one_row_a_person_and_numbers_in_order() -> None:
    found = widen(long(), ["x1", "x2"], "year", "id")
    assert found.columns == {"2019": {"x1": "x1_2019", "x2": "x2_2019"}, "2020": {"x1": "x1_2020", "x2": "x2_2020"}}
    wanted = pd.DataFrame(
        {
            "x1_2019": [2.0, 3.0, np.nan],
            "x2_2019": [np.nan, 3.5, np.nan],
            "x1_2020": [1.0, 4.0, 5.0],
            "x2_2020": [1.5, 4.5, 5.5],
        }
    )
    pd.testing.assert_frame_equal(found.frame, wanted, check_dtype=False)
    assert found.notes == ()


def test_other_waves_stand_as_they_appear_or_as_told() -> None:
    frame = long(year=["before", "after", "after", "before", "before"])
    assert list(widen(frame, ["x1"], "year", "id").columns) == ["before", "after"]
    assert list(widen(frame, ["x1"], "year", "id", ["after", "before"]).columns) == ["after", "before"]


def test_dates_are_in_order() -> None:
    frame = long(year=pd.to_datetime(["2025-01-01", "2024-07-01", "2024-07-01", "2025-01-01", None]))
    found = widen(frame, ["x1"], "year", "id")
    assert list(found.columns) == ["2024-07-01", "2025-01-01"]
    assert list(found.frame) == ["x1_2024_07_01", "x1_2025_01_01"]
    assert found.notes == ("1 of 5 rows were left out: they lack year or id.",)


def test_labels_make_names_of_columns() -> None:
    frame = long(year=["a b", "a-b", "a-b", "a b", "a b"])
    assert [list(c.values()) for c in widen(frame, ["x1"], "year", "id").columns.values()] == [["x1_w1"], ["x1_w2"]]


def test_rows_left_out_are_counted() -> None:
    frame = long(year=[2020, 2019, 2018, 2020, np.nan])
    found = widen(frame, ["x1"], "year", "id", [2019, 2020])
    assert len(found.frame) == 2
    assert found.notes == (
        "1 of 5 rows were left out: they lack year or id.",
        "1 of 5 rows were left out: they belong to other waves.",
    )


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (long(), {"wave": "yaer"}, "no column 'yaer'. Did you mean 'year'"),
        (long(), {"person": "pid"}, "no column 'pid'"),
        (long(), {"items": ["x1", "x9"]}, "no column 'x9'"),
        (long(id=["b", "b", "a", "a", "a"]), {}, "person a has 2 rows in wave 2020 \\(1 such cases\\)"),
        (long(year=1), {}, "a single wave, 1"),
        (long(), {"wave": "x1"}, "column 'x1' is an item of the model"),
        (long(), {"person": "year"}, "column 'year' tells both waves and persons apart"),
        (pd.concat([long()] * 6).assign(year=range(30)), {}, "column 'year' has 30 different values"),
        (long(), {"order": [2019, 2021]}, "no wave '2021' in column 'year'"),
    ],
)
def test_data_that_are_no_panel(frame: pd.DataFrame, options: dict[str, Any], message: str) -> None:
    arguments = {"items": ["x1"], "wave": "year", "person": "id", **options}
    with pytest.raises(DataError, match=message):
        widen(frame, **arguments)
