"""The text of a fit, against the output of lavaan 0.6-14 for the same numbers.

The numbers and the expected lines come from R::

    summary(cfa("visual =~ x1 + x2 + b*x3; textual =~ x4 + x5; visual ~ ageyr; x1 ~~ x5; d := b*b",
                HolzingerSwineford1939, meanstructure = TRUE), fit.measures = TRUE, standardized = TRUE)
"""

from dataclasses import replace
from types import MappingProxyType

import pandas as pd
import pytest

from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import FitResult, ModelInfo, OptimizerInfo

NAN = float("nan")


def row(lhs, op, rhs, est, se, z, p, lv, std, label="", group=1):
    return dict(
        zip(PARAMETER_COLUMNS, (lhs, op, rhs, group, label, int(z == z), est, se, z, p, NAN, NAN, lv, std), strict=True)
    )


ROWS = [
    row("visual", "=~", "x1", 1.0, 0.0, NAN, NAN, 0.727, 0.623),
    row("visual", "=~", "x2", 0.772, 0.139, 5.538, 3e-8, 0.562, 0.478),
    row("visual", "=~", "x3", 1.102, 0.212, 5.189, 2e-7, 0.802, 0.710, "b"),
    row("textual", "=~", "x4", 1.0, 0.0, NAN, NAN, 0.984, 0.847),
    row("textual", "=~", "x5", 1.126, 0.067, 16.831, 0.0, 1.108, 0.864),
    row("visual", "~", "ageyr", -0.005, 0.049, -0.109, 0.913, -0.007, -0.008),
    row("x1", "~~", "x5", 0.020, 0.047, 0.418, 0.676, 0.020, 0.033),
    row("x1", "~1", "", 5.006, 0.643, 7.788, 0.0, 5.006, 4.291),
    row("visual", "~1", "", 0.0, 0.0, NAN, NAN, 0.0, 0.0),
    row("textual", "~1", "", 0.0, 0.0, NAN, NAN, 0.0, 0.0),
    row("x1", "~~", "x1", 0.832, 0.119, 7.016, 0.0, 0.832, 0.611),
    row("visual", "~~", "visual", 0.529, 0.131, 4.038, 5e-5, 1.0, 1.0),
    row("textual", "~~", "textual", 0.968, 0.112, 8.630, 0.0, 1.0, 1.0),
    row("d", ":=", "b*b", 1.214, 0.467, 2.6, 0.009, 0.643, 0.504, "d"),
]
MEASURES = {
    "npar": 20.0,
    "chisq": 77.186,
    "df": 13.0,
    "pvalue": 3e-11,
    "baseline_chisq": 686.056,
    "baseline_df": 21.0,
    "baseline_pvalue": 0.0,
    "cfi": 0.9034,
    "tli": 0.8441,
    "logl": -2537.958,
    "unrestricted_logl": -2499.365,
    "aic": 5115.916,
    "bic": 5190.058,
    "bic2": 5126.629,
    "rmsea": 0.1279,
    "rmsea_ci_lower": 0.101,
    "rmsea_ci_upper": 0.156,
    "rmsea_pvalue": 4e-6,
    "srmr": 0.133,
}


def make(rows=ROWS, **changes):
    empty = pd.DataFrame()
    fit = FitResult(
        model=ModelInfo(
            "", "", ("The first loading is 1.",), ("x1",), ("visual",), MappingProxyType({"se": "standard"})
        ),
        estimator="ML",
        engine="native",
        converged=True,
        identified=True,
        admissible=True,
        nobs=301,
        n_read=301,
        n_dropped=0,
        optimizer=OptimizerInfo(41, 1e-9, None, "Fisher scoring"),
        warnings=(),
        notes=(),
        _measures=MappingProxyType(MEASURES),
        _parameters=pd.DataFrame(rows, columns=list(PARAMETER_COLUMNS)),
        _standardized=pd.DataFrame(columns=list(STANDARDIZED_COLUMNS)),
        _r2=MappingProxyType({"x1": 0.389, "visual": 0.00006}),
        _sample_cov=empty,
        _implied_cov=empty,
        _latent_cov=empty,
    )
    return replace(fit, **changes)


# as R prints them
LAVAAN = """\
                   Estimate  Std.Err  z-value  P(>|z|)   Std.lv  Std.all
  visual =~
    x1                1.000                               0.727    0.623
    x2                0.772    0.139    5.538    0.000    0.562    0.478
    x3         (b)    1.102    0.212    5.189    0.000    0.802    0.710
  textual =~
    x4                1.000                               0.984    0.847
    x5                1.126    0.067   16.831    0.000    1.108    0.864
  visual ~
    ageyr            -0.005    0.049   -0.109    0.913   -0.007   -0.008
 .x1 ~~
   .x5                0.020    0.047    0.418    0.676    0.020    0.033
   .x1                5.006    0.643    7.788    0.000    5.006    4.291
   .visual            0.000                               0.000    0.000
    textual           0.000                               0.000    0.000
   .x1                0.832    0.119    7.016    0.000    0.832    0.611
   .visual            0.529    0.131    4.038    0.000    1.000    1.000
    textual           0.968    0.112    8.630    0.000    1.000    1.000
    d                 1.214    0.467    2.600    0.009    0.643    0.504
  Comparative Fit Index (CFI)                    0.903
  Tucker-Lewis Index (TLI)                       0.844
  Loglikelihood user model (H0)              -2537.958
  Degrees of freedom                                13
  90 Percent confidence interval - upper         0.156
  P-value H_0: RMSEA <= 0.050                    0.000
"""


def words(line):
    return line.split()


def test_every_line_of_lavaan_is_there_word_by_word():
    ours = [words(line) for line in make().summary().splitlines()]
    for line in LAVAAN.splitlines():
        assert words(line) in ours, line


def test_columns_stand_where_lavaan_has_them():
    lines = make().summary().splitlines()
    start = lines.index("Latent Variables:")
    head = lines[start + 1]
    for line in lines[start + 3 : start + 6]:
        # numbers end where their headings end
        for name, value in (("Std.all", line.split()[-1]), ("Std.lv", line.split()[-2])):
            end = head.index(name) + len(name)
            assert line[:end].endswith(value)


def test_blocks_come_in_the_order_of_lavaan():
    text = make().summary()
    order = [
        "b2b_sem ended normally after 41 iterations",
        "Model Test User Model:",
        "Model Test Baseline Model:",
        "User Model versus Baseline Model:",
        "Loglikelihood and Information Criteria:",
        "Root Mean Square Error of Approximation:",
        "Standardized Root Mean Square Residual:",
        "Parameter Estimates:",
        "Latent Variables:",
        "Regressions:",
        "Covariances:",
        "Intercepts:",
        "Variances:",
        "Defined Parameters:",
        "R-Square:",
        "Notes:",
    ]
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert "WARNINGS" not in text
    assert "rows left out" not in text


def test_warnings_stand_before_the_numbers():
    text = make(warnings=("a variance is large",), admissible=False).summary()
    assert text.index("a variance is large") < text.index("Test statistic")
    assert "not admissible (Heywood case): do not interpret these numbers" in text


def test_no_convergence_is_the_first_line():
    assert make(converged=False).summary().splitlines()[0].startswith("b2b_sem did NOT converge (41 iterations)")


def test_what_is_missing_is_left_out():
    text = make(_measures=MappingProxyType({"chisq": 1.0, "df": 0.0, "pvalue": NAN, "rmsea": NAN})).summary()
    assert "Degrees of freedom" in text
    assert "P-value" not in text
    assert "RMSEA" not in text
    assert "nan" not in text


def test_dropped_rows_are_counted():
    text = make(n_read=310, n_dropped=9).summary()
    assert any(words(line) == ["Number", "of", "rows", "left", "out", "9"] for line in text.splitlines())


@pytest.mark.parametrize("size", [123456.7891, 98765432.1])
def test_large_numbers_do_not_touch(size):
    text = make([row("y", "~~", "y", size, size / 10, 10.0, 0.0, size, 1.0)]).summary()
    assert any(
        words(line) == [*["y"], f"{size:.3f}", f"{size / 10:.3f}", "10.000", "0.000", f"{size:.3f}", "1.000"]
        for line in text.splitlines()
    )


def test_groups_have_headings_and_constraints_are_listed():
    two = [{**r, "group": g} for g in (1, 2) for r in ROWS[:3]]
    two.append(row("b", "==", "c", 0.0, 0.0, NAN, NAN, NAN, NAN, group=0))
    text = make(two).summary()
    assert text.index("Group 1:") < text.index("Group 2:")
    assert text.count("Latent Variables:") == 2
    assert "    b == c" in text


def test_long_names_keep_the_columns_apart():
    name = "a_very_long_indicator_name_indeed"
    lines = make([row("F", "=~", name, 1.0, 0.0, NAN, NAN, 1.0, 0.5), *ROWS[:3]]).summary().splitlines()
    assert words(next(line for line in lines if name in line)) == [name, "1.000", "1.000", "0.500"]
