"""The bundled files with their kind and title, for ``list`` and ``copy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from b2b_sem.errors import SpecError
from b2b_sem.resources import KINDS, list_bundled, resolve

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
    """Return all bundled files, by folder and id.

    Raises
    ------
    SpecError
        If the installation lost them.
    """
    return tuple(_describe(folder, identifier) for folder in KINDS for identifier in list_bundled(folder))


def _describe(folder: str, identifier: str) -> Bundled:
    path = resolve(folder, identifier)
    if path.suffix == ".lav":
        return Bundled(identifier, "model", folder, "lavaan syntax", path)
    # The head of the file says enough; the full check belongs to the command that uses it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        return Bundled(identifier, str(content["kind"]), folder, str(content["title"]), path)
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise SpecError("this bundled file is damaged", file=path, hint="install the package again") from error
