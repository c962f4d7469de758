import math

import pytest

from b2b_sem.results.variant import variant


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ({"cfi": 0.9}, ""),
        ({"cfi": 0.9, "cfi_scaled": 0.91}, "_scaled"),
        ({"cfi": 0.9, "cfi_scaled": 0.91, "cfi_robust": 0.92}, "_robust"),
        ({"cfi": 0.9, "cfi_scaled": 0.91, "cfi_robust": math.nan}, "_scaled"),
    ],
)
def test_the_robust_variant_comes_before_the_scaled_one(measures, expected):
    assert variant(measures, "cfi") == expected
