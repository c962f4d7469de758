"""Models without products of latent variables: ordinal items, several groups, or one group of continuous answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b2b_sem.analysis.continuous import fit_continuous
from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import refuse
from b2b_sem.analysis.multigroup import fit_groups
from b2b_sem.errors import DataError
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["fit_linear"]

#: Arguments of :func:`b2b_sem.fit` that matter for ordinal items, and for continuous answers.
ORDINAL = (
    "estimator",
    "likelihood",
    "information",
    "se",
    "test",
    "missing",
    "parameterization",
    "std_lv",
    "orthogonal",
    "fixed_x",
    "group",
    "group_equal",
    "group_partial",
)
CONTINUOUS = (
    *ORDINAL,
    "cluster",
    "meanstructure",
    "bounds",
    "kind",
    "interaction",
    "engine",
    "sample_cov",
    "sample_mean",
    "nobs",
    "auxiliary",
)


def fit_linear(parsed: ParsedModel, data: Any, arguments: Mapping[str, Any]) -> Fit:
    """Fit a model without products of latent variables; `arguments` and errors are those of :func:`b2b_sem.fit`."""
    ordered, sample_cov = arguments["ordered"], arguments["sample_cov"]
    if ordered or any(e.op in ("|", "~*~") for e in parsed.entries):
        from b2b_sem.analysis.ordinal import fit_ordinal

        refuse(
            auxiliary=(
                arguments["auxiliary"],
                ((),),
                "auxiliary variables go with missing='fiml' or 'mi': leave them out",
            ),
            cluster=(arguments["cluster"], (None,), "clusters are not available for ordinal items"),
            bounds=(arguments["bounds"], (None,), "bounds are not available for ordinal items"),
            meanstructure=(
                arguments["meanstructure"],
                (None, True),
                "models of ordinal items have a mean structure: leave it out",
            ),
            kind=(arguments["kind"], ("sem", "cfa"), "use kind='sem'"),
            interaction=(arguments["interaction"], ("lms",), "leave it out"),
            engine=(arguments["engine"], ("auto", "native"), "use 'native': semopy has no ordinal items"),
        )
        if data is None or sample_cov is not None:
            raise DataError("ordinal items need the rows of the data, not moments", hint="give data=...")
        return fit_ordinal(parsed, data, ordered, **{name: arguments[name] for name in ORDINAL})
    several = arguments["group"] is not None or isinstance(sample_cov, list | tuple | dict)
    return (fit_groups if several else fit_continuous)(parsed, data, **{name: arguments[name] for name in CONTINUOUS})
