"""Moments and counts of the answers to one item."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from b2b_sem.measures.distribution import count_answers, describe_moments


def test_moments_are_those_of_scipy() -> None:
    x = np.random.default_rng(1).integers(1, 8, 50).astype(float) ** 2
    found = describe_moments(x)
    assert found.mean == pytest.approx(x.mean(), rel=1e-14)
    assert found.sd == pytest.approx(x.std(ddof=1), rel=1e-14)
    assert (found.minimum, found.maximum) == (x.min(), x.max())
    assert found.skew == pytest.approx(stats.skew(x), rel=1e-12)
    assert found.kurtosis == pytest.approx(stats.kurtosis(x), rel=1e-12)
    assert abs(found.skew - stats.skew(x, bias=False)) > 1e-3  # the other definition would be seen


def test_moments_without_spread_or_answers() -> None:
    assert all(math.isnan(v) for v in describe_moments([]))
    one = describe_moments([4.0])
    assert one.mean == 4.0
    assert math.isnan(one.sd)
    # seven times 0.1 has a mean that differs from 0.1 by rounding
    assert math.isnan(describe_moments([0.1] * 7).skew)


def test_answers_nobody_gave_are_counted_too() -> None:
    answers, counts = count_answers([1, 4, 4, np.nan, 2])
    assert answers.tolist() == [1, 2, 3, 4]
    assert counts.tolist() == [1, 1, 0, 2]
    answers, counts = count_answers([2, 4, 4], 1, 5)
    assert answers.tolist() == [1, 2, 3, 4, 5]
    assert counts.tolist() == [0, 1, 0, 2, 0]


def test_answers_outside_the_format_are_not_lost() -> None:
    answers, counts = count_answers([0, 3, 6], 1, 5)
    assert answers.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert counts.sum() == 3


def test_answers_between_whole_numbers_stand_for_themselves() -> None:
    answers, counts = count_answers([1, 1.5, 3, 3])
    assert answers.tolist() == [1, 1.5, 3]
    assert counts.tolist() == [1, 1, 2]


def test_what_is_no_response_scale() -> None:
    assert count_answers(np.arange(9.0), most=8) is None
    assert count_answers(np.arange(8.0), most=8) is not None
    assert count_answers([1, 2], 0, 100, most=12) is None
    assert count_answers([1, 2], 1, 12, most=12) is not None
    # far apart, but few: not filled up
    answers, counts = count_answers([1, 1, 99], most=12)
    assert (answers.tolist(), counts.tolist()) == ([1, 99], [2, 1])


def test_nobody_answered() -> None:
    answers, counts = count_answers([np.nan], 1, 3)
    assert (answers.tolist(), counts.tolist()) == ([1, 2, 3], [0, 0, 0])
    assert count_answers([])[0].size == 0
