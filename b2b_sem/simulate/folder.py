"""Folders of finished samples: whose they are, and what they are called."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from b2b_sem.errors import DataError
from b2b_sem.results.io import write_text
from b2b_sem.simulate.respond import sources
from b2b_sem.spec.montecarlo import MonteCarloSpec
from b2b_sem.spec.text import TextPopulation

__all__ = ["MARK", "folder_name", "hold_folder", "prepare_folder"]

#: File that says whose samples a folder of a Monte Carlo study holds.
MARK = "montecarlo.json"


def folder_name(name: str) -> str:
    """Return a name for a folder: readable, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def prepare_folder(folder: Path, spec: MonteCarloSpec, seed: int) -> Path:
    """Prepare the folder of finished blocks, and refuse one that belongs to something else."""
    population, model = spec.population_spec, spec.model_spec
    assert population is not None
    assert model is not None
    # not the number of replications: a study may go on
    further = () if isinstance(population, TextPopulation) else sources(population)
    files = [spec.model_dump(mode="json", exclude={"replications", "seed", "title", "description"})]
    files += [part.model_dump(mode="json") for part in (population, model, *further)]
    return hold_folder(folder, MARK, spec.id, seed, files)


def hold_folder(folder: Path, mark: str, study: str, seed: int, files: list[Any]) -> Path:
    """Mark a folder of finished blocks as that of a study, and refuse one that belongs to something else.

    Parameters
    ----------
    folder : Path
    mark : str
        File that says whose it is.
    study : str
        Id of the study.
    seed : int
    files : list
        Content of the files that samples depend on.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If the folder holds the samples of something else.
    """
    from importlib.metadata import version

    own = {
        "study": study,
        "content of the files": hashlib.sha256(json.dumps(files, sort_keys=True, default=str).encode()).hexdigest(),
        "seed": seed,
        "version of b2b-sem": version("b2b-sem"),
        "version of numpy": np.__version__,
    }
    path = folder / mark
    if not path.exists():
        write_text(path, json.dumps(own))
        return folder
    try:
        there = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        there = {}
    other = [name for name in own if there.get(name) != own[name]]
    if other:
        raise DataError(
            f"this folder holds the samples of another study: not the same {', '.join(other)}",
            file=folder,
            hint="give another folder, or delete this one",
        )
    return folder
