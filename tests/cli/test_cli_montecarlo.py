"""The command ``montecarlo``: files, an interruption by the kernel, a real dask cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.cli.app import run
from b2b_sem.cli.progress import ProgressLine, duration

STUDY = """
    kind: montecarlo
    schema_version: 1
    id: mine
    title: How sure is P1?
    population: lima2026
    conditions: {n: [120, 200]}
    replications: 70
    seed: 5
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(dedent(STUDY), encoding="utf-8")
    return path


def start(study: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    words = ["-m", "b2b_sem", "montecarlo", str(study), "--out", str(out), *more]
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tables(out: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((out / "tables").glob("*.csv"))}


def test_files_and_lines(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(["montecarlo", str(study), "--out", str(out), "--replications", "20"]) == 0
    shown = capsys.readouterr()
    assert "share of samples in which a proposition is supported" in shown.out
    assert "samples: 40 of 40 (100%)" in shown.err
    listed = {e["path"] for e in json.loads((out / "manifest.json").read_text(encoding="utf-8"))["files"]}
    assert listed == {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(tables(out)) == {
        f"{n}.csv" for n in ("conditions", "estimates", "measures", "parameters", "replications", "verdicts")
    }
    result = bs.read_monte_carlo(out / "results.json")
    assert result.replications_each == 20
    written = pd.read_csv(out / "tables" / "verdicts.csv")
    np.testing.assert_allclose(written["supported"], result.verdicts["supported"])
    line = next(text for text in shown.out.splitlines() if text.startswith("P1 "))
    assert f"{100 * result.verdicts['supported'].iloc[0]:.1f}%" in line
    page = (out / "report.html").read_text(encoding="utf-8")
    for name in ("verdicts", "estimates", "coverage"):
        assert f'id="figure-{name}"' in page


def test_a_killed_run_goes_on_with_the_same_numbers(study: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(["montecarlo", str(study), "--out", str(whole)]) == 0
    process = start(study, broken)
    limit = time.monotonic() + 60
    while not list(broken.glob(".samples/*/run-*.npz")) and time.monotonic() < limit:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in broken.glob(".samples/*/run-*.npz")}
    assert kept
    assert not (broken / "results.json").exists()
    assert run(["montecarlo", str(study), "--out", str(broken), "--resume"]) == 0
    assert tables(whole) == tables(broken)
    assert not (broken / ".samples").exists()


@pytest.mark.slow
def test_the_dask_cluster_gives_the_same_and_loses_nothing(study: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    whole, spread = tmp_path / "whole", tmp_path / "spread"
    more = ("--replications", "600")  # more blocks than the cluster takes at a time
    assert run(["montecarlo", str(study), "--out", str(whole), *more]) == 0
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(host="127.0.0.1", **options) as cluster:
        process = start(study, spread, "--cluster", cluster.scheduler_address, *more)
        limit = time.monotonic() + 30
        while process.poll() is None and not list(spread.glob(".samples/*/run-*.npz")) and time.monotonic() < limit:
            time.sleep(0.005)
        with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
            first = next(iter(client.run(os.getpid).values()))
        assert process.poll() is None  # there is work left to lose
        os.kill(first, signal.SIGKILL)
        assert process.wait(120) == 0
    assert tables(whole) == tables(spread)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "nothing"),
        (["lima2026"], "a montecarlo file is needed"),
        (["lima2026_samples", "--jobs", "2", "--cluster", "tcp://127.0.0.1:1"], "either '--jobs' or '--cluster'"),
        (["lima2026_samples", "--replications", "1"], "replications"),
    ],
)
def test_wrong_input_is_one_message(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["montecarlo", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.json").exists()


def test_durations_are_words() -> None:
    assert [duration(s) for s in (0.2, 59.6, 200, 7500)] == ["0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]


def test_what_an_earlier_run_did_is_no_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0])
    monkeypatch.setattr("b2b_sem.cli.progress.time.monotonic", lambda: next(clock))
    line = ProgressLine("samples")
    line(800, 1000)
    line(900, 1000)
    assert "samples: 900 of 1000 (90%), 10 s left" in capsys.readouterr().err
