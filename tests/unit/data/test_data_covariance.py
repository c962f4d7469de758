"""Covariance matrices from text: layouts that are understood, and the message for each that is not."""

from __future__ import annotations

import numpy as np
import pytest

from b2b_sem.data.read import read_covariance
from b2b_sem.errors import DataError

MATRIX = np.array([[2.0, 0.5, 0.25], [0.5, 1.5, -0.75], [0.25, -0.75, 3.0]])


@pytest.fixture
def write(tmp_path):
    def _write(text, name="cov.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.mark.parametrize(
    "text",
    [
        ",a,b,c\na,2,.5,.25\nb,.5,1.5,-.75\nc,.25,-.75,3\n",
        "name,a,b,c\na,2,.5,.25\nb,.5,1.5,-.75\nc,.25,-.75,3\n",
        "a,b,c\n2,.5,.25\n.5,1.5,-.75\n.25,-.75,3\n",
        "a,b,c\n2\n.5,1.5\n.25,-.75,3\n",
        "a,b,c\n2,,\n.5,1.5,\n.25,-.75,3\n",
        "a,b,c\n2,.5,.25\n,1.5,-.75\n,,3\n",
        "a,b,c\na,2\nb,.5,1.5\nc,.25,-.75,3\n",
        "a,2\nb,.5,1.5\nc,.25,-.75,3\n",
        "a;b;c\n2,0\n0,5;1,5\n0,25;-0,75;3\n",
        "a;2,0\nb;0,5;1,5\nc;0,25;-0,75;3\n",
        ",a,b,c\nc,.25,-.75,3\na,2,.5,.25\nb,.5,1.5,-.75\n",
        "\ta\tb\tc\nb\t.5\t1.5\t-.75\na\t2\t.5\t.25\n\nc\t.25\t-.75\t3\n",
    ],
)
def test_layouts(write, text):
    cov = read_covariance(write(text))
    np.testing.assert_array_equal(cov.to_numpy(), MATRIX)
    assert list(cov.columns) == list(cov.index) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3,4\n", r":1: the matrix has no variable names"),
        ("a,b,c\n2,.5\n.5,1.5\n", r"names 3 variables but 2 rows follow"),
        ("a,b\n", "no matrix below it"),
        ("a,b\n2,x\nx,3\n", r":2: 'x' in column b is not a number"),
        ("a,b\n2,nan\n.5,3\n", r":2: 'nan' in column b is not a number"),
        ("a,b\n2,.5\n.6,3\n", r"not symmetric: a with b is 0.5 in one place and 0.6 in the other"),
        ("a,b\n2,.5\n.5,0\n", "the variance of b is 0: not positive"),
        ("a,b\n2,.5\n.5,-1\n", "the variance of b is -1: not positive"),
        ("a,b,c\n2,.5,\n.5,1,\n.2,,3\n", "the cell of a and c is empty"),
        ("a,b,c\n2\n.5\n.2,.3,3\n", "the cell of b and b is empty"),
        (",a,b\na,2,.5\nB2,.5,3\n", r":3: row 'B2' is not a name of the header"),
        (",a,b\na,2,.5\na,.5,3\n", "rows occur more than once: a"),
        (",a,b\nb,2,\na,.5,3\n", "in a different order"),
        ("a,a\n2,.5\n.5,3\n", "names occur more than once: a"),
        ("a,b\n2,.5,1\n.5,3\n", r":2: the row has 3 cells for 2 variables"),
        ("a,2\n.5,1.5\n", r":2: the row does not start with a variable name"),
    ],
)
def test_bad_matrices(write, text, message):
    path = write(text)
    with pytest.raises(DataError, match=message) as error:
        read_covariance(path)
    assert error.value.hint
    assert error.value.file == str(path)


def test_a_workbook_is_refused(write):
    with pytest.raises(DataError, match=r"not a \.xlsx file"):
        read_covariance(write("a,b\n", name="cov.xlsx"))
