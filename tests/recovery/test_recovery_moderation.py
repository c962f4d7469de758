"""Respondents of a population with a product: LMS finds the product again, and nothing where there is none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import b2b_sem as bs
from b2b_sem.data.read import Responses
from b2b_sem.data.score import rules_from_survey, score
from b2b_sem.spec.loader import load_simulation

pytestmark = pytest.mark.slow

MODEL = """
PC =~ pc1 + pc2 + pc3 + pc4 + pc5
PX =~ px1 + px2 + px3 + px4 + px5
RR =~ rr1 + rr2 + rr3 + rr4 + rr5 + rr6
RR ~ PC + PX + PC:PX
"""
REPLICATIONS = 40


def equation(value: float, n: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return estimate, standard error and p of each standardized term of the equation of risk reduction."""
    spec = load_sectors()
    values = spec.values.model_copy(update={"interactions": {"RR ~ PC:PX": value}})
    drawn = bs.simulate(spec.model_copy(update={"values": values}), n, seed)
    items = [i for i in spec.survey_spec.items() if i[:2] in ("pc", "px", "rr")]
    scored = score(Responses.from_frame(drawn.frame), rules_from_survey(spec.survey_spec, dict.fromkeys(items)))
    fit = bs.fit(MODEL, scored)
    assert fit.ok, fit.failure
    table = fit.standardized()
    table = table[table["op"] == "~"]
    return {r["rhs"]: (r["est_std"], r["se"], r["pvalue"]) for r in table.to_dict("records")}


@cache
def load_sectors():  # type: ignore[no-untyped-def]
    return load_simulation("lima2026_sectors")


def test_a_large_sample_of_whole_number_answers_finds_the_equation() -> None:
    found = equation(0.2, 10_000, 4)
    truth = {"PC": 0.5, "PX": -0.1, "PC:PX": 0.2}
    # answers of seven categories that lean to the upper end cost about .005
    for term, value in truth.items():
        est, se, _ = found[term]
        assert abs(est - value) < 4 * se + 0.005, term


def test_estimates_are_unbiased_and_their_errors_right() -> None:
    runs = [equation(0.2, 300, 1000 + k)["PC:PX"] for k in range(REPLICATIONS)]
    est, se, p = (np.array(v) for v in zip(*runs, strict=True))
    spread = est.std(ddof=1)
    assert abs(est.mean() - 0.2) < 4 * spread / np.sqrt(REPLICATIONS) + 0.005
    assert 0.75 < se.mean() / spread < 1.35
    assert (np.abs(est - 0.2) < 1.96 * se).mean() > 0.85
    assert (p < 0.05).mean() > 0.8


def test_where_there_is_no_product_none_is_found() -> None:
    p = np.array([equation(0.0, 300, 3000 + k)["PC:PX"][2] for k in range(REPLICATIONS)])
    # 5 %: more than 8 of 40 would happen once in several thousand times
    assert (p < 0.05).sum() <= 8
