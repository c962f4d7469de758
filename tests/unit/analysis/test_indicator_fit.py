"""The door to product indicators, and products of observed variables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import b2b_sem as bs
from b2b_sem.errors import DataError, ModelSyntaxError, Unsupported

BASE = "X =~ x1 + x2 + x3\nM =~ m1 + m2 + m3\nY =~ y1 + y2 + y3\n"
MODEL = BASE + "Y ~ X + M + X:M"


def _answers(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, m, w, v = rng.normal(size=(4, n))
    m = 0.5 * x + m
    y = 0.4 * x + 0.3 * m + 0.25 * x * m + 0.3 * w + 0.2 * w * v + 0.7 * rng.normal(size=n)
    own = {f"{k}{i}": f + 0.5 * rng.normal(size=n) for k, f in (("x", x), ("m", m), ("y", y)) for i in (1, 2, 3)}
    return (
        pd.DataFrame(own) + 4.0
        if n == 0
        else pd.DataFrame({**own, "w": w + 3.0, "v": v + 2.0}).assign(team=np.repeat(["a", "b"], n // 2))
    )


DATA = _answers()


def path(fit, rhs, column="est"):
    rows = fit.parameters
    return float(rows.loc[(rows["op"] == "~") & (rows["rhs"] == rhs), column].iloc[0])


def test_it_is_the_fit_to_the_columns():
    made = bs.product_indicators(DATA, ["x1", "x2", "x3"], ["m1", "m2", "m3"])
    by_hand = bs.fit(BASE + "P =~ x1.m1 + x2.m2 + x3.m3\nY ~ X + M + P", made, estimator="MLR", engine="native")
    fit = bs.fit(MODEL, DATA, interaction="dmc", estimator="MLR", engine="native")
    assert fit.measures["chisq_scaled"] == pytest.approx(by_hand.measures["chisq_scaled"], rel=1e-9)
    assert path(fit, "X:M", "se") == pytest.approx(path(by_hand, "P", "se"), rel=1e-9)
    assert fit.model.options["interaction"] == "dmc"


def test_every_way_has_the_same_row():
    for way in ("lms", "qml", "dmc", "dmc-all", "mc", "rc"):
        rows = bs.fit(MODEL, DATA, interaction=way, engine="native").parameters
        row = rows[(rows["lhs"] == "Y") & (rows["op"] == "~") & (rows["rhs"] == "X:M")]
        assert len(row) == 1
        assert 0.1 < float(row["est"].iloc[0]) < 0.4


def test_adding_to_items_changes_nothing():
    # an observed product would change: see below
    moved = DATA.assign(**{k: DATA[k] + 10 for k in ("x1", "x2", "x3", "m1", "m2", "m3")})
    for way in ("dmc", "mc", "rc-all"):
        here, there = (bs.fit(MODEL, d, interaction=way, engine="native") for d in (DATA, moved))
        assert here.measures["chisq"] == pytest.approx(there.measures["chisq"], rel=1e-6)
        assert path(here, "X") == pytest.approx(path(there, "X"), rel=1e-6)


def test_an_observed_product_depends_on_the_zero_point():
    text = BASE + "Y ~ X + w + v + w:v"
    here = bs.fit(text, DATA, engine="native")
    there = bs.fit(text, DATA.assign(w=DATA["w"] + 2), engine="native")
    assert path(here, "w:v") == pytest.approx(path(there, "w:v"), rel=1e-6)
    assert path(here, "v") != pytest.approx(path(there, "v"), rel=0.1)
    assert path(here, "v") == pytest.approx(path(there, "v") + 2 * path(there, "w:v"), rel=1e-5)
    # the standardized path of the product does not: that of the column would
    assert path(here, "w:v", "std_all") == pytest.approx(path(there, "w:v", "std_all"), rel=1e-6)
    assert any("where the other is 0" in note for note in here.notes)


def test_correct_standardization():
    fit = bs.fit(MODEL, DATA, interaction="dmc", engine="native")
    cov = fit.latent_cov()
    sd = np.sqrt(np.diag(cov))
    sd = dict(zip(cov.index, sd, strict=True))
    expected = path(fit, "X:M") * sd["X"] * sd["M"] / sd["Y"]
    assert path(fit, "X:M", "std_all") == pytest.approx(expected, rel=1e-10)
    assert path(fit, "X:M", "std_lv") == pytest.approx(expected, rel=1e-10)
    naive = path(fit, "X:M") * sd["X:M"] / sd["Y"]
    assert abs(naive - expected) > 0.005
    assert any(f"{naive:.3f}" in note for note in fit.notes)
    for ci in ("delta", "mc"):
        options = {} if ci == "delta" else {"draws": 1000, "seed": 1}
        row = fit.indirect_effects(ci, **options).select("total", outcome="Y", predictor="X:M").iloc[0]
        assert row["est_std"] == pytest.approx(expected, rel=1e-10)
    std = fit.standardized().query("op == '~' and rhs == 'X:M'").iloc[0]
    delta = fit.indirect_effects().select("total", outcome="Y", predictor="X:M").iloc[0]
    assert delta["se_std"] == pytest.approx(std["se"], rel=1e-9)


@pytest.mark.parametrize("way", ["lms", "qml", "dmc"])
def test_an_observed_product_is_one_more_covariate(way):
    made = DATA.assign(wv=DATA["w"] * DATA["v"])
    one = bs.fit(BASE + "Y ~ X + M + X:M + w + v + w:v", DATA, interaction=way, engine="native")
    other = bs.fit(BASE + "Y ~ X + M + X:M + w + v + wv", made, interaction=way, engine="native")
    assert one.measures["logl"] == pytest.approx(other.measures["logl"], abs=1e-6)
    assert path(one, "w:v", "se") == pytest.approx(path(other, "wv", "se"), rel=1e-6)


def test_an_observed_product_of_ordinal_items_model():
    data = DATA.assign(**{k: (DATA[k] > DATA[k].median()).astype(int) for k in ("y1", "y2", "y3")})
    made = data.assign(wv=data["w"] * data["v"])
    text = "Y =~ y1 + y2 + y3\nY ~ w + v + {}"
    one = bs.fit(text.format("w:v"), data, ordered=["y1", "y2", "y3"])
    other = bs.fit(text.format("wv"), made, ordered=["y1", "y2", "y3"])
    assert one.measures["chisq_scaled"] == pytest.approx(other.measures["chisq_scaled"], rel=1e-9)
    assert path(one, "w:v", "se") == pytest.approx(path(other, "wv", "se"), rel=1e-9)


def test_modification_indices_and_scores_are_asked_as_elsewhere():
    fit = bs.fit(MODEL, DATA, interaction="dmc", engine="native")
    table = fit.modification_indices()
    assert {"x1.m1", "X:M"} <= set(table["lhs"]) | set(table["rhs"])
    assert "X:M" in fit.factor_scores().columns
    assert np.isfinite(fit.residuals("cor")["cov"].to_numpy()).all()


def test_notes_say_what_to_know():
    fit = bs.fit(BASE.replace(" + m3", "") + "Y ~ X + M + X:M", DATA, interaction="dmc", engine="native")
    text = " ".join(fit.notes)
    assert "x1.m1, x2.m2" in text
    assert "in no product: x3" in text
    assert "estimator='MLR' does not" in text
    robust = bs.fit(MODEL, DATA, interaction="dmc", estimator="MLR", engine="native")
    assert "estimator='MLR' does not" not in " ".join(robust.notes)
    holes = DATA.mask(np.random.default_rng(1).random(DATA.shape) < 0.02).assign(team=DATA["team"])
    missing = bs.fit(MODEL, holes, interaction="dmc", missing="fiml")
    assert "A product is missing where an item of it is" in " ".join(missing.notes)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (MODEL, {"interaction": "dcm"}, Unsupported, "'dmc'"),
        (BASE + "M ~ Y\nY ~ X + M + X:M", {"interaction": "dmc"}, Unsupported, "loops"),
        (MODEL, {"interaction": "dmc", "std_lv": True}, Unsupported, "fix a loading"),
        (MODEL, {"interaction": "dmc", "kind": "growth"}, Unsupported, "kind"),
        (MODEL, {"interaction": "mc", "meanstructure": False}, Unsupported, "means"),
        (MODEL, {"interaction": "ca", "group": "team"}, Unsupported, "one group"),
        (MODEL, {"interaction": "ca", "orthogonal": True}, Unsupported, "orthogonal"),
        (MODEL, {"interaction": "ca", "estimator": "MLR"}, Unsupported, "nonlinear"),
        (MODEL, {"interaction": "ca-all"}, Unsupported, "'ca'"),
        (MODEL, {"interaction": "dmc", "ordered": True}, Unsupported, "ordinal"),
        (MODEL, {"interaction": "dmc", "auxiliary": ["w"], "missing": "fiml"}, Unsupported, "auxiliary"),
        (BASE + "Y ~ X + M", {"interaction": "dmc"}, Unsupported, "leave it out"),
        (BASE + "Y ~ X + w + v + w:v", {"interaction": "dmc"}, Unsupported, "model has none"),
        (BASE + "Y ~ X + w + v + w:u", {}, ModelSyntaxError, "'u' of the product 'w:u'"),
        (BASE + "Y ~ X + M + X:Q", {"interaction": "dmc"}, ModelSyntaxError, "Q"),
    ],
)
def test_refused(model, options, error, message):
    with pytest.raises(error) as caught:
        bs.fit(model, DATA, **options)
    assert message in str(caught.value)


def test_moments_have_no_products():
    cov = DATA.drop(columns="team").cov()
    for text, options in ((MODEL, {"interaction": "dmc"}), (BASE + "Y ~ X + w + v + w:v", {})):
        with pytest.raises(DataError, match="rows of the data"):
            bs.fit(text, sample_cov=cov, nobs=240, **options)


def test_a_column_of_the_same_name_is_refused():
    with pytest.raises(DataError, match=r"column 'x1\.m1'"):
        bs.fit(MODEL, DATA.assign(**{"x1.m1": 1.0}), interaction="dmc")
    # columns that were made by the same rule are no other columns
    made = bs.product_indicators(DATA, ["x1", "x2", "x3"], ["m1", "m2", "m3"])
    one, other = (bs.fit(MODEL, data, interaction="dmc", engine="native") for data in (made, DATA))
    assert one.measures["chisq"] == other.measures["chisq"]


def test_json_round_trip():
    fit = bs.fit(MODEL, DATA, interaction="rc", engine="native")
    again = bs.FitResult.from_json(fit.to_json())
    assert again.parameters.equals(fit.parameters)
    assert again.model.options["interaction"] == "rc"


def test_a_product_is_no_scale():
    fit = bs.fit(MODEL, DATA, interaction="dmc", engine="native")
    assert bs.reliability(fit)["scale"].tolist() == ["X", "M", "Y"]
    assert list(bs.validity(fit).latent_cor) == ["X", "M", "Y"]


def test_paths_of_groups():
    with pytest.raises(Unsupported, match="gap := b1 - b2"):
        bs.compare_groups(MODEL, DATA, "team")
    text = "Y =~ y1 + y2 + y3\nY ~ w + v + {}"
    one = bs.compare_groups(text.format("w:v"), DATA, "team").omnibus
    other = bs.compare_groups(text.format("wv"), DATA.assign(wv=DATA["w"] * DATA["v"]), "team").omnibus
    assert one == pytest.approx(other, rel=1e-9)


def test_an_observed_product_may_differ_between_groups():
    options = {"group": "team", "group_equal": ["regressions"]}
    made = DATA.assign(wv=DATA["w"] * DATA["v"])
    text = BASE + "Y ~ X + M + X:M + w + v + "
    one = bs.fit(text + "w:v", DATA, group_partial=["Y ~ w:v"], **options)
    other = bs.fit(text + "wv", made, group_partial=["Y~wv"], **options)
    assert one.measures["logl"] == pytest.approx(other.measures["logl"], abs=1e-6)
    assert one.measures["npar"] == other.measures["npar"]
