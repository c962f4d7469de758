"""What the names of estimators stand for, and which combinations are refused."""

from __future__ import annotations

from typing import Any

import pytest

from b2b_sem.engine.base import FitOptions
from b2b_sem.engine.setting import resolve_options
from b2b_sem.errors import Unsupported


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # as lavaan 0.6-14 sets them: estimator, likelihood, information, se, test, information of the test
        ({}, ("ML", "normal", "expected", "standard", "standard", "hessian")),
        ({"likelihood": "wishart"}, ("ML", "wishart", "expected", "standard", "standard", "hessian")),
        ({"information": "observed"}, ("ML", "normal", "observed", "standard", "standard", "hessian")),
        ({"se": "robust"}, ("ML", "normal", "expected", "robust.sem", "standard", "hessian")),
        ({"se": "robust.huber.white"}, ("ML", "normal", "observed", "robust.huber.white", "standard", "hessian")),
        ({"test": "yuan.bentler.mplus"}, ("ML", "normal", "expected", "standard", "yuan.bentler.mplus", "h1")),
        ({"test": "sb"}, ("ML", "normal", "expected", "standard", "satorra.bentler", "hessian")),
        ({"estimator": "mlm"}, ("ML", "normal", "expected", "robust.sem", "satorra.bentler", "hessian")),
        ({"estimator": "MLMV"}, ("ML", "normal", "expected", "robust.sem", "scaled.shifted", "hessian")),
        ({"estimator": "MLMVS"}, ("ML", "normal", "expected", "robust.sem", "mean.var.adjusted", "hessian")),
        ({"estimator": "MLR"}, ("ML", "normal", "observed", "robust.huber.white", "yuan.bentler.mplus", "hessian")),
        (
            {"estimator": "MLR", "se": "standard"},
            ("ML", "normal", "expected", "standard", "yuan.bentler.mplus", "hessian"),
        ),
        ({"estimator": "MLF"}, ("ML", "normal", "first.order", "standard", "standard", "hessian")),
        ({"estimator": "GLS"}, ("GLS", "wishart", "expected", "standard", "standard", "hessian")),
        ({"estimator": "ADF"}, ("WLS", "wishart", "expected", "standard", "standard", "hessian")),
        ({"estimator": "ULS", "se": "none"}, ("ULS", "wishart", "expected", "none", "standard", "hessian")),
        ({"clustered": True}, ("ML", "normal", "observed", "robust.cluster", "yuan.bentler.mplus", "h1")),
        (
            {"clustered": True, "test": "standard"},
            ("ML", "normal", "observed", "robust.cluster", "standard", "hessian"),
        ),
        (
            {"clustered": True, "estimator": "MLR"},
            ("ML", "normal", "observed", "robust.cluster", "yuan.bentler.mplus", "hessian"),
        ),
        (
            {"clustered": True, "estimator": "MLM"},
            ("ML", "normal", "expected", "robust.cluster.sem", "satorra.bentler", "hessian"),
        ),
    ],
)  # fmt: skip
def test_names_and_defaults(options: dict[str, Any], expected: tuple[str, ...]) -> None:
    found = resolve_options(**options)
    assert found == FitOptions(*expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "MLRR"}, "Did you mean"),
        ({"estimator": "WLSMV"}, "estimator='WLSMV'"),
        ({"estimator": "GLS", "likelihood": "wishart"}, "maximum likelihood only"),
        ({"estimator": "GLS", "se": "robust"}, "robust"),
        ({"estimator": "ULS", "test": "satorra.bentler"}, "estimator='ULS'"),
        ({"estimator": "WLS", "information": "observed"}, "information='observed'"),
        ({"estimator": "MLM", "information": "observed"}, "robust.sem"),
        ({"estimator": "MLM", "test": "scaled.shifted"}, "whose test is 'satorra.bentler'"),
        ({"estimator": "MLR", "test": "satorra.bentler"}, "yuan.bentler.mplus"),
        ({"test": "satorra.bentler", "information": "observed"}, "test='satorra.bentler'"),
        ({"se": "robust.huber.white", "test": "satorra.bentler"}, "satorra.bentler"),
        ({"estimator": "MLF", "se": "robust"}, "first.order"),
        ({"se": "robust.huber.white", "information": "first.order"}, "first.order"),
        ({"se": "robust.cluster"}, "se='robust.cluster'"),
        ({"clustered": True, "estimator": "GLS"}, "clusters are not available with estimator='GLS'"),
        ({"clustered": True, "se": "standard"}, "independent rows"),
        ({"clustered": True, "test": "satorra.bentler"}, "clusters"),
        ({"clustered": True, "estimator": "MLM", "test": "standard"}, "clusters"),
    ],
)
def test_untested_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported, match=message) as info:
        resolve_options(**options)
    assert info.value.hint


@pytest.mark.parametrize(
    ("options", "needed"),
    [({}, False), ({"estimator": "GLS"}, False), ({"information": "observed"}, False), ({"estimator": "WLS"}, True),
     ({"estimator": "MLF"}, True), ({"se": "robust"}, True), ({"test": "sb"}, True), ({"estimator": "MLR"}, True)],
)  # fmt: skip
def test_whether_the_rows_are_needed(options: dict[str, Any], needed: bool) -> None:
    assert resolve_options(**options).needs_rows is needed
