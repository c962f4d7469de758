"""Bootstrap of latent products: each replicate is what a fit of its rows gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.analysis.bootstrap import bootstrap, jackknife
from b2b_sem.analysis.fitted import context_of
from b2b_sem.analysis.structural import fit
from b2b_sem.engine.product_replicate import SIZE, influence
from b2b_sem.engine.resample import stream
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.results.bootstrap import read_bootstrap

TEXT = """
X =~ x1 + x2 + x3
M =~ m1 + m2 + m3
y ~ b*X + m*M + p*X:M + w
high := b + p
"""


def draw(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, m, w = rng.normal(size=(3, n))
    y = 0.4 * x + 0.2 * m + 0.35 * x * m + 0.3 * w + 0.7 * rng.normal(size=n)
    items = {f"x{k}": 1.0 + x + 0.6 * rng.normal(size=n) for k in (1, 2, 3)}
    items |= {f"m{k}": m + 0.5 * rng.normal(size=n) for k in (1, 2, 3)}
    return pd.DataFrame(items).assign(y=y, w=w)


ONE, TWO = draw(150, 1), draw(160, 2)
BOTH = pd.concat([ONE.assign(team="a"), TWO.assign(team="b")], ignore_index=True)
HOLES = ONE.copy()
HOLES.loc[5:30, "x2"] = np.nan
HOLES.loc[20:50, "y"] = np.nan


def samples(parts: list[pd.DataFrame], seed: int, count: int) -> list[pd.DataFrame]:
    """Return the rows of the first replicates."""
    rng = stream(seed, 0)
    out = []
    for _ in range(count):
        drawn = [part.iloc[rng.integers(0, len(part), size=len(part))] for part in parts]
        out.append(pd.concat(drawn, ignore_index=True))
    return out


@pytest.mark.parametrize("case", ["one", "groups", "holes"])
def test_replicates_are_fits(case: str) -> None:
    data = {"one": ONE, "groups": BOTH, "holes": HOLES}[case]
    text = TEXT.replace("b*", "c(b, b2)*").replace("p*", "c(p, p2)*").replace("m*", "c(m, m2)*")
    text, options = {
        "one": (TEXT, {}),
        "groups": (text, {"group": "team", "group_equal": ["loadings"]}),
        "holes": (TEXT, {"missing": "fiml"}),
    }[case]
    whole = fit(text, data, **options)
    found = bootstrap(whole, 3, seed=4, ci="percentile")
    assert found.failed == 0
    parts = [ONE.assign(team="a"), TWO.assign(team="b")] if case == "groups" else [data]
    for k, rows in enumerate(samples(parts, 4, 3)):
        own = fit(text, rows, **options)
        np.testing.assert_allclose(found.values[k], own.parameters["est"], atol=2e-5)
        np.testing.assert_allclose(found.std_values[k], own.standardized()["est_std"], atol=2e-5)
    np.testing.assert_allclose(found.estimate, whole.parameters["est"])
    again = bootstrap(whole, 2, seed=4, ci="percentile")
    np.testing.assert_array_equal(again.values, found.values[:2])


def test_tables_intervals_and_files(tmp_path: Path) -> None:
    whole = fit(TEXT, ONE)
    found = bootstrap(whole, 40, seed=1, resume=tmp_path / "blocks")
    table = found.table().set_index(["lhs", "op", "rhs"])
    plain = whole.parameters.set_index(["lhs", "op", "rhs"])
    for key in (("y", "~", "X:M"), ("y", "~", "X"), ("high", ":=", "b+p")):
        assert table.loc[key, "se"] == pytest.approx(plain.loc[key, "se"], rel=0.4)
        assert table.loc[key, "ci_lower"] < table.loc[key, "est"] < table.loc[key, "ci_upper"]
    product = ("y", "~", "X:M")
    std = found.standardized().set_index(["lhs", "op", "rhs"])
    assert std.loc[product, "est_std"] == whole.standardized().set_index(["lhs", "op", "rhs"]).loc[product, "est_std"]
    assert np.isnan(found.chisq).all()
    bca, bc = (found.table(ci=kind).set_index(["lhs", "op", "rhs"]).loc[product] for kind in ("bca", "bc"))
    assert bca["ci_lower"] != bc["ci_lower"]
    saved = read_bootstrap(found.save(tmp_path / "found.npz"))
    pd.testing.assert_frame_equal(saved.table(), found.table())
    # finished blocks are taken from the folder, and refused to another model
    more = bootstrap(whole, 40, seed=1, resume=tmp_path / "blocks")
    np.testing.assert_array_equal(more.values, found.values)
    assert len(list((tmp_path / "blocks").glob("draw-*.npz"))) == -(-40 // SIZE)
    with pytest.raises(DataError, match="another bootstrap"):
        bootstrap(fit(TEXT, TWO), 10, seed=1, resume=tmp_path / "blocks")


def test_influence_is_what_leaving_out_a_row_does() -> None:
    whole = fit(TEXT, ONE)
    context = context_of(whole)
    found = influence(context.problem, context.solution.theta)
    center = whole.parameters["est"].to_numpy()
    std = whole.standardized()["est_std"].to_numpy()
    fixed = whole.parameters["free"].to_numpy() == 0  # moments of the covariate are those of the rows
    defined = whole.parameters["op"].to_numpy() == ":="
    moved, expected, std_moved, std_expected = [], [], [], []
    for row in range(0, 150, 25):
        own = fit(TEXT, ONE.drop(index=row))
        moved.append((own.parameters["est"].to_numpy() - center)[~fixed | defined])
        expected.append((found.values[row] - center)[~fixed | defined])
        std_moved.append((own.standardized()["est_std"].to_numpy() - std)[~fixed])
        std_expected.append((found.std_values[row] - std)[~fixed])
    for one, other in ((moved, expected), (std_moved, std_expected)):
        a, b = np.array(one), np.array(other)
        assert np.linalg.norm(a - b) < 0.15 * np.linalg.norm(a)


def test_refused() -> None:
    whole = fit(TEXT, ONE)
    for call, message in (
        (lambda: bootstrap(whole, 5, seed=1, kind="bollen-stine"), "chi-square"),
        (lambda: jackknife(whole), "leave-one-out"),
        (lambda: bootstrap(fit(TEXT, ONE.assign(c=ONE.index // 3), cluster="c"), 5, seed=1), "clusters"),
    ):
        with pytest.raises(Unsupported, match=message):
            call()
