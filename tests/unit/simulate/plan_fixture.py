"""A small survey, model, population and plan, in which each kind of proposition occurs once."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from b2b_sem.spec.loader import load_plan
from b2b_sem.spec.plan import PlanSpec

SURVEY = """
    kind: survey
    schema_version: 1
    id: small
    title: Five scales
    format: {low: 1, high: 7, anchors: {1: no, 7: yes}}
    scales:
      A: {name: first, items: {a1: One., a2: Two., a3: Three.}}
      B: {name: second, items: {b1: One., b2: Two., b3: Three.}}
      C: {name: third, items: {c1: One., c2: Two., c3: Three.}}
      M: {name: moderator, items: {m1: One., m2: Two., m3: Three.}}
      D: {name: fifth, items: {d1: One., d2: Two., d3: Three.}}
    facts:
      team: {label: team, type: categorical, categories: {1: red, 2: blue}}
    groups:
      team: {fact: team, label: team, levels: {red: [1], blue: [2]}}
"""
MODEL = """
    kind: model
    schema_version: 1
    id: small
    title: A chain
    survey: small.survey.yaml
    measurement: {A: {scale: A}, B: {scale: B}, C: {scale: C}}
    structural: |
      B ~ A
      C ~ A + B
    propositions:
      - {id: H0, statement: A leads to B., path: A -> B, sign: "+"}
      - {id: H1, statement: A lowers C., path: A -> C, sign: "-"}
      - {id: H2, statement: A works through B., test: indirect, path: A -> B -> C, sign: "-"}
      - id: H3
        statement: M moderates.
        test: moderation
        path: A x M -> C
        sign: "-"
        measurement: {M: {scale: M}}
        needs: the scale M
      - id: H4
        statement: Teams differ.
        test: group
        group: team
        level: red
        measurement: {D: {scale: D}}
        parts: [{path: team -> D, sign: "-"}]
        needs: groups
"""
POPULATION = """
    kind: simulation
    schema_version: 1
    id: small
    title: Small
    model: small.model.yaml
    values:
      loadings: {default: 0.8}
      paths: {B~A: 0.3, C~A: 0.25, C ~ B: 0.2}
    facts: {team: {shares: {1: 0.3, 2: 0.7}}}
"""
PLAN = """
    kind: plan
    schema_version: 1
    id: small
    title: Small
    population: small.population.yaml
    sizes: {some: {path: 0.2, f2: 0.03, d: 0.5}}
    propositions:
      H1: {}
      H2: {}
      H3: {also: {values: {correlations: {A ~~ M: 0.4}, paths: {C ~ M: 0.1}}}}
      H4: {also: {claims: true}, differ: {B ~ A: "+", C ~ B: "-", C ~ A: "+"}}
"""


def load(folder: Path, text: str = PLAN, *, fast: bool = False) -> PlanSpec:
    """Write the files and load the plan; `fast`: without the indirect effect, which samples are not batched with."""
    model = "\n".join(line for line in MODEL.splitlines() if not (fast and "id: H2" in line))
    text = text.replace("      H2: {}\n", "") if fast else text
    for name, content in (("survey", SURVEY), ("model", model), ("population", POPULATION), ("plan", text)):
        (folder / f"small.{name}.yaml").write_text(dedent(content), encoding="utf-8")
    return load_plan(folder / "small.plan.yaml")
