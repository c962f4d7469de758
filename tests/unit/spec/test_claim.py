"""Claims on groups with latents of their own: what they add to a model, what they are tested with, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import b2b_sem as bs
from b2b_sem.errors import SpecError
from b2b_sem.spec.claim import leads_to
from b2b_sem.spec.loader import load_survey
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.syntax import parse_model

MODEL = """kind: model
schema_version: 1
id: small
title: Small
survey: lima2026
measurement:
  NR: {scale: NR}
  PC: {scale: PC}
structural: PC ~ NR
covariances: nr1 ~~ nr2
propositions:
  - {id: P1, statement: One., path: NR -> PC, sign: "+"}
  - id: P10
    statement: Two.
    test: group
    group: sector
    level: regulated
    measurement:
      AU: {scale: AU}
      LG: {scale: LG}
      DA: {scale: DA}
    structural: |
      AU ~ DA
      LG ~ DA
    mediators: [DA]
    parts:
      - {path: RG -> AU, sign: "-"}
      - {path: RG -> LG, sign: "+"}
rivals:
  echo:
    title: Echo
    why: Because.
    measurement:
      OE: {scale: OE}
    add: [OE ~ PC]
"""


def load(folder: Path, text: str = MODEL) -> ModelSpec:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return bs.load_model(path)


def changed(old: str, new: str) -> str:
    assert MODEL.count(old) == 1, old
    return MODEL.replace(old, new)


def test_the_main_model_does_not_change(tmp_path: Path) -> None:
    model = load(tmp_path)
    bare = load(tmp_path, MODEL[: MODEL.index("    measurement:\n      AU")] + "    needs: more\n"
                + MODEL[MODEL.index("    parts:") :])  # fmt: skip
    assert model.syntax() == bare.syntax()
    assert model.syntax(rival="echo") == bare.syntax(rival="echo")
    assert model.items() == bare.items()
    assert model.latents == ("NR", "PC")
    assert model.regressions() == (("PC", "NR"),)


def test_what_claims_add(tmp_path: Path) -> None:
    model = load(tmp_path)
    survey = load_survey("lima2026")
    assert model.claim_latents() == ("AU", "LG", "DA")
    assert model.claim_latents(("P1",)) == ()
    added = [item for scale in ("AU", "LG", "DA") for item in survey.items(scale)]
    assert model.items(claims=True) == (*model.items(), *added)
    assert model.regressions(True) == (("PC", "NR"), ("AU", "DA"), ("LG", "DA"))
    assert model.items_of("AU") == survey.items("AU")
    text = model.syntax(claims=True)
    assert text.splitlines()[-4:] == ["PC ~ NR", "AU ~ DA", "LG ~ DA", "nr1 ~~ nr2"]
    assert model.syntax(claims=("P10",)) == text
    assert model.syntax(claims=("P1",)) == model.syntax()
    both = model.syntax(rival="echo", claims=True)
    assert {"OE ~ PC", "AU ~ DA"} <= set(both.splitlines())
    parse_model(text)
    parse_model(both)


def test_the_model_of_a_claim(tmp_path: Path) -> None:
    model = load(tmp_path)
    claim = model.claim_model("P10")
    assert claim is not None
    assert model.claim_model("P1") is None
    assert claim.latents == ("AU", "LG", "DA")
    assert (claim.group, claim.level, claim.starts, claim.in_main) == ("sector", "regulated", (), False)
    assert claim.pairs == (("RG", "AU"), ("RG", "LG"))
    # outcomes that no path connects covary
    assert claim.structure.splitlines() == ["AU ~ DA", "LG ~ DA", "AU ~~ LG"]
    assert claim.text.splitlines()[3:] == claim.structure.splitlines()


def test_latents_of_the_main_model_can_take_part(tmp_path: Path) -> None:
    text = changed('      - {path: RG -> LG, sign: "+"}', '      - {path: RG -> NR, sign: "+"}').replace(
        "LG ~ DA", "NR ~ DA"
    )
    claim = load(tmp_path, text).claim_model("P10")
    assert claim is not None
    assert claim.latents == ("NR", "AU", "LG", "DA")
    # residual covariances of its items come along, paths of the main model between others do not
    assert "nr1 ~~ nr2" in claim.text.splitlines()
    assert "PC" not in claim.text
    assert claim.text.splitlines()[-3:] == ["NR ~~ AU + LG", "AU ~~ LG", "LG ~~ DA"]


def test_measured_starts_are_found(tmp_path: Path) -> None:
    text = changed("      AU ~ DA\n      LG ~ DA", "      AU ~ DA\n      LG ~ DA + RG\n      DA ~ RG").replace(
        "      DA: {scale: DA}", "      DA: {scale: DA}\n      RG: {scale: RG}"
    )
    claim = load(tmp_path, text).claim_model("P10")
    assert claim is not None
    assert claim.starts == ("RG",)
    assert "RG ~~" not in claim.text  # paths lead from RG to all others
    assert "AU ~~ LG" in claim.text


def test_reach() -> None:
    paths = (("B", "A"), ("C", "B"), ("D", "A"), ("E", "X"))
    assert leads_to(paths, "A") == {"B", "C", "D"}
    assert leads_to(paths, "C") == set()
    assert leads_to((("A", "B"), ("B", "A")), "A") == {"A", "B"}


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("    mediators: [DA]", "    mediators: [DB]", 25, "there is no latent 'DB'"),
        ("    mediators: [DA]", "    mediators: [DA, DA]", 25, "'DA' is listed twice"),
        ("    mediators: [DA]", "    mediators: [DA]\n    covariates: [DA]", 26, "has mediators and covariates"),
        ("    mediators: [DA]\n", "", 22, "gives 'DA' no role in P10"),
        ("    mediators: [DA]", "    mediators: [DA, NR]", 25, "no path leads from 'NR' to AU or LG"),
        ("    mediators: [DA]", "    mediators: [RG]", 25, "there is no latent 'RG'"),
        ("      LG ~ DA\n    mediators", "    covariates", 24, "no path 'LG ~ DA' does so"),
        ("      AU ~ DA", "      AU ~ b*DA", 23, "has a value or label"),
        ("      AU ~ DA", "      AU ~ 1", 23, "has a value or label, or is no path"),
        ("      AU ~ DA", "      AU ~~ DA", 23, "'AU ~~ DA' is no path"),
        ("      AU ~ DA", "      AU ~ DX", 23, "there is no latent 'DX'"),
        ("      AU ~ DA", "      AU ~ DA\n      PC ~ NR", 24, "the main model has 'PC ~ NR' already"),
        ("      AU ~ DA", "      AU ~ DA\n      NR ~ PC", 24, "is a path between latents of the main model"),
        ("      AU ~ DA", "      AU ~ DA\n      DA ~ AU", 22, "lead from 'DA' back to it"),
        ("      AU ~ DA", "      AU ~ ", 23, "nothing stands after '~'"),
        ("AU: {scale: AU}", "NR: {scale: AU}", 19, "'NR' is already part of the main model"),
        ("AU: {scale: AU}", "AU: {scale: PC}", 19, "pc1, pc2, pc3, pc4, pc5 measure a latent of the main model, too"),
        ("AU: {scale: AU}", "AU: {scale: AV}", 19, "has no scale 'AV'"),
        ("AU: {scale: AU}", "AU: {items: []}", 19, "AU has no items"),
        ("DA: {scale: DA}", "DA: {scale: DA}\n      OE: {items: [oe1, oe2]}", 22, "'OE' is measured in another way"),
        ("path: RG -> AU", "path: RG -> AX", 27, "names 'AX', which"),
        ("path: RG -> AU", "path: RX -> AU", 26, "names 'RX', which neither"),
        ("    level: regulated\n", "", 13, "compares means but names no 'level'"),
    ],
)  # fmt: skip
def test_bad_claims(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    with pytest.raises(SpecError) as error:
        load(tmp_path, changed(old, new))
    found = [error.value, *error.value.problems]
    assert any(text in e.message and e.line == line for e in found), str(error.value)


def test_only_claims_on_groups_have_latents_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="P1 has 'mediators', but its test is 'path'"):
        load(tmp_path, changed('path: NR -> PC, sign: "+"}', 'path: NR -> PC, sign: "+", mediators: [NR]}'))


def test_mediators_of_measured_starts_are_on_the_way(tmp_path: Path) -> None:
    text = changed("      AU ~ DA\n      LG ~ DA", "      AU ~ DA + RG\n      LG ~ DA + RG").replace(
        "      DA: {scale: DA}", "      DA: {scale: DA}\n      RG: {scale: RG}"
    )
    with pytest.raises(SpecError, match="no path leads from 'RG' to 'DA', so that it carries nothing"):
        load(tmp_path, text)


def test_the_bundled_model() -> None:
    model = bs.load_model("lima2026")
    claim = model.claim_model("P10")
    assert claim is not None
    assert (claim.latents, claim.mediators) == (("AU", "LG", "DA"), ("DA",))
    assert set(model.latents).isdisjoint(claim.latents)
