"""Small populations for tests: a survey, a model and a simulation file, of which each test says what matters to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from b2b_sem.errors import SpecError
from b2b_sem.simulate.respond import simulate

SURVEY = """
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: %d}
scales:
%s
%s
facts:
%s
"""

MODEL = """
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml
measurement: {%s}
structural: %s
%s
"""

SIMULATION = """
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
%s
n: 40
seed: 3
"""

#: Two scales of three items; the last of the first one is reversed.
SCALES = {
    "A": "{name: first, items: {a1: one, a2: two, a3: {text: three, reverse: true}}}",
    "B": "{name: second, items: {b1: one, b2: two, b3: three}}",
}
FACTS = {"sector": "{label: sector, type: categorical, categories: {0: free, 1: regulated}}"}
#: After the third item.
CHECK = "attention_checks: {ac1: {text: tick seven, answer: 7, after: a3}}"

Write = Callable[..., Path]


@pytest.fixture
def small_population(tmp_path: Path) -> Write:
    """Write the three files and return the path of the last one."""

    def write(
        sections: str,
        *,
        scales: Mapping[str, str] = SCALES,
        facts: Mapping[str, str] = FACTS,
        high: int = 7,
        check: bool = False,
        structural: str = "B ~ A",
        measured: Mapping[str, str] | None = None,
        model: str = "",
    ) -> Path:
        def listed(entries: Mapping[str, str]) -> str:
            return "\n".join(f"  {name}: {text}" for name, text in entries.items())

        measurement = {code: f"{{scale: {code}}}" for code in scales} | dict(measured or {})
        own = ", ".join(f"{code}: {text}" for code, text in measurement.items())
        texts = {
            "survey.yaml": SURVEY % (high, listed(scales), CHECK if check else "", listed(facts)),
            "model.yaml": MODEL % (own, structural, model),
            "sim.yaml": SIMULATION % sections,
        }
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / "sim.yaml"

    return write


@pytest.fixture
def refuses() -> Callable[[Path, str], Any]:
    """Check that a population is refused with a message that names the line."""

    def check(path: Path, message: str) -> SpecError:
        with pytest.raises(SpecError, match=message) as caught:
            simulate(path)
        assert caught.value.line is not None
        return caught.value

    return check
