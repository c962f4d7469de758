"""The column that names clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data.observed import observe
from b2b_sem.errors import DataError


def data(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "firm": ["u", "v", "w"] * (n // 3)})


def codes(frame: pd.DataFrame) -> list[int]:
    found = observe(frame, ["a", "b"], cluster="firm").clusters
    assert found is not None
    return found[0].tolist()


@pytest.mark.parametrize("labels", [["u", "v", "w"], [7, 3, 5], [1.5, -2.0, 0.0], [True, False, True]])
def test_any_labels_will_do(labels: list[object]) -> None:
    frame = data().assign(firm=labels * 4)
    found = codes(frame)
    for i in range(12):
        for j in range(12):
            assert (found[i] == found[j]) == (labels[i % 3] == labels[j % 3])
    assert sorted(set(found)) == list(range(len(set(labels))))


def test_rows_left_out_take_their_cluster_along() -> None:
    frame = data()
    frame.loc[[1, 4, 7, 10], "b"] = np.nan  # all of firm v
    found = observe(frame, ["a", "b"], cluster="firm")
    assert found.n_dropped == 4
    assert found.clusters is not None
    assert sorted(set(found.clusters[0].tolist())) == [0, 1]
    assert len(found.clusters[0]) == 8


def test_without_a_cluster_there_is_none() -> None:
    assert observe(data(), ["a", "b"]).clusters is None


def test_rows_need_a_cluster_only_if_they_are_used() -> None:
    frame = data()
    frame.loc[5, "firm"] = None
    with pytest.raises(DataError, match=r"firm .* has no value in data row 6"):
        codes(frame)
    frame.loc[5, "a"] = np.nan
    assert len(codes(frame)) == 11


def test_a_single_cluster_is_refused() -> None:
    with pytest.raises(DataError, match="single value") as info:
        codes(data().assign(firm="u"))
    assert info.value.hint


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(DataError, match="firn"):
        observe(data(), ["a", "b"], cluster="firn")
