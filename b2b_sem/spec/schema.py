"""JSON Schemas of the YAML files, for editors that check and complete while one types."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from b2b_sem.errors import SpecError, did_you_mean
from b2b_sem.spec.base import SCHEMA_VERSION
from b2b_sem.spec.loader import TYPES
from b2b_sem.spec.raw import RawSimulation
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.text import TextPopulation

__all__ = ["json_schema", "write_schemas"]


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one kind of file.

    Parameters
    ----------
    kind : str
        ``survey``, ``model``, ``simulation``, ``study``, ``montecarlo`` or ``plan``.

    Notes
    -----
    Rules that join several places of a file, such as item codes used twice, are beyond JSON Schema; the loader checks
    them. Keys that are numbers in YAML are text in JSON, as in every YAML-aware editor.
    """
    if kind not in TYPES:
        raise SpecError(
            f"there is no file of kind '{kind}'.{did_you_mean(kind, TYPES)}", hint="Kinds: " + ", ".join(TYPES)
        )
    body = TYPES[kind].model_json_schema(mode="validation")
    if kind == "simulation":
        # which of them it is tell the keys `standardized` and `text`
        body = TypeAdapter(SimulationSpec | RawSimulation | TextPopulation).json_schema(mode="validation")
    header = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:b2b-sem:schema:{kind}:{SCHEMA_VERSION}",
        "title": f"b2b_sem {kind} file",
    }
    return {**header, **{key: value for key, value in body.items() if key != "title"}}


def write_schemas(directory: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write ``<kind>.schema.json`` for every kind into `directory` (made if absent) and return the paths."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in TYPES:
        path = target / f"{kind}.schema.json"
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(json.dumps(json_schema(kind), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    return tuple(written)
