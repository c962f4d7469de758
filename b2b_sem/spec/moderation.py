"""The model that a claim on moderation, ``PC x PX -> RR``, is tested with: the main model, the moderator, the product.

The moderator may be a latent variable that only the claim measures, one of the main model, or an observed variable, so
that the main model and its fit stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from b2b_sem.errors import did_you_mean
from b2b_sem.spec.base import Location, Problem
from b2b_sem.spec.claim import ClaimPath, Proposition
from b2b_sem.spec.statement import Statement, Term, read_pair, remove_terms, render
from b2b_sem.spec.survey import SurveySpec

if TYPE_CHECKING:
    from b2b_sem.spec.model import ModelSpec

__all__ = [
    "ModeratedModel",
    "Product",
    "moderated_model",
    "moderator_problems",
    "product_of",
    "read_product",
]

Product = tuple[str, str, str]
"""Outcome and the two factors, which are sorted."""


@dataclass(frozen=True)
class ModeratedModel:
    """The main model with a moderator and its product.

    Attributes
    ----------
    id : str
        Of the proposition.
    outcome, predictor, moderator : str
    product : str
        As the model text names it, such as ``PC:PX``.
    sign : str
        Of the product, as claimed.
    text : str
        In lavaan syntax.
    linear : str
        The same without the product.
    added : str
        The lines of `text` that the main model does not have.
    items : tuple of str
        Items of the moderator that the main model does not have.
    observed : bool
        Whether the moderator is an observed variable.
    in_main : bool
        Whether the main model has the product itself.
    """

    id: str
    outcome: str
    predictor: str
    moderator: str
    product: str
    sign: str
    text: str
    linear: str
    added: str
    items: tuple[str, ...]
    observed: bool
    in_main: bool


def product_of(prop: Proposition) -> Product | None:
    """Return the product that a claim on moderation is about; None for other claims and paths that cannot be read."""
    if prop.test != "moderation" or prop.path is None or not prop.readable:
        return None
    claim = ClaimPath.parse(prop.path)
    if claim.moderator is None:
        return None
    first, second = sorted((claim.start, claim.moderator))
    return claim.end, first, second


def read_product(text: str) -> Product | None:
    """Read ``RR ~ PC:PX``; None if the text is anything else."""
    pair = read_pair(text, "~")
    if pair is None or pair[1].count(":") != 1:
        return None
    first, second = sorted(part.strip() for part in pair[1].split(":"))
    return (pair[0], first, second) if first and second else None


def moderated_model(prop: Proposition, model: ModelSpec, survey: SurveySpec | None) -> ModeratedModel:
    """Return the model that a claim on moderation is tested with.

    The outcome gets paths from predictor, moderator and product, as far as the main model does not have them.

    Parameters
    ----------
    prop : Proposition
        With ``test: moderation``.
    model : ModelSpec
    survey : SurveySpec or None
        Gives the items of scales.
    """
    claim, sign = prop.claims()[0]
    assert claim.moderator is not None
    outcome, product = claim.end, f"{claim.start}:{claim.moderator}"
    own = product_of(prop)
    name = next((b for a, b in model.regressions() if read_product(f"{a} ~ {b}") == own), None)
    main = model.statements(survey)
    whole = model.statements(survey, claims=(prop.id,))
    added = [s for s in whole if s not in main]
    if name is None:
        added.append(Statement(outcome, "~", (Term("", product),)))
    gone = (Statement(outcome, "~", (Term("", name or product),)),)
    items = model.items(survey, claims=(prop.id,))
    known = set(model.items(survey))
    return ModeratedModel(
        id=prop.id,
        outcome=outcome,
        predictor=claim.start,
        moderator=claim.moderator,
        product=name or product,
        sign=sign,
        text=render([*main, *added]),
        linear=render(remove_terms([*main, *added], gone)),
        added=render(added),
        items=tuple(item for item in items if item not in known),
        observed=claim.moderator not in {s.lhs for s in whole if s.op == "=~"},
        in_main=name is not None,
    )


def moderator_problems(
    loc: Location, prop: Proposition, latents: Sequence[str], covariates: Sequence[str], survey: SurveySpec
) -> Iterator[Problem]:
    """Yield what is wrong with the moderator of a claim, which is a latent or an observed variable of the survey."""
    claim = ClaimPath.parse(prop.path or "")
    name = claim.moderator
    if name is None or name in {*latents, *covariates, *prop.measurement} or name in survey.items(active_only=False):
        return
    fact = survey.facts.get(name)
    if fact is None and (prop.needs is None or name not in survey.scales):
        known = dict.fromkeys((*latents, *survey.scales, *survey.facts))
        if name in survey.scales:
            hint = f"Measure it in a section of {prop.id}: measurement: {{{name}: {{scale: {name}}}}}."
        else:
            hint = "Measure it, or name a background fact that is a number."
        yield Problem(
            (*loc, "path"),
            f"{prop.id} names '{name}', which neither the model nor the survey has.{did_you_mean(name, known)}"
            if name not in survey.scales
            else f"{prop.id} names '{name}', which the model does not measure.",
            hint=hint,
        )
    elif fact is not None and fact.type != "number" and len(fact.categories) != 2:
        yield Problem(
            (*loc, "path"),
            f"fact '{name}' is not a number and has not two categories, so it cannot be a moderator",
            hint="Compare its groups ('test: group'), or code it as a number first.",
        )
