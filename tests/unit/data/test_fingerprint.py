"""Digests of columns."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pandas as pd

from b2b_sem.data.fingerprint import compare_columns, fingerprint

FRAME = pd.DataFrame({"a": [1, 2, 3, 3], "b": [0.5, np.nan, -0.0, 2.0], "c": ["x", None, "z", "x"]})


def test_equal_values_have_equal_digests_whatever_their_type() -> None:
    same = FRAME.astype({"a": "float64", "c": "object"}).copy()
    same.loc[2, "b"] = 0.0
    assert fingerprint(same) == fingerprint(FRAME)
    assert fingerprint(FRAME.astype({"a": "Int64"})) == fingerprint(FRAME)
    assert compare_columns(fingerprint(FRAME), fingerprint(same)) == ()
    # another platform or version must find the same: eight bytes a number, the lowest first
    own = hashlib.sha256(struct.pack("<4d", 1, 2, 3, 3)).hexdigest()[:16]
    assert fingerprint(FRAME[["a"]]) == {"a": f"{own}-{own}"}


def test_what_changed() -> None:
    before = fingerprint(FRAME)
    cell = FRAME.copy()
    cell.loc[1, "b"] = 4.0
    assert compare_columns(before, fingerprint(cell)) == ("column b holds other values",)
    text = FRAME.copy()
    text.loc[0, "c"] = "y"
    assert compare_columns(before, fingerprint(text)) == ("column c holds other values",)
    assert compare_columns(before, fingerprint(FRAME[::-1])) == ("the rows stand in another order",)
    assert compare_columns(before, fingerprint(FRAME.drop(columns="a").assign(d=1))) == (
        "column a is gone",
        "column d is new",
    )
    # a text that says nothing is not a missing answer
    assert fingerprint(FRAME.assign(c=["x", "", "z", "x"]))["c"] != before["c"]
