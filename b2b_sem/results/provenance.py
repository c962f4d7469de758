"""Where results come from: versions, digests, and the manifest that lists every produced file."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from b2b_sem.errors import DataError
from b2b_sem.results.io import plain, write_json

__all__ = [
    "MANIFEST_NAME",
    "MANIFEST_VERSION",
    "blas",
    "is_clock_fixed",
    "now",
    "read_manifest",
    "renderers",
    "seal",
    "sha256",
    "versions",
    "write_manifest",
]

MANIFEST_NAME = "manifest.json"
MANIFEST_VERSION = 2

#: Distributions whose release can move a number.
_NUMERIC = ("numpy", "scipy", "pandas", "semopy", "statsmodels", "factor-analyzer", "scikit-learn")


#: Distributions that shape the report.
_DRAWING = ("plotly", "jinja2")


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the libraries that can move a number.

    Read from the installed metadata: nothing is imported. A library that is not installed is left out.
    """
    return {"python": platform.python_version(), **_installed(("b2b-sem", *_NUMERIC))}


def renderers() -> dict[str, str]:
    """Return the versions of what turns results into a report: other ones may write other bytes."""
    return _installed(("b2b-sem", *_DRAWING))


def _installed(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the present moment in UTC as ISO 8601 text, to the second.

    ``SOURCE_DATE_EPOCH`` (seconds since 1970), when set, replaces the clock, so that two runs can be byte-identical.
    """
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def is_clock_fixed() -> bool:
    """Tell whether ``SOURCE_DATE_EPOCH`` replaces the clock."""
    return os.environ.get("SOURCE_DATE_EPOCH", "").isdigit()


def blas() -> list[str]:
    """Return the libraries of linear algebra that are loaded, such as ``openblas 0.3.29 (SkylakeX)``, sorted."""
    from threadpoolctl import threadpool_info

    found = set()
    for library in threadpool_info():
        if library.get("user_api") == "blas":
            kind = f" ({library['architecture']})" if library.get("architecture") else ""
            found.add(f"{library['internal_api']} {library.get('version') or 'of unknown version'}{kind}")
    return sorted(found)


def seal(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its key ``seal``, which holds it: shows that no value was edited."""
    rest = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_manifest(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the manifest of a folder of results.

    Raises
    ------
    DataError
        If there is none, it is not JSON, or a program of another version wrote it.
    """
    path = Path(directory) / MANIFEST_NAME
    hint = "name a folder that 'b2b-sem run' wrote"
    if not path.is_file():
        what = "there is no manifest in this folder" if Path(directory).is_dir() else "there is no such folder"
        raise DataError(what, file=path if Path(directory).is_dir() else directory, hint=hint)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read as a manifest: {error}", file=path, hint=hint) from None
    version = manifest.get("manifest_version") if isinstance(manifest, dict) else None
    if version != MANIFEST_VERSION:
        raise DataError(
            f"this program reads manifests of version {MANIFEST_VERSION}, and this one has {version!r}",
            file=path,
            hint="use the version of the program that is named in it, or run the study again",
        )
    return dict(manifest)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 digest of a file as 64 hexadecimal digits.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read the file: {error.strerror or error}", file=path) from error


def _entry(path: Path, shown: str) -> dict[str, Any]:
    return {"path": shown, "sha256": sha256(path), "bytes": path.stat().st_size}


def write_manifest(
    directory: str | os.PathLike[str],
    *,
    command: Sequence[str],
    seed: int | None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    digests: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> Path:
    """Write ``manifest.json``: every file of `directory` with its digest and size, and how they were made.

    Parameters
    ----------
    directory : path
        Folder of produced files; every file in it is listed, in name order, except hidden ones and the manifest.
    command : sequence of str
        The command line, word by word.
    seed : int or None
        Seed of the random numbers; None if none were drawn.
    inputs : iterable of paths
        Files that were read; listed as given, with digest and size.
    digests : mapping, optional
        Digests of inputs that are known by name only (for example bundled files).
    extra : mapping, optional
        More facts, merged in at the top level (for example the engine).
    seconds : float, optional
        How long it took; left out when ``SOURCE_DATE_EPOCH`` fixes the clock.

    Returns
    -------
    Path
        The manifest, written last and whole, so that its presence says the folder is complete.

    Raises
    ------
    DataError
        If one of the files cannot be read.
    """
    root = Path(directory)
    files = sorted(
        (p for p in root.rglob("*") if p.is_file() and p != root / MANIFEST_NAME),
        key=lambda p: p.relative_to(root).as_posix(),
    )
    shown = [(p, p.relative_to(root)) for p in files]
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        **(extra or {}),
        "command": list(command),
        "seed": seed,
        "created": now(),
        "seconds": None if seconds is None or is_clock_fixed() else round(seconds, 1),
        "versions": versions(),
        "renderers": renderers(),
        "blas": blas(),
        "platform": f"{platform.system()} {platform.machine()}, {sys.implementation.name}",
        "inputs": [_entry(Path(p), os.fspath(p)) for p in inputs],
        "digests": dict(digests or {}),
        "files": [_entry(p, name.as_posix()) for p, name in shown if not any(x.startswith(".") for x in name.parts)],
    }
    manifest = plain(manifest)
    return write_json(root / MANIFEST_NAME, {**manifest, "seal": seal(manifest)})
