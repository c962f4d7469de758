"""Where the bundled files are, and what a reference to a file means.

The folders ``models/``, ``surveys/`` and ``simulations/`` at the top of the checkout are the only copies. An installed
wheel carries them under ``b2b_sem/_bundled/``; an editable install reads the checkout itself.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

from b2b_sem.errors import SpecError, did_you_mean

__all__ = ["INDEX_NAME", "KINDS", "is_bundled", "list_bundled", "resolve", "root"]

#: In a folder of copies: says which copy a reference means, by kind and text (see ``spec/copies.py``).
INDEX_NAME = "references.json"

KINDS = ("models", "surveys", "simulations")
"""The kinds of bundled file; simulations holds populations and the studies that run on them."""

_SUFFIXES = {"models": (".yaml", ".lav"), "surveys": (".yaml",), "simulations": (".yaml",)}


def root(kind: str) -> Path:
    """Return the directory that holds the bundled files of one kind.

    Parameters
    ----------
    kind : str
        One of ``models``, ``surveys``, ``simulations``.

    Raises
    ------
    SpecError
        If `kind` is not one of them, or the installation lost its files.
    """
    if kind not in KINDS:
        raise SpecError(f"there are no bundled '{kind}'.{did_you_mean(kind, KINDS)}", hint="Use " + ", ".join(KINDS))
    package = Path(str(files("b2b_sem")))
    candidates = [package / "_bundled" / kind]
    if (package.parent / "pyproject.toml").is_file():
        candidates.append(package.parent / kind)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise SpecError(
        f"the bundled {kind} are missing from this installation",
        file=candidates[0],
        hint="Install the package again.",
    )


def list_bundled(kind: str) -> tuple[str, ...]:
    """Return the ids of the bundled files of one kind, sorted."""
    suffixes = _SUFFIXES.get(kind, ())
    return tuple(sorted({path.stem for path in root(kind).iterdir() if path.suffix in suffixes}))


def is_bundled(path: str | os.PathLike[str], kind: str | None = None) -> bool:
    """Tell whether a file is one that comes with the program (of one kind), and so is named by its bare id."""
    file = Path(path).resolve()
    kinds = KINDS if kind is None else (kind,)
    return any(file.parent == root(k).resolve() and file.stem in list_bundled(k) for k in kinds)


def _copied(kind: str, text: str, base: str | os.PathLike[str]) -> Path | None:
    """Return the copy that a reference means in a folder of copies; None in any other folder."""
    try:
        index = json.loads((Path(base) / INDEX_NAME).read_text(encoding="utf-8"))
        target = index[f"{kind} {text}"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    path = Path(os.path.normpath(Path(base) / str(target)))
    return path if path.is_file() else None


def is_path(ref: str) -> bool:
    """Tell whether a reference is a path: it has a slash or a suffix. Anything else is the id of a bundled file."""
    return "/" in ref or "." in ref or os.sep in ref or ref.startswith("~")


def resolve(kind: str, ref: str | os.PathLike[str], base: str | os.PathLike[str] | None = None) -> Path:
    """Turn a reference into the path of an existing file.

    Parameters
    ----------
    kind : str
        One of ``models``, ``surveys``, ``simulations``.
    ref : str or path
        A bare id (``lima2026``) names a bundled file; anything with a slash or a suffix is a path.
    base : path, optional
        Directory that relative paths start from: that of the file which holds the reference. Default: the working
        directory.

    Returns
    -------
    Path
        The file. Relative paths without a base stay relative, so that messages show what the user wrote.

    Raises
    ------
    SpecError
        If there is no such bundled id or no such file; the message lists the ids and the closest one.
    """
    known = list_bundled(kind)
    listing = f"Bundled {kind}: {', '.join(known) or 'none'}."
    text = os.fspath(ref)
    if not text.strip():
        raise SpecError("the reference is empty", hint=f"{listing} A file is named by its path.")
    if base is not None and (copy := _copied(kind, text, base)) is not None:
        return copy
    if not isinstance(ref, str) or is_path(text):
        path = Path(text).expanduser()
        if base is not None and not path.is_absolute():
            path = Path(base) / path
        if path.is_dir():
            raise SpecError("this is a directory, not a file", file=path, hint=listing)
        if not path.exists():
            stem = path.stem
            hint = f"The bundled file is named by its bare id: {stem}" if stem in known else "Check the path."
            where = "" if path.is_absolute() else f" (looked in {Path.cwd()})"
            raise SpecError(f"there is no such file{where}", file=path, hint=hint)
        return path
    directory = root(kind)
    for suffix in _SUFFIXES[kind]:
        candidate = directory / f"{text}{suffix}"
        if candidate.is_file():
            return candidate
    beside = next((p for s in _SUFFIXES[kind] if (p := Path(base or ".") / f"{text}{s}").is_file()), None)
    hint = f"Your own file is named by its path: ./{beside.name}" if beside else "Your own file is named by its path."
    raise SpecError(f"there is no bundled {kind[:-1]} '{text}'.{did_you_mean(text, known)}", hint=f"{listing} {hint}")
