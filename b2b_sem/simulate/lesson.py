"""Lessons: a data set whose truth is hidden, made from a population that serves as the pattern.

The truth is kept in a sealed file: the texts of population, model and survey, what was drawn, and the seed. With these
the same answers can be drawn again, so that a check knows exactly what was handed out.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray

from b2b_sem.errors import DataError, SpecError, did_you_mean, whole_number
from b2b_sem.results.io import plain
from b2b_sem.results.lesson import ANSWERS, LESSON_VERSION, LISTING, SEAL, STUDY, Lesson, file_entry
from b2b_sem.results.provenance import versions
from b2b_sem.results.seal import make_key, normalize_key, open_seal, seal
from b2b_sem.simulate.lesson_draw import LEVELS, draw_parts
from b2b_sem.simulate.lesson_task import CODEBOOK, make_task
from b2b_sem.simulate.respond import ID_COLUMN, SimulatedData, simulate, sources
from b2b_sem.spec.base import Document
from b2b_sem.spec.loader import load_simulation
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.part import clean, with_parts
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["KEY_SUFFIX", "OpenLesson", "key_file", "make_lesson", "open_lesson"]

#: The key of the lesson in the folder x is kept in the file x.key beside it.
KEY_SUFFIX = ".key"
_NOTE = """This file holds the truth of a lesson: the values that the answers were drawn with.
It is sealed, not encrypted: the seal keeps you from seeing it by accident, no more. Please leave it as it is."""
#: Seeds beyond this are not whole in JSON read by other programs.
_SEED_BITS = 53
#: Respondents below which no model of latent variables says anything.
_FEWEST = 30


@dataclass(frozen=True)
class OpenLesson:
    """The truth of a lesson, and its respondents.

    Attributes
    ----------
    id, title, level : str
    n, seed : int
    spec : SimulationSpec
        The population with its hidden values, tied to model and survey.
    drawn : SimulatedData
        The respondents of the lesson and their true values.
    recorded : DataFrame
        Their answers as the file holds them.
    spoiled : ndarray of bool, shape (n,)
        Who answered carelessly or in straight lines.
    codes : bool
        Whether missing answers are recorded by codes.
    same : bool
        Whether the answers that were drawn again are those that were handed out.
    digest : str
        SHA-256 of the answers that were handed out.
    folder : Path or None
        Where the lesson is, if it was opened from files.
    """

    id: str
    title: str
    level: str
    n: int
    seed: int
    spec: SimulationSpec
    drawn: SimulatedData
    recorded: pd.DataFrame
    spoiled: NDArray[np.bool_]
    codes: bool
    same: bool
    digest: str
    folder: Path | None = None

    @property
    def model(self) -> ModelSpec:
        """The true model."""
        return sources(self.spec)[0]

    @property
    def survey(self) -> SurveySpec:
        """The questionnaire."""
        return sources(self.spec)[1]

    @property
    def truth(self) -> pd.DataFrame:
        """Values that hold for all respondents together: lhs, op, rhs, value, expected."""
        return self.drawn.truth if self.drawn.pooled is None else self.drawn.pooled


def make_lesson(
    sim: str | os.PathLike[str] | SimulationSpec = "lima2026",
    n: int = 400,
    seed: int | None = None,
    *,
    level: str = "standard",
    key: str | None = None,
) -> Lesson:
    """Make a data set with hidden truth, and what students need to look for it.

    Paths, loadings, correlations, products and differences of groups are drawn at random; some paths are zero and some
    have the other sign than the propositions of the model say. The structure, the questionnaire and the distributions
    of the answers are those of `sim`.

    Parameters
    ----------
    sim : str, path or SimulationSpec
        Bundled id, path of a simulation file, or a loaded one. Its values only tell signs of what no proposition names.
    n : int
        Number of respondents.
    seed : int, optional
        The same seed makes the same lesson. Default: a number that nobody knows; it is in the sealed truth.
    level : {"intro", "standard", "hard"}
        intro: clean answers, large effects. standard: smaller effects, careless respondents, answers missing by chance.
        hard: also straight-liners, respondents who break off, codes for missing answers, common method variance.
    key : str, optional
        What opens the sealed truth. Default: a key that follows from the seed.

    Returns
    -------
    Lesson
        ``lesson.save(folder)`` writes the files that are handed out; ``lesson.key`` stays with the teacher.

    Raises
    ------
    SpecError
        If the population is not valid, was not loaded from files, or no hidden values can be found.
    DataError
        For arguments out of range.
    Unsupported
        For populations with sections that a lesson has of its own.

    Examples
    --------
    >>> import b2b_sem as bs
    >>> lesson = bs.make_lesson("lima2026", n=300, seed=7, level="intro")
    >>> sorted(lesson.files)[:3]
    ['answers.csv', 'codebook.csv', 'lesson.json']
    """
    if level not in LEVELS:
        raise DataError(f"there is no level '{level}'.{did_you_mean(level, LEVELS)}", hint="use " + ", ".join(LEVELS))
    n = whole_number(n, "n", _FEWEST)
    seed = secrets.randbits(_SEED_BITS) if seed is None else whole_number(seed, "seed", 0)
    pattern = sim if isinstance(sim, SimulationSpec) else load_simulation(sim)
    model, survey = sources(pattern)
    texts, names = _texts(pattern, model, survey)
    stream = SeedSequence(seed, spawn_key=(zlib.crc32(level.encode()),))
    # the answers have a seed of their own, so that they tell nothing of the values
    values, answers = stream.spawn(2)
    parts = json.loads(json.dumps(draw_parts(pattern, LEVELS[level], default_rng(values))))
    drawn_with = int(answers.generate_state(1, np.uint64)[0])
    spec = with_parts(pattern, parts, model, survey)
    data = simulate(spec, n, drawn_with)
    recorded = _recorded(data.frame, survey, LEVELS[level].codes)
    title = f"Lesson: what is true of '{model.title}'?"
    identifier = f"{pattern.id}_{level}"
    key = make_key(pattern.id, level, n, seed) if key is None else key
    normalize_key(key)
    task = make_task(pattern, model, survey, level, n, title, names["model"])
    files = {
        ANSWERS: _csv(recorded),
        CODEBOOK: _csv(_codebook(data, level)),
        "survey.yaml": texts["survey"],
        names["model"]: texts["model"],
        STUDY: _study(identifier, title, pattern, model, names["model"]),
        "task.md": task.to_markdown(),
    }
    hidden = {
        "lesson": LESSON_VERSION,
        "id": identifier,
        "title": title,
        "level": level,
        "n": n,
        "seed": seed,
        "answers_seed": drawn_with,
        "base": {"names": names, "texts": texts},
        "parts": parts,
        "codes": LEVELS[level].codes,
        "digests": {name: file_entry(name, text)["sha256"] for name, text in files.items()},
        "versions": versions(),
    }
    files[SEAL] = seal(hidden, key, _NOTE)
    listing = {
        "lesson_version": LESSON_VERSION,
        "id": identifier,
        "title": title,
        "level": level,
        "n": n,
        "files": [file_entry(name, text) for name, text in sorted(files.items())],
    }
    files[LISTING] = json.dumps(plain(listing), indent=1, ensure_ascii=False) + "\n"
    return Lesson(identifier, title, level, n, key, task, MappingProxyType(files))


def key_file(folder: str | os.PathLike[str]) -> Path:
    """Return where the key of a lesson is kept: beside its folder, so that the folder can be handed out as it is."""
    path = Path(folder).resolve()
    return path.with_name(path.name + KEY_SUFFIX)


def open_lesson(lesson: str | os.PathLike[str] | Lesson, key: str | None = None) -> OpenLesson:
    """Open the sealed truth of a lesson and draw its respondents again.

    Parameters
    ----------
    lesson : path or Lesson
        Folder with the files of a lesson, or the lesson itself.
    key : str, optional
        Default: that of the lesson, or the first line of the file beside the folder (``key_file``).

    Raises
    ------
    DataError
        If there is no sealed truth, it is damaged, or there is no key or another one.
    """
    if isinstance(lesson, Lesson):
        place: Path | None = None
        text, key = lesson.files[SEAL], lesson.key if key is None else key
    else:
        place = Path(lesson) / SEAL
        try:
            text = place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "there is no sealed truth of a lesson here",
                file=place,
                hint="name the folder that 'b2b-sem lesson make' wrote",
            ) from error
        key = _kept_key(Path(lesson)) if key is None else key
    hidden = open_seal(text, key, place)
    if hidden.get("lesson") != LESSON_VERSION:
        raise DataError(
            f"the lesson has version {hidden.get('lesson')!r}; this program checks version {LESSON_VERSION}", file=place
        )
    with tempfile.TemporaryDirectory() as stage:
        names, texts = hidden["base"]["names"], hidden["base"]["texts"]
        for kind, name in names.items():
            Path(stage, name).write_text(texts[kind], encoding="utf-8", newline="\n")
        pattern = load_simulation(Path(stage, names["simulation"]))
    spec = with_parts(pattern, hidden["parts"], *sources(pattern))
    data = simulate(spec, hidden["n"], hidden["answers_seed"])
    recorded = _recorded(data.frame, sources(spec)[1], hidden["codes"])
    digest = hidden["digests"][ANSWERS]
    return OpenLesson(
        id=hidden["id"],
        title=hidden["title"],
        level=hidden["level"],
        n=hidden["n"],
        seed=hidden["seed"],
        spec=spec,
        drawn=data,
        recorded=recorded,
        spoiled=_spoiled(spec, hidden["n"], hidden["answers_seed"]),
        codes=hidden["codes"],
        same=hashlib.sha256(_csv(recorded).encode()).hexdigest() == digest,
        digest=digest,
        folder=None if place is None else place.parent,
    )


def _kept_key(folder: Path) -> str:
    path = key_file(folder)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the key of this lesson is needed: it was not given, and there is no file {path.name} beside the folder",
            file=folder,
            hint="give the key that was shown when the lesson was made",
        ) from error
    return lines[0] if lines else ""


# ---- files -----------------------------------------------------------------------------------------------------------


def _texts(spec: SimulationSpec, model: ModelSpec, survey: SurveySpec) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of simulation, model and survey, whose references name each other, and names of their files."""
    found: dict[str, Document] = {"simulation": spec, "model": model, "survey": survey}
    texts: dict[str, str] = {}
    for kind, document in found.items():
        if document.source is None:
            raise SpecError(
                f"the {kind} '{document.id}' was built in Python, and a lesson needs its file",
                hint="write it to a file and load the population from there",
            )
        texts[kind] = document.source.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    suffix = ".yaml" if model.source is None or model.source.suffix in (".yaml", ".yml") else model.source.suffix
    names = {"simulation": "population.yaml", "model": f"model{suffix}", "survey": "survey.yaml"}
    texts["simulation"] = _refer(texts["simulation"], spec, "model", f"./{names['model']}")
    if spec.survey is not None:
        texts["simulation"] = _refer(texts["simulation"], spec, "survey", f"./{names['survey']}")
    if model.survey is not None:
        texts["model"] = _refer(texts["model"], model, "survey", f"./{names['survey']}")
    return texts, names


def _refer(text: str, document: Document, key: str, name: str) -> str:
    """Return the text of a file with another value of a key that stands in one line."""
    assert document.origin is not None
    line, column = document.origin.values[(key,)]
    lines = text.split("\n")
    lines[line - 1] = lines[line - 1][: column - 1] + name
    return "\n".join(lines)


def _csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV; whole numbers stay whole beside empty cells."""
    whole = {
        name: "Int64"
        for name in frame.columns
        if frame[name].dtype.kind == "f" and frame[name].isna().any() and (frame[name].dropna() % 1 == 0).all()
    }
    return str(frame.astype(whole).to_csv(index=False, lineterminator="\n"))


def _codebook(data: SimulatedData, level: str) -> pd.DataFrame:
    """Return the codebook; in hard lessons the wording alone tells which items are reversed."""
    assert data.codebook is not None
    return data.codebook.drop(columns="reverse") if level == "hard" else data.codebook


def _recorded(frame: pd.DataFrame, survey: SurveySpec, codes: bool) -> pd.DataFrame:
    """Return the answers as the file holds them; with `codes`, missing answers by the codes of the survey in turn."""
    if not codes:
        return frame
    out = frame.copy()
    known = set(survey.items(active_only=False))
    for name in frame.columns:
        own = survey.missing_codes(name) if name in known else ()
        holes = frame[name].isna().to_numpy()
        if own and holes.any():
            code = np.array(own)[frame[ID_COLUMN].to_numpy() % len(own)]
            out[name] = np.where(holes, code, frame[name].to_numpy())
            if (out[name] % 1 == 0).all():
                out[name] = out[name].astype(np.int64)
    return out


def _study(identifier: str, title: str, spec: SimulationSpec, model: ModelSpec, model_file: str) -> str:
    """Return the study file that students start from."""
    analyses = ["fit", "measurement", "missingness", *(["propositions"] if model.propositions else [])]
    if spec.groups is not None:
        analyses.append(f"groups: {spec.groups.split}")
    if spec.products() and any(p.test == "moderation" for p in model.propositions):
        analyses.append("moderation")
    lines = [
        "kind: study",
        "schema_version: 1",
        f"id: {identifier}",
        f"title: {json.dumps(title, ensure_ascii=False)}",
        "survey: ./survey.yaml",
        f"model: ./{model_file}",
        "data:",
        f"  file: {ANSWERS}",
        "analyses:",
        *(f"  - {name}" for name in analyses),
        "options:",
        "  missing: listwise",
        "",
    ]
    return "\n".join(lines)


def _spoiled(spec: SimulationSpec, n: int, seed: int) -> NDArray[np.bool_]:
    """Return who answered carelessly or in straight lines: those whose answers change when nobody does."""
    if not spec.response.careless_share and spec.response.straight is None:
        return np.zeros(n, dtype=bool)
    as_given = simulate(clean(spec, careless=False, method=False), n, seed).frame
    attentive = simulate(clean(spec, method=False), n, seed).frame
    return np.asarray((as_given != attentive).any(axis=1))
