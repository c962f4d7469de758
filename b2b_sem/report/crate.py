"""RO-Crate 1.1: the folder of results described for archives, as JSON-LD (https://w3id.org/ro/crate/1.1)."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from b2b_sem.results.io import write_json
from b2b_sem.results.provenance import MANIFEST_NAME, now, sha256, versions
from b2b_sem.results.study import StudyResult

__all__ = ["CRATE_NAME", "describe_crate", "write_crate"]

CRATE_NAME = "ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/crate/1.1"
_SOFTWARE = "#b2b-sem"
#: Formats that the tables of the Python library may not know everywhere.
_TYPES = {".csv": "text/csv", ".json": "application/json", ".html": "text/html", ".yaml": "application/yaml"}
_ABOUT = {
    "results.json": "All results of the study as JSON.",
    "report.html": "The report; works without a network.",
    MANIFEST_NAME: "Digests of all files, versions, seed and command; what 'b2b-sem verify' reads.",
}


def write_crate(result: StudyResult, folder: Path, inputs: Mapping[str, Any]) -> Path:
    """Write ``ro-crate-metadata.json`` for a folder of results; all other files but the manifest are there already."""
    return write_json(folder / CRATE_NAME, describe_crate(result, folder, inputs))


def describe_crate(result: StudyResult, folder: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a folder of results.

    Parameters
    ----------
    result : StudyResult
    folder : Path
    inputs : mapping
        ``configs`` and ``data`` of the manifest.

    Returns
    -------
    dict
        ``@context`` and ``@graph``: the descriptor, the root data set, its files, people, the software, and the run as
        a CreateAction.
    """
    date = str(result.provenance.get("created") or now())
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != CRATE_NAME)
    configs = {str(c["path"]): str(c["role"]) for c in inputs.get("configs") or ()}
    entities = [_file(folder, name, configs.get(name)) for name in files if not name.startswith(".")]
    entities.append({"@id": MANIFEST_NAME, "@type": "File", **_words(MANIFEST_NAME, None)})
    data = inputs.get("data")
    sources = [{"@id": name} for name in configs]
    if data and data.get("copy"):
        sources.append({"@id": data["copy"]})
    people = [_person(a, i) for i, a in enumerate(result.study.get("authors") or ())]
    places = {p["affiliation"]["@id"]: p.pop("_place") for p in people if "_place" in p}
    outputs = [e["@id"] for e in entities if {"@id": e["@id"]} not in sources]
    root: dict[str, Any] = {
        "@id": "./",
        "@type": "Dataset",
        "name": result.title,
        "description": result.study.get("description") or f"Results of the study '{result.id}' by b2b-sem.",
        "datePublished": date,
        "license": {"@id": "#license"},
        "hasPart": [{"@id": e["@id"]} for e in entities],
        "mentions": [{"@id": "#run"}],
    }
    if people:
        root["author"] = [{"@id": p["@id"]} for p in people]
    run: dict[str, Any] = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Run of the study",
        "description": str(result.provenance.get("command") or ""),
        "endTime": date,
        "instrument": {"@id": _SOFTWARE},
        "object": sources,
        "result": [{"@id": name} for name in outputs],
    }
    if people:
        run["agent"] = [{"@id": p["@id"]} for p in people]
    release = str((result.provenance.get("versions") or versions()).get("b2b-sem", ""))
    graph: list[dict[str, Any]] = [
        {
            "@id": CRATE_NAME,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": _PROFILE},
        },
        root,
        *entities,
        *people,
        *places.values(),
        {
            "@id": _SOFTWARE,
            "@type": "SoftwareApplication",
            "name": "b2b-sem",
            "description": "Structural equation models for B2B influencer research.",
            "version": release,
            "softwareVersion": release,
        },
        {
            "@id": "#license",
            "@type": "CreativeWork",
            "name": "No licence stated",
            "description": "The authors have not stated under which licence these results may be used.",
        },
        run,
    ]
    # the terms of RO-Crate 1.1 are older than schema.org's sha256
    return {"@context": [f"{_PROFILE}/context", {"sha256": "https://schema.org/sha256"}], "@graph": graph}


def _file(folder: Path, name: str, role: str | None) -> dict[str, Any]:
    path = folder / name
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {
        "@id": name,
        "@type": "File",
        **_words(name, role),
        "encodingFormat": kind,
        "contentSize": str(path.stat().st_size),
        "sha256": sha256(path),
    }


def _words(name: str, role: str | None) -> dict[str, str]:
    if role is not None:
        return {"name": name, "description": f"The {role} file of the run."}
    if name.startswith("tables/"):
        return {"name": name, "description": "A table of the report, with numbers at full precision."}
    return {"name": name, **({"description": _ABOUT[name]} if name in _ABOUT else {})}


def _person(author: Mapping[str, Any], position: int) -> dict[str, Any]:
    orcid = author.get("orcid")
    out: dict[str, Any] = {
        "@id": f"https://orcid.org/{orcid}" if orcid else f"#author{position + 1}",
        "@type": "Person",
        "name": author["name"],
    }
    if author.get("affiliation"):
        place = f"#affiliation{position + 1}"
        out["affiliation"] = {"@id": place}
        out["_place"] = {"@id": place, "@type": "Organization", "name": author["affiliation"]}
    return out
