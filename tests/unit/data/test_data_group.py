"""Rows split into groups: labels, moments of each group, and messages that name the group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from b2b_sem.data.group import group_labels, observe_group_moments, split_rows
from b2b_sem.data.observed import observe, observe_moments
from b2b_sem.data.read import Responses
from b2b_sem.data.response import observe_ordinal
from b2b_sem.errors import DataError

NAMES = ["a", "b", "c"]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    data = pd.DataFrame(rng.normal(size=(90, 3)) @ rng.normal(size=(3, 3)), columns=NAMES)
    data["g"] = ["v", "u", "v"] * 30
    return data


def test_labels_are_text_in_the_order_of_appearance() -> None:
    labels, codes = group_labels(np.array([2.0, np.nan, 1.0, 2.0]))
    assert labels == ("2", "1")
    assert codes.tolist() == [0, -1, 1, 0]
    assert group_labels(pd.Series(["b", " ", None, "a"], dtype=object))[0] == ("b", "a")
    assert group_labels([0.5, 1.0])[0] == ("0.5", "1")
    assert group_labels(pd.Categorical(["y", "x"], categories=["x", "y"]))[0] == ("y", "x")
    assert group_labels(pd.array([1, None, 2], dtype="Int64"))[1].tolist() == [0, -1, 1]


def test_blanks_around_a_label_make_no_group_of_its_own() -> None:
    labels, codes = group_labels([" a", "a ", "a", "  ", "b"])
    assert labels == ("a", "b")
    assert codes.tolist() == [0, 0, 0, -1, 1]


def test_moments_are_those_of_each_group(frame: pd.DataFrame) -> None:
    found = observe(frame, NAMES, group="g")
    assert [g.label for g in found.groups] == ["v", "u"]
    assert [g.nobs for g in found.groups] == [60, 30]
    assert (found.nobs, found.n_read, found.n_dropped) == (90, 90, 0)
    for k, label in enumerate(("v", "u"), start=1):
        own = frame[frame["g"] == label]
        alone = observe(own, NAMES)
        part = found.part(k)
        np.testing.assert_array_equal(part.groups[0].cov, alone.groups[0].cov)
        np.testing.assert_array_equal(part.groups[0].mean, alone.groups[0].mean)
        assert part.raw is not None
        assert part.index is not None
        np.testing.assert_array_equal(part.raw[0], own[NAMES])
        assert part.index.tolist() == own.index.tolist()


def test_a_mapping_is_split_like_a_frame(frame: pd.DataFrame) -> None:
    a = observe({name: frame[name].tolist() for name in frame}, NAMES, group="g")
    b = observe(frame, NAMES, group="g")
    for x, y in zip(a.groups, b.groups, strict=True):
        np.testing.assert_array_equal(x.cov, y.cov)


def test_rows_without_a_group_and_with_holes_are_counted(frame: pd.DataFrame) -> None:
    frame["g"] = frame["g"].astype(object)
    frame.loc[[0, 1], "g"] = None
    frame.loc[4, "a"] = np.nan
    found = observe(frame, NAMES, group="g")
    assert found.n_read == 90
    assert found.n_dropped == 3
    assert found.notes[0] == "2 of 90 rows dropped: no value in the group column g"
    assert found.notes[1].startswith("group u: 1 of 29 row")
    # the first row that has a group counts
    assert [g.label for g in found.groups] == ["v", "u"]
    assert found.index is not None
    assert 4 not in found.index


def test_all_answers_of_incomplete_rows_are_used_in_each_group(frame: pd.DataFrame) -> None:
    frame.loc[[0, 1, 2], "a"] = np.nan
    found = observe(frame, NAMES, group="g", missing="fiml")
    assert found.incomplete is not None
    assert [len(i.rows) for i in found.incomplete] == [60, 30]
    alone = observe(frame[frame["g"] == "v"], NAMES, missing="fiml")
    np.testing.assert_array_equal(found.part(1).groups[0].cov, alone.groups[0].cov)
    assert found.part(2).incomplete is not None


def test_clusters_are_numbered_in_each_group(frame: pd.DataFrame) -> None:
    frame["team"] = np.arange(90) // 6
    found = observe(frame, NAMES, group="g", cluster="team")
    assert found.clusters is not None
    assert [int(c.max()) for c in found.clusters] == [14, 14]
    assert [len(c) for c in found.clusters] == [60, 30]


def test_messages_name_the_group_and_the_row_of_the_file(frame: pd.DataFrame) -> None:
    flat = frame.assign(a=np.where(frame["g"] == "u", 1.0, frame["a"]))
    with pytest.raises(DataError, match=r"group u: column does not vary: a"):
        observe(flat, NAMES, group="g")
    few = frame.assign(g=["w" if i < 3 else "x" for i in range(90)])
    with pytest.raises(DataError, match="group w: 3 complete rows for 3 variables"):
        observe(few, NAMES, group="g")
    text = frame.astype({"a": object})
    text.loc[7, "a"] = "none"
    with pytest.raises(DataError, match="data row 8"):
        observe(text, NAMES, group="g")
    rows = np.arange(2, 92)
    with pytest.raises(DataError, match=r"(?<!data )row 9"):
        observe(Responses(text, Path("x.csv"), "csv", rows), NAMES, group="g")


def test_groups_that_are_none(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="has a single value, 1"):
        split_rows(frame.assign(g=1.0), "g", NAMES)
    with pytest.raises(DataError, match="has no value"):
        split_rows(frame.assign(g=np.nan), "g", NAMES)
    with pytest.raises(DataError, match="gg"):
        observe(frame, NAMES, group="gg")


@pytest.fixture
def answers() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    f = rng.normal(size=(300, 1))
    data = pd.DataFrame(np.digitize(f + rng.normal(size=(300, 3)), [-1.0, 0.3, 1.2]) + 1.0, columns=NAMES)
    data["g"] = np.arange(300) % 2
    return data


def test_ordinal_statistics_are_those_of_each_group(answers: pd.DataFrame) -> None:
    found = observe_ordinal(answers, NAMES, NAMES, group="g")
    assert found.ordinal is not None
    assert [g.label for g in found.groups] == ["0", "1"]
    for k in (0, 1):
        alone = observe_ordinal(answers[answers["g"] == k], NAMES, NAMES)
        assert alone.ordinal is not None
        np.testing.assert_array_equal(found.ordinal[k].statistic, alone.ordinal[0].statistic)
        assert found.part(k + 1).ordinal == (found.ordinal[k],)


def test_an_answer_of_one_group_only_is_named(answers: pd.DataFrame) -> None:
    answers.loc[(answers["g"] == 1) & (answers["b"] == 4), "b"] = 3.0
    with pytest.raises(DataError, match="group 1: nobody answered 4 to b"):
        observe_ordinal(answers, NAMES, NAMES, group="g")
    # an answer that stands in left-out rows only is no answer
    answers.loc[answers["b"] == 4, "c"] = np.nan
    found = observe_ordinal(answers, NAMES, NAMES, group="g")
    assert found.ordinal is not None
    assert all(o.levels[1] == (1.0, 2.0, 3.0) for o in found.ordinal)
    with pytest.raises(DataError, match="group 1: nobody answered 4 to b"):
        observe_ordinal(answers, NAMES, NAMES, group="g", missing="pairwise")


def test_matrices_of_groups(frame: pd.DataFrame) -> None:
    covs = {label: own[NAMES].cov() for label, own in frame.groupby("g", sort=False)}
    means = {label: own[NAMES].mean() for label, own in frame.groupby("g", sort=False)}
    found = observe_group_moments(covs, {"u": 30, "v": 60}, means)
    data = observe(frame, NAMES, group="g")
    assert [(g.label, g.nobs) for g in found.groups] == [("v", 60), ("u", 30)]
    for a, b in zip(found.groups, data.groups, strict=True):
        np.testing.assert_allclose(a.cov, b.cov, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(a.mean), np.asarray(b.mean), rtol=1e-12)
    listed = observe_group_moments(list(covs.values()), [60, 30])
    assert [g.label for g in listed.groups] == ["Group 1", "Group 2"]
    assert listed.groups[0].mean is None
    # a matrix in another order is put in the order of the first
    turned = observe_group_moments([covs["v"], covs["u"].iloc[::-1, ::-1]], [60, 30])
    np.testing.assert_array_equal(turned.groups[1].cov, listed.groups[1].cov)


def test_matrices_that_do_not_go_together(frame: pd.DataFrame) -> None:
    cov = frame[NAMES].cov()
    with pytest.raises(DataError, match="1 numbers of rows for 2"):
        observe_group_moments([cov, cov], [50])
    with pytest.raises(DataError, match="several groups"):
        observe_group_moments([cov], [50])
    with pytest.raises(DataError, match="not of the same groups"):
        observe_group_moments({"a": cov, "b": cov}, {"a": 9, "c": 9})
    with pytest.raises(DataError, match="group b: 2 rows"):
        observe_group_moments({"a": cov, "b": cov}, [50, 2])
    with pytest.raises(DataError):
        observe_group_moments([cov, cov.rename(index={"a": "z"}, columns={"a": "z"})], [50, 50])


def test_part_of_one_group_is_the_whole(frame: pd.DataFrame) -> None:
    alone = observe(frame, NAMES)
    assert alone.part(1) is alone
    moments = observe_moments(frame[NAMES].cov(), 90)
    assert moments.part(1) is moments
