"""Fitting one structural equation model: ``fit``, the door to the engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from b2b_sem.analysis.fitted import Fit
from b2b_sem.analysis.intake import column_name, model_text, name_list
from b2b_sem.analysis.linear import fit_linear
from b2b_sem.errors import DataError
from b2b_sem.spec.model import ModelSpec
from b2b_sem.spec.product import product_entries
from b2b_sem.spec.syntax import parse_model

if TYPE_CHECKING:
    from b2b_sem.data.read import Responses

__all__ = ["fit"]


def fit(
    model: str | Path | ModelSpec,
    data: pd.DataFrame | Mapping[str, Any] | Responses | None = None,
    *,
    estimator: str = "ML",
    likelihood: str = "normal",
    information: str | None = None,
    se: str = "default",
    test: str = "default",
    missing: str = "listwise",
    group: str | None = None,
    group_equal: Sequence[str] = (),
    group_partial: Sequence[str] = (),
    cluster: str | None = None,
    ordered: Sequence[str] | str | bool | None = None,
    parameterization: str = "delta",
    meanstructure: bool | None = None,
    std_lv: bool = False,
    orthogonal: bool = False,
    fixed_x: bool = True,
    bounds: str | None = None,
    kind: str = "sem",
    interaction: str = "lms",
    engine: str = "auto",
    sample_cov: Any = None,
    sample_mean: Any = None,
    nobs: Any = None,
    imputations: int | None = None,
    seed: int | None = None,
    auxiliary: Sequence[str] = (),
) -> Fit:
    """Fit a structural equation model.

    Parameters
    ----------
    model : str, Path or ModelSpec
        lavaan model syntax, a path to a file of it, or a loaded model.
    data : DataFrame, mapping of columns, or Responses, optional
        One row a respondent. Rows with missing values in the model's variables are left out and counted.
    estimator : {"ML", "MLM", "MLMV", "MLMVS", "MLR", "MLF", "GLS", "ULS", "WLS"}
        Fit function with the standard errors and the test that go with it, as in lavaan. All that start with ML give
        the estimates of maximum likelihood. ``"ADF"`` is WLS. ``"auto"`` takes what ``b2b_sem.advise`` recommends for
        these answers, `ordered` and `missing` included unless they are given; the notes of the result say why.
    likelihood : {"normal", "wishart"}
        Divisor N and chi-square N F, or N - 1 and (N - 1) F; for maximum likelihood (GLS, ULS and WLS use N - 1).
    information : {"expected", "observed", "first.order"}, optional
        Inverted for the standard errors; ``"first.order"`` means products of scores. Default: that of `se`.
    se : {"default", "standard", "robust", "robust.sem", "robust.huber.white", "none"}
        Standard errors: inverse information; corrected for non-normality as in MLM; sandwich of scores as in MLR.
    test : str
        ``"standard"``, ``"satorra.bentler"``, ``"mean.var.adjusted"``, ``"scaled.shifted"`` or
        ``"yuan.bentler.mplus"``; all but the first add the ``*_scaled`` and ``*_robust`` measures.
    missing : {"listwise", "fiml", "fiml.x", "mi"}
        Rows with missing values are left out, or all answers are used: full information maximum likelihood (ML, MLR,
        MLF), for values missing at random. Rows that lack an exogenous variable taken as fixed are left out with
        ``"fiml"`` and used with ``"fiml.x"``. Also called ``"ml"``, ``"direct"``, ``"ml.x"`` and ``"direct.x"``. With
        ``"mi"`` answers are imputed several times and the fits pooled: see :func:`b2b_sem.impute` and
        :func:`b2b_sem.fit_imputed`.
    meanstructure : bool, optional
        Model the means. Default: only if the model text names an intercept.
    std_lv : bool
        Fix the variances of latent variables at 1 instead of the first loadings.
    orthogonal : bool
        Fix covariances among latent variables at 0.
    fixed_x : bool
        Take exogenous observed variables as fixed: their moments are those of the sample.
    bounds : {"none", "pos.var", "pos.ov.var", "pos.lv.var", "standard", "wide"}, optional
        Automatic bounds of variances, loadings and covariances: see ``b2b_sem.spec.bound``.
    kind : {"sem", "cfa", "growth"}
        The first two are the same, as in lavaan. A growth model has a mean structure in which means of latent
        variables are free and intercepts of observed variables 0, unless the model text says otherwise.
    engine : {"auto", "semopy", "native"}
        Who finds the estimates. "auto" takes semopy where it is right and the native engine elsewhere. All
        inference comes from one place; see ``Fit.engine`` for who ran.
    sample_cov, sample_mean, nobs : optional
        Moments instead of data: a labelled covariance matrix with divisor n - 1, means, and the number of rows.
    auxiliary : sequence of str
        Columns that are no part of the model but tell about missing answers: saturated correlates with
        ``missing="fiml"`` (see ``b2b_sem.spec.auxiliary``; exogenous observed variables are then not taken as fixed),
        predictors of imputed answers with ``missing="mi"``.
    cluster : str, optional
        Column that says which rows belong together (ML, MLM, MLR): standard errors and test allow for dependence
        within clusters. The means are modelled, as in lavaan.
    ordered : sequence of str, str or bool, optional
        Ordinal variables, or True for all that are measured or predicted. Thresholds and latent (polychoric)
        correlations are fitted by ``"WLSMV"`` (what ``"ML"`` becomes), ``"WLSM"``, ``"WLSMVS"``, ``"DWLS"``, ``"WLS"``,
        ``"ULS"``, ``"ULSM"``, ``"ULSMV"`` or ``"ULSMVS"``; `missing` may be ``"pairwise"``.
    imputations, seed : int, optional
        With ``missing="mi"``: how many completed data sets (default 20), and the seed of their random draws, which must
        be given.
    parameterization : {"delta", "theta"}
        Of ordinal items: scale of the response behind an item, or its residual variance, as the parameter.
    group : str, optional
        Column that tells several groups apart: they are fitted together, in the order in which they appear. Tables then
        have the number of the group, and ``r2``, ``implied()`` and the like are dicts by label. `sample_cov`,
        `sample_mean` and `nobs` may be lists, or mappings by label, of several groups instead.
    group_equal : sequence of str
        What is equal in all groups: "loadings", "intercepts", "thresholds" (of ordinal items), "means", "residuals",
        "residual.covariances", "lv.variances", "lv.covariances", "regressions".
    group_partial : sequence of str
        Parameters that are not equal all the same: "F=~x2", "x2~1".
    interaction : {"lms", "qml", "dmc", "dmc-all", "mc", "mc-all", "rc", "rc-all", "ca"}
        How products of latent variables in the model (``RR ~ PC + PX + PC:PX``) are estimated: by maximum likelihood
        (Klein & Moosbrugger 2000, doi:10.1007/BF02296338), by quasi-maximum likelihood (Klein & Muthen 2007,
        doi:10.1080/00273170701710205), or by products of their items as indicators, which are double-mean-centred,
        mean-centred or residual-centred (see :func:`b2b_sem.product_indicators`), or mean-centred with the constraints
        that normality gives ("ca"). Products of observed variables are columns, whatever the way.

    Returns
    -------
    Fit
        A result is returned also when the fit failed: look at ``result.ok`` and ``result.warnings``.

    Raises
    ------
    ModelSyntaxError, DataError
        For input that cannot be used; the message says where and what to do.
    ModelError
        If no starting value gives a proper covariance matrix.
    Unsupported
        For a combination that is not available.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> f = rng.normal(size=(200, 1))
    >>> data = pd.DataFrame(f + rng.normal(size=(200, 4)), columns=["x1", "x2", "x3", "x4"])
    >>> fit("F =~ x1 + x2 + x3 + x4", data, engine="native").measures["df"]
    2
    """
    group = column_name("group", group)
    if not (ordered is None or type(ordered).__name__ in ("bool", "bool_")):
        ordered = name_list("ordered", ordered)
    ordered = ordered if isinstance(ordered, tuple) or ordered is None else bool(ordered)
    auxiliary = name_list("auxiliary", auxiliary)
    group_equal, group_partial = name_list("group_equal", group_equal), name_list("group_partial", group_partial)
    arguments = dict(locals())  # before there is any other name
    for name, value in (("sample_mean", sample_mean), ("nobs", nobs)):
        if value is not None and sample_cov is None:
            raise DataError(f"{name} goes with sample_cov", hint=f"give sample_cov=..., or leave {name} out")
    if str(estimator).lower() == "auto":
        from b2b_sem.analysis.advice import fit_by_advice

        return fit_by_advice(fit, *model_text(model), arguments)
    if missing == "mi":
        from b2b_sem.analysis.imputation import impute_and_fit

        return impute_and_fit(arguments)
    for name, value in (("imputations", imputations), ("seed", seed)):
        if value is not None:
            raise DataError(f"{name}={value!r} goes with missing='mi'", hint="add missing='mi', or leave it out")
    several = group is not None or isinstance(sample_cov, list | tuple | dict)
    for name, kinds in (("group_equal", group_equal), ("group_partial", group_partial)):
        if kinds and not several:
            raise DataError(
                f"{name} compares groups, and there is one", hint=f"give group='column', or leave {name} out"
            )
    parsed = parse_model(*model_text(model))
    if product_entries(parsed):
        from b2b_sem.analysis.moderated import fit_products

        return fit_products(parsed, data, arguments)
    return fit_linear(parsed, data, arguments)
