"""Repeating a run from its folder: the same files, the same data, the same numbers?"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2b_sem import resources
from b2b_sem.errors import B2BSemError, DataError, SpecError, Unsupported
from b2b_sem.spec.loader import load_montecarlo, load_study

if TYPE_CHECKING:
    from b2b_sem.results.study import StudyResult
    from b2b_sem.results.verification import Comparison, Finding, Verification
    from b2b_sem.spec.study import StudySpec

__all__ = ["describe_run", "verify"]

#: Writes the tables and the report of a result into a folder.
Writer = Callable[["StudyResult", Path], None]
#: Another version of these may draw other random numbers.
_DRAWING = ("numpy", "scipy", "b2b-sem")


def describe_run(
    spec: StudySpec, target: Path, data: str | os.PathLike[str] | None, copy: str | None = None
) -> dict[str, Any] | None:
    """Return what a manifest says of the data file: name, digest, columns, place; None if none was read.

    Parameters
    ----------
    spec : StudySpec
    target : Path
        The folder of results, which the place of the data is relative to.
    data : path, optional
        The file given instead of that of the study.
    copy : str, optional
        Path of a copy in the folder.
    """
    from b2b_sem.data.fingerprint import fingerprint
    from b2b_sem.data.read import read_covariance
    from b2b_sem.results.provenance import sha256
    from b2b_sem.study import read_answers

    path = Path(data) if data is not None else spec.data_path
    if path is None:
        return None
    matrix = data is None and spec.data.origin == "covariance"
    frame = read_covariance(path) if matrix else read_answers(spec, data).frame
    try:
        place: str | None = Path(os.path.relpath(path, target)).as_posix()
    except ValueError:  # another drive
        place = None
    return {
        "name": path.name,
        "path": place,
        "copy": copy,
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "rows": len(frame),
        "columns": fingerprint(frame),
    }


def verify(
    directory: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    extra: bool = True,
    outputs: Writer | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Repeat a run and compare: does the folder hold what its files and its data give?

    The folder is first compared with its manifest (files, seal, seed, versions). Then the run is repeated from the
    copies of its files, and every value is compared: whole numbers, words and decisions must be the same, other numbers
    may differ by 1e-6 (:class:`b2b_sem.results.verification.Difference` says relative to what). Numbers from random
    draws have the same seed and must be the same, too; where numpy, scipy or this program is another version, they may
    differ by three Monte Carlo errors.

    Without the data the main fit, scales, effects, rivals and verdicts are repeated from the covariance matrix and the
    number of rows, if they follow from these; `unchecked` says what was left out.

    Parameters
    ----------
    directory : path
        Written by ``b2b-sem run`` or ``b2b-sem montecarlo``.
    data : path, optional
        The data file, if it is neither in the folder nor at its old place beside it.
    jobs : int
        Worker processes.
    extra : bool
        Whether files that are not from the run count.
    outputs : callable, optional
        ``outputs(result, folder)`` writes tables and report, which are then compared, too.
    progress : callable, optional
        Called with one line of text at each step.

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        If the folder has no manifest, or the file given as `data` cannot be read.
    Unsupported
        For a folder that another command wrote.
    """
    from b2b_sem.results.folder import check_files, check_manifest, check_versions
    from b2b_sem.results.provenance import read_manifest
    from b2b_sem.results.verification import Finding, Verification

    root, say = Path(directory), progress or (lambda text: None)
    manifest = read_manifest(root)
    kind = next((k for k in ("study", "montecarlo") if k in manifest), None)
    if kind is None:
        raise Unsupported(
            "only the folders of 'b2b-sem run' and 'b2b-sem montecarlo' can be verified",
            file=root,
            hint="repeat the command in its manifest",
        )
    if data is not None and not Path(data).is_file():
        raise DataError("there is no such data file", file=data)
    name = str(manifest[kind])
    say(f"comparing {root} with its manifest")
    findings = check_files(root, manifest, extra=extra)
    findings += _explain_configs(root, manifest, findings)
    saved = _read_results(root)
    if saved is None:
        findings = [f for f in findings if f.where != "results.json"]
        message = "the file is missing or no longer JSON: there is nothing to compare with"
        findings.append(Finding("file", "results.json", message))
        return Verification(name, "differs", "nothing", tuple(findings))
    findings += check_manifest(manifest, saved.get("provenance") or {})
    findings += check_versions(manifest)
    if not manifest.get("configs"):
        unchecked: tuple[str, ...] = ("everything: the folder holds no copies of the files that the run was made from",)
        return Verification(name, _answer(findings, None, False), "nothing", tuple(findings), None, unchecked)
    try:
        run = _repeat_montecarlo if kind == "montecarlo" else _repeat_study
        basis, comparison, more, unchecked = run(root, manifest, saved, data, jobs, outputs, say)
    except (SpecError, DataError, Unsupported) as error:
        if not any(f.grave for f in findings):
            raise
        # the folder was changed: that it cannot be run any more is a part of the answer
        message = f"the run could not be repeated: {error}"
        return Verification(name, "differs", "nothing", tuple(findings), None, (message,))
    findings += more
    return Verification(
        name, _answer(findings, comparison, basis != "nothing"), basis, tuple(findings), comparison, unchecked
    )


def _answer(findings: list[Finding], comparison: Comparison | None, repeated: bool) -> str:
    if any(f.grave for f in findings) or (comparison is not None and comparison.differences):
        return "differs"
    return "equal" if repeated else "cannot"


def _read_results(root: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((root / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _explain_configs(root: Path, manifest: Mapping[str, Any], findings: list[Finding]) -> list[Finding]:
    """Say in which lines a changed copy differs from the bundled file it was made from, as far as that is here."""
    from b2b_sem.results.folder import describe_change
    from b2b_sem.results.provenance import sha256
    from b2b_sem.results.verification import Finding

    out = []
    changed = {f.where for f in findings if f.kind == "config"}
    for entry in manifest.get("configs") or ():
        name = str(entry["path"])
        if not entry.get("bundled"):
            continue
        folder = Path(name).parent.name
        original = resources.root(folder) / Path(name).name if folder in resources.KINDS else None
        if original is None or not original.is_file():
            continue
        if sha256(original) != entry["sha256"]:
            message = f"the bundled {entry['role']} of this version is another one; the copy of the run was used"
            out.append(Finding("config", name, message, grave=False))
        elif name in changed and (root / name).is_file():
            out.append(Finding("config", name, describe_change(original, root / name)))
    return out


# ---- repeating -----------------------------------------------------------------------------------------------------

#: What was noticed while reading the file.
_READING = (("sample", "notes"), ("missingness", "notes"))

_Repeated = tuple[str, "Comparison | None", "list[Finding]", tuple[str, ...]]


def _other_draws(manifest: Mapping[str, Any]) -> bool:
    """Tell whether software is another version that may draw other random numbers."""
    from b2b_sem.results.provenance import versions

    here = versions()
    return any(here.get(name) != manifest["versions"].get(name) for name in _DRAWING)


def _repeat_montecarlo(
    root: Path,
    manifest: Mapping[str, Any],
    saved: Mapping[str, Any],
    data: str | os.PathLike[str] | None,
    jobs: int,
    outputs: Writer | None,
    say: Callable[[str], None],
) -> _Repeated:
    from b2b_sem.results.verification import Finding, compare_results
    from b2b_sem.simulate.experiment import monte_carlo

    if data is not None:
        raise DataError("a Monte Carlo study has no data file", hint="leave --data out")
    spec = load_montecarlo(root / manifest["configs"][0]["path"])
    given = manifest.get("arguments") or {}
    say(f"drawing and fitting {manifest['replications']} samples of each condition")
    found = monte_carlo(spec, replications=manifest["replications"], seed=given.get("seed"), jobs=jobs)
    findings = []
    if found.seed != manifest.get("seed"):
        message = f"the manifest says {manifest.get('seed')}, and the study and its command say {found.seed}"
        findings.append(Finding("seed", "seed", message))
    comparison = compare_results(saved, found.to_dict(), resampled=_other_draws(manifest))
    return "simulation", comparison, findings, ()


def _repeat_study(
    root: Path,
    manifest: Mapping[str, Any],
    saved: Mapping[str, Any],
    data: str | os.PathLike[str] | None,
    jobs: int,
    outputs: Writer | None,
    say: Callable[[str], None],
) -> _Repeated:
    from b2b_sem.results.verification import Finding, compare_results
    from b2b_sem.study import run_study

    spec = load_study(root / manifest["configs"][0]["path"], check_data=False)
    given = manifest.get("arguments") or {}
    replaced = bool(given.get("data"))
    needed = replaced or spec.data.origin != "simulate"
    if data is not None and not needed:
        raise DataError("the data of this run were simulated", hint="leave --data out")
    findings: list[Finding] = []
    path = None
    if needed:
        path = _find_data(root, manifest.get("data") or {}, data)
        if path is None:
            return _from_moments(root, manifest, saved, spec, outputs, say)
        spec = spec if replaced else _placed_at(spec, path)
        findings += _check_data(path, manifest.get("data") or {}, spec, path if replaced else None)
    try:
        result = run_study(
            spec,
            data=path if replaced else None,
            seed=given.get("seed"),
            engine=given.get("engine"),
            jobs=jobs,
            progress=say,
        )
    except (SpecError, DataError, Unsupported):
        if not any(f.grave for f in findings):
            raise
        return "nothing", None, findings, ("everything: the run cannot be repeated with these data",)
    seed = result.provenance.get("seed")
    if seed != manifest.get("seed"):
        message = f"the manifest says {manifest.get('seed')}, and the study and its command say {seed}"
        findings.append(Finding("seed", "seed", message))
    say("comparing the results")
    # a file that is written in another way is described by other words, with the same numbers
    written = _READING if any(f.kind == "data" and not f.grave for f in findings) else ()
    comparison = compare_results(saved, result.to_json(), resampled=_other_draws(manifest), ignored=written)
    if not written:
        findings += _compare_outputs(root, manifest, saved, result, outputs, not comparison.differences)
    return "data" if needed else "simulation", comparison, findings, ()


def _find_data(root: Path, entry: Mapping[str, Any], data: str | os.PathLike[str] | None) -> Path | None:
    """Return the data file: the one given, the copy in the folder, or the original at its old place."""
    places: list[str | os.PathLike[str]] = []
    if data is not None:
        places.append(data)
    else:
        places += [root / entry[key] for key in ("copy", "path") if entry.get(key)]
    return next((Path(os.path.normpath(p)) for p in places if Path(p).is_file()), None)


def _placed_at(spec: StudySpec, path: Path) -> StudySpec:
    """Return the study with its own data file at another place; how it is read stays the same."""
    key = "covariance" if spec.data.origin == "covariance" else "file"
    own = getattr(spec.data, key)
    section = spec.data.model_copy(update={key: os.path.abspath(path)})
    if key == "file" and section.format is None and Path(own).suffix.lower() != path.suffix.lower():
        raise DataError(f"the study reads '{Path(own).name}', and this file has another format", file=path)
    return spec.model_copy(update={"data": section})


def _check_data(
    path: Path, entry: Mapping[str, Any], spec: StudySpec, given: str | os.PathLike[str] | None
) -> list[Finding]:
    """Compare a data file with the one of the run, and say which columns are others."""
    from b2b_sem.data.fingerprint import compare_columns, fingerprint
    from b2b_sem.data.read import read_covariance
    from b2b_sem.results.provenance import sha256
    from b2b_sem.results.verification import Finding
    from b2b_sem.study import read_answers

    if sha256(path) == entry.get("sha256"):
        return []
    matrix = given is None and spec.data.origin == "covariance"
    try:
        frame = read_covariance(path) if matrix else read_answers(spec, given).frame
    except B2BSemError as error:
        return [Finding("data", path.name, f"not the data of the run, and cannot be read: {error.message}")]
    changes = compare_columns(dict(entry.get("columns") or {}), fingerprint(frame))
    rows = entry.get("rows")
    if isinstance(rows, int) and rows != len(frame):
        return [Finding("data", path.name, f"{len(frame)} rows, and the data of the run had {rows}")]
    if not changes:
        return [Finding("data", path.name, "written in another way, with the same values in the same order", False)]
    return [Finding("data", path.name, "not the data of the run: " + "; ".join(changes))]


def _from_moments(
    root: Path,
    manifest: Mapping[str, Any],
    saved: Mapping[str, Any],
    spec: StudySpec,
    outputs: Writer | None,
    say: Callable[[str], None],
) -> _Repeated:
    """Repeat what follows from the covariance matrix and the number of rows in the results."""
    from b2b_sem.analysis.moment_check import repeat_from_moments
    from b2b_sem.propositions import judge
    from b2b_sem.results.study import StudyResult
    from b2b_sem.results.verification import compare_results

    name = (manifest.get("data") or {}).get("name") or "the data file"
    model = spec.model_spec
    assert model is not None  # a study is loaded with it
    say(f"{name} is not here: repeating from the covariance matrix and the number of rows")
    before = StudyResult.from_json(saved)
    settings = spec.fit_settings().stated()
    if (engine := (manifest.get("arguments") or {}).get("engine")) is not None:
        settings["engine"] = engine
    try:
        old, new, repeated, unchecked = repeat_from_moments(before, model, spec.survey_spec, settings, spec.alpha)
    except Unsupported as error:
        return "nothing", None, [], (f"everything: {name} is not here, and {error.message}",)
    if "propositions" in spec.steps:
        verdicts = judge(
            model.propositions,
            repeated.fit,
            alpha=spec.alpha,
            level=spec.confidence,
            multiplicity=spec.multiplicity,
            names=dict(before.study.get("construct_names") or {}),
            effects=repeated.effects,
            # what rests on rows is taken as it was, and only the verdict on it is repeated
            comparisons=before.comparisons,
            moderations=before.moderations,
        )
        if _whole(old):
            old["verdicts"] = [v.to_json() for v in before.verdicts]
            new["verdicts"] = [v.to_json() for v in verdicts]
        else:
            unchecked.append("verdicts")
    # the numbers at the top of the results are those of the fit
    top = {key: saved.get(key) for key in ("parameters", "standardized", "measures", "r2", "nobs", "converged")}
    old["top"] = {k: v for k, v in top.items() if _whole(old)}
    new["top"] = {k: new["fit"][k] for k in top if _whole(old)}
    comparison = compare_results(old, new)
    more = _compare_outputs(root, manifest, saved, before, outputs, not comparison.differences)
    return "moments", comparison, more, (f"{name} is not here; not repeated: " + "; ".join(unchecked),)


def _whole(part: Mapping[str, Any]) -> bool:
    """Tell whether standard errors were repeated."""
    rows = part["fit"]["parameters"]
    return bool(rows) and "se" in rows[0]


def _compare_outputs(
    root: Path,
    manifest: Mapping[str, Any],
    saved: Mapping[str, Any],
    result: StudyResult,
    outputs: Writer | None,
    intact: bool,
) -> list[Finding]:
    """Compare tables with those of the repetition; one that is only as wrong as the results is not accused itself.

    `intact`: the results hold what was found, so that the report must show them.
    """
    if outputs is None:
        return []
    from b2b_sem.results.folder import REPORT, compare_tables, same_bytes
    from b2b_sem.results.provenance import renderers
    from b2b_sem.results.study import StudyResult
    from b2b_sem.results.verification import Finding

    listed = [str(entry["path"]) for entry in manifest["files"]]
    names = [name for name in listed if name.startswith("tables/") and name.endswith(".csv")]
    with tempfile.TemporaryDirectory(prefix="b2b-sem-") as folder:
        fresh, own = Path(folder) / "fresh", Path(folder) / "own"
        outputs(result, fresh)
        found = compare_tables(root, fresh, names)
        try:
            outputs(StudyResult.from_json(saved), own)
        except (B2BSemError, KeyError, TypeError, ValueError):  # edited until it is no result any more
            return found
        wrong = {f.where for f in compare_tables(root, own, [f.where for f in found])}
        found = [f for f in found if f.where in wrong]
        # the report shows the results of the folder, byte by byte, whatever its digest says
        comparable = intact and renderers() == manifest.get("renderers") and REPORT in listed
        if comparable and not same_bytes(root / REPORT, own / REPORT):
            found.append(Finding("file", REPORT, "the file does not show these results"))
    return found
