"""The scripts of the simulation studies as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["FOLDER", "load_script"]

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "studies"


def load_script(name: str) -> ModuleType:
    """Return a script of the studies; those it shares stand beside it."""
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return importlib.import_module(name)
