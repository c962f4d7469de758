from dataclasses import replace

import pytest
import study_fixture as studies

from b2b_sem.report.narrative import describe_fit, describe_trust, describe_verdicts, notices, warnings_of
from b2b_sem.report.terminal import WIDTH, fit_lines, verdict_table


@pytest.fixture(scope="module")
def result():
    return studies.demo()


def measured(result, **values):
    return replace(result.fit, _measures={**result.fit.measures, **values})


def test_verdicts_are_counted_and_named(result):
    mixed = studies.judged(result, P1="contradicted", P7="not supported")
    assert describe_verdicts(mixed) == (
        "Of the 8 propositions tested, 6 are supported (P2, P3, P4, P5, P6, P8), 1 is not supported (P7) and "
        "1 is contradicted (P1). Not testable here: P9, P10."
    )
    one = replace(result, verdicts=result.verdicts[:1])
    assert describe_verdicts(one) == "Of the one proposition tested, 1 is supported (P1)."
    none = replace(result, verdicts=result.verdicts[8:])
    assert describe_verdicts(none) == "None of the 2 propositions could be tested."


def test_fit_is_written_as_papers_do(result):
    fit = measured(
        result,
        chisq=1530.2,
        df=1083.0,
        pvalue=1e-9,
        cfi=1.0,
        tli=1.003,
        rmsea=0.0311,
        rmsea_ci_lower=0.02,
        rmsea_ci_upper=0.041,
        srmr=0.0549,
    )
    assert describe_fit(fit) == (
        "chi-square(1,083, N = 500) = 1530.20, p < .001; CFI = 1.000; TLI = 1.003; RMSEA = .031, "
        "90% CI [.020, .041]; SRMR = .055"
    )
    assert describe_fit(replace(fit, _measures={})) == "no fit measures are available"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"cfi": 0.95, "tli": 0.95, "rmsea": 0.06, "srmr": 0.08}, "lie within their guides"),
        ({"cfi": 0.949}, "CFI .949 (guide: about .95 or higher)"),
        ({"rmsea": 0.061}, "RMSEA .061 (guide: about .06 or lower)"),
        ({"df": 0.0}, "no degrees of freedom"),
    ],
)
def test_trust_compares_values_with_guides(result, values, text):
    fit = measured(result, **{"cfi": 0.99, "tli": 0.99, "rmsea": 0.02, "srmr": 0.03, **values})
    assert text in describe_trust(fit)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"converged": False}, "converge"), ({"identified": False}, "identified"), ({"admissible": False}, "Heywood")],
)
def test_a_fit_that_failed_is_not_trusted(result, changes, why):
    text = describe_trust(replace(result.fit, **changes))
    assert why in text
    assert "must not be used" in text


def test_notices_in_order_of_weight(result):
    levels = [n.level for n in notices(studies.failed(result))]
    assert levels[0] == "error"
    titles = [n.title for n in notices(result)]
    assert titles == ["Simulated respondents", "Draft instrument", "The scales need attention"]
    real = replace(result, truth=None, study={}, measurement=None, warnings=())
    assert notices(real) == ()


def test_warnings_are_listed_once(result):
    repeated = replace(result, warnings=("a", "b"), fit=replace(result.fit, warnings=("b", "c")), measurement=None)
    assert warnings_of(repeated) == ("a", "b", "c")


def test_terminal_table_fits_and_is_ascii(result):
    long = replace(result.verdicts[0], statement="word " * 60, path="a_very_long_construct_name -> another_long_name")
    for study in (result, studies.failed(result), replace(result, verdicts=(long, *result.verdicts[1:]))):
        text = verdict_table(study) + "\n" + fit_lines(study)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert text.isascii()


def test_terminal_table_says_what_was_found(result):
    lines = verdict_table(result).splitlines()
    v = result.verdicts[0]
    row = next(line for line in lines if line.startswith("P1 "))
    assert row.split()[:4] == ["P1", "NR", "->", "PC"]
    assert f"{v.std:.2f}".removeprefix("0") in row
    assert f"[{v.ci_lower:.2f}, {v.ci_upper:.2f}]".replace("0.", ".") in row
    assert row.endswith("supported")
    p9 = next(i for i, line in enumerate(lines) if line.startswith("P9 "))
    assert lines[p9].endswith("not testable here")
    assert any("Reason: It needs" in line for line in lines[p9 : p9 + 4])
    assert "p (Holm)" in lines[0]
    plain = replace(result, verdicts=tuple(replace(w, adjustment="none") for w in result.verdicts))
    assert "Holm" not in verdict_table(plain).splitlines()[0]


def test_terminal_without_propositions(result):
    assert verdict_table(replace(result, verdicts=())).startswith("The model declares no propositions")


def test_terminal_cuts_long_lists_of_warnings(result):
    many = replace(result, warnings=tuple(f"warning {i}" for i in range(12)), measurement=None)
    text = fit_lines(many)
    assert "Warnings (12):" in text
    assert "warning 7" in text
    assert "warning 8" not in text
    assert "... and 4 more in the report" in text


def test_after_a_scaled_test_the_scaled_and_robust_values_are_the_ones_told(result):
    fit = measured(
        result,
        chisq=900.0,
        df=890.0,
        chisq_scaled=1200.0,
        df_scaled=890.0,
        pvalue_scaled=1e-9,
        cfi=0.99,
        cfi_scaled=0.93,
        cfi_robust=0.94,
        tli_scaled=0.92,
        tli_robust=float("nan"),
        rmsea_robust=0.07,
        rmsea_ci_lower_robust=0.06,
        rmsea_ci_upper_robust=0.08,
        srmr=0.05,
    )
    assert describe_fit(fit) == (
        f"scaled chi-square(890, N = {fit.nobs}) = 1200.00, p < .001; robust CFI = .940; scaled TLI = .920; "
        "robust RMSEA = .070, 90% CI [.060, .080]; SRMR = .050"
    )
    assert "robust CFI .940" in describe_trust(fit)
    assert "CFI .990" not in describe_trust(fit)
