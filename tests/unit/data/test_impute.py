"""Chained imputations: what is kept, what is drawn, what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data import chain
from b2b_sem.data.chain import scale_reduction
from b2b_sem.data.impute import Imputations, impute
from b2b_sem.data.read import Responses
from b2b_sem.errors import DataError, Unsupported


def answers(n: int = 150, share: float = 0.2) -> pd.DataFrame:
    """Return five items of a scale from 1 to 5 with holes in three of them."""
    rng = np.random.default_rng(7)
    f = rng.normal(size=(n, 1))
    x = np.clip(np.round(2.6 + f + 0.8 * rng.normal(size=(n, 5))), 1, 5)
    for j in range(3):
        x[rng.random(n) < share, j] = np.nan
    return pd.DataFrame(x, columns=list("abcde"))


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return answers()


@pytest.mark.parametrize("scale", ["match", "round", "none"])
def test_answers_are_kept_and_holes_are_filled(data: pd.DataFrame, scale: str) -> None:
    found = impute(data, m=3, seed=1, scale=scale)
    assert len(found) == 3
    for frame in found:
        assert not frame.isna().any().any()
        given = data.notna()
        assert (frame.to_numpy()[given] == data.to_numpy()[given]).all()
        assert list(frame.columns) == list(data.columns)
        if scale != "none":
            assert set(np.unique(frame)) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    drawn = found[0].to_numpy()[data.isna()]
    assert (np.round(drawn) == drawn).all() == (scale != "none")
    assert not found[0].equals(found[1])


def test_the_same_seed_gives_the_same_data(data: pd.DataFrame) -> None:
    one, again, more = impute(data, 2, seed=5), impute(data, 2, seed=5), impute(data, 3, seed=5)
    assert all(a.equals(b) for a, b in zip(one, again, strict=True))
    assert one[1].equals(more[1])
    assert not one[0].equals(impute(data, 2, seed=6)[0])


@pytest.mark.slow
def test_workers_change_no_number(data: pd.DataFrame) -> None:
    pairs = zip(impute(data, 2, seed=5), impute(data, 2, seed=5, jobs=2), strict=True)
    assert all(a.equals(b) for a, b in pairs)


def test_the_order_of_the_items_makes_no_difference(data: pd.DataFrame) -> None:
    one = impute(data, 2, seed=5, items=["a", "b", "c", "d", "e"])
    other = impute(data, 2, seed=5, items=["e", "c", "a", "d", "b"])
    assert one[0].equals(other[0])


@pytest.mark.parametrize("scale", ["match", "round", "none"])
@pytest.mark.parametrize("together", [1, 2])
def test_a_chain_does_not_depend_on_those_it_runs_with(
    data: pd.DataFrame, scale: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    five = impute(data, 5, seed=3, scale=scale)
    more = impute(data, 6, seed=3, scale=scale)
    monkeypatch.setattr(chain, "LIMIT", together * data.size)
    apart = impute(data, 5, seed=3, scale=scale)
    for number in range(5):
        assert five[number].equals(apart[number])
        assert five[number].equals(more[number])
        assert not five[number].equals(more[5])


def test_rows_without_an_answer_are_left_out_and_counted(data: pd.DataFrame) -> None:
    holes = data.copy()
    holes.index = [f"p{i}" for i in range(len(holes))]
    holes.loc[["p3", "p9"], list("abcd")] = np.nan
    found = impute(holes, 2, seed=1, items=list("abcd"), auxiliary=["e"])
    assert found.n_dropped == 2
    assert found.nobs == len(found[0]) == len(data) - 2
    assert "p3" not in found[0].index
    assert "2 of 150 rows dropped" in found.notes[0]


def test_auxiliary_columns_are_used_and_other_columns_kept(data: pd.DataFrame) -> None:
    more = data.assign(name="x", number=np.nan)
    found = impute(more, 2, seed=1, items=list("abcd"), auxiliary=["e"])
    without = impute(more, 2, seed=1, items=list("abcd"))
    assert not found[0]["a"].equals(without[0]["a"])
    assert (found[0]["name"] == "x").all()
    assert found[0]["number"].isna().all()
    assert found.auxiliary == ("e",)


def test_imputed_answers_follow_the_regression() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=2000)
    y = 1.0 + 2.0 * x + 0.5 * rng.normal(size=2000)
    gone = rng.random(2000) < 1 / (1 + np.exp(-2 * x))  # missing at random given x
    frame = pd.DataFrame({"x": x, "y": np.where(gone, np.nan, y)})
    for scale in ("match", "none"):
        completed = impute(frame, 2, seed=1, scale=scale)[0]
        slope, level = np.polyfit(completed["x"], completed["y"], 1)
        spread = (completed["y"] - level - slope * completed["x"])[gone].std()
        # matching borrows answers at the sparse end, where hardly anybody with a large x answered
        allowed = 0.05 if scale == "none" else 0.3
        assert slope == pytest.approx(2.0, abs=allowed)
        assert completed["y"].mean() == pytest.approx(y.mean(), abs=allowed)
        if scale == "none":
            assert spread == pytest.approx(0.5, rel=0.1)


def test_limits_hold_for_rounded_draws(data: pd.DataFrame) -> None:
    found = impute(data, 2, seed=1, scale="round", limits={"a": (0, 7)})
    assert found[0]["a"].between(0, 7).all()
    with pytest.raises(DataError, match="beyond the limits"):
        impute(data, 2, seed=1, scale="round", limits=(1, 3))
    with pytest.raises(DataError, match="unknown columns: z"):
        impute(data, 2, seed=1, scale="round", limits={"z": (1, 7)})
    with pytest.raises(DataError, match="low, high"):
        impute(data, 2, seed=1, scale="round", limits=5)
    with pytest.raises(DataError, match="nothing is rounded"):
        impute(data, 2, seed=1, limits=(1, 5))


def test_complete_data_come_back(data: pd.DataFrame) -> None:
    whole = data.dropna()
    found = impute(whole, 3, seed=1)
    assert all(frame.equals(whole) for frame in found)
    assert "no answer is missing" in found.summary()
    assert found.convergence().empty


def test_trace_and_convergence(data: pd.DataFrame) -> None:
    found = impute(data, 4, seed=1, iterations=8)
    trace = found.trace()
    assert list(trace.columns) == ["imputation", "iteration", "column", "mean", "sd"]
    assert len(trace) == 4 * 8 * 3
    table = found.convergence().set_index("column")
    assert set(table.index) == {"a", "b", "c"}
    assert table.loc["a", "missing"] == data["a"].isna().sum() == found.missing["a"]
    assert table.loc["a", "mean_observed"] == pytest.approx(data["a"].mean())
    # the last draws of the trace are those in the data sets
    gone = data["a"].isna()
    last = trace[(trace["column"] == "a") & (trace["iteration"] == 8)].set_index("imputation")["mean"]
    assert last[1] == pytest.approx(found[0].loc[gone, "a"].mean())
    assert table["rhat_mean"].between(0.8, 1.3).all()
    assert not found.warnings
    assert "missing answers" in str(found)


def test_chains_that_do_not_mix_are_reported() -> None:
    # a and b have no answers but a few in common: each is drawn from the other's last draw
    rng = np.random.default_rng(3)
    f = rng.normal(size=400)
    frame = pd.DataFrame({"a": f + 0.05 * rng.normal(size=400), "b": 3 + f + 0.05 * rng.normal(size=400)})
    frame.loc[:189, "a"] = np.nan
    frame.loc[210:, "b"] = np.nan
    found = impute(frame, 10, seed=1, iterations=8)
    assert any("have not mixed" in text and "iterations" in text for text in found.warnings)


def test_frames_are_copies(data: pd.DataFrame) -> None:
    found = impute(data, 2, seed=1)
    for frame in (found[0], found.frames[0], next(iter(found))):
        frame["a"] = 99
    assert (found[0]["a"] < 6).all()
    assert isinstance(found, Imputations)


def test_responses_and_mappings_are_taken(data: pd.DataFrame) -> None:
    one = impute(Responses.from_frame(data), 2, seed=1)
    two = impute({name: data[name].to_numpy() for name in data}, 2, seed=1)
    assert np.array_equal(one[0].to_numpy(), two[0].to_numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": None}, "needs a seed"),
        ({"seed": -1}, "seed=-1"),
        ({"m": 1}, "m=1"),
        ({"m": True}, "m=True"),
        ({"iterations": 0}, "iterations=0"),
        ({"donors": 0}, "donors=0"),
        ({"jobs": 0}, "jobs=0"),
        ({"items": "a"}, "write items="),
        ({"items": ["a", "zz"]}, "zz"),
        ({"items": ["a", "b"], "auxiliary": ["b"]}, "both an item and auxiliary: b"),
    ],
)
def test_bad_settings_are_refused(data: pd.DataFrame, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        impute(data, **{"m": 2, "seed": 1, **options})


def test_unknown_scale_is_refused(data: pd.DataFrame) -> None:
    with pytest.raises(Unsupported, match="Did you mean"):
        impute(data, 2, seed=1, scale="matsh")


def test_bad_columns_are_refused(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="not a number"):
        impute(data.assign(a=data["a"].astype(object).where(data.index != 3, "agree")), 2, seed=1, items=list("ab"))
    with pytest.raises(DataError, match="every value is missing in b"):
        impute(data.assign(b=np.nan), 2, seed=1)
    with pytest.raises(DataError, match=r"too few answers .* b \(4\)"):
        impute(data.assign(b=data["d"].where(data.index < 4)), 2, seed=1)
    never = data.assign(a=data["d"].where(data.index < 70), b=data["e"].where(data.index >= 70))
    with pytest.raises(DataError, match="never answered by the same person: a and b"):
        impute(never, 2, seed=1)
    with pytest.raises(DataError, match="infinite"):
        impute(data.assign(d=data["d"].where(data.index > 0, np.inf)), 2, seed=1)
    with pytest.raises(DataError, match="no numeric column"):
        impute(pd.DataFrame({"t": ["a", "b"]}), 2, seed=1)
    with pytest.raises(DataError, match="must be a DataFrame"):
        impute(data.to_numpy(), 2, seed=1)


def test_few_answers_are_reported() -> None:
    frame = answers(40, 0.7)
    assert any("Few answers for 5 columns" in text for text in impute(frame, 2, seed=1).warnings)


def test_scale_reduction_tells_mixed_chains_from_stuck_ones() -> None:
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(10, 400, 2))
    stuck = mixed + np.arange(10)[:, None, None]
    assert (np.abs(scale_reduction(mixed) - 1) < 0.02).all()
    assert (scale_reduction(stuck) > 2).all()
    assert np.isnan(scale_reduction(mixed[:, :1])).all()
    assert (scale_reduction(np.ones((3, 4, 1))) == 1).all()
