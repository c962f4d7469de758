"""A folder of results against its manifest: files that are missing, added or changed, and values that were edited."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from b2b_sem.errors import DataError
from b2b_sem.results.provenance import MANIFEST_NAME, seal, sha256, versions
from b2b_sem.results.verification import TOLERANCE, Finding, same_words

__all__ = [
    "REPORT",
    "check_files",
    "check_manifest",
    "check_versions",
    "compare_tables",
    "describe_change",
    "same_bytes",
]

#: The report of a run.
REPORT = "report.html"
#: Holds where and when the run was made.
_OWN = frozenset({"provenance.csv"})


def check_manifest(manifest: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[Finding]:
    """Compare a manifest with its own seal and with what the results say of their origin."""
    found = []
    for name in sorted({*manifest["versions"], *provenance.get("versions", {})}):
        here, there = manifest["versions"].get(name), provenance.get("versions", {}).get(name)
        if here != there and there is not None:
            message = f"{MANIFEST_NAME} says version {here or 'none'}, and the results were made with {there}"
            found.append(Finding("version", name, message))
    if "seed" in provenance and manifest.get("seed") != provenance["seed"]:
        message = f"{MANIFEST_NAME} says {manifest.get('seed')}, and the results were made with {provenance['seed']}"
        found.append(Finding("seed", "seed", message))
    for role, digest in provenance.get("digests", {}).items():
        if manifest.get("digests", {}).get(role) != digest:
            message = f"{MANIFEST_NAME} and the results name another file (their digests differ)"
            found.append(Finding("manifest", str(role), message))
    if manifest.get("seal") != seal(manifest):
        found.append(Finding("manifest", MANIFEST_NAME, "a value in it was changed after the run (its seal is broken)"))
    return found


def check_files(root: Path, manifest: Mapping[str, Any], *, extra: bool = True) -> list[Finding]:
    """Compare the files of a folder with the list in its manifest; with `extra` also those that are not in it."""
    found, listed = [], set()
    kinds = {str(c["path"]): "config" for c in manifest.get("configs") or ()}
    data = manifest.get("data") or {}
    if data.get("copy"):
        kinds[str(data["copy"])] = "data"
    for entry in manifest["files"]:
        name = str(entry["path"])
        listed.add(name)
        path = root / name
        if not path.is_file():
            found.append(Finding(kinds.get(name, "file"), name, "the file is missing"))
        elif sha256(path) != entry["sha256"]:
            found.append(Finding(kinds.get(name, "file"), name, "the file was changed after the run"))
    if extra:
        every = sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file())
        for path in every:
            name = path.as_posix()
            if name not in listed and name != MANIFEST_NAME and not any(part.startswith(".") for part in path.parts):
                found.append(Finding("file", name, "the file is not from this run"))
    return found


def check_versions(manifest: Mapping[str, Any]) -> list[Finding]:
    """Name the software that is another version here; no reason for a no by itself."""
    here = versions()
    found = []
    for name, there in manifest["versions"].items():
        if here.get(name) != there:
            found.append(
                Finding("version", name, f"{here.get(name) or 'not installed'} here, {there} in the run", grave=False)
            )
    return found


def describe_change(before: Path, after: Path) -> str:
    """Say in which lines two text files differ: ``line 12: 'alpha: 0.05' became 'alpha: 0.10'``; at most three."""
    try:
        a, b = (p.read_text(encoding="utf-8-sig").splitlines() for p in (before, after))
    except (OSError, UnicodeDecodeError):
        return ""
    out = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        old, new = " / ".join(x.strip() for x in a[i:j]), " / ".join(x.strip() for x in b[k:m])
        out.append(f"line {k + 1}: {_quote(old)} became {_quote(new)}")
    return "; ".join(out[:3])


def _quote(text: str) -> str:
    return "nothing" if not text else f"'{text[:60]}{'...' if len(text) > 60 else ''}'"


def compare_tables(folder: Path, fresh: Path, names: Iterable[str]) -> list[Finding]:
    """Compare tables (CSV) with freshly written ones, cell by cell; numbers with the tolerance of estimates.

    `names` are relative to both folders. Of each table the first cell that differs is named.
    """
    found = []
    for name in names:
        if Path(name).name in _OWN or not (folder / name).is_file():
            continue
        if not (fresh / name).is_file():
            found.append(Finding("file", name, "these results give no such table"))
            continue
        where = _first_cell(_cells(folder / name), _cells(fresh / name))
        if where:
            found.append(Finding("file", name, where))
    return found


def same_bytes(a: Path, b: Path) -> bool:
    """Tell whether two files hold the same; a missing one is another matter, and found by its absence."""
    return not a.is_file() or not b.is_file() or sha256(a) == sha256(b)


def _cells(path: Path) -> list[list[str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read as a table: {error}", file=path) from None


def _first_cell(saved: list[list[str]], fresh: list[list[str]]) -> str:
    header = fresh[0] if fresh else []
    if saved[:1] != fresh[:1]:
        return "the columns are others"
    for number, (a, b) in enumerate(zip(saved, fresh, strict=False), start=1):
        for column, (x, y) in enumerate(zip(a, b, strict=False)):
            if not _same_cell(x, y):
                name = header[column] if column < len(header) else str(column + 1)
                return f"line {number} ({_row_name(b)}), column {name}: '{x}' in the file, '{y}' now"
        if len(a) != len(b):
            return f"line {number} has {len(a)} cells, and not {len(b)}"
    return f"{len(saved) - 1} rows, and not {len(fresh) - 1}" if len(saved) != len(fresh) else ""


def _row_name(row: list[str]) -> str:
    words = [cell for cell in row[:3] if cell and _number(cell) is None]
    return " ".join(words) or row[0] if row else ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _same_cell(a: str, b: str) -> bool:
    if a == b:
        return True
    x, y = _number(a), _number(b)
    if x is None or y is None:
        return len(b) > 20 and same_words(a, b)  # sentences may round another way; names may not
    return abs(x - y) <= TOLERANCE * max(1.0, abs(x), abs(y))
