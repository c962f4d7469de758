"""The joint models behind a comparison of paths: loadings equal, paths free or equal, in several groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from b2b_sem.analysis.fitted import Fit, context_of
from b2b_sem.analysis.ordinal import fit_ordinal
from b2b_sem.analysis.structural import fit as fit_model
from b2b_sem.data.observed import Observed
from b2b_sem.errors import ModelSyntaxError, Unsupported, did_you_mean
from b2b_sem.spec.syntax import ParsedModel, parse_model
from b2b_sem.spec.threshold import restrict_step, threshold_name, untested_loadings

__all__ = [
    "ESTIMATORS",
    "ORDINAL_ESTIMATORS",
    "NumericPaths",
    "OrdinalPaths",
    "PathModel",
    "is_ordinal",
]

#: With which groups are compared, of answers as numbers and of ordinal items.
ESTIMATORS = ("ML", "MLM", "MLMV", "MLR", "MLF")
ORDINAL_ESTIMATORS = ("WLSMV", "WLSM", "WLSMVS", "ULSMV", "ULSM", "ULSMVS")


def is_ordinal(ordered: Any) -> bool:
    """Whether any item is to be ordinal."""
    return ordered is not None and ordered is not False and not (isinstance(ordered, Sequence) and not ordered)


class PathModel(Protocol):
    """How the models of a comparison are fitted."""

    def free(self) -> Fit:
        """Fit the model with all paths free in each group."""
        ...

    def loose(self) -> Fit:
        """Fit the model without equal loadings."""
        ...

    def equal(self, others: Sequence[str], lines: Sequence[str]) -> Fit:
        """Fit the model with equal paths, all but `others`; `lines` are constraints to add to its text."""
        ...


@dataclass
class NumericPaths:
    """Answers that are numbers.

    Attributes
    ----------
    text, file : str
        The model.
    data : DataFrame or Responses
    kinds : tuple of str
        What is equal beside paths: ``group_equal`` of :func:`b2b_sem.fit`.
    exempt : tuple of str
    settings : dict
        Of the fits.
    """

    text: str
    file: str | None
    data: Any
    kinds: tuple[str, ...]
    exempt: tuple[str, ...]
    settings: dict[str, Any]

    def free(self) -> Fit:
        """Fit the model with all paths free in each group."""
        return self._fit(self.text, self.kinds, self.exempt)

    def loose(self) -> Fit:
        """Fit the model without equal loadings."""
        return self._fit(self.text, tuple(k for k in self.kinds if k != "loadings"), self.exempt)

    def equal(self, others: Sequence[str], lines: Sequence[str]) -> Fit:
        """Fit the model with equal paths, all but `others`."""
        exempt = tuple(dict.fromkeys([*self.exempt, *others]))
        return self._fit("\n".join([self.text, *lines]), (*self.kinds, "regressions"), exempt)

    def _fit(self, text: str, kinds: tuple[str, ...], exempt: tuple[str, ...]) -> Fit:
        return fit_model(text, self.data, group_equal=kinds, group_partial=exempt, **self.settings)


@dataclass
class OrdinalPaths:
    """Ordinal items: equal loadings need equal thresholds first (see :mod:`b2b_sem.spec.threshold`).

    A latent variable with fewer than two items of three or more categories has equal loadings only with equal
    intercepts: the measurement part is then that of scalar invariance.

    Attributes
    ----------
    text, file, data, exempt, settings
        As in :class:`NumericPaths`; `settings` hold ordered and parameterization.
    """

    text: str
    file: str | None
    data: Any
    exempt: tuple[str, ...]
    settings: dict[str, Any]
    step: str = "metric"
    levels: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    observed: Observed | None = None

    def free(self) -> Fit:
        """Fit the model with all paths free in each group."""
        if self.observed is None:
            self._look()
        return self._fit(self._model(self.text, self.step))

    def loose(self) -> Fit:
        """Fit the model without equal loadings."""
        return self._fit(self._model(self.text, "thresholds" if self.step == "metric" else "configural"))

    def equal(self, others: Sequence[str], lines: Sequence[str]) -> Fit:
        """Fit the model with equal paths, all but `others`."""
        model = self._model("\n".join([self.text, *lines]), self.step)
        return self._fit(model, ("regressions",), tuple(others))

    def _look(self) -> None:
        """Find out how many categories the items have, from the model without equality."""
        parsed = parse_model(self.text, self.file)
        for e in parsed.entries:
            if e.op in ("|", "~*~"):
                raise Unsupported(
                    f"'{e.text}' is about thresholds or scales, which are made equal and free here",
                    file=self.file,
                    line=e.line,
                    column=e.column,
                    hint="leave it out, and say which items are ordinal: ordered=[...]",
                )
        found = self._fit(parsed)
        table = context_of(found).problem.table
        items: dict[str, list[str]] = {}
        for row in table.rows:
            if row.op == "=~" and row.group == 1:
                items.setdefault(row.lhs, []).append(row.rhs)
        measured = {item for own in items.values() for item in own}
        if stray := [v for v in table.ordered if v not in measured]:
            raise Unsupported(
                f"{', '.join(stray)} is ordinal and measures no latent variable: the scale of the response behind it "
                "cannot be made equal in the groups, and so its paths cannot be compared",
                file=self.file,
                hint="leave it out of ordered to treat it as a number",
            )
        self.groups, self.observed = len(found.groups), context_of(found).observed
        self.levels = dict(Counter(r.lhs for r in table.rows if r.op == "|" and r.group == 1))
        if untested_loadings(items, self.levels):
            self.step = "scalar"
        known = {r.name for r in table.rows if r.op != "|"} | {threshold_name(*kind) for kind in self.levels.items()}
        for name in self.exempt:
            if name not in known:
                raise ModelSyntaxError(
                    f"partial='{name}' names no parameter that can be released.{did_you_mean(name, known)}",
                    file=self.file,
                    hint="write it as in the model, for example 'F=~x2'; thresholds of an item go together: 'x2|t1-t4'",
                )

    def _model(self, text: str, step: str) -> ParsedModel:
        chosen, std_lv = self.settings["parameterization"], self.settings["std_lv"]
        parsed = parse_model(text, self.file)
        return restrict_step(parsed, self.levels, self.groups, step, self.exempt, chosen, std_lv=std_lv)

    def _fit(self, model: ParsedModel, kinds: tuple[str, ...] = (), exempt: tuple[str, ...] = ()) -> Fit:
        return fit_ordinal(
            model, self.data, group_equal=kinds, group_partial=exempt, observed=self.observed, **self.settings
        )
