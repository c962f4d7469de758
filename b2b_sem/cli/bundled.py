"""The bundled files with their kind and title, for ``list`` and ``copy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from b2b_sem.resources import resolve
from b2b_sem.spec.loader import FOLDERS, list_specs

__all__ = ["Bundled", "bundled_files"]


@dataclass(frozen=True)
class Bundled:
    """One bundled file.

    Attributes
    ----------
    id : str
        Its bare id.
    kind : str
        ``survey``, ``model``, ``simulation`` or ``study``.
    folder : str
        The bundled folder it is in (studies are in ``simulations``).
    title : str
    path : Path
    """

    id: str
    kind: str
    folder: str
    title: str
    path: Path


def bundled_files() -> tuple[Bundled, ...]:
    """Return all bundled files by kind and id.

    Raises
    ------
    SpecError
        If the installation lost or damaged them.
    """
    return tuple(
        Bundled(identifier, kind, folder, title, resolve(folder, identifier))
        for kind, folder in FOLDERS.items()
        for identifier, title in list_specs(kind)
    )
