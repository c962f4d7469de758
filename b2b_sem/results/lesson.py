"""A lesson with hidden truth: what is handed out, and what a check of somebody's results says."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from b2b_sem.results.io import frame_from_records, plain, records, write_text

__all__ = [
    "ANSWERS",
    "LISTING",
    "SEAL",
    "STUDY",
    "Block",
    "Lesson",
    "LessonCheck",
    "Mistake",
    "Section",
    "Task",
    "as_frame",
    "file_entry",
]

ANSWERS, SEAL, STUDY = "answers.csv", "truth.seal", "study.yaml"
#: Lists the files of a lesson.
LISTING = "lesson.json"
LESSON_VERSION = 1


@dataclass(frozen=True)
class Block:
    """A part of a task sheet: text, a list, numbered steps, commands, a question with room for an answer, a table."""

    kind: Literal["text", "list", "steps", "code", "question", "table"]
    lines: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Task:
    """A task sheet."""

    title: str
    lead: str
    sections: tuple[Section, ...]

    def to_markdown(self) -> str:
        """Return the sheet as Markdown."""
        out = [f"# {self.title}", "", self.lead, ""]
        for section in self.sections:
            out += [f"## {section.heading}", ""]
            for block in section.blocks:
                out += [*_markdown(block), ""]
        return "\n".join(out).rstrip() + "\n"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "title": self.title,
            "lead": self.lead,
            "sections": [
                {
                    "heading": s.heading,
                    "blocks": [
                        {"kind": b.kind, "lines": list(b.lines), "rows": [list(r) for r in b.rows]} for b in s.blocks
                    ],
                }
                for s in self.sections
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """Rebuild a sheet from the output of :meth:`to_json`."""
        sections = tuple(
            Section(
                s["heading"],
                tuple(Block(b["kind"], tuple(b["lines"]), tuple(tuple(r) for r in b["rows"])) for b in s["blocks"]),
            )
            for s in data["sections"]
        )
        return cls(data["title"], data["lead"], sections)


def _markdown(block: Block) -> list[str]:
    if block.kind == "list":
        return [f"- {line}" for line in block.lines]
    if block.kind == "steps":
        return [f"{k}. {line}" for k, line in enumerate(block.lines, 1)]
    if block.kind == "code":
        return ["```sh", *block.lines, "```"]
    if block.kind == "question":
        return [f"**{block.lines[0]}**", *block.lines[1:], "", "> ..."]
    if block.kind == "table":
        head, *body = [[cell.replace("|", "\\|") for cell in row] for row in block.rows]
        rows = [head, ["---"] * len(head), *body]
        return ["| " + " | ".join(row) + " |" for row in rows]
    return list(block.lines)


def file_entry(name: str, text: str) -> dict[str, Any]:
    """Return name, digest and size of a file that holds `text`."""
    data = text.encode()
    return {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@dataclass(frozen=True)
class Lesson:
    """A data set with hidden truth, and all that is handed out with it.

    Attributes
    ----------
    id, title : str
    level : str
        intro, standard or hard.
    n : int
        Respondents.
    key : str
        What opens the sealed truth; it is in none of the files.
    task : Task
    files : mapping of str to str
        Name -> text of each file: answers, codebook, survey, model, study, task sheet, sealed truth, listing.
    """

    id: str
    title: str
    level: str
    n: int
    key: str = field(repr=False)
    task: Task = field(repr=False)
    files: Mapping[str, str] = field(repr=False)

    @property
    def answers(self) -> pd.DataFrame:
        """The answers as they are recorded in the file."""
        return pd.read_csv(io.StringIO(self.files[ANSWERS]))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all files into `folder`, the listing last; the key is not among them."""
        target = Path(folder)
        for name in sorted(self.files, key=lambda name: name == LISTING):
            write_text(target / name, self.files[name])
        return target

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, key included."""
        return {
            "lesson_version": LESSON_VERSION,
            "id": self.id,
            "title": self.title,
            "level": self.level,
            "n": self.n,
            "key": self.key,
            "task": self.task.to_json(),
            "files": dict(self.files),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Lesson:
        """Rebuild a lesson from the output of :meth:`to_json`."""
        return cls(
            id=data["id"],
            title=data["title"],
            level=data["level"],
            n=data["n"],
            key=data["key"],
            task=Task.from_json(data["task"]),
            files=MappingProxyType(dict(data["files"])),
        )


@dataclass(frozen=True)
class Mistake:
    """Something in an analysis that led away from the truth, or could have.

    Attributes
    ----------
    code : str
        data, rows, reversed, codes, columns, careless, missing, method, path-missing, path-extra, path-turned,
        measurement or failed.
    title : str
    found : str
        How it shows.
    effect : str
        What it does to the results.
    advice : str
        What to do.
    serious : bool
        False for what every analysis of these answers has to live with, or what does little harm.
    """

    code: str
    title: str
    found: str
    effect: str
    advice: str
    serious: bool = True


@dataclass(frozen=True, eq=False)
class LessonCheck:
    """What results say beside the hidden truth.

    Attributes
    ----------
    lesson, title, level : str
    source : str
        Whose or which results these are.
    n : int
        Respondents of the lesson.
    nobs : int
        Rows that the results rest on.
    estimator : str
    alpha, confidence : float
        Error rate of a test; level of intervals.
    ok : bool
        Whether the fit may be interpreted.
    failure : str
        Why not.
    mistakes : tuple of Mistake
    notes : tuple of str
    """

    lesson: str
    title: str
    level: str
    source: str
    n: int
    nobs: int
    estimator: str
    alpha: float
    confidence: float
    ok: bool
    failure: str
    mistakes: tuple[Mistake, ...]
    notes: tuple[str, ...]
    chance: Mapping[str, float]
    _paths: pd.DataFrame = field(repr=False)
    _loadings: pd.DataFrame = field(repr=False)
    _reliability: pd.DataFrame = field(repr=False)
    _verdicts: pd.DataFrame = field(repr=False)

    @property
    def paths(self) -> pd.DataFrame:
        """One row a path of the population or of the fitted model.

        Columns: path ("NR -> PC"); lhs, rhs; proposition, claimed ("+", "-" or empty); truth, est, ci_lower, ci_upper
        (standardized); covered; pvalue (of the path); decision ("right", "type I", "type II", "type S",
        "wrong direction", "not in the model", "no verdict"); recovered (decision right and truth inside the interval);
        bias_se (estimate minus truth in standard errors), of which systematic_se comes with the analysis and chance_se
        does not; power (of this test in the right analysis of as many rows) and rows_needed (for power .80);
        explanation. What is not known is missing.
        """
        return self._paths.copy()

    @property
    def loadings(self) -> pd.DataFrame:
        """One row an item: scale, item, reverse, truth, est, ci_lower, ci_upper, covered, bias_se (standardized)."""
        return self._loadings.copy()

    @property
    def reliability(self) -> pd.DataFrame:
        """One row a scale: scale, items, truth, est (composite reliability), difference."""
        return self._reliability.copy()

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row a proposition: id, path, sign, truth (words), right (verdict), found (verdict), outcome, explanation.

        outcome: "right", "type I", "type II", "type S", "not tested", or "not graded".
        """
        return self._verdicts.copy()

    @property
    def graded(self) -> int:
        """Number of paths of the population that can be recovered."""
        return int(self._paths["recovered"].notna().sum())

    @property
    def recovered(self) -> int:
        """Number of paths that were recovered."""
        return sum(value is True for value in self._paths["recovered"])

    def summary(self) -> str:
        """Return the outcome in one sentence."""
        if not self.ok:
            return f"Nothing was recovered: {self.failure}."
        right = int((self._verdicts["outcome"] == "right").sum())
        known = int((~self._verdicts["outcome"].isin(["not graded"])).sum())
        text = f"{self.recovered} of {self.graded} paths were recovered"
        text += f", and {right} of {known} verdicts are right" if known else ""
        serious = sum(m.serious for m in self.mistakes)
        tail = {0: "no mistake was found", 1: "1 mistake was found"}.get(serious, f"{serious} mistakes were found")
        return f"{text}; {tail} in the analysis."

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; missing numbers are null."""
        out: dict[str, Any] = {"lesson_check_version": LESSON_VERSION, "summary": self.summary()}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, pd.DataFrame):
                value = records(value)
            elif part.name == "mistakes":
                value = [vars(m) for m in value]
            out[part.name.lstrip("_")] = plain(value)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LessonCheck:
        """Rebuild a check from the output of :meth:`to_json`."""
        values: dict[str, Any] = {}
        for part in fields(cls):
            value = data[part.name.lstrip("_")]
            if part.name in _COLUMNS:
                value = as_frame(value, _COLUMNS[part.name])
            elif part.name == "mistakes":
                value = tuple(Mistake(**m) for m in value)
            elif part.name == "notes":
                value = tuple(value)
            elif part.name == "chance":
                value = MappingProxyType({k: float("nan") if v is None else v for k, v in value.items()})
            values[part.name] = value
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the check as JSON, whole or not at all."""
        return write_text(path, json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


PATH_COLUMNS = (
    "path",
    "lhs",
    "rhs",
    "proposition",
    "claimed",
    "truth",
    "est",
    "ci_lower",
    "ci_upper",
    "covered",
    "pvalue",
    "decision",
    "recovered",
    "bias_se",
    "systematic_se",
    "chance_se",
    "power",
    "rows_needed",
    "explanation",
)
LOADING_COLUMNS = ("scale", "item", "reverse", "truth", "est", "ci_lower", "ci_upper", "covered", "bias_se")
RELIABILITY_COLUMNS = ("scale", "items", "truth", "est", "difference")
VERDICT_COLUMNS = ("id", "path", "sign", "truth", "right", "found", "outcome", "explanation")
_COLUMNS = {
    "_paths": PATH_COLUMNS,
    "_loadings": LOADING_COLUMNS,
    "_reliability": RELIABILITY_COLUMNS,
    "_verdicts": VERDICT_COLUMNS,
}
_FLAGS = ("covered", "recovered", "reverse")


def as_frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table of a check; yes, no and not known stay what they are, and do not become numbers."""
    frame = frame_from_records(rows, columns)
    for name in _FLAGS:
        if name in columns:
            frame[name] = pd.Series([row[name] for row in rows], dtype=object)
    return frame
