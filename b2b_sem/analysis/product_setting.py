"""What the ways to fit products by a likelihood of the rows have in common: options, tables, settings of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from b2b_sem.analysis.intake import refuse
from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.native.constraint import linear_constraints
from b2b_sem.engine.setting import SAME_MISSING
from b2b_sem.errors import DataError, Unsupported
from b2b_sem.spec.partable import ParameterTable, build_table
from b2b_sem.spec.product import add_products, linear_part, partial_products
from b2b_sem.spec.syntax import ParsedModel

__all__ = ["ERRORS", "NO_CHISQ", "product_settings", "product_tables", "read_options"]

#: What every result says.
NO_CHISQ = (
    "Chi-square and the indices that rest on it do not exist: the model has no normal distribution. Compare logl, "
    "AIC and BIC; 'product_chisq' tests the model without products."
)
#: Standard errors that each estimator stands for.
ERRORS = {"ML": "standard", "MLR": "robust.huber.white", "MLF": "standard"}


def read_options(data: Any, arguments: Mapping[str, Any]) -> FitOptions:
    """Return the options of a model with products fitted to the rows of the data.

    Raises
    ------
    Unsupported, DataError
        For arguments that such a model does not go with.
    """
    estimator = str(arguments["estimator"]).upper()
    missing = SAME_MISSING.get(arguments["missing"], arguments["missing"])
    refuse(
        estimator=(estimator, tuple(ERRORS), "products of latent variables are fitted by ML, MLR or MLF"),
        missing=(missing, ("listwise", "fiml", "fiml.x"), "use 'listwise' or 'fiml'"),
        likelihood=(arguments["likelihood"], ("normal",), "leave it out"),
        test=(
            arguments["test"],
            ("default", "standard", "none"),
            "leave it out: there is no chi-square test",
        ),
        meanstructure=(arguments["meanstructure"], (None, True), "products of latent variables need the means"),
        bounds=(arguments["bounds"], (None, "none"), "leave it out"),
        parameterization=(arguments["parameterization"], ("delta", "theta"), "leave it out: it is for ordinal items"),
        kind=(arguments["kind"], ("sem", "cfa"), "use kind='sem'"),
        engine=(arguments["engine"], ("auto", "native"), "use 'native': semopy has no latent products"),
        auxiliary=(tuple(arguments["auxiliary"]), ((),), "leave it out"),
    )
    if data is None or arguments["sample_cov"] is not None:
        raise DataError("products of latent variables need the rows of the data, not moments", hint="give data=...")
    return _options(estimator, arguments, missing)


def product_tables(
    parsed: ParsedModel, arguments: Mapping[str, Any], groups: Sequence[str] = ()
) -> tuple[ParameterTable, ParameterTable]:
    """Return the tables of a model without its products and with them.

    Raises
    ------
    Unsupported, ModelSyntaxError
        For a model that is not available; for inequalities and nonlinear constraints.
    """
    equal, partial = arguments["group_equal"], arguments["group_partial"]
    products = partial_products(partial, parsed.columns)
    linear = build_table(
        linear_part(parsed),
        meanstructure=True,
        std_lv=arguments["std_lv"],
        orthogonal=arguments["orthogonal"],
        fixed_x=arguments["fixed_x"],
        groups=groups,
        group_equal=equal,
        group_partial=[name for name in partial if name not in products],
    )
    table = add_products(linear, parsed, equal, products)
    if table.inequalities or (table.equalities and linear_constraints(table, skip_nonlinear=True) is None):
        raise Unsupported(
            "inequalities and nonlinear constraints are not available with latent products",
            hint="remove them; labels and linear equations can be used",
        )
    return linear, table


def product_settings(arguments: Mapping[str, Any], options: FitOptions) -> dict[str, Any]:
    """Return the options of the call that shape the numbers, as the result keeps them."""
    settings = {
        "estimator": str(arguments["estimator"]).upper(),
        "likelihood": "normal",
        "information": options.information,
        "se": options.se,
        "test": "none",
        "missing": options.missing,
        "meanstructure": True,
        "std_lv": arguments["std_lv"],
        "orthogonal": arguments["orthogonal"],
        "fixed_x": arguments["fixed_x"],
        "interaction": arguments["interaction"],
    }
    if arguments["group"] is not None:
        settings |= {name: arguments[name] for name in ("group", "group_equal", "group_partial")}
    return settings if arguments["cluster"] is None else settings | {"cluster": arguments["cluster"]}


def _options(estimator: str, arguments: Mapping[str, Any], missing: str) -> FitOptions:
    se = arguments["se"]
    robust = ERRORS[estimator]
    if arguments["cluster"] is not None:
        if se not in ("default", "robust", "robust.cluster", "none"):
            raise Unsupported(f"se={se!r} assumes independent rows, but there are clusters", hint="leave se out")
        robust = "robust.cluster"
    if se in ("default", "robust"):
        se = "robust.huber.white" if se == "robust" and robust == "standard" else robust
    information = arguments["information"] or ("first.order" if estimator == "MLF" else "observed")
    refuse(
        se=(se, ("standard", "robust.huber.white", "robust.cluster", "none"), "use 'standard' or 'robust'"),
        information=(information, ("observed", "first.order"), "use 'observed': there is no expected information"),
    )
    if information == "first.order" and se.startswith("robust"):
        raise Unsupported("information='first.order' is for standard errors without correction", hint="leave it out")
    return FitOptions(information=information, se=se, test="standard", missing=missing)  # type: ignore[arg-type]
