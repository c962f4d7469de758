"""What all tests share: quiet linear algebra, reproducible properties, and the survey files that may not be here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

# Before numpy is imported: threaded BLAS is slower on matrices this small, and workers would fight for the cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parent.parent

# The same examples on every run: a failure that appears must stay.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def root() -> Path:
    """Top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of survey files that are not part of the project (B2B_SEM_DATA, else ../shared/data)."""
    folder = Path(os.environ.get("B2B_SEM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no survey files at {folder}: set B2B_SEM_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def _no_traceback_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("B2B_SEM_TRACEBACK", raising=False)


@pytest.fixture
def living_workers() -> Callable[[], list[int]]:
    """Return a function that lists the living worker processes of this one."""

    def living() -> list[int]:
        found = []
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):  # gone meanwhile, or dead and not yet collected
                if any("LokyProcess" in word for word in child.cmdline()):
                    found.append(child.pid)
        return found

    return living
