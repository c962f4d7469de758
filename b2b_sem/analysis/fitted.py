"""A fitted model that can be asked further questions.

``FitResult`` holds what was found; a ``Fit`` also remembers the problem it solved, so
that questions which need new computation (tests, effects, scores, resampling) can be answered. The answers are frozen
results of their own. A fit read back from JSON is a plain ``FitResult``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from b2b_sem.errors import DataError, Unsupported, did_you_mean
from b2b_sem.results.fit import FitResult

if TYPE_CHECKING:
    import pandas as pd

    from b2b_sem.data.observed import Observed
    from b2b_sem.engine.base import Array, EngineFit
    from b2b_sem.engine.problem import Problem
    from b2b_sem.results.bootstrap import BootstrapResult
    from b2b_sem.results.effect import EffectsResult
    from b2b_sem.results.test import ScoreTest, WaldTest
    from b2b_sem.spec.indicator import ProductTerm

__all__ = ["Context", "Fit", "context_of", "part_context", "refuse_groups", "refuse_ordinal"]


@dataclass(frozen=True, eq=False)
class Context:
    """What a fit was made from.

    Attributes
    ----------
    problem : Problem
    observed : Observed
        With the complete rows, if data were given.
    solution : EngineFit
    vcov : (q, q) array
        Covariance matrix of the free parameters; NaN when the model is not identified.
    products : tuple of ProductTerm
        Columns that are products of items, made from the answers.
    """

    problem: Problem
    observed: Observed
    solution: EngineFit
    vcov: Array
    products: tuple[ProductTerm, ...] = ()


@dataclass(frozen=True, eq=False)
class Fit(FitResult):
    """The result of ``b2b_sem.fit``: a ``FitResult`` with its problem."""

    _context: Context | None = field(default=None, repr=False)

    def modification_indices(
        self,
        *,
        sort: bool = False,
        minimum: float = 0.0,
        op: str | Sequence[str] | None = None,
        constrained: bool = False,
    ) -> pd.DataFrame:
        """Return what freeing each fixed or absent parameter would change: lavaan's ``modindices()``.

        The modification index is the score test of the parameter, the expected fall of chi-square
        MI = N s^2 / V, and EPC = s / V the expected value of the parameter minus the one it is fixed at (Sorbom 1989,
        doi:10.1007/BF02294623; Saris, Satorra & Sorbom 1987, doi:10.2307/271030), with s the gradient of the
        log-likelihood of one row and V its expected information, the model's own parameters accounted for. Nothing is
        refitted. Candidates are all loadings, residual and latent covariances, regressions among variables that take
        part in regressions, intercepts, and every fixed parameter of the model.

        Parameters
        ----------
        sort : bool
            Largest first.
        minimum : float
            Leave out smaller indices. Adjusted p-values always count all candidates.
        op : str or sequence of str, optional
            Only these operators: "=~", "~", "~~", "~1".
        constrained : bool
            Also parameters that share their label with others: what setting this one free would change. Its epc is
            the expected difference from the others.

        Returns
        -------
        DataFrame
            lhs op rhs group mi epc sepc_lv sepc_all sepc_nox pvalue pvalue_bonferroni pvalue_fdr. sepc_lv is
            standardized by latent variables, sepc_all by all, sepc_nox by all but exogenous observed variables. With
            hundreds of candidates some indices are large by chance: pvalue_bonferroni and pvalue_fdr (Benjamini &
            Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x) adjust for their number.

        Raises
        ------
        ModelError
            If the fit did not converge or the model is not identified.
        Unsupported
            For a fit without its problem, another estimator, or inequality constraints.
        """
        from b2b_sem.analysis.score import modification_indices

        return modification_indices(self, sort=sort, minimum=minimum, op=op, constrained=constrained)

    def score_test(self, add: str | None = None, *, release: Iterable[int | str] | None = None) -> ScoreTest:
        """Test equality constraints, or parameters the model leaves out, without refitting: ``lavTestScore()``.

        Rao (1948), doi:10.1017/S0305004100023987.

        Parameters
        ----------
        add : str, optional
            Parameters to add, as in a model: ``"F =~ x5; x1 ~~ x2"``. Default: release equality constraints.
        release : iterable of int or str, optional
            Which constraints: numbers from 1 (``==`` statements first, then pairs of equal labels), labels, or
            statements such as ``"a == b"``. Default: all.

        Returns
        -------
        ScoreTest
            The total test, one test a constraint, cumulative tests, and the expected change of every parameter.

        Raises
        ------
        ModelError
            If the fit failed or has no equality constraint.
        ModelSyntaxError
            For a parameter that is free already, an unknown variable or constraint.
        Unsupported
            For a fit without its problem, another estimator, or inequality constraints.
        """
        from b2b_sem.analysis.score import score_test

        return score_test(self, add, release=release)

    def wald_test(self, restrictions: str) -> WaldTest:
        """Test restrictions on labelled parameters: ``lavTestWald()``.

        W = d' (J V J')^-1 d, with d the left sides minus the right sides at the estimates, J their derivatives and V
        the covariance matrix of the estimates (Wald 1943, doi:10.1090/S0002-9947-1943-0012401-3). Restrictions may be
        nonlinear and may use ``:=`` definitions.

        Parameters
        ----------
        restrictions : str
            Such as ``"a == b; c == 0"``.

        Raises
        ------
        ModelError
            If the fit failed, or a restriction has no uncertainty or follows from the others.
        ModelSyntaxError
            For an unknown label or a statement that is no restriction.

        Examples
        --------
        >>> import numpy as np, pandas as pd
        >>> from b2b_sem.analysis.structural import fit
        >>> rng = np.random.default_rng(1)
        >>> f = rng.normal(size=(200, 1))
        >>> data = pd.DataFrame(f + rng.normal(size=(200, 4)), columns=["x1", "x2", "x3", "x4"])
        >>> fit("F =~ x1 + a*x2 + b*x3 + c*x4", data, engine="native").wald_test("a == b; b == c").df
        2
        """
        from b2b_sem.analysis.wald import wald_test

        return wald_test(self, restrictions)

    def bootstrap(self, n: int, seed: int, jobs: int = 1, ci: str | None = None, **settings: Any) -> BootstrapResult:
        """Refit the model to resampled data: see ``b2b_sem.analysis.bootstrap.bootstrap``.

        Parameters
        ----------
        n, seed : int
            Replicates, and the seed of their random streams.
        jobs : int
            Worker processes; the results do not depend on it.
        ci : {"bca", "bc", "percentile", "basic", "normal"}, optional
            Default "bca".
        **settings
            ``kind``, ``level``, ``resume``, ``progress``.
        """
        from b2b_sem.analysis.bootstrap import bootstrap

        return bootstrap(self, n, seed=seed, jobs=jobs, ci=ci, **settings)

    def indirect_effects(self, ci: str = "delta", level: float = 0.95, **options: Any) -> EffectsResult:
        """Return all specific, direct, indirect and total effects: ``indirect_effects``.

        Parameters
        ----------
        ci : {"delta", "mc", "percentile", "bc", "bca"}
        level : float
        **options
            ``draws``, ``seed``, ``outcome``, ``predictor``, ``bootstrap``, ``jobs``; ``group`` (a label) for a fit of
            several groups.
        """
        from b2b_sem.analysis.effect import indirect_effects

        return indirect_effects(self, ci, level, **options)

    def factor_scores(self, method: str = "regression", data: Any = None) -> Any:
        """Return scores of the latent variables: ``factor_scores``; a dict by label for several groups.

        Parameters
        ----------
        method : {"regression", "bartlett"}
        data : DataFrame, mapping of columns, or Responses, optional
            Other rows than those the model was fitted to.
        """
        from b2b_sem.analysis.factor_score import factor_scores

        return factor_scores(self, method, data)

    def residuals(self, kind: str = "raw", *, se: bool = False) -> dict[str, Any]:
        """Return sample minus implied moments: ``residuals``.

        Parameters
        ----------
        kind : {"raw", "cor", "cor_bollen", "cor_bentler", "normalized", "standardized", "standardized_mplus"}
        se : bool
            Standard errors and z beside the residuals.
        """
        from b2b_sem.analysis.residual import residuals

        return residuals(self, kind, se=se)


def context_of(fit: FitResult) -> Context:
    """Return what a fit was made from.

    Raises
    ------
    Unsupported
        If the result was read from a file: numbers are there, the data are not.
    """
    context = getattr(fit, "_context", None)
    if context is None:
        raise Unsupported(
            "this result was read from a file and holds no data to compute from", hint="fit the model again"
        )
    return context


def refuse_ordinal(problem: Problem, what: str, hint: str) -> None:
    """Raise Unsupported for what is not computed from models of ordinal items."""
    if problem.table.ordered:
        raise Unsupported(f"{what} are not available for ordinal items", hint=hint)


def part_context(fit: FitResult, group: str) -> Context:
    """Return what one group of a fit was made from, with its own parameters and their covariance matrix.

    The estimates are those of the joint fit: they do not minimise the fit function of the group alone.

    Raises
    ------
    DataError
        If there is no such group.
    """
    import numpy as np

    from b2b_sem.engine.group import GroupProblem

    context = context_of(fit)
    group = str(group)  # labels are text, also of numbers
    if group not in fit.groups:
        raise DataError(
            f"there is no group '{group}'.{did_you_mean(group, fit.groups)}",
            hint=f"use one of {', '.join(fit.groups)}",
        )
    assert isinstance(context.problem, GroupProblem)
    g = fit.groups.index(group)
    place = context.problem.places[g]
    return Context(
        context.problem.parts[g],
        context.observed.part(g + 1),
        replace(context.solution, theta=context.solution.theta[place]),
        context.vcov[np.ix_(place, place)],
    )


def refuse_groups(fit: FitResult, what: str, hint: str = "fit each group by itself") -> None:
    """Raise Unsupported for what is not computed from a fit of several groups."""
    if fit.groups:
        raise Unsupported(f"{what} are not available for a fit of several groups", hint=hint)
