"""Polynomials and intermediate correlations of the method of Vale & Maurelli, against lavaan's simulateData."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from b2b_sem.simulate.nonnormal import Polynomials

CASES = json.loads((Path(__file__).parent / "nonnormal" / "nonnormal.json").read_text(encoding="utf-8"))["cases"]
#: lavaan minimises squares of the equations: 6e-10 away.
NEAR = 1e-8


def ours(case: dict[str, Any]) -> Polynomials:
    cor = tuple(tuple(float(r) for r in row) for row in case["cor"])
    return Polynomials.of(cor, list(zip(case["skew"], case["kurtosis"], strict=True)))


@pytest.mark.parametrize("name", CASES)
def test_polynomials_and_intermediate_correlations_of_lavaan(name):
    case = CASES[name]
    found = ours(case)
    table = [(-part.c, part.b, part.c, part.d) for part in found.parts]
    np.testing.assert_allclose(table, case["table"], rtol=0, atol=NEAR)
    np.testing.assert_allclose(found.intermediate, case["between"], rtol=0, atol=NEAR)
    # intermediate correlations are not the asked ones: a wrong value is noticed
    assert np.abs(np.array(found.intermediate) - np.array(case["cor"])).max() > 1000 * NEAR
