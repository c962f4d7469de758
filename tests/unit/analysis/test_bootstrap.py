"""The bootstrap of a fit: draws, tables, failures, workers, interruptions, files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.bootstrap import bootstrap, jackknife
from b2b_sem.engine import blocks
from b2b_sem.results.bootstrap import BootstrapResult, read_bootstrap

MODEL = "F =~ x1 + x2 + x3\nG =~ y1 + y2 + y3\nG ~ a*F + b*z\nind := a*b"


@cache
def data(n: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    f, z = rng.normal(size=n), rng.normal(size=n)
    g = 0.5 * f + 0.3 * z + rng.normal(size=n)
    columns = {f"x{k}": f + rng.normal(scale=0.7, size=n) for k in (1, 2, 3)}
    columns |= {f"y{k}": g + rng.normal(scale=0.7, size=n) for k in (1, 2, 3)}
    return pd.DataFrame({**columns, "z": z})


@cache
def fitted() -> Any:
    return bs.fit(MODEL, data(), engine="native")


@cache
def result() -> BootstrapResult:
    return fitted().bootstrap(300, seed=1)


def test_tables_have_every_row_and_the_estimates_of_the_fit() -> None:
    for table, fit_table, column in (
        (result().parameters, fitted().parameters, "est"),
        (result().standardized(), fitted().standardized(), "est_std"),
    ):
        names = ["lhs", "op", "rhs", "group", "label", *(["free"] if column == "est" else [])]
        assert list(table.columns) == [*names, column, "se", "bias", "ci_lower", "ci_upper"]
        pd.testing.assert_frame_equal(table[names], fit_table[names])
        np.testing.assert_allclose(table[column], fit_table[column], rtol=1e-12)
        free = fit_table["se"] > 0
        # 300 replicates know a standard error to about 4 %; the data are normal
        assert (table["se"] / fit_table["se"])[free].between(0.7, 1.4).all()
        assert (table["ci_lower"] < table[column])[free].all()
        assert (table["ci_upper"] > table[column])[free].all()
    marker = result().parameters.iloc[0]
    assert (marker.se, marker.bias, marker.ci_lower, marker.ci_upper) == (0.0, 0.0, 1.0, 1.0)
    x_variance = result().parameters.query("lhs == 'z' and op == '~~'").iloc[0]
    assert x_variance.se > 0  # moments of covariates are those of each sample


def test_summaries_are_those_of_the_replicates() -> None:
    r = result()
    table = r.parameters
    np.testing.assert_allclose(table["se"], r.values.std(axis=0, ddof=1), atol=1e-12)
    np.testing.assert_allclose(table["bias"], r.values.mean(axis=0) - table["est"], atol=1e-13)
    at = table.index[table["op"] == ":="][0]
    a, b = (table.index[table["label"] == x][0] for x in "ab")
    np.testing.assert_allclose(r.values[:, at], r.values[:, a] * r.values[:, b], rtol=1e-14)
    np.testing.assert_allclose(r.std_values[:, at], r.std_values[:, a] * r.std_values[:, b], rtol=1e-14)


def test_replicate_is_the_fit_of_its_rows() -> None:
    from b2b_sem.engine.resample import block_size, bootstrap_counts, stream

    n = len(data())
    counts = bootstrap_counts(stream(1, 0), n, block_size(n))
    for r in (0, 7):
        again = bs.fit(MODEL, data().loc[np.repeat(np.arange(n), counts[r].astype(int))], engine="native")
        away = np.abs(again.parameters["est"] - result().values[r]) / fitted().parameters["se"].replace(0, 1)
        assert away.max() < 1e-4
        assert result().chisq[r] == pytest.approx(again.measures["chisq"], abs=1e-7)
        np.testing.assert_allclose(again.standardized()["est_std"], result().std_values[r], atol=1e-5)


def test_jackknife_is_leaving_out_rows() -> None:
    knife = jackknife(fitted())
    np.testing.assert_array_equal(knife, result().jackknife)
    assert knife.shape == (150, len(fitted().parameters.query("free > 0")))
    for i in (0, 149):
        rest = bs.fit(MODEL, data().drop(index=i), engine="native").parameters.query("free > 0")["est"]
        np.testing.assert_allclose(knife[i], rest, atol=1e-5)


def test_draws_do_not_depend_on_workers_number_or_interruption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(blocks, "WORTHWHILE", 0.0)
    two = fitted().bootstrap(300, seed=1, jobs=2)
    np.testing.assert_array_equal(two.theta, result().theta)
    np.testing.assert_array_equal(two.jackknife, result().jackknife)
    np.testing.assert_array_equal(fitted().bootstrap(10, seed=1, ci="bc").theta, result().theta[:10])
    assert not np.allclose(fitted().bootstrap(10, seed=2, ci="bc").theta, result().theta[:10])

    class Stop(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if done >= 128:
            raise Stop

    with pytest.raises(Stop):
        fitted().bootstrap(300, seed=1, resume=tmp_path / "kept", progress=interrupt)
    kept = sorted(p.name for p in (tmp_path / "kept").iterdir())
    assert kept == ["bootstrap.json", "draw-000000.npz"]
    fits = []
    original = blocks.Task.draw
    monkeypatch.setattr(blocks.Task, "draw", lambda self, block: fits.append(block) or original(self, block))
    again = fitted().bootstrap(300, seed=1, resume=tmp_path / "kept")
    assert fits == [1, 2]
    np.testing.assert_array_equal(again.theta, result().theta)
    (tmp_path / "kept" / "draw-000001.npz").write_bytes(b"half a file")
    np.testing.assert_array_equal(fitted().bootstrap(300, seed=1, resume=tmp_path / "kept").theta, result().theta)
    for other in ({"seed": 2}, {"seed": 1, "kind": "bollen-stine"}):
        with pytest.raises(bs.DataError, match="another bootstrap"):
            fitted().bootstrap(300, resume=tmp_path / "kept", **other)


def test_progress_counts_every_fit() -> None:
    seen: list[tuple[int, int]] = []
    fitted().bootstrap(200, seed=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (350, 350)
    assert (128, 350) in seen


def test_bollen_stine_draws_from_a_population_where_the_model_is_true() -> None:
    boot = fitted().bootstrap(300, seed=1, kind="bollen-stine")
    assert boot.ci == "percentile"
    assert boot.test["df"] == fitted().measures["df"] == 13
    assert boot.test["pvalue"] == np.mean(boot.chisq > fitted().measures["chisq"])
    # normal data: near the chi-square distribution
    assert boot.chisq.mean() == pytest.approx(13, abs=1.5)
    assert boot.test["pvalue"] == pytest.approx(fitted().measures["pvalue"], abs=0.15)
    assert result().test == {}
    with pytest.raises(bs.Unsupported, match="BCa"):
        boot.table(ci="bca")


def test_other_intervals_come_from_the_same_replicates() -> None:
    tables = {kind: result().table(ci=kind, level=0.9) for kind in ("bca", "bc", "percentile", "basic", "normal")}
    at = fitted().parameters.query("op == '~' and rhs == 'F'").index[0]
    inner = result().values[:, at]
    assert tables["percentile"].ci_lower[at] == pytest.approx(np.quantile(inner, 0.05), abs=0.02)
    assert tables["basic"].ci_upper[at] == pytest.approx(
        2 * tables["basic"].est[at] - tables["percentile"].ci_lower[at], rel=1e-12
    )
    assert len({t.ci_lower[at] for t in tables.values()}) == 5


def test_failures_are_counted_and_named() -> None:
    # few rows and weak loadings: some samples have no solution
    rng = np.random.default_rng(4)
    f = rng.normal(size=25)
    weak = pd.DataFrame({f"x{k}": 0.6 * f + rng.normal(size=25) for k in range(1, 5)})
    one = bs.fit("F =~ x1 + x2 + x3 + x4", weak, engine="native")
    boot = one.bootstrap(60, seed=1, ci="percentile")
    assert boot.failed + len(boot.theta) == 60
    assert boot.inadmissible > 0
    assert np.isfinite(boot.theta).all()
    assert any("Heywood" in w and str(boot.inadmissible) in w for w in boot.warnings)
    assert boot.failed == 0 or any(w.startswith(f"{boot.failed} of 60") for w in boot.warnings)
    assert len(np.unique(boot.replicate)) == len(boot.theta)


def test_definitions_without_value_are_left_out_and_named() -> None:
    one = bs.fit("y1 ~ a*x1 + b*z\nroot := sqrt(b - 0.2)", data(), engine="native")
    boot = one.bootstrap(100, seed=1)
    missing = np.isnan(boot.values[:, -1]).sum()
    assert 0 < missing < 100
    assert f"'root' has no value in {missing} of 100 replicates; they are left out for it." in boot.warnings
    assert np.isfinite(boot.parameters.iloc[-1][["se", "ci_lower", "ci_upper"]].astype(float)).all()


def test_files_hold_everything(tmp_path: Path) -> None:
    path = result().save(tmp_path / "boot.npz")
    back = read_bootstrap(path)
    pd.testing.assert_frame_equal(back.parameters, result().parameters)
    pd.testing.assert_frame_equal(back.standardized(), result().standardized())
    np.testing.assert_array_equal(back.theta, result().theta)
    assert back.to_json() == result().to_json()
    text = json.dumps(back.to_json(), allow_nan=False)
    assert json.loads(text)["parameters"][1]["ci_lower"] == pytest.approx(result().parameters.ci_lower[1])
    assert "300 replicates" in str(back)
    (tmp_path / "other.npz").write_bytes(b"no")
    with pytest.raises(bs.DataError, match="not a saved bootstrap"):
        read_bootstrap(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="read-only"):
        back.theta[0, 0] = 1.0


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"kind": "parametric"}, bs.Unsupported, "kind='parametric'"),
        ({"ci": "bcaa"}, bs.Unsupported, "Did you mean 'bca'"),
        ({"ci": "bca", "kind": "bollen-stine"}, bs.Unsupported, "Bollen-Stine"),
        ({"n": 1}, bs.DataError, "n=1"),
        ({"seed": -1}, bs.DataError, "seed=-1"),
        ({"jobs": 0}, bs.DataError, "jobs=0"),
        ({"level": 95}, bs.DataError, "level=95"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bootstrap(fitted(), **{"n": 10, "seed": 1, **settings})


def test_refuses_moments_and_fits_without_a_solution() -> None:
    moments = bs.fit("F =~ x1 + x2 + x3 + z", sample_cov=data().cov(), nobs=150, engine="native")
    with pytest.raises(bs.DataError, match="no rows"):
        moments.bootstrap(10, seed=1)
    flat = bs.fit("F =~ NA*x1 + x2 + x3 + z", data(), engine="native")
    with pytest.raises(bs.ModelError, match="not identified"):
        flat.bootstrap(10, seed=1)
