"""What an estimator's name stands for: fit function, standard errors, test and information, as in lavaan."""

from __future__ import annotations

from typing import Any

from b2b_sem.engine.base import FitOptions
from b2b_sem.errors import Unsupported, did_you_mean

__all__ = ["ESTIMATORS", "resolve_options"]

#: Name -> (fit function, default standard errors, default test).
ESTIMATORS: dict[str, tuple[str, str, str]] = {
    "ML": ("ML", "standard", "standard"),
    "MLM": ("ML", "robust.sem", "satorra.bentler"),
    "MLMV": ("ML", "robust.sem", "scaled.shifted"),
    "MLMVS": ("ML", "robust.sem", "mean.var.adjusted"),
    "MLR": ("ML", "robust.huber.white", "yuan.bentler.mplus"),
    "MLF": ("ML", "standard", "standard"),
    "GLS": ("GLS", "standard", "standard"),
    "ULS": ("ULS", "standard", "standard"),
    "WLS": ("WLS", "standard", "standard"),
}
#: Other names of the same things.
SAME_ESTIMATOR = {"ADF": "WLS"}
SAME_TEST = {
    "chisq": "standard",
    "sb": "satorra.bentler",
    "satorra-bentler": "satorra.bentler",
    "mean-var-adjusted": "mean.var.adjusted",
    "scaled-shifted": "scaled.shifted",
    "yuan-bentler-mplus": "yuan.bentler.mplus",
    "yb.mplus": "yuan.bentler.mplus",
}
#: Estimators of models with ordinal items: see b2b_sem.engine.categorical.
ORDINAL_ONLY = ("WLSMV", "WLSM", "WLSMVS", "DWLS", "ULSM", "ULSMV", "ULSMVS")
#: With clusters: name -> (standard errors, test).
CLUSTERED = {
    "ML": ("robust.cluster", "yuan.bentler.mplus"),
    "MLR": ("robust.cluster", "yuan.bentler.mplus"),
    "MLM": ("robust.cluster.sem", "satorra.bentler"),
}
#: Names of full information maximum likelihood in other programs.
SAME_MISSING = {"ml": "fiml", "direct": "fiml", "ml.x": "fiml.x", "direct.x": "fiml.x"}
#: What goes with rows that have holes.
CASEWISE = ("ML", "MLR", "MLF")
CASEWISE_ERRORS = ("standard", "robust.huber.white", "none")
CASEWISE_TESTS = ("standard", "yuan.bentler.mplus")
MOMENT_TESTS = ("satorra.bentler", "mean.var.adjusted", "scaled.shifted")
ERRORS = ("standard", "robust.sem", "robust.huber.white", "none")
TESTS = ("standard", *MOMENT_TESTS, "yuan.bentler.mplus")


def resolve_options(
    estimator: str = "ML",
    likelihood: str = "normal",
    information: str | None = None,
    se: str = "default",
    test: str = "default",
    clustered: bool = False,
    missing: str = "listwise",
) -> FitOptions:
    """Return the settings an estimator stands for, with what the user chose instead of its defaults.

    Parameters
    ----------
    estimator : str
        A name of :data:`ESTIMATORS`, or ``"ADF"`` for WLS.
    likelihood, information, se, test : str
        As in :func:`b2b_sem.fit`.
    clustered : bool
        Whether rows belong to clusters.
    missing : {"listwise", "fiml", "fiml.x"}

    Raises
    ------
    Unsupported
        For an unknown name, and for combinations whose numbers are not tested.
    """
    name = str(estimator).upper()
    name = SAME_ESTIMATOR.get(name, name)
    if name in ORDINAL_ONLY:
        raise Unsupported(
            f"estimator='{estimator}' is for ordinal items, and none is named",
            hint="give ordered=True, or the names of the ordinal items; for continuous variables use MLM or MLR",
        )
    _one_of("estimator", estimator, name, tuple(ESTIMATORS))
    _one_of("likelihood", likelihood, likelihood, ("normal", "wishart"))
    base, own_se, own_test = ESTIMATORS[name]
    if base != "ML" and likelihood != "normal":
        raise Unsupported(
            f"likelihood='{likelihood}' goes with maximum likelihood only", hint=f"leave it out with estimator='{name}'"
        )
    test = SAME_TEST.get(test, test)
    missing = SAME_MISSING.get(missing, missing)
    if missing != "listwise":
        se = _check_casewise(name, likelihood, se, test)
    if clustered:
        own_se, own_test = _clustered(name, se, test)
    elif se == "robust" and own_se == "standard":
        own_se = "robust.sem"
    if se in ("default", "robust"):
        se = own_se
    _one_of("se", se, se, (*ERRORS, own_se) if clustered else ERRORS)
    if name not in ("ML", "MLF") and test not in ("default", own_test):
        raise Unsupported(
            f"test='{test}' is not available with estimator='{name}', whose test is '{own_test}'",
            hint="leave test out, or use estimator='ML' with se= and test=" if base == "ML" else "leave test out",
        )
    test = own_test if test == "default" else test
    _one_of("test", test, test, TESTS)
    if base != "ML" and (se not in ("standard", "none") or test != "standard"):
        raise Unsupported(
            f"robust standard errors and tests are not available with estimator='{name}'",
            hint="use estimator='MLM', 'MLMV' or 'MLR'",
        )
    observed = se in ("robust.huber.white", "robust.cluster") or missing != "listwise"
    default = "observed" if observed else "expected"
    information = information or ("first.order" if name == "MLF" else default)
    _one_of("information", information, information, ("expected", "observed", "first.order"))
    _check_information(name, base, information, se, test)
    return FitOptions(
        estimator=base,  # type: ignore[arg-type]
        likelihood="wishart" if base != "ML" or likelihood == "wishart" else "normal",
        information=information,  # type: ignore[arg-type]
        se=se,
        test=test,
        # lavaan: beside the chi-square (as with ML) the information of a scaled test has no second derivatives
        test_information="h1" if name == "ML" and test == "yuan.bentler.mplus" else "hessian",
        missing=missing,  # type: ignore[arg-type]
    )


def _check_casewise(name: str, likelihood: str, se: str, test: str) -> str:
    """Raise for what does not go with full information maximum likelihood; return the standard errors."""
    if name not in CASEWISE:
        raise Unsupported(
            f"missing='fiml' is maximum likelihood, estimator='{name}' needs complete rows",
            hint="use estimator='MLR' (robust) or 'ML', or missing='listwise'",
        )
    if likelihood != "normal":
        raise Unsupported("likelihood='wishart' needs complete rows", hint="leave likelihood out with missing='fiml'")
    if se == "robust":
        se = "robust.huber.white"
    if se in ERRORS and se not in CASEWISE_ERRORS:
        raise Unsupported(f"se='{se}' needs complete rows", hint="use se='robust.huber.white', or estimator='MLR'")
    if test in TESTS and test not in CASEWISE_TESTS:
        raise Unsupported(f"test='{test}' needs complete rows", hint="use estimator='MLR', whose test allows holes")
    return se


def _clustered(name: str, se: str, test: str) -> tuple[str, str]:
    """Return standard errors and test of clustered data."""
    if name not in CLUSTERED:
        raise Unsupported(
            f"clusters are not available with estimator='{name}'", hint=f"use one of {', '.join(CLUSTERED)}"
        )
    own_se, own_test = CLUSTERED[name]
    if se not in ("default", "robust", own_se, "none"):
        raise Unsupported(
            f"se='{se}' assumes independent rows, but there are clusters", hint=f"leave se out: it is '{own_se}'"
        )
    if test == "standard" and name == "ML":
        own_test = "standard"
    elif test not in ("default", own_test):
        raise Unsupported(f"test='{test}' is not available with clusters", hint=f"leave test out: it is '{own_test}'")
    return own_se, own_test


def _check_information(name: str, base: str, information: str, se: str, test: str) -> None:
    """Raise for information that does not go with errors or test."""
    if information == "expected":
        return
    if base != "ML":
        raise Unsupported(
            f"information='{information}' is not available with estimator='{name}'", hint="leave information out"
        )
    if se in ("robust.sem", "robust.cluster.sem") or test in MOMENT_TESTS:
        what = f"se='{se}'" if se.endswith(".sem") else f"test='{test}'"
        raise Unsupported(
            f"information='{information}' is not available with {what}", hint="use information='expected'"
        )
    if information == "first.order" and (se not in ("standard", "none") or test != "standard"):
        raise Unsupported(
            "information='first.order' is for standard errors without correction",
            hint="use information='observed' or 'expected'",
        )


def _one_of(option: str, given: Any, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise Unsupported(
            f"{option}={given!r} is not available.{did_you_mean(value, known)}",
            hint=f"use one of {', '.join(dict.fromkeys(known))}",
        )
