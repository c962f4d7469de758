"""A small questionnaire with everything that a lesson can use: reversed items, checks, codes, facts, claims."""

from __future__ import annotations

from pathlib import Path

SURVEY = """
kind: survey
schema_version: 1
id: small
title: Small survey
format: {low: 1, high: 7, missing: {8: don't know, -99: no answer}}
scales:
  A: {name: first, items: {a1: one, a2: two, a3: three, a4: {text: four turned round, reverse: true}}}
  B: {name: second, items: {b1: one, b2: two, b3: three}}
  C: {name: third, items: {c1: one, c2: two, c3: {text: three turned round, reverse: true}}}
  D: {name: fourth, items: {d1: one, d2: two, d3: three}}
attention_checks:
  ac1: {text: Please choose 2., answer: 2, after: b3}
  ac2: {text: Please choose 6., answer: 6, after: d3}
facts:
  size: {label: size, type: number, minimum: 0}
"""
MODEL = """
kind: model
schema_version: 1
id: small
title: Small model
survey: ./survey.yaml   # beside this file
measurement:
  A: {scale: A}
  B: {scale: B}
  C: {scale: C}
  D: {scale: D}
structural: |
  B ~ A
  C ~ A + B
  D ~ B + C
propositions:
  - {id: H1, statement: A raises B., path: A -> B, sign: "+"}
  - {id: H2, statement: A lowers C., path: A -> C, sign: "-"}
  - {id: H3, statement: B raises C., path: B -> C, sign: "+"}
  - {id: H4, statement: C raises D., path: C -> D, sign: "+"}
  - {id: H5, statement: A works through B., test: indirect, path: A -> B -> C, sign: "+"}
rivals:
  method: {title: Method factor, why: One sheet at one time., form: common_method}
"""
POPULATION = """
kind: simulation
schema_version: 1
id: small
title: Small population
model: ./model.yaml
values:
  loadings: {default: 0.75}
  paths: {B ~ A: 0.5, C ~ A: -0.2, C ~ B: 0.4, D ~ B: 0.3, D ~ C: 0.2}
response: {mean: 4.4, sd: 1.4}
facts:
  size: {mean: 30, sd: 10}
"""


def write_population(folder: Path, **changes: str) -> Path:
    """Write the files into a folder and return the path of the population; `changes` are other texts by kind."""
    texts = {"survey": SURVEY, "model": MODEL, "population": POPULATION} | changes
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "population.yaml"
