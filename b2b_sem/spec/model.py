"""The model: what measures what, what leads to what, what is claimed, and which rivals it has to beat."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field, PrivateAttr

from b2b_sem.errors import SpecError, did_you_mean
from b2b_sem.spec.base import Citation, Code, Document, FitSettings, Lines, Location, Node, Problem, Text
from b2b_sem.spec.claim import (
    NAME,
    ClaimModel,
    ClaimPath,
    Construct,
    Part,
    Proposition,
    Regression,
    claim_model,
    leads_to,
    own_problems,
)
from b2b_sem.spec.diagram import DiagramSettings, diagram_problems
from b2b_sem.spec.moderation import ModeratedModel, moderated_model, moderator_problems, product_of
from b2b_sem.spec.statement import Statement, Term, remove_terms, render, split_statements
from b2b_sem.spec.survey import SurveySpec, require_survey

__all__ = ["ClaimPath", "Construct", "ModelSpec", "Part", "Proposition", "Rival"]

Claims = bool | Collection[str]
"""Which propositions add their own latents and paths to the main model: none (False), all (True), or some, by id."""


class Rival(Node):
    """A competing model, stated as a change of the main model."""

    title: Text
    why: Text
    measurement: dict[Code, Construct] = Field(default_factory=dict, description="Latents that are added.")
    add: tuple[Lines, ...] = Field(default=(), description="lavaan lines that are added.")
    remove: tuple[Lines, ...] = Field(default=(), description="Terms that are taken out, as lavaan lines ('BT ~ PC').")
    structural: Lines | None = Field(
        default=None, description="lavaan lines that take the place of the structural part."
    )
    form: Literal["one_factor", "common_method"] | None = Field(
        default=None,
        description="one_factor: all items on one factor. common_method: the main model plus one factor on all items, "
        "with equal loadings, uncorrelated with every other latent.",
    )


class ModelSpec(Document):
    """A structural equation model with its propositions and rivals.

    Either `measurement` (with `structural`) or `text`, a whole model in lavaan syntax, is given.
    """

    KIND: ClassVar[str] = "model"

    kind: Literal["model"] = Field(description="Write 'kind: model'.")
    description: Text | None = None
    citation: tuple[Citation, ...] = ()
    survey: Text | None = Field(default=None, description="Id of a bundled survey, or path of a survey file.")
    measurement: dict[Code, Construct] = Field(default_factory=dict)
    structural: Lines | None = Field(default=None, description="lavaan lines: regressions.")
    covariances: Lines | None = Field(default=None, description="lavaan lines: covariances and anything else.")
    text: Lines | None = Field(default=None, description="The whole model in lavaan syntax, instead of measurement.")
    covariates: dict[Code, tuple[Code, ...]] = Field(
        default_factory=dict, description="Observed variable -> latents it is held constant for."
    )
    options: FitSettings = Field(default_factory=FitSettings)
    propositions: tuple[Proposition, ...] = ()
    rivals: dict[Code, Rival] = Field(default_factory=dict)
    diagram: DiagramSettings = Field(default_factory=DiagramSettings)

    _survey: SurveySpec | None = PrivateAttr(None)

    # ---- questions asked of a model --------------------------------------------------------------------------------

    @property
    def survey_spec(self) -> SurveySpec | None:
        """The survey that was loaded with the model."""
        return self._survey

    def with_survey(self, survey: SurveySpec | None) -> ModelSpec:
        """Return this model tied to another survey."""
        copy = self.model_copy()
        copy._survey = survey
        return copy

    @property
    def latents(self) -> tuple[str, ...]:
        """Latents that stand for constructs, in the order of the file (facet factors are not among them)."""
        if self.text is None:
            return tuple(self.measurement)
        return tuple(dict.fromkeys(s.lhs for s in split_statements(self.text) if s.op == "=~"))

    def claim_latents(self, claims: Claims = True) -> tuple[str, ...]:
        """Return the latents that propositions add to the main model, in the order of the file."""
        return tuple(dict.fromkeys(code for prop in self._claimed(claims) for code in prop.measurement))

    def items(
        self, survey: SurveySpec | None = None, rival: str | None = None, claims: Claims = False
    ) -> tuple[str, ...]:
        """Return the observed indicators of the model in order, each once."""
        loadings = [s for s in self.statements(survey, rival, claims) if s.op == "=~"]
        factors = {s.lhs for s in loadings}
        return tuple(dict.fromkeys(t.variable for s in loadings for t in s.terms if t.variable not in factors))

    def items_of(self, latent: str, survey: SurveySpec | None = None) -> tuple[str, ...]:
        """Return the observed indicators of one latent, through its facets where it has some.

        The latent may be one that a proposition adds.
        """
        loadings: dict[str, list[str]] = {}
        for statement in self.statements(survey, claims=latent in self.claim_latents()):
            if statement.op == "=~":
                loadings.setdefault(statement.lhs, []).extend(t.variable for t in statement.terms)
        if latent not in loadings:
            known = (*self.latents, *self.claim_latents())
            raise self.error(
                ("measurement",), f"the model '{self.id}' has no latent '{latent}'.{did_you_mean(latent, known)}"
            )
        found: list[str] = []
        for name in loadings[latent]:
            found.extend(loadings.get(name, [name]))
        return tuple(dict.fromkeys(found))

    def regressions(self, claims: Claims = False) -> tuple[Regression, ...]:
        """Return ``(outcome, predictor)`` of every regression among latents or covariates of the main model.

        With `claims`, also of those that propositions add.
        """
        lines = (*self._structure(), *self._covariate_lines(), *self._claim_paths(claims))
        return tuple((s.lhs, t.variable) for s in lines if s.op == "~" for t in s.terms if t.variable != "1")

    def proposition(self, identifier: str) -> Proposition:
        """Return a proposition by its id."""
        for proposition in self.propositions:
            if proposition.id == identifier:
                return proposition
        known = [p.id for p in self.propositions]
        raise self.error(
            ("propositions",),
            f"the model '{self.id}' has no proposition '{identifier}'.{did_you_mean(identifier, known)}",
        )

    def absent(self, proposition: Proposition) -> tuple[str, ...]:
        """Return the variables of a proposition that neither this model nor the proposition measures, in order."""
        present = {*self.latents, *self.covariates, *(name for pair in self.regressions() for name in pair)}
        present |= set(proposition.measurement)
        names = (name for claim, _ in proposition.claims() for name in claim.names)
        return tuple(dict.fromkeys(name for name in names if name not in present))

    def claim_model(self, identifier: str, survey: SurveySpec | None = None) -> ClaimModel | None:
        """Return the model that a claim on groups is tested with; None if the main model serves.

        Raises
        ------
        SpecError
            If there is no such proposition, or a scale is used and no survey is known.
        """
        prop = self.proposition(identifier)
        if not prop.own_model:
            return None
        return claim_model(prop, self.statements(survey, claims=(identifier,)), self.regressions())

    def moderated(self, identifier: str, survey: SurveySpec | None = None) -> ModeratedModel:
        """Return the model that a claim on moderation is tested with: the main model, the moderator and the product.

        Raises
        ------
        SpecError
            If there is no such proposition, or a scale is used and no survey is known.
        """
        return moderated_model(self.proposition(identifier), self, survey or self._survey)

    def rival(self, name: str) -> Rival:
        """Return a rival by its name."""
        if name not in self.rivals:
            listing = ", ".join(self.rivals) or "none"
            raise self.error(
                ("rivals",),
                f"the model '{self.id}' has no rival '{name}'.{did_you_mean(name, self.rivals)}",
                hint=f"Its rivals: {listing}.",
            )
        return self.rivals[name]

    # ---- lavaan text -----------------------------------------------------------------------------------------------

    def syntax(self, survey: SurveySpec | None = None, rival: str | None = None, claims: Claims = False) -> str:
        """Return the model, or one of its rivals, as lavaan text.

        Parameters
        ----------
        survey : SurveySpec, optional
            Survey that gives the items of scales and facets. Default: the one loaded with the model.
        rival : str, optional
            Name of a rival.
        claims : bool or collection of str
            Whether to add the latents and paths that propositions have of their own: all, or those of some, by id.

        Returns
        -------
        str
            One statement per line without comments: measurement, then structural part, covariates and covariances.
            The same input always gives the same text. A model given as lavaan text is returned as it was written.

        Raises
        ------
        SpecError
            If a scale is used and no survey is known, or the rival does not exist.
        """
        if self.text is not None and rival is None and not self.covariates and not any(self._claimed(claims)):
            return self.text
        return render(self.statements(survey, rival, claims))

    def statements(
        self, survey: SurveySpec | None = None, rival: str | None = None, claims: Claims = False
    ) -> tuple[Statement, ...]:
        """Return the statements of :meth:`syntax`."""
        survey = survey or self._survey
        change = None if rival is None else self.rival(rival)
        if self.text is None:
            measurement = self._measurement(self.measurement, survey)
        else:
            measurement = tuple(s for s in split_statements(self.text) if s.op in ("=~", "<~"))
        own = {code: construct for added in self._claimed(claims) for code, construct in added.measurement.items()}
        if change is not None:
            own = {code: construct for code, construct in own.items() if code not in change.measurement}
        measurement = (*measurement, *self._measurement(own, survey))
        paths = (*self._structure(), *self._claim_paths(claims))
        if change is None:
            return (*measurement, *paths, *self._covariate_lines(), *self._extra())
        if change.form == "one_factor":
            items = _observed(measurement)
            return (_loading(_fresh("G", (*self.latents, *items)), items),)
        measurement = (*measurement, *self._measurement(change.measurement, survey))
        if change.structural is not None:
            paths = (*split_statements(change.structural), *self._claim_paths(claims))
        rest = (*paths, *self._covariate_lines(), *self._extra())
        removed = tuple(s for line in change.remove for s in split_statements(line))
        measurement, rest = remove_terms(measurement, removed), remove_terms(rest, removed)
        added = tuple(s for line in change.add for s in split_statements(line))
        result = (*measurement, *(s for s in added if s.op == "=~"), *rest, *(s for s in added if s.op != "=~"))
        return (*result, *_method_factor(result)) if change.form == "common_method" else result

    def _measurement(self, constructs: dict[str, Construct], survey: SurveySpec | None) -> tuple[Statement, ...]:
        found: list[Statement] = []
        for latent, construct in constructs.items():
            if construct.scale is None:
                found.append(_loading(latent, construct.items or ()))
                continue
            known = require_survey(survey, f"{latent} is measured by scale '{construct.scale}'")
            if construct.second_order == "none":
                found.append(_loading(latent, known.items(construct.scale)))
                continue
            facets = {f"{latent}_{facet}": items for facet, items in known.facet_items(construct.scale).items()}
            found.extend(_loading(factor, items) for factor, items in facets.items())
            found.append(_loading(latent, facets))
        return tuple(found)

    def _claimed(self, claims: Claims) -> tuple[Proposition, ...]:
        """Return the propositions that add something of their own, of those asked for."""
        if isinstance(claims, bool):
            return tuple(p for p in self.propositions if claims and p.adds)
        chosen = [self.proposition(name) for name in dict.fromkeys(claims)]
        return tuple(p for p in chosen if p.adds)

    def _claim_paths(self, claims: Claims) -> tuple[Statement, ...]:
        pairs = dict.fromkeys(pair for prop in self._claimed(claims) for pair in prop.regressions())
        for pair in () if not pairs else self.regressions():
            pairs.pop(pair, None)
        return tuple(
            Statement(outcome, "~", tuple(Term("", p) for o, p in pairs if o == outcome))
            for outcome in dict.fromkeys(o for o, _ in pairs)
        )

    def _structure(self) -> tuple[Statement, ...]:
        if self.text is not None:
            return tuple(s for s in split_statements(self.text) if s.op not in ("=~", "<~"))
        return split_statements(self.structural or "")

    def _extra(self) -> tuple[Statement, ...]:
        return split_statements(self.covariances or "")

    def _covariate_lines(self) -> tuple[Statement, ...]:
        return tuple(
            Statement(outcome, "~", (Term("", name),))
            for name, outcomes in self.covariates.items()
            for outcome in outcomes
        )

    # ---- rules -----------------------------------------------------------------------------------------------------

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong in this model without looking at a survey."""
        if (self.text is None) == (not self.measurement):
            yield Problem((), "give either 'measurement' or 'text' (a whole model in lavaan syntax)", at_key=True)
            return
        if self.text is not None and (self.structural or self.covariances):
            key = "structural" if self.structural else "covariances"
            yield Problem((key,), f"'{key}' does not go with 'text': write these lines into the text", at_key=True)
        for code, construct in self.measurement.items():
            yield from construct.check(("measurement", code), code)
        for name, outcomes in self.covariates.items():
            for position, outcome in enumerate(outcomes):
                if outcome not in self.latents:
                    yield Problem(
                        ("covariates", name, position),
                        f"there is no latent '{outcome}'.{did_you_mean(outcome, self.latents)}",
                    )
        seen: set[str] = set()
        for position, proposition in enumerate(self.propositions):
            loc: Location = ("propositions", position)
            if proposition.id in seen:
                yield Problem((*loc, "id"), f"proposition '{proposition.id}' is declared twice")
            seen.add(proposition.id)
            yield from self._proposition_problems(loc, proposition)
            yield from own_problems(
                loc, proposition, self.latents, self.covariates, self.regressions(), self._others(proposition)
            )
        for name, rival in self.rivals.items():
            yield from self._rival_problems(("rivals", name), name, rival)
        if self.diagram.positions:
            yield from diagram_problems(self.diagram, self._drawable())

    def _drawable(self) -> tuple[str, ...]:
        """Return what may be a node of a path diagram; factors of facets are known by the start of their name."""
        names = [*self.latents, *self.covariates, *(n for pair in self.regressions() for n in pair)]
        names += [name for code in self.measurement for name in self.diagram.positions if name.startswith(f"{code}_")]
        for prop in self.propositions:
            names += [*prop.measurement, *(product_of(prop) or ())]
        return tuple(dict.fromkeys(part for name in names for part in name.split(":")))

    def _others(self, prop: Proposition) -> dict[str, Construct]:
        """Return the latents that other propositions, and rivals, add."""
        found: dict[str, Construct] = {}
        claims = [p.measurement for p in self.propositions if p is not prop]
        for own in (*(rival.measurement for rival in self.rivals.values()), *claims):
            found = {**own, **found}
        return found

    def _proposition_problems(self, loc: Location, prop: Proposition) -> Iterator[Problem]:
        if (prop.path is None) == (not prop.parts):
            yield Problem(loc, f"{prop.id} needs either 'path' or 'parts'")
            return
        if prop.path is not None and prop.sign is None:
            yield Problem(loc, f"{prop.id} has a path but no sign", hint='Add: sign: "+" or sign: "-"')
            return
        if prop.parts and prop.sign is not None:
            yield Problem((*loc, "sign"), f"{prop.id} has parts, each with its own sign: remove this one")
        if prop.test == "group" and prop.group is None:
            yield Problem(loc, f"{prop.id} compares groups but names no 'group'")
        if prop.group is not None and prop.test != "group":
            yield Problem((*loc, "group"), f"{prop.id} names a group, but its test is '{prop.test}'")
        if prop.level is not None and prop.test != "group":
            yield Problem((*loc, "level"), f"{prop.id} names a level, but its test is '{prop.test}'")
        texts = [((*loc, "path"), prop.path)] if prop.path else []
        texts += [((*loc, "parts", i, "path"), part.path) for i, part in enumerate(prop.parts)]
        for at, text in texts:
            try:
                claim = ClaimPath.parse(text or "")
            except ValueError as error:
                yield Problem(at, str(error))
                continue
            yield from self._claim_problems(at, prop, claim)

    def _claim_problems(self, at: Location, prop: Proposition, claim: ClaimPath) -> Iterator[Problem]:
        forms = {
            "path": ("A -> B", len(claim.steps) == 2 and claim.moderator is None),
            "indirect": ("A -> B -> C", len(claim.steps) > 2 and claim.moderator is None),
            "moderation": ("A x M -> B", len(claim.steps) == 2 and claim.moderator is not None),
            "group": ("A -> B", len(claim.steps) == 2 and claim.moderator is None),
        }
        form, right = forms[prop.test]
        if not right:
            yield Problem(at, f"a proposition with 'test: {prop.test}' has a path of the form '{form}'")
            return
        if prop.needs is not None and not prop.own_model:
            return
        moderation = prop.test == "moderation"
        # of a moderation the paths that the model does not have are added for its test
        regressions = self.regressions() if moderation else (*self.regressions(), *prop.regressions())
        known = dict.fromkeys((*self.latents, *self.covariates, *(name for pair in regressions for name in pair)))
        known |= dict.fromkeys(prop.measurement)
        # in a claim on groups the level that it names stands for what is not measured
        stands = bool(prop.parts) and prop.level is not None and claim.start not in known
        unknown = [name for name in claim.names if name not in known and not (stands and name == claim.start)]
        if moderation:  # it may be an observed variable: see problems_with()
            unknown = [name for name in unknown if name != claim.moderator]
        for name in unknown:
            yield Problem(
                at,
                f"{prop.id} names '{name}', which the model does not measure.{did_you_mean(name, known)}",
                hint="Add it to the measurement part, or say in 'needs' what a test would need.",
            )
        if unknown or stands or moderation or (prop.mediators and claim.end in leads_to(regressions, claim.start)):
            return
        for outcome, predictor in claim.regressions:
            if (outcome, predictor) not in regressions:
                yield Problem(
                    at,
                    f"{prop.id} claims {predictor} -> {outcome}, but the model has no path '{outcome} ~ {predictor}'",
                    hint="Add it to the structural part, or correct the proposition.",
                    weak=True,
                )

    def _rival_problems(self, loc: Location, name: str, rival: Rival) -> Iterator[Problem]:
        changes = (rival.measurement, rival.add, rival.remove, rival.structural, rival.form)
        if not any(changes):
            yield Problem(loc, f"rival '{name}' changes nothing: give add, remove, structural or form", at_key=True)
        if rival.form == "one_factor" and any(changes[:4]):
            yield Problem(
                (*loc, "form"), f"rival '{name}': one_factor replaces the whole model and allows no other change"
            )
        for code, construct in rival.measurement.items():
            if code in self.latents:
                yield Problem(
                    (*loc, "measurement", code), f"'{code}' is already measured in the main model", at_key=True
                )
            yield from construct.check((*loc, "measurement", code), code)
        pairs = {pair for s in (*self._structure(), *self._extra(), *self._explicit_loadings()) for pair in s.pairs()}
        for key, lines in (("add", rival.add), ("remove", rival.remove)):
            for position, line in enumerate(lines):
                statements = split_statements(line)
                if not statements:
                    yield Problem((*loc, key, position), f"'{line}' is not a lavaan line", hint="Example: BT ~ EQ")
                for left, op, right in (pair for s in statements for pair in s.pairs()):
                    if key == "remove" and (left, op, right) not in pairs:
                        near = did_you_mean(f"{left} {op} {right}", [f"{a} {o} {b}" for a, o, b in pairs if o == op])
                        yield Problem(
                            (*loc, key, position),
                            f"nothing to remove: the main model has no '{left} {op} {right}'.{near}",
                        )

    def _explicit_loadings(self) -> tuple[Statement, ...]:
        if self.text is not None:
            return tuple(s for s in split_statements(self.text) if s.op == "=~")
        return tuple(_loading(code, c.items) for code, c in self.measurement.items() if c.items)

    def problems_with(self, survey: SurveySpec) -> Iterator[Problem]:
        """Yield what does not fit together with `survey`: scales, items, facets, covariates, groups, variable names."""
        constructs: list[tuple[Location, str, Construct]] = [
            (("measurement", code), code, construct) for code, construct in self.measurement.items()
        ]
        added: list[tuple[Location, dict[str, Construct]]] = [
            *((("propositions", i, "measurement"), prop.measurement) for i, prop in enumerate(self.propositions)),
            *((("rivals", name, "measurement"), rival.measurement) for name, rival in self.rivals.items()),
        ]
        constructs += [((*at, code), code, construct) for at, own in added for code, construct in own.items()]
        for loc, code, construct in constructs:
            yield from _construct_problems(loc, code, construct, survey)
        if self.text is not None:
            factors = {s.lhs for s in split_statements(self.text) if s.op == "=~"}
            for statement in split_statements(self.text):
                for term in statement.terms if statement.op == "=~" else ():
                    if term.variable not in factors:
                        yield from _item_problems(("text",), term.variable, survey, (term.line, term.column))
        columns = (*survey.items(active_only=False), *survey.facts)
        for name in self.covariates:
            fact = survey.facts.get(name)
            if name not in columns:
                yield Problem(
                    ("covariates", name),
                    f"the survey has no item or fact '{name}'.{did_you_mean(name, columns)}",
                    at_key=True,
                )
            elif fact is not None and fact.type != "number" and len(fact.categories) != 2:
                yield Problem(
                    ("covariates", name),
                    f"fact '{name}' is not a number and has not two categories, so it cannot be a covariate",
                    hint="Code it into 0/1 columns first.",
                    at_key=True,
                )
        for position, prop in enumerate(self.propositions):
            yield from self._proposition_problems_with(("propositions", position), prop, survey)
        yield from self._name_problems(columns, survey)

    def _proposition_problems_with(self, loc: Location, prop: Proposition, survey: SurveySpec) -> Iterator[Problem]:
        if prop.group is not None and prop.group not in survey.groups:
            yield Problem(
                (*loc, "group"), f"the survey has no group '{prop.group}'.{did_you_mean(prop.group, survey.groups)}"
            )
        elif prop.group is not None and prop.level is not None:
            group = survey.groups[prop.group]
            levels = (*group.levels, *filter(None, (group.rest,)))
            if group.levels and prop.level not in levels:
                yield Problem(
                    (*loc, "level"),
                    f"the group '{prop.group}' has no level '{prop.level}'.{did_you_mean(prop.level, levels)}",
                )
        known = (*self.latents, *survey.scales, *survey.facts)
        yield from self._shared_items(loc, prop, survey)
        if product_of(prop) is not None:
            yield from moderator_problems(loc, prop, self.latents, tuple(self.covariates), survey)
        if (prop.needs is None and prop.test != "group") or not prop.readable:
            return  # without 'needs', every name has to be in the model: see problems()
        moderated = ClaimPath.parse(prop.path).moderator if prop.test == "moderation" and prop.path else None
        for name in self.absent(prop):
            if name not in known and name != moderated:
                at = (*loc, "path") if prop.path is not None else (*loc, "parts")
                yield Problem(
                    at,
                    f"{prop.id} names '{name}', which neither the model nor the survey has.{did_you_mean(name, known)}",
                )

    def _shared_items(self, loc: Location, prop: Proposition, survey: SurveySpec) -> Iterator[Problem]:
        """Latents of a claim that are measured by items of the main model."""
        main = {i for c in self.measurement.values() for i in _items(c, survey)} or set(self.items(survey))
        for code, construct in prop.measurement.items():
            shared = [item for item in _items(construct, survey) if item in main]
            if shared:
                yield Problem(
                    (*loc, "measurement", code),
                    f"{', '.join(shared)} measure{'s' * (len(shared) == 1)} a latent of the main model, too",
                    at_key=True,
                )

    def _name_problems(self, columns: Iterable[str], survey: SurveySpec) -> Iterator[Problem]:
        """Names in the lavaan lines that are neither latents nor columns."""
        known = {*self.latents, *columns, *self._facet_factors(survey)}
        texts: list[tuple[Location, str, set[str]]] = [
            ((key,), text, known)
            for key, text in (("structural", self.structural), ("covariances", self.covariances))
            if text
        ]
        for name, rival in self.rivals.items():
            added = {s.lhs for line in rival.add for s in split_statements(line) if s.op == "=~"}
            names = {*known, *rival.measurement, *added}
            texts += [(("rivals", name, "add", i), line, names) for i, line in enumerate(rival.add)]
            if rival.structural:
                texts.append((("rivals", name, "structural"), rival.structural, names))
        for loc, text, names in texts:
            for statement in split_statements(text):
                if statement.op not in ("~", "~~", "=~"):
                    continue
                places = [(statement.lhs, (statement.line, statement.column))]
                places += [(t.variable, (t.line, t.column)) for t in statement.terms]
                for variable, place in places:
                    for word in variable.split(":"):
                        if re.fullmatch(NAME, word) and word not in names:
                            yield Problem(
                                loc,
                                f"'{word}' is neither a latent nor an item.{did_you_mean(word, names)}",
                                in_text=place,
                            )

    def _facet_factors(self, survey: SurveySpec) -> Iterator[str]:
        for code, construct in self.measurement.items():
            if construct.second_order == "facets" and construct.scale in survey.scales:
                yield from (f"{code}_{facet}" for facet in survey.scales[construct.scale].facets)


def _construct_problems(loc: Location, code: str, construct: Construct, survey: SurveySpec) -> Iterator[Problem]:
    for position, item in enumerate(construct.items or ()):
        yield from _item_problems((*loc, "items", position), item, survey)
    if construct.scale is None:
        return
    scale = survey.scales.get(construct.scale)
    if scale is None:
        near = did_you_mean(construct.scale, survey.scales)
        yield Problem(
            (*loc, "scale"),
            f"the survey '{survey.id}' has no scale '{construct.scale}'.{near}",
            hint="Its scales: " + ", ".join(survey.scales),
        )
    elif construct.second_order == "facets":
        if len(scale.facets) < 2:
            yield Problem((*loc, "second_order"), f"scale {construct.scale} has no facets to build {code} from")
        for item_code in survey.items(construct.scale):
            if scale.facets and scale.items[item_code].facet is None:
                yield Problem(
                    (*loc, "second_order"), f"item {item_code} of scale {construct.scale} belongs to no facet"
                )


def _items(construct: Construct, survey: SurveySpec) -> tuple[str, ...]:
    """Return the items of a latent as far as they can be told."""
    if construct.scale is None:
        return construct.items or ()
    return survey.items(construct.scale) if construct.scale in survey.scales else ()


def _item_problems(
    loc: Location, item: str, survey: SurveySpec, in_text: tuple[int, int] | None = None
) -> Iterator[Problem]:
    known = survey.items(active_only=False)
    if item not in known:
        near = did_you_mean(item, known)
        yield Problem(loc, f"the survey '{survey.id}' has no item '{item}'.{near}", in_text=in_text)
    elif not survey.item(item).active:
        reason = survey.item(item).dropped_because
        yield Problem(loc, f"item '{item}' is dropped in the survey '{survey.id}': {reason}", in_text=in_text)


def _loading(latent: str, items: Iterable[str]) -> Statement:
    return Statement(latent, "=~", tuple(Term("", item) for item in items))


def _observed(measurement: Iterable[Statement]) -> tuple[str, ...]:
    loadings = [s for s in measurement if s.op == "=~"]
    factors = {s.lhs for s in loadings}
    return tuple(dict.fromkeys(t.variable for s in loadings for t in s.terms if t.variable not in factors))


def _fresh(name: str, taken: Iterable[str]) -> str:
    used = set(taken)
    while name in used:
        name += "_"
    return name


def _method_factor(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Return the lines of an uncorrelated factor on all items with equal loadings.

    All loadings are fixed to 1 and the variance is free. This is the equal-loadings model without a label constraint,
    and zero method variance is then an ordinary value of a free parameter instead of a point where the loading has no
    derivative. Method variance is added to the items as scored, reverse-coded ones included.
    """
    items = _observed(statements)
    factors = tuple(dict.fromkeys(s.lhs for s in statements if s.op == "=~"))
    outcomes = {s.lhs for s in statements if s.op == "~"}
    parts = {t.variable for s in statements if s.op == "=~" for t in s.terms}
    exogenous = [f for f in factors if f not in outcomes and f not in parts]
    method = _fresh("CMF", (*factors, *items))
    return (
        Statement(method, "=~", tuple(Term("1*", item) for item in items)),
        # Explicitly free, so that std_lv does not fix it.
        Statement(method, "~~", (Term("NA*", method),)),
        *(Statement(method, "~~", (Term("0*", factor),)) for factor in exogenous),
    )


def model_from_lavaan(identifier: str, text: str) -> ModelSpec:
    """Return a model that consists of lavaan text only; raises :class:`SpecError` if the text is empty."""
    if not text.strip():
        raise SpecError(
            "the model file is empty", hint="Write the model in lavaan syntax, for example: PC =~ pc1 + pc2 + pc3"
        )
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", identifier).strip("-_") or "model"
    return ModelSpec(schema_version=1, kind="model", id=safe, title=identifier or safe, text=text)
