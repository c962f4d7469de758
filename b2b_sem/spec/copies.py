"""Copies of all files that a study was read from, laid out so that they load again without the originals."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from b2b_sem import resources
from b2b_sem.errors import SpecError, Unsupported
from b2b_sem.spec.base import Document
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.montecarlo import MonteCarloSpec
from b2b_sem.spec.reader import read_bytes
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.study import StudySpec

__all__ = ["Copy", "write_copies"]


@dataclass(frozen=True)
class Copy:
    """One copied file.

    Attributes
    ----------
    role : str
        What it was read as: study, model, survey, simulation, montecarlo.
    path : str
        The copy, relative to the folder of copies, with forward slashes.
    sha256 : str
        Digest of the original when it was read, and of the copy.
    size : int
        Bytes.
    bundled : bool
        Whether the original came with the program.
    """

    role: str
    path: str
    sha256: str
    size: int
    bundled: bool

    def to_json(self, prefix: str = "") -> dict[str, Any]:
        """Return this entry for a manifest, the path behind `prefix`."""
        return {
            "role": self.role,
            "path": prefix + self.path,
            "sha256": self.sha256,
            "bytes": self.size,
            "bundled": self.bundled,
        }


def write_copies(spec: Document, folder: Path) -> tuple[Copy, ...]:
    """Copy a loaded study and everything it names to `folder`.

    There is one folder for each folder of originals; an index in it (``references.json``) says which copy each
    reference means, so that files stay as they are, byte for byte. The copy of `spec` itself comes first.

    Parameters
    ----------
    spec : StudySpec or MonteCarloSpec
        Loaded from a file.
    folder : Path
        Made if it is not there.

    Returns
    -------
    tuple of Copy

    Raises
    ------
    SpecError
        If a file changed while the study ran.
    Unsupported
        If the study was made in Python or names a file that cannot be copied with its place.
    """
    if spec.source is None:
        raise Unsupported("the study was not read from a file, so that there is nothing to copy")
    seats: dict[Path, str] = {}
    indices: dict[str, dict[str, str]] = {}
    copies: dict[Path, Copy] = {}

    def seat(directory: Path) -> str:
        if directory not in seats:
            kind = next((k for k in resources.KINDS if resources.root(k).resolve() == directory.resolve()), None)
            own = sum(not name.startswith(resources.KINDS) for name in seats.values())
            seats[directory] = kind or ("own" if own == 0 else f"own{own + 1}")
        return seats[directory]

    def visit(document: Document, role: str) -> str:
        assert document.source is not None
        path = Path(os.path.abspath(document.source))
        name = f"{seat(path.parent)}/{path.name}"
        if path in copies:
            return name
        data = read_bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        if digest != document.digest:
            raise SpecError("the file changed while the study ran", file=path, hint="run it again")
        bundled = resources.is_bundled(path)
        copies[path] = Copy(role, name, digest, len(data), bundled)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        for kind, reference, inner_role, inner in _uses(document):
            found = visit(inner, inner_role)
            indices.setdefault(seat(path.parent), {})[f"{kind} {reference}"] = f"../{found}"
        return name

    visit(spec, spec.KIND)
    for directory, index in indices.items():
        text = json.dumps(dict(sorted(index.items())), indent=1, ensure_ascii=False) + "\n"
        (folder / directory / resources.INDEX_NAME).write_bytes(text.encode())
    return tuple(copies.values())


def _uses(document: Document) -> Iterator[tuple[str, str, str, Document]]:
    """Yield what a file names: kind of bundled file, reference as written, role, and what was loaded for it."""
    named: list[tuple[str, str | None, str, Document | None]] = []
    if isinstance(document, StudySpec):
        named = [
            ("surveys", document.survey, "survey", document.survey_spec),
            ("models", document.model, "model", document.model_spec),
            ("simulations", document.data.simulate, "simulation", document.simulation_spec),
        ]
    elif isinstance(document, MonteCarloSpec):
        population = document.population_spec
        if isinstance(document.population, str):
            named.append(("simulations", document.population, "simulation", population))
        elif getattr(document.population, "file", None) is not None:
            raise _Apart(document)
        if document.model is not None and not any(mark in document.model for mark in ("~", "\n")):
            named.append(("models", document.model, "model", document.model_spec))
    elif isinstance(document, SimulationSpec):
        named = [
            ("surveys", document.survey, "survey", document.survey_spec),
            ("models", document.model, "model", document.model_spec),
        ]
    elif isinstance(document, ModelSpec):
        named = [("surveys", document.survey, "survey", document.survey_spec)]
    elif getattr(document, "file", None) is not None:
        raise _Apart(document)
    for kind, reference, role, found in named:
        if reference is None or found is None or found.source is None:
            continue
        # a model may be used with another survey than its own, which was then not read
        if role != "survey" or _same(kind, reference, document, found):
            yield kind, reference, role, found


def _same(kind: str, reference: str, document: Document, found: Document) -> bool:
    assert found.source is not None
    try:
        return resources.resolve(kind, reference, document.base).resolve() == found.source.resolve()
    except SpecError:
        return False


class _Apart(Unsupported):
    """A population whose text stands in a file of its own, named by a path that only fits its own folder."""

    def __init__(self, document: Document) -> None:
        super().__init__(
            "the population names a file of lavaan text, which is not copied",
            file=document.source,
            hint="write the text into the file under 'text'",
        )
