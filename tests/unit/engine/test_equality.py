"""Equal parameters found from the free solution are those of a fit of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis import path_group
from b2b_sem.analysis.fitted import context_of
from b2b_sem.engine import equality
from b2b_sem.engine.group import GroupProblem
from b2b_sem.errors import ModelError

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ F + w"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    parts = []
    for label, slope in (("a", 0.2), ("b", 0.5), ("c", 0.9)):
        f, w = rng.normal(size=150), rng.normal(size=150)
        g = slope * f + 0.3 * w + rng.normal(size=150)
        columns = {f"{k}{i}": 0.8 * v + rng.normal(scale=0.7, size=150) for k, v in (("x", f), ("y", g)) for i in "123"}
        parts.append(pd.DataFrame({"w": w, **columns, "sector": label}))
    return pd.concat(parts, ignore_index=True)


def punched(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame.copy()
    out.loc[np.random.default_rng(1).random(len(out)) < 0.2, "y2"] = np.nan
    return out


@pytest.mark.parametrize(
    ("estimator", "missing"),
    [("ML", "listwise"), ("MLR", "listwise"), ("MLM", "listwise"), ("ML", "fiml"), ("MLR", "fiml")],
)
@pytest.mark.parametrize(
    "model", [MODEL, f"{MODEL}\nx1 ~~ c(p, p, q)*x1", MODEL.replace("x2", "c(u, v, t)*x2") + "\nu == 1.1*v"]
)
def test_differences_are_those_of_separate_fits(
    frame: pd.DataFrame, estimator: str, missing: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = punched(frame) if missing == "fiml" else frame
    near = bs.compare_groups(model, data, "sector", estimator=estimator, missing=missing)
    monkeypatch.setattr(path_group, "can_fit_equal", lambda problem: False)
    apart = bs.compare_groups(model, data, "sector", estimator=estimator, missing=missing)
    assert near.tests["chisq_diff"].notna().all()
    pd.testing.assert_frame_equal(near.tests, apart.tests, rtol=1e-6)
    assert near.omnibus == pytest.approx(apart.omnibus, rel=1e-6)


def test_the_usual_search_gives_the_same(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bs.compare_groups(MODEL, frame, "sector", estimator="MLR").tests
    monkeypatch.setattr(equality, "STEPS", 0)
    second = bs.compare_groups(MODEL, frame, "sector", estimator="MLR").tests
    pd.testing.assert_frame_equal(first, second, rtol=1e-7)


def equations(problem: GroupProblem, theta: np.ndarray) -> np.ndarray:
    at = [i for i, r in enumerate(problem.table.rows) if (r.lhs, r.op, r.rhs) == ("G", "~", "F")]
    slopes = problem.values(theta).jacobian
    return np.array([slopes[at[1]] - slopes[at[0]]])


def test_equations_that_hold_already_take_no_degree_of_freedom(frame: pd.DataFrame) -> None:
    fit = bs.fit(MODEL.replace("G ~ F", "G ~ c(u, v, t)*F") + "\nu == v", frame, group="sector")
    context = context_of(fit)
    problem, theta = context.problem, context.solution.theta
    assert isinstance(problem, GroupProblem)
    (found,) = equality.fit_equal(problem, context.observed, theta, [equations(problem, theta)])
    assert found.df == fit.measures["df"]
    assert found.chisq == pytest.approx(fit.measures["chisq"], abs=1e-8)
    equal = MODEL.replace("G ~ F", "G ~ c(u, v, t)*F") + "\nu == v\nv == t"
    result = bs.compare_groups(equal, frame, "sector", paths=["G ~ F"])
    assert any("nothing is restricted" in w for w in result.warnings)
    assert np.isnan(result.tests["pvalue_diff"][0])


def test_a_free_model_that_fits_worse_is_an_error(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = equality.fit_equal

    def better(*args: object) -> object:
        return (equality.EqualFit(True, True, 0.0, e.df, e.factor) for e in real(*args))  # type: ignore[attr-defined]

    monkeypatch.setattr(path_group, "fit_equal", better)
    with pytest.raises(ModelError, match="local minimum"):
        bs.compare_groups(MODEL, frame, "sector")
