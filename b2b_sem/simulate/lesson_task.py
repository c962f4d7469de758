"""The task sheet of a lesson: what to do with the answers, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from b2b_sem.results.lesson import ANSWERS, SEAL, STUDY, Block, Section, Task
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.simulation import SimulationSpec
from b2b_sem.spec.survey import SurveySpec

__all__ = ["CODEBOOK", "make_task"]

CODEBOOK = "codebook.csv"

_ABOUT = {
    "intro": "The answers are clean: everybody read the questions, and nothing is missing.",
    "standard": "The answers are as surveys bring them: some are missing, and not everybody read the questions.",
    "hard": "The answers have several faults, as real ones have. Which, is part of the task.",
}


def make_task(
    spec: SimulationSpec, model: ModelSpec, survey: SurveySpec, level: str, n: int, title: str, model_file: str
) -> Task:
    """Return the task sheet of a lesson.

    Parameters
    ----------
    spec : SimulationSpec
        The population. Nothing of its values is told.
    model, survey : ModelSpec, SurveySpec
    level : str
    n : int
    title : str
    model_file : str
        Name of the file of the model.
    """
    sections = (
        _story(model, level, n),
        _files(level, model_file),
        _claims(spec, model),
        _steps(spec, survey, level, model_file),
        _questions(level),
        _end(),
    )
    lead = "Respondents who do not exist, answers that do: find out what is true of the population behind them."
    return Task(title, lead, sections)


def _text(*lines: str) -> Block:
    return Block("text", lines)


def _story(model: ModelSpec, level: str, n: int) -> Section:
    return Section(
        "What this is about",
        (
            _text(
                f"{n} respondents answered a questionnaire for the model '{model.title}'. They are simulated: a "
                "program "
                "drew them from a population whose true values are known, but not to you. Your analysis has to find "
                "them."
            ),
            Block(
                "list",
                (
                    "The model names paths. In the population each of them has a true value.",
                    "Some of these values are as the theory says. At least one may be exactly zero, and at least one "
                    "may have the other sign than the theory says. Nobody tells you which.",
                    _ABOUT[level],
                    "At the end your results are compared with the truth, path by path.",
                ),
            ),
        ),
    )


def _files(level: str, model_file: str) -> Section:
    rows = [
        ("File", "What it is"),
        (ANSWERS, "the answers, one row a respondent, as the survey tool stored them"),
        (CODEBOOK, "what each column means"),
        ("survey.yaml", "the questionnaire: wording, answers, codes for missing answers"),
        (model_file, "the model, without values"),
        (STUDY, "the analysis as a start: data, model, and which tests are made"),
        (SEAL, "the truth, sealed. It does not open without the key"),
    ]
    del level
    return Section("What you have", (Block("table", rows=tuple(rows)),))


def _claims(spec: SimulationSpec, model: ModelSpec) -> Section:
    named = [p for p in model.propositions if p.test in ("path", "indirect")]
    named += [p for p in model.propositions if p.test == "moderation" and spec.products() and p.path]
    named += [p for p in model.propositions if p.test == "group" and spec.groups is not None]
    rows: list[tuple[str, ...]] = [("Name", "Path", "Sign", "What the theory says")]
    for prop in named:
        parts = [(prop.path or "", prop.sign or "")] if prop.path else [(p.path, p.sign) for p in prop.parts]
        rows.append((prop.id, "; ".join(p for p, _ in parts), "; ".join(s for _, s in parts), prop.statement))
    claimed = {pair for p in named if p.test == "path" for claim, _ in p.claims() for pair in claim.regressions}
    others = [f"{b} -> {a}" for a, b in spec.regressions(model) if (a, b) not in claimed]
    blocks = [Block("table", rows=tuple(rows))] if named else [_text("The model states no propositions.")]
    if others:
        blocks.append(_text("Paths of the model without a proposition: " + ", ".join(others) + "."))
    return Section("What the theory says", tuple(blocks))


def _steps(spec: SimulationSpec, survey: SurveySpec, level: str, model_file: str) -> Section:
    checks = ", ".join(survey.attention_checks)
    steps = [
        "Read the questionnaire: 'b2b-sem survey show survey.yaml'. Which items ask for the opposite of the others?",
        f"Look at {ANSWERS} beside {CODEBOOK} and survey.yaml. Which columns are no items? How many answers are "
        "missing, and how are missing answers stored?",
    ]
    if level != "intro":
        steps.append(
            "Decide who is left out, and write the rule down before you see any result."
            + (
                f" The columns {checks} are attention checks: the survey file holds the right answers."
                if checks
                else ""
            )
            + " Save the rows that stay as another file, such as cleaned.csv."
        )
    data = "" if level == "intro" else " --data cleaned.csv"
    steps += [
        "Run the analysis (first command below) and open results/report.html.",
        "Look at the scales first: loadings, reliability. Then at the fit of the model. Then at the paths.",
    ]
    if level != "intro":
        steps.append(
            "Change the options in study.yaml where you have a reason, for example 'missing: fiml' to use incomplete "
            "rows as well, and run again. Decide by the reason, not by the result."
        )
    if level == "hard":
        steps.append(
            "Think of what all answers of one person share because they come from one sheet at one time. Does a rival "
            "model in the model file say something about that?"
        )
    steps.append("Answer the questions below, and hand in the folder results.")
    return Section(
        "What to do",
        (
            Block("steps", tuple(steps)),
            _text("The commands, to be given in this folder:"),
            Block("code", (f"b2b-sem run {STUDY}{data} --out results", f"b2b-sem fit {model_file} --data {ANSWERS}")),
            _text(
                "The first reads the questionnaire and turns reversed items round by itself. If you use other "
                "software, you have to do that, and to read the codes of missing answers as missing."
            ),
        ),
    )


def _questions(level: str) -> Section:
    asked: Sequence[tuple[str, str]] = (
        ("How many rows does your analysis rest on, and what happened to the others?", ""),
        ("Which scale is the least reliable, and which item is the weakest?", ""),
        (
            "Does the model fit?",
            "Name the numbers that you look at and what they would have to be for the answer to be no.",
        ),
        (
            "For each path: is there an effect, in which direction, and between which limits does it lie?",
            "Use the 95% intervals of the standardized paths.",
        ),
        (
            "Which paths do you take to be zero in the population?",
            "How do you tell a path that is zero from one that the test did not find?",
        ),
        ("Which paths have the other sign than the theory says?", ""),
        (
            "How many of your intervals do you expect to miss the truth, and how many tests to be wrong?",
            "Give numbers before you see the truth.",
        ),
    )
    if level == "hard":
        asked = (*asked, ("Which faults did you find in the answers, and what did each of them do to the paths?", ""))
    blocks = tuple(Block("question", (f"{k}. {q}", *([more] if more else []))) for k, (q, more) in enumerate(asked, 1))
    return Section("What to answer", blocks)


def _end() -> Section:
    return Section(
        "How it is checked",
        (
            _text(
                "Whoever has the key compares your results with the truth. The sheet says of each path whether it was "
                "recovered: whether the interval holds the true value and the test came to the right decision."
            ),
            Block("code", ("b2b-sem lesson check . results --key XXXX-XXXX-XXXX-XXXX",)),
            _text(
                "A correct analysis is not right about everything: of twenty intervals of 95%, one misses on average. "
                "The sheet says how many misses chance alone explains."
            ),
        ),
    )
