"""All routes to one question of moderation: rows, reasons, and whether the verdict depends on the route."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import b2b_sem as bs
from b2b_sem.analysis.moderation import ROUTES
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported
from b2b_sem.results.moderation import AGREE, DIFFER, OPEN, ModerationResult

MODEL = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\nY ~ X + M + X:M"
OWN = ("scores", "split", "observed")


def sample(n: int = 400, effect: float = 0.3, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, m = rng.normal(size=(2, n))
    m = 0.3 * x + m
    y = 0.4 * x + 0.2 * m + effect * x * m + 0.8 * rng.normal(size=n)
    items = {f"{k}{i}": 4 + f + 0.6 * rng.normal(size=n) for k, f in (("x", x), ("m", m), ("y", y)) for i in (1, 2, 3)}
    return pd.DataFrame(items).assign(firm=rng.integers(0, 50, n))


DATA = sample()


def means(data: pd.DataFrame, *prefixes: str) -> list[np.ndarray]:
    return [data[[f"{k}{i}" for i in (1, 2, 3)]].to_numpy().mean(axis=1) for k in prefixes]


@pytest.fixture(scope="module")
def found() -> ModerationResult:
    return bs.moderation(MODEL, DATA, "X:M", "Y", routes=("lms", *OWN))


def test_latent_route_is_that_fit(found: ModerationResult) -> None:
    fit = found.fits["lms"]
    row = found.route("lms")
    line = fit.parameters.query("op == '~' and rhs == 'X:M'").iloc[0]
    standard = fit.standardized().query("op == '~' and rhs == 'X:M'").iloc[0]
    for name in ("est", "se", "pvalue", "ci_lower", "ci_upper"):
        assert getattr(row, name) == pytest.approx(line[name], rel=1e-9)
    assert (row.statistic, row.n) == (pytest.approx(line["z"]), 400)
    assert (row.std, row.std_se) == (pytest.approx(standard["est_std"]), pytest.approx(standard["se"]))
    assert line["free"]
    assert line["est"] == pytest.approx(0.3, abs=0.15)
    assert math.isnan(row.df)
    assert (row.std_lower, row.std_upper) == (
        pytest.approx(standard["ci_lower"], rel=1e-6),
        pytest.approx(standard["ci_upper"], rel=1e-6),
    )
    again = bs.moderation(MODEL, DATA, routes="lms", fits={"lms": fit})
    assert again.fits["lms"] is fit
    assert again.route("lms") == row


def test_scores_are_least_squares_on_centred_means(found: ModerationResult) -> None:
    x, m, y = means(DATA, "x", "m", "y")
    x, m = x - x.mean(), m - m.mean()
    design = np.column_stack([np.ones(400), x, m, x * m])
    theirs = sm.OLS(y, design).fit(cov_type="HC3", use_t=True)
    row = found.route("scores")
    assert (row.est, row.se, row.pvalue) == (
        pytest.approx(theirs.params[3], rel=1e-10),
        pytest.approx(theirs.bse[3], rel=1e-10),
        pytest.approx(theirs.pvalues[3], rel=1e-8),
    )
    assert (row.ci_lower, row.ci_upper) == pytest.approx(tuple(theirs.conf_int()[3]), rel=1e-9)
    assert row.df == 396
    assert row.std == pytest.approx(theirs.params[3] * x.std() * m.std() / y.std() * math.sqrt(400 / 399), rel=1e-9)
    assert "reliability of about" in row.notes[1]


def test_adjusted_scores_are_single_indicators() -> None:
    data = sample(3000, seed=12)
    found = bs.moderation(MODEL, data, routes=("scores", "adjusted"))
    row = found.route("adjusted")
    frame, lines = pd.DataFrame(), ["Y ~ X + M + X:M"]
    for name, score in zip("XMY", means(data, "x", "m", "y"), strict=True):
        items = data[[f"{name.lower()}{i}" for i in (1, 2, 3)]]
        total = items.sum(axis=1)
        alpha = 1.5 * (1 - items.var().sum() / total.var())
        frame[f"s{name}"] = score
        lines += [f"{name} =~ 1*s{name}", f"s{name} ~~ {(1 - alpha) * score.var()}*s{name}"]
    theirs = bs.fit("\n".join(lines), frame).parameters.query("rhs == 'X:M'").iloc[0]
    assert (row.est, row.se) == (pytest.approx(theirs["est"], rel=1e-6), pytest.approx(theirs["se"], rel=1e-5))
    assert row.std == pytest.approx(theirs["std_all"], rel=1e-6)
    # parallel items: scores and latent variables have one unit, and the truth is 0.3
    assert abs(row.est - 0.3) < 2 * row.se
    assert found.route("scores").est < 0.3 - 2 * found.route("scores").se
    assert "alpha: " in row.notes[0]


def test_adjusted_scores_need_a_reliability() -> None:
    single = MODEL.replace("m1 + m2 + m3", "m1")
    taken = bs.moderation(single, DATA, routes="adjusted").route("adjusted")
    assert taken.ok
    assert "M " not in taken.notes[0].split("alpha: ")[1]  # one item is taken as it is
    noise = DATA.assign(m2=-DATA["m1"] + np.random.default_rng(1).normal(size=400))
    reason = bs.moderation(MODEL.replace(" + m3", ""), noise, routes="adjusted").route("adjusted").reason
    assert "alpha of M is -" in reason
    factor = bs.moderation(MODEL, DATA, routes="adjusted", score="regression").route("adjusted")
    assert "are scale means" in factor.reason


def test_split_is_a_comparison_of_groups(found: ModerationResult) -> None:
    (m,) = means(DATA, "m")
    half = DATA.assign(half=np.where(m > np.median(m), "upper", "lower")).sort_values("half")
    theirs = bs.compare_groups("X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ X", half, "half").differences.iloc[0]
    row = found.route("split")
    assert theirs["reference"] == "lower"
    for name in ("est", "se", "pvalue", "ci_lower", "ci_upper"):
        assert getattr(row, name) == pytest.approx(theirs[name], rel=1e-6)
    assert "doi:10.1037/1082-989X.7.1.19" in row.notes[1]
    assert found.fits["split"].groups == {"low": 200, "high": 200}


def test_standardized_effects_can_be_compared() -> None:
    data = sample(20_000, seed=8)
    rows = bs.moderation(MODEL, data, routes=OWN).routes.set_index("route")
    x, m = 1.0, math.sqrt(1.09)
    # Var(y): linear part, residual, and Var(xm) = Var(x) Var(m) + Cov^2 of normal factors
    y = math.sqrt(0.4**2 + 0.2**2 * 1.09 + 2 * 0.4 * 0.2 * 0.3 + 0.3**2 * (1.09 + 0.09) + 0.64)
    truth = 0.3 * x * m / y
    assert 0.75 * truth < rows.loc["scores", "std"] < 0.95 * truth  # attenuated
    assert 0.80 * truth < rows.loc["split", "std"] < 1.05 * truth
    assert rows.loc["observed", "std"] == pytest.approx(rows.loc["scores", "std"], rel=1e-6)


def test_a_cut_can_be_given() -> None:
    row = bs.moderation(MODEL, DATA, routes="split", cut=5.0)
    assert sum(row.fits["split"].groups.values()) == 400
    assert row.fits["split"].groups["high"] == int((means(DATA, "m")[0] > 5).sum())
    assert "up to 5.00" in row.route("split").notes[0]
    none = bs.moderation(MODEL, DATA, routes="split", cut=50)
    assert none.agreement == OPEN
    assert "no respondent lies above the cut 50 of M (choose a cut between" in none.route("split").reason


def test_the_moderator_can_be_either_factor(found: ModerationResult) -> None:
    other = bs.moderation(MODEL, DATA, routes=("scores", "split"), moderator="X")
    assert (other.focal, other.moderator) == ("M", "X")
    assert other.route("scores").est == found.route("scores").est
    assert other.route("split").est != found.route("split").est
    assert "M -> Y" in other.route("split").notes[0]


def test_every_route_is_a_row() -> None:
    every = bs.moderation(MODEL, DATA[:150], routes=(*ROUTES, "mc", "adjusted"))
    assert every.routes["route"].tolist() == [*ROUTES, "mc", "adjusted"]
    for name, fit in every.fits.items():
        if name != "split":  # every way to a latent product reports the same standardized effect
            sd = np.sqrt(pd.Series(np.diag(fit.latent_cov()), fit.latent_cov().index))
            row = every.route(name)
            assert row.std == pytest.approx(row.est * sd["X"] * sd["M"] / sd["Y"], rel=1e-6), name
    for row in every.rows:
        assert row.ok or row.reason
        assert bool(row.decision) == row.ok
    assert every.ok


def test_a_route_that_fails_is_a_row_with_its_reason() -> None:
    square = MODEL.replace("X:M", "X:X")
    found = bs.moderation(square, DATA, routes=OWN)
    assert "whose own effect is asked about" in found.route("split").reason
    assert found.route("scores").ok
    assert math.isnan(found.route("split").est)
    curve = DATA.assign(**{f"y{i}": DATA[f"y{i}"] + DATA["x1"] ** 2 for i in (1, 2, 3)})
    grows = bs.moderation(square, curve, routes="scores").statements[0]
    assert "the effect of X grows with X itself" in grows
    clusters = bs.moderation(MODEL, DATA, routes=OWN, cluster="firm", estimator="MLR")
    assert "independent rows" in clusters.route("scores").reason
    assert clusters.route("split").ok
    assert clusters.agreement == OPEN
    assert clusters.statements[0].startswith("By split (b = ")
    constant = DATA.assign(m1=DATA["x1"], m2=DATA["x2"], m3=DATA["x3"])
    twins = bs.moderation(MODEL, constant, routes="scores")
    assert "follows from the others" in twins.route("scores").reason
    assert twins.agreement == OPEN
    assert not twins.ok
    assert "No route has an answer" in twins.statements[0]
    assert "scores: no answer: a predictor follows" in str(twins)


def test_an_improper_fit_has_numbers_but_no_decision(found: ModerationResult) -> None:
    fit = found.fits["lms"]
    heywood = replace(fit, admissible=False)
    row = bs.moderation(MODEL, DATA, routes="lms", fits={"lms": heywood}).route("lms")
    assert not row.ok
    assert "Heywood" in row.reason
    assert row.est == pytest.approx(0.3, abs=0.15)
    lost = bs.moderation(MODEL, DATA, routes="lms", fits={"lms": replace(fit, converged=False)}).route("lms")
    assert "did not converge" in lost.reason
    assert math.isnan(lost.est)
    fixed = bs.moderation(MODEL.replace("X:M", "0.2*X:M"), DATA, routes="lms").route("lms")
    assert "is fixed" in fixed.reason


def test_agreement(found: ModerationResult) -> None:
    assert found.agreement == AGREE
    assert found.statements == (
        "The verdict does not depend on the route: the effect of X grows with M (p < .05) by lms, scores and split.",
        f"Standardized effects: from {found.route('scores').std:.2f} (scores) to {found.route('lms').std:.2f} (lms).",
    )
    weak = sample(150, 0.1, 22)
    apart = bs.moderation(MODEL, weak, routes=("scores", "split"), alpha=0.5)
    p = apart.routes.set_index("route")["pvalue"]
    between = float(p.mean())
    differ = bs.moderation(MODEL, weak, routes=("scores", "split", "observed"), alpha=between)
    assert differ.agreement == DIFFER
    assert "depends on the route" in differ.statements[0]
    assert "observed" not in " ".join(differ.statements)
    assert differ.statements[1].startswith("Standardized effects: from ")
    falls = bs.moderation(MODEL, sample(400, -0.3), routes=("scores", "split"))
    assert falls.routes["decision"].tolist() == ["negative", "negative"]
    assert "falls with M" in falls.statements[0]
    nothing = bs.moderation(MODEL, sample(200, 0.0, 3), routes=("scores", "split"))
    assert nothing.routes["decision"].tolist() == ["none", "none"]
    assert "no reliable moderation by scores and split" in nothing.statements[0]


def test_rows_with_holes() -> None:
    holes = DATA.copy()
    holes.loc[:49, "m1"] = np.nan
    rng = np.random.default_rng(1)
    z = rng.normal(size=400)
    holes = holes.assign(**{f"z{i}": z + 0.7 * rng.normal(size=400) for i in (1, 2, 3)})
    holes.loc[:99, "z2"] = np.nan
    text = MODEL + "\nZ =~ z1 + z2 + z3\nZ ~ X"
    listwise = bs.moderation(text, holes, "X:M", routes=OWN)
    assert listwise.routes["n"].tolist() == [300, 300, 300]
    fiml = bs.moderation(text, holes, "X:M", routes=("scores", "split"), missing="fiml").routes.set_index("route")
    assert fiml.loc["scores", "n"] == 350  # complete in its own equation
    assert fiml.loc["split", "n"] == 350  # with a score of the moderator


def test_factor_scores() -> None:
    regression = bs.moderation(MODEL, DATA, routes=("scores", "split"), score="regression")
    assert regression.options["score"] == "regression"
    bartlett = bs.moderation(MODEL, DATA, routes="scores", score="bartlett").route("scores")
    cfa = bs.fit(MODEL.rsplit("\n", 1)[0], DATA)
    values = cfa.factor_scores("regression")
    x, m = (values[k] - values[k].mean() for k in ("X", "M"))
    design = np.column_stack([np.ones(400), x, m, x * m])
    theirs = sm.OLS(values["Y"].to_numpy(), design).fit(cov_type="HC3", use_t=True)
    assert regression.route("scores").est == pytest.approx(theirs.params[3], rel=1e-8)
    assert regression.route("scores").se == pytest.approx(theirs.bse[3], rel=1e-8)
    assert bartlett.est != pytest.approx(theirs.params[3], rel=0.02)
    assert "not free of measurement error" in bartlett.notes[1]
    assert regression.fits["split"].groups == {"low": 200, "high": 200}


def test_observed_factors_and_covariates() -> None:
    rng = np.random.default_rng(3)
    data = DATA.assign(size=rng.normal(size=400), age=rng.normal(size=400), firm="a")
    text = "X =~ x1 + x2 + x3\nY =~ y1 + y2 + y3\nY ~ age + X:size"
    found = bs.moderation(text, data, routes=OWN)
    x, y = means(data, "x", "y")
    columns = [v - v.mean() for v in (data["age"].to_numpy(), x, data["size"].to_numpy())]
    design = np.column_stack([np.ones(400), *columns, columns[1] * columns[2]])
    theirs = sm.OLS(y, design).fit(cov_type="HC3", use_t=True)
    assert found.route("scores").est == pytest.approx(theirs.params[4], rel=1e-9)  # with both factors of the product
    assert found.route("split").ok


def test_items_keyed_the_other_way_are_named() -> None:
    data = DATA.assign(x2=8 - DATA["x2"])
    notes = bs.moderation(MODEL, data, routes="scores").route("scores").notes
    assert any("x2 correlate negatively with the other items of X" in note for note in notes)


def test_input_that_no_route_can_use() -> None:
    for wrong, arguments, error, text in (
        (MODEL, {"routes": ()}, DataError, "names no route"),
        (MODEL, {"routes": "lmss"}, DataError, "Did you mean 'lms'"),
        (MODEL, {"score": "sum"}, Unsupported, "score='sum'"),
        (MODEL, {"alpha": 0}, DataError, "alpha"),
        (MODEL, {"level": 95}, DataError, "level"),
        (MODEL, {"cut": "mean"}, DataError, "no score"),
        (MODEL, {"cut": math.nan}, DataError, "no score"),
        (MODEL, {"cluster": "sector"}, DataError, "sector"),
        (MODEL.replace("x3", "x9"), {}, ModelSyntaxError, "x9"),
        (MODEL.replace(" + X:M", ""), {}, ModelSyntaxError, "no product"),
    ):
        with pytest.raises(error, match=text):
            bs.moderation(wrong, DATA, **arguments)
    with pytest.raises(DataError, match="row 3"):
        bs.moderation(MODEL, DATA.astype({"x1": object}).assign(x1=["a" if i == 2 else 1 for i in range(400)]))


def test_json_round_trip(found: ModerationResult) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    again = ModerationResult.from_json(json.loads(text))
    assert again.to_json() == found.to_json()
    assert str(again) == str(found)
    assert not again.fits
    pd.testing.assert_frame_equal(again.routes, found.routes)
    shown = str(found)
    assert "the effect of X on Y, moderated by M (X:M)" in shown
    assert "scores" in shown
    assert max(map(len, shown.splitlines())) <= 130
    with pytest.raises(DataError, match="was not run"):
        found.route("dmc")


def test_result_is_frozen(found: ModerationResult) -> None:
    anything: Any = found
    with pytest.raises(AttributeError):
        anything.agreement = "agree"
    with pytest.raises(TypeError):
        anything.options["score"] = "sum"
