"""Bootstrap of product indicators: every replicate makes its products from its own answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.bootstrap import _data, _rows, _task, jackknife
from b2b_sem.analysis.fitted import context_of
from b2b_sem.data.product import add_product_columns
from b2b_sem.engine.resample import bootstrap_counts, stream
from b2b_sem.errors import Unsupported

MODEL = "X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1 + y2 + y3\nY ~ X + M + b*X:M"
TWO = "X =~ x1 + x2\nM =~ m1 + m2\nY =~ y1 + y2 + y3\nY ~ X + M + X:M + X:X"


def answers(n: int, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, m = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], size=n).T
    y = 0.4 * x + 0.3 * m + 0.3 * x * m + 0.1 * x * x + 0.7 * rng.normal(size=n)
    own = {"x1": x, "x2": 0.8 * x, "m1": m, "m2": 0.9 * m, "y1": y, "y2": y, "y3": 0.7 * y}
    frame = pd.DataFrame({k: v + 0.5 * rng.normal(size=n) for k, v in own.items()})
    return frame + np.linspace(1, 5, 7)


def drawn(fit: bs.FitResult, seed: int, size: int = 2) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return raw and standardized values of the first replicates, and the counts of the last one in each group."""
    context, data = _data(fit)
    task = replace(_task(context, data, seed), size=size)
    found = task.draw(0)
    assert found["converged"].all()
    values, std = _rows(task.replicator, found["theta"], found["exo"])
    rng = stream(seed, 0)
    counts = [bootstrap_counts(rng, len(part), size)[-1].astype(int) for part in data]
    return values[-1], std[-1], counts


@pytest.mark.parametrize(
    ("model", "method", "options"),
    [
        (MODEL, "dmc", {}),
        (MODEL, "dmc-all", {"likelihood": "wishart"}),
        (MODEL, "mc", {"likelihood": "wishart"}),
        (MODEL, "rc", {}),
        (TWO, "mc-all", {}),
        (TWO, "dmc", {"meanstructure": True}),
    ],
)
def test_a_replicate_is_the_fit_of_its_rows(model, method, options):
    data = answers(180)
    options = {"interaction": method, "engine": "native", **options}
    fit = bs.fit(model, data, **options)
    values, std, (counts,) = drawn(fit, 11)
    rows = data.iloc[np.repeat(np.arange(len(data)), counts)]
    again = bs.fit(model, rows, **options)
    # the stopping rule of replicates
    np.testing.assert_allclose(values, again.parameters["est"], rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(std, again.parameters["std_all"], rtol=1e-5, atol=3e-5)


def test_columns_of_the_full_sample_are_something_else():
    data = answers(180)
    fit = bs.fit(MODEL, data, interaction="dmc", engine="native")
    context = context_of(fit)
    _, rows = _data(fit)
    right = replace(_task(context, rows, 11), size=8).draw(0)["theta"]
    wrong = replace(_task(replace(context, products=()), rows, 11), size=8).draw(0)["theta"]
    at = next(r.free for r in context.problem.table.rows if r.label == "b") - 1
    assert np.abs(right[:, at] - wrong[:, at]).max() > 1e-3


@pytest.mark.parametrize("method", ["dmc", "mc", "rc"])
def test_without_one_row(method):
    data = answers(90)
    fit = bs.fit(MODEL, data, interaction=method, engine="native")
    left = jackknife(fit)
    again = bs.fit(MODEL, data.drop(index=17), interaction=method, engine="native")
    free = again.parameters.query("free > 0").drop_duplicates("free").sort_values("free")
    np.testing.assert_allclose(left[17], free["est"], rtol=1e-5, atol=3e-5)  # the stopping rule


@pytest.mark.parametrize("method", ["dmc", "mc-all", "rc"])
def test_groups_are_centred_together(method):
    data = answers(260).assign(team=np.repeat(["a", "b"], [150, 110]))
    data.loc[data["team"] == "b", ["x1", "x2"]] += 1.0
    options = {"interaction": method, "engine": "native", "group": "team", "group_equal": ["loadings"]}
    fit = bs.fit(MODEL.replace("b*", ""), data, **options)
    values, _, counts = drawn(fit, 5)
    parts = [data[data["team"] == g] for g in ("a", "b")]
    rows = [p.iloc[np.repeat(np.arange(len(p)), c)] for p, c in zip(parts, counts, strict=True)]
    again = bs.fit(MODEL.replace("b*", ""), pd.concat(rows), **options)
    np.testing.assert_allclose(values, again.parameters["est"], rtol=1e-5, atol=3e-5)


def test_rows_with_holes_keep_their_distance_to_the_centre():
    data = answers(120)
    data.iloc[5, 0] = np.nan
    fit = bs.fit(MODEL, data, interaction="dmc", engine="native")
    context, rows = _data(fit)
    task = _task(context, rows, 1)
    cov, mean = np.cov(rows[0].T, bias=True)[None], rows[0].mean(axis=0)[None]
    ((same, centre),) = task.recentring.apply([(cov, mean)], np.ones((1, 1)))
    np.testing.assert_allclose(same, cov, atol=1e-12)
    np.testing.assert_allclose(centre, mean, atol=1e-12)
    assert fit.nobs == 119
    columns = add_product_columns(data, context.products)
    assert columns["x1.m1"].isna().sum() == 1


def test_bollen_stine_is_refused():
    fit = bs.fit(MODEL, answers(120), interaction="dmc", engine="native")
    with pytest.raises(Unsupported, match="different rules"):
        fit.bootstrap(10, seed=1, kind="bollen-stine")
