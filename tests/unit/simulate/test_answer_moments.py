"""Moments of answers without drawing any: against large samples of the same population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.analysis.power_population import GroupPopulation
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.simulate.answer_moments import answer_population
from b2b_sem.simulate.respond import make_plan

SURVEY = """\
kind: survey
schema_version: 1
id: tiny
title: Tiny survey
format: {low: 1, high: 5}
scales:
  A: {name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}
  B: {name: second, items: {b1: one, b2: two, b3: three}}
facts:
  side: {label: side, type: categorical, categories: {1: left, 2: right, 3: middle}}
  staff: {label: staff, type: number, minimum: 1, maximum: 60}
  score: {label: score, type: number, maximum: 1.5}
  rank: {label: rank, type: categorical, categories: {0: low, 1: high}}
"""
MODEL = """\
kind: model
schema_version: 1
id: tiny
title: Tiny model
survey: ./survey.yaml
measurement: {A: {scale: A}, B: {scale: B}}
structural: B ~ A
covariates: {%s}
"""
SIMULATION = """\
kind: simulation
schema_version: 1
id: tiny
title: Tiny population
model: ./model.yaml
values:
  loadings: {default: 0.75, items: {b3: 0.5}}
  paths: {B ~ A: 0.4%s}
response: {mean: 3.4, sd: 1.1, items: {b1: {thresholds: [-2, -1, 0.1, 0.2]}}%s}
facts:
  side: {shares: {1: 0.5, 2: 0.3, 3: 0.2}}
  staff: {mean: 20, sd: 15}
  score: {mean: 0, sd: 1}
  rank: {shares: {0: 0.8, 1: 0.2}}
%s
n: 300
seed: 3
"""
GROUPS = """\
groups:
  split: side
  reference: 1
  levels:
    2: {means: {A: 0.8}, paths: {B ~ A: -0.1}, loadings: {a2: 0.4}, intercepts: {b2: -0.6}}
"""
N = 150_000


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write_files(sections: str = "", response: str = "", covariates: str = "", paths: str = "") -> Path:
        (tmp_path / "survey.yaml").write_text(SURVEY, encoding="utf-8")
        (tmp_path / "model.yaml").write_text(MODEL % covariates, encoding="utf-8")
        (tmp_path / "sim.yaml").write_text(SIMULATION % (paths, response, sections), encoding="utf-8")
        return tmp_path / "sim.yaml"

    return write_files


def population(path: Path, group: str | None = None) -> GroupPopulation:
    return answer_population(make_plan(bs.load_simulation(path)), group)


def agrees(found: GroupPopulation, k: int, frame: pd.DataFrame) -> None:
    """Moments lie within 5 standard errors of those of the sample, standard errors by its fourth moments."""
    part = found.parts[k]
    data = frame.assign(a3=6 - frame["a3"])[list(part.names)].to_numpy(dtype=float)
    n = len(data)
    centred = data - data.mean(axis=0)
    assert np.abs((part.mean - data.mean(axis=0)) / (centred.std(axis=0) / np.sqrt(n))).max() < 5
    cov = centred.T @ centred / n
    error = np.sqrt(((centred**2).T @ (centred**2) / n - cov**2) / n)
    assert np.abs((part.cov - cov) / error).max() < 5
    # such a difference would be seen
    assert np.abs((1.03 * part.cov - cov) / error).max() > 5


def test_levels_with_their_own_loadings_intercepts_means_and_paths(write) -> None:  # type: ignore[no-untyped-def]
    path = write(GROUPS)
    frame = bs.simulate(path, n=N, seed=8).frame
    found = population(path, "side")
    assert found.labels == ("left", "right", "middle")
    assert found.shares == pytest.approx((0.5, 0.3, 0.2))
    for k in range(3):
        agrees(found, k, frame[frame["side"] == k + 1])
    assert found.parts[0].cov == pytest.approx(found.parts[2].cov)  # who is not named is as the reference
    whole = population(path)
    agrees(whole, 0, frame)
    assert any("analysed together" in note for note in whole.notes)
    assert not whole.changeable


def test_facts_that_predict(write) -> None:  # type: ignore[no-untyped-def]
    names = "staff: [B], score: [A], rank: [B]"
    path = write(covariates=names, paths=", B ~ staff: 0.3, A ~ score: -0.4, B ~ rank: 0.5")
    found = population(path)
    assert found.parts[0].names == ("a1", "a2", "a3", "b1", "b2", "b3", "staff", "score", "rank")
    agrees(found, 0, bs.simulate(path, n=N, seed=2).frame)


def test_continuous_answers(write) -> None:  # type: ignore[no-untyped-def]
    path = write(response=", type: continuous", covariates="rank: [A]", paths=", A ~ rank: 0.4")
    text = path.read_text(encoding="utf-8").replace(", items: {b1: {thresholds: [-2, -1, 0.1, 0.2]}}", "")
    path.write_text(text, encoding="utf-8")
    agrees(population(path), 0, bs.simulate(path, n=N, seed=2).frame)


def test_reasons_for_missing_answers(write) -> None:  # type: ignore[no-untyped-def]
    path = write(
        "missing:\n  mechanisms:\n    - {items: [B], rate: 0.1}\n    - {items: [a1, a2], rate: 0.2, together: true}\n"
        "  planned: {sets: {P: [a3], Q: [b1], R: [b2]}, leave_out: 1}\n",
        ", missing_rate: 0.05",
    )
    found = population(path)
    items = ["a1", "a2", "a3", "b1", "b2", "b3"]
    seen = bs.simulate(path, n=40_000, seed=4).frame[items].notna()
    holes = found.holes[0]
    # 5 standard errors of shares
    assert holes.complete(items) == pytest.approx(seen.all(axis=1).mean(), abs=0.012)
    assert holes.complete(["a1", "a2"]) == pytest.approx(0.8 * 0.95**2)
    assert holes.complete(["b1", "b2"]) == pytest.approx(0.9**2 * 0.95**2 / 3)
    patterns = holes.patterns(items)
    together = (patterns.seen.T * patterns.shares) @ patterns.seen
    values = seen.to_numpy(dtype=float)
    assert together == pytest.approx(values.T @ values / len(values), abs=0.015)
    assert not holes.touches(["staff"])


@pytest.mark.parametrize(
    ("sections", "response", "what"),
    [
        ("clusters: {name: firm, size: 5, icc: 0.1}", "", "clusters"),
        ("distribution: {latents: {A: {skew: 1, kurtosis: 2}}}", "", "not normal"),
        ("missing: {mechanisms: [{items: [b1], rate: 0.1, on_itself: 1}]}", "", "missing for a reason"),
        ("missing: {mechanisms: [{items: [b1], rate: 0.1, depends_on: {a1: 1}}]}", "", "missing for a reason"),
        ("", ", careless_share: 0.1", "at random"),
        ("", ", straight: {share: 0.1}", "repeat one answer"),
    ],
)
def test_what_moments_do_not_describe_is_refused(write, sections: str, response: str, what: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Unsupported, match=what) as caught:
        population(write(sections, response))
    assert "replications" in str(caught.value)


def test_other_groups_than_those_of_the_file_are_refused(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="no groups differ"):
        population(write(), "side")
    with pytest.raises(DataError, match="not what differs"):
        population(write(GROUPS), "rank")


def test_paths_of_one_group_change_alone(write) -> None:  # type: ignore[no-untyped-def]
    found = population(write(GROUPS), "side")
    for group in range(3):
        changed = found.with_paths({("B", "A", group): 0.25}, "variance")
        assert changed is not None
        values = [changed.value("B", "~", "A", g) for g in range(3)]
        assert values == pytest.approx([0.25 if g == group else before for g, before in enumerate((0.4, -0.1, 0.4))])
        for g in range(3):  # nothing else does
            same = np.allclose(changed.parts[g].cov, found.parts[g].cov, atol=1e-12)
            assert same == (g != group)
    assert found.with_paths({("B", "A", 0): 1.2}, "variance") is None
