"""Copies of what a run was made from, in its folder of results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2b_sem.errors import B2BSemError, Unsupported

if TYPE_CHECKING:
    from b2b_sem.spec.base import Document
    from b2b_sem.spec.study import StudySpec

__all__ = ["FOLDER", "copy_configs", "describe_inputs"]

#: Of the copies, in the folder of results.
FOLDER = "inputs"


def copy_configs(spec: Document, stage: Path) -> list[dict[str, Any]]:
    """Copy the files of a study to the stage, and return what the manifest says of them; nothing if that cannot be."""
    from b2b_sem.spec.copies import write_copies

    try:
        return [c.to_json(f"{FOLDER}/") for c in write_copies(spec, stage / FOLDER)]
    except Unsupported:
        shutil.rmtree(stage / FOLDER, ignore_errors=True)
        return []


def describe_inputs(spec: StudySpec, stage: Path, target: Path, data: str | None, with_data: bool) -> dict[str, Any]:
    """Copy the files of a study to the stage; return the entries ``configs`` and ``data`` of the manifest."""
    from b2b_sem.verify import describe_run

    found = Path(data) if data is not None else spec.data_path
    if with_data and found is None:
        raise B2BSemError("there is no data file to copy: the respondents are simulated", hint="leave --with-data out")
    copy = None
    if with_data and found is not None:
        copy = f"{FOLDER}/data/{found.name}"
        (stage / copy).parent.mkdir(parents=True)
        shutil.copyfile(found, stage / copy)
    return {"configs": copy_configs(spec, stage), "data": describe_run(spec, target, data, copy)}
