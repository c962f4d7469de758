import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

import b2b_sem as bs
from b2b_sem.analysis.measurement import LOADING_COLUMNS, RELIABILITY_COLUMNS, measurement, reliability, validity
from b2b_sem.errors import DataError
from b2b_sem.results.columns import PARAMETER_COLUMNS, STANDARDIZED_COLUMNS
from b2b_sem.results.fit import FitResult, ModelInfo, OptimizerInfo
from b2b_sem.results.measurement import MeasurementResult

# made by tests/unit/measures/reference_measures.R (lavaan 0.6.14, semTools 0.5.6, psych)
REFERENCE = json.loads((Path(__file__).parents[1] / "measures" / "reference_measures.json").read_text(encoding="utf-8"))
ITEMS = [f"x{i}" for i in range(1, 10)]


def result(parameters, sample, implied, latent_cov, r2=None, standardized=None, nobs=301) -> FitResult:
    """Return a result from its tables."""
    table = pd.DataFrame(parameters)
    for name, value in {"group": 1, "label": "", "free": 1, "se": np.nan}.items():
        table[name] = table.get(name, value)
    if standardized is None:
        standardized = table.rename(columns={"std_all": "est_std"})
    std = pd.DataFrame(standardized)
    return FitResult(
        model=ModelInfo("", "", (), tuple(sample.columns), tuple(latent_cov.columns), MappingProxyType({})),
        estimator="ML",
        engine="native",
        converged=True,
        identified=True,
        admissible=True,
        nobs=nobs,
        n_read=nobs,
        n_dropped=0,
        optimizer=OptimizerInfo(1, 0.0, None, ""),
        warnings=(),
        notes=(),
        _measures=MappingProxyType({}),
        _parameters=table.reindex(columns=list(PARAMETER_COLUMNS)),
        _standardized=std.reindex(columns=list(STANDARDIZED_COLUMNS)),
        _r2=MappingProxyType(r2 or {}),
        _sample_cov=sample,
        _implied_cov=implied,
        _latent_cov=latent_cov,
    )


def lavaan_fit(name: str) -> FitResult:
    """Return one of lavaan's solutions for the Holzinger and Swineford data."""
    ref = REFERENCE[name]
    names = {"std.lv": "std_lv", "std.all": "std_all", "ci.lower": "ci_lower", "ci.upper": "ci_upper"}
    rows = pd.DataFrame(ref["parameters"]).rename(columns=names)
    std = pd.DataFrame(ref["standardized"]).rename(columns=names | {"est.std": "est_std"})
    return result(
        rows,
        pd.DataFrame(REFERENCE["cov"], ITEMS, ITEMS),
        pd.DataFrame(ref["implied"], ITEMS, ITEMS),
        pd.DataFrame(ref["psi"], ref["scales"], ref["scales"]),
        ref["r2"],
        std,
    )


def population_fit(
    loadings: dict[str, dict[str, float]],
    cor=None,
    *,
    regressions: tuple[tuple[str, str], ...] = (),
    higher: dict[str, tuple[str, ...]] | None = None,
) -> FitResult:
    """Return the fit of a standardized model to its own population."""
    factors = list(loadings)
    items = list(dict.fromkeys(i for block in loadings.values() for i in block))
    phi = np.eye(len(factors)) if cor is None else np.array(cor)
    lam = np.array([[loadings[f].get(i, 0.0) for f in factors] for i in items])
    sigma = lam @ phi @ lam.T
    np.fill_diagonal(sigma, 1.0)
    rows = [
        {"lhs": f, "op": "=~", "rhs": i, "est": v, "std_all": v}
        for f, block in loadings.items()
        for i, v in block.items()
    ]
    rows += [{"lhs": a, "op": "~", "rhs": b, "est": 0.5, "std_all": 0.5} for a, b in regressions]
    latents = [*factors, *(higher or {})]
    rows += [
        {"lhs": h, "op": "=~", "rhs": f, "est": 0.9, "std_all": 0.9}
        for h, parts in (higher or {}).items()
        for f in parts
    ]
    full = np.eye(len(latents))
    full[: len(factors), : len(factors)] = phi
    cov = pd.DataFrame(sigma, items, items)
    return result(rows, cov, cov, pd.DataFrame(full, latents, latents), nobs=500)


@pytest.mark.parametrize("name", ["simple", "crossed"])
def test_reliability_equals_semtools(name):
    table = reliability(lavaan_fit(name)).set_index("scale")
    expected = REFERENCE[name]["reliability"]
    assert list(table.index) == ["visual", "textual", "speed"]
    for scale in table.index:
        assert table.loc[scale, "alpha"] == pytest.approx(expected["alpha"][scale], rel=1e-12)
        assert table.loc[scale, "omega"] == pytest.approx(expected["omega2"][scale], rel=1e-9)
    assert table["items"].tolist() == ([3, 3, 3] if name == "simple" else [4, 3, 3])


def test_reliability_columns_agree_with_each_other():
    table = reliability(lavaan_fit("simple"))
    assert tuple(table.columns) == RELIABILITY_COLUMNS
    lam = np.array(REFERENCE["simple"]["lambda_std"])
    for j, row in table.iterrows():
        own = lam[lam[:, j] != 0, j]
        assert row["ave"] == pytest.approx(np.mean(own**2), rel=1e-10)
        assert row["sqrt_ave"] ** 2 == pytest.approx(row["ave"], rel=1e-12)
        assert row["cr"] == pytest.approx(own.sum() ** 2 / (own.sum() ** 2 + (1 - own**2).sum()), rel=1e-9)
        assert (row["loading_min"], row["loading_max"]) == pytest.approx((own.min(), own.max()))


def test_loadings_carry_standard_errors_intervals_and_r2():
    table = measurement(lavaan_fit("simple")).loadings
    assert tuple(table.columns) == LOADING_COLUMNS
    expected = {(r["lhs"], r["rhs"]): r for r in REFERENCE["simple"]["standardized"] if r["op"] == "=~"}
    assert len(table) == len(expected) == 9
    for row in table.to_dict("records"):
        want = expected[row["scale"], row["item"]]
        assert row["std_all"] == want["est.std"]
        assert row["std_se"] == want["se"]
        assert (row["ci_lower"], row["ci_upper"]) == (want["ci.lower"], want["ci.upper"])
        assert row["r2"] == REFERENCE["simple"]["r2"][row["item"]]


def test_htmt_latent_correlations_and_adequacy_of_the_reference():
    got = measurement(lavaan_fit("simple"))
    low = np.tril_indices(3, -1)
    for table, key in ((got.htmt, "htmt_absolute"), (got.htmt2, "htmt2_absolute")):
        np.testing.assert_allclose(table.to_numpy()[low], np.array(REFERENCE[key])[low], rtol=1e-12)
        assert np.isnan(table.to_numpy()[np.triu_indices(3)]).all()
        assert list(table.columns) == list(table.index) == ["visual", "textual", "speed"]
    want = np.array(REFERENCE["simple"]["latent_cor"])
    np.testing.assert_allclose(got.fornell_larcker.to_numpy()[low], want[low], rtol=1e-10)
    np.testing.assert_allclose(np.diag(got.fornell_larcker), got.reliability["sqrt_ave"], rtol=1e-14)
    assert got.adequacy["kmo"] == pytest.approx(REFERENCE["psych"]["kmo"], rel=1e-12)
    assert got.adequacy["bartlett_chisq"] == pytest.approx(REFERENCE["psych"]["chisq"], rel=1e-12)
    assert got.adequacy["bartlett_df"] == 36


def test_warnings_name_value_limit_and_source():
    text = "\n".join(measurement(lavaan_fit("simple")).warnings)
    assert "visual: alpha .626, omega .625, CR" in text
    assert "below .70" in text
    assert "visual: average variance extracted .371 is below .50" in text
    assert "10.1177/002224378101800104" in text
    assert "visual: standardized loading between .40 and .708: x2 .424, x3 .581; AVE or CR of the scale suffers" in text
    assert "textual" not in text


def test_validity_gives_the_same_tables_and_all_latent_correlations():
    fit = lavaan_fit("simple")
    got, whole = validity(fit), measurement(fit)
    pd.testing.assert_frame_equal(got.htmt, whole.htmt)
    pd.testing.assert_frame_equal(got.fornell_larcker, whole.fornell_larcker)
    np.testing.assert_allclose(got.latent_cor, REFERENCE["simple"]["latent_cor"], rtol=1e-10)
    assert got.warnings == ()


def test_result_survives_json():
    got = measurement(lavaan_fit("simple"))
    text = json.dumps(got.to_json(), allow_nan=False)
    again = MeasurementResult.from_json(json.loads(text))
    pd.testing.assert_frame_equal(again.reliability, got.reliability)
    pd.testing.assert_frame_equal(again.loadings, got.loadings)
    pd.testing.assert_frame_equal(again.htmt, got.htmt)
    assert again.warnings == got.warnings


def test_cross_loading_items_are_explained():
    notes = "\n".join(measurement(lavaan_fit("crossed")).notes)
    assert "cross-loading items (x9) count for each of their scales" in notes
    assert "visual and speed: they share items" in notes


@pytest.mark.parametrize(
    ("flag", "reason"),
    [("converged", "did not converge"), ("identified", "not identified"), ("admissible", "Heywood")],
)
def test_a_failed_fit_gives_no_model_based_number(flag, reason):
    got = measurement(replace(lavaan_fit("simple"), **{flag: False}))
    assert reason in got.warnings[0]
    assert got.loadings[list(LOADING_COLUMNS[2:])].isna().all(axis=None)
    assert got.reliability[list(RELIABILITY_COLUMNS[3:])].isna().all(axis=None)
    assert got.fornell_larcker.isna().all(axis=None)
    assert got.reliability["alpha"].notna().all()
    assert np.isfinite(got.htmt.to_numpy()[1, 0])
    assert np.isfinite(got.adequacy["kmo"])
    assert validity(replace(lavaan_fit("simple"), **{flag: False})).latent_cor.isna().all(axis=None)


def test_an_item_that_loads_the_other_way_is_asked_about():
    fit = population_fit({"NR": {"nr1": 0.8, "nr2": 0.8, "nr3": 0.8, "nr4": -0.6}})
    assert any(
        "nr4 loads negatively (-.600), unlike the other items: is it reverse coded?" in w
        for w in measurement(fit).warnings
    )
    flipped = population_fit({"NR": {"nr1": -0.8, "nr2": -0.8, "nr3": -0.8, "nr4": 0.6}})
    got = measurement(flipped)
    assert any("nr4 loads positively" in w for w in got.warnings)
    assert any("most items load negatively" in n for n in got.notes)
    same = population_fit({"NR": {"nr1": -0.8, "nr2": -0.8, "nr3": -0.8}})
    assert measurement(same).warnings == ()


def test_conventions_for_loadings_reliability_and_distinctness():
    fit = population_fit(
        {
            "A": dict.fromkeys(("a1", "a2", "a3"), 0.99),
            "B": {"b1": 0.8, "b2": 0.8, "b3": 0.3},
            "C": {"c1": 0.9, "c2": 0.9, "c3": 0.6},
            "D": dict.fromkeys(("d1", "d2"), 0.9),
        },
        [[1, 0.2, 0.1, 0.1], [0.2, 1, 0.1, 0.1], [0.1, 0.1, 1, 0.95], [0.1, 0.1, 0.95, 1]],
    )
    got = measurement(fit)
    text = "\n".join(got.warnings)
    assert "A: alpha .993, omega .993, CR .993 above .95" in text
    assert "B: standardized loading below .40 (Hair et al. 2019, doi:10.1108/EBR-11-2018-0203): b3 .300" in text
    assert "B: average variance extracted .457 is below .50" in text
    assert "C and D: HTMT" in text
    assert "hard to tell apart" in text
    assert "C and D: latent correlation .950 is not below the square root of the AVE of C, .812" in text
    assert any("C: standardized loading between .40 and .708: c3 .600; kept" in n for n in got.notes)
    assert not any(w.startswith("D:") for w in got.warnings)


def test_htmt_between_the_two_limits_is_worded_differently():
    fit = population_fit(
        {"A": dict.fromkeys(("a1", "a2"), 0.95), "B": dict.fromkeys(("b1", "b2"), 0.95)}, [[1, 0.87], [0.87, 1]]
    )
    assert any(
        "HTMT .870 is not below .85: acceptable only for similar concepts" in w for w in measurement(fit).warnings
    )


def test_single_indicators_and_second_order_factors():
    fit = population_fit(
        {"F1": dict.fromkeys(("a1", "a2"), 0.9), "F2": dict.fromkeys(("b1", "b2"), 0.9), "S": {"s1": 1.0}},
        [[1, 0.95, 0.2], [0.95, 1, 0.2], [0.2, 0.2, 1]],
        higher={"H": ("F1", "F2")},
    )
    got = measurement(fit)
    assert got.reliability["scale"].tolist() == ["F1", "F2", "S"]
    single = got.reliability.iloc[2]
    assert single[["alpha", "omega", "cr", "ave"]].isna().all()
    assert single["loading_min"] == 1.0
    notes = "\n".join(got.notes)
    assert "H is measured by the factors F1, F2" in notes
    assert "S has a single indicator" in notes
    assert "HTMT and HTMT2 of F1 and S not defined" in notes
    assert "F1 and F2: they share items or a common factor" in notes
    assert not any("F1 and F2" in w for w in got.warnings)


def test_structural_models_say_that_correlations_are_implied():
    loadings = {"A": dict.fromkeys(("a1", "a2"), 0.9), "B": dict.fromkeys(("b1", "b2"), 0.9)}
    cor = [[1, 0.5], [0.5, 1]]
    note = "implied by the structural model"
    assert not any(note in n for n in measurement(population_fit(loadings, cor)).notes)
    assert any(note in n for n in measurement(population_fit(loadings, cor, regressions=(("B", "A"),))).notes)


def test_a_path_model_has_no_scales():
    cov = pd.DataFrame([[1, 0.5], [0.5, 1]], ["y", "x"], ["y", "x"])
    fit = result([{"lhs": "y", "op": "~", "rhs": "x", "est": 0.5, "std_all": 0.5}], cov, cov, pd.DataFrame())
    got = measurement(fit)
    assert got.reliability.empty
    assert tuple(got.reliability.columns) == RELIABILITY_COLUMNS
    assert got.htmt.shape == (0, 0)
    assert any("no latent variable with observed indicators" in n for n in got.notes)
    assert MeasurementResult.from_json(got.to_json()).htmt.shape == (0, 0)


def test_a_loading_fixed_to_zero_is_not_an_indicator():
    fit = population_fit({"A": {"a1": 0.8, "a2": 0.7, "a3": 0.6}, "B": {"b1": 0.8, "b2": 0.7}})
    rows = pd.concat(
        [fit.parameters, pd.DataFrame([{"lhs": "B", "op": "=~", "rhs": "a1", "est": 0.0, "free": 0, "group": 1}])]
    )
    assert reliability(replace(fit, _parameters=rows))["items"].tolist() == [3, 2]


def test_answers_give_the_sample_based_numbers():
    rng = np.random.default_rng(11)
    factor = rng.standard_normal((200, 1))
    frame = pd.DataFrame(0.8 * factor + 0.6 * rng.standard_normal((200, 4)), columns=["a1", "a2", "a3", "a4"])
    fit = population_fit({"A": dict.fromkeys(frame.columns, 0.8)})
    frame.loc[3, "a2"] = np.nan
    complete = frame.dropna()
    got = measurement(fit, frame)
    s = complete.cov().to_numpy()
    assert got.reliability.loc[0, "alpha"] == pytest.approx(4 / 3 * (1 - np.trace(s) / s.sum()), rel=1e-12)
    assert got.reliability.loc[0, "omega"] == reliability(fit).loc[0, "omega"]
    assert any("199 complete rows" in n for n in got.notes)
    with pytest.raises(DataError, match=r"no column 'a4'. Did you mean 'A4'\?"):
        reliability(fit, frame.rename(columns={"a4": "A4"}))
    with pytest.raises(DataError, match="column 'a1' does not hold numbers"):
        validity(fit, frame.assign(a1="yes"))
    with pytest.raises(DataError, match="constant column: a3"):
        measurement(fit, frame.assign(a3=1.0))
    with pytest.raises(DataError, match="0 rows of the data are complete"):
        measurement(fit, frame.assign(a3=np.nan))


def test_too_few_respondents_for_adequacy_are_reported_not_raised():
    fit = replace(population_fit({"A": dict.fromkeys(("a1", "a2", "a3"), 0.8)}), nobs=2)
    got = measurement(fit)
    assert np.isnan(got.adequacy["kmo"])
    assert any("sampling adequacy is not given: 2 respondents are too few" in w for w in got.warnings)


def two_groups():
    rng = np.random.default_rng(7)
    frames = []
    for label, noise in (("b", 0.5), ("a", 1.0)):
        f, g = rng.normal(size=(2, 300))
        columns = {f"{k}{i}": x + rng.normal(scale=noise, size=300) for k, x in (("f", f), ("g", g)) for i in (1, 2, 3)}
        frames.append(pd.DataFrame(columns).assign(team=label))
    data = pd.concat(frames, ignore_index=True)
    return bs.fit("F =~ f1 + f2 + f3\nG =~ g1 + g2 + g3", data, group="team"), data


def test_each_group_by_itself():
    fit, data = two_groups()
    table = reliability(fit)
    assert list(table.columns[:2]) == ["group", "scale"]
    assert table["group"].tolist() == ["b", "b", "a", "a"]
    everything, ratios = measurement(fit), validity(fit)
    for label in ("b", "a"):
        alone = bs.fit(fit.model.text, data[data["team"] == label])
        own = table[table["group"] == label].drop(columns="group").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, reliability(alone), rtol=1e-5)
        pd.testing.assert_frame_equal(ratios[label].htmt, validity(alone).htmt, rtol=1e-9)
        assert everything[label].adequacy == pytest.approx(measurement(alone).adequacy)
        pd.testing.assert_frame_equal(everything[label].loadings, measurement(alone).loadings, rtol=1e-3)
    assert (table.loc[table["group"] == "b", "omega"].min()) > table.loc[table["group"] == "a", "omega"].max()


def test_omega_of_ordinal_answers_whose_means_differ():
    """Reliability of the sum is Var(E(sum | eta)) / Var(sum); equal thresholds set means and residuals free."""
    rng = np.random.default_rng(3)
    frames = []
    for label, mean, noise in (("b", 0.0, 1.0), ("a", 0.9, 0.7)):
        eta = rng.normal(mean, 1, 600)
        items = {
            f"x{i}": np.digitize(0.9 * eta + rng.normal(scale=noise, size=600), [-0.8, 0.3, 1.2]) for i in range(4)
        }
        frames.append(pd.DataFrame(items).assign(team=label))
    data = pd.concat(frames, ignore_index=True)
    equal = {"group": "team", "group_equal": ["loadings", "thresholds"], "ordered": True, "parameterization": "theta"}
    fit = bs.fit("F =~ x0 + x1 + x2 + x3", data, **equal)
    rows = fit.parameters[fit.parameters["group"] == 2]
    value = {(r["lhs"], r["op"], r["rhs"]): r["est"] for r in rows.to_dict("records")}
    z = np.linspace(-8, 8, 4001)
    weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    eta = value["F", "~1", ""] + np.sqrt(value["F", "~~", "F"]) * z
    assert value["F", "~1", ""] > 0.3
    expected, spread = np.zeros_like(eta), np.zeros_like(eta)
    for i in range(4):
        item = f"x{i}"
        sd = np.sqrt(value[item, "~~", item])
        above = [ndtr((value["F", "=~", item] * eta - value[item, "|", f"t{k}"]) / sd) for k in (1, 2, 3)]
        mean = sum(above)
        expected += mean
        spread += above[0] + 3 * above[1] + 5 * above[2] - mean**2
    between = weight @ expected**2 - (weight @ expected) ** 2
    omega = between / (between + weight @ spread)
    table = reliability(fit).set_index("group")
    assert table.loc["a", "omega"] == pytest.approx(omega, rel=1e-5)
    assert abs(table.loc["b", "omega"] - omega) > 0.01


def test_answers_of_groups_are_told_apart():
    fit, data = two_groups()
    np.testing.assert_allclose(
        reliability(fit, data.sample(frac=1, random_state=1))["alpha"], reliability(fit)["alpha"]
    )
    with pytest.raises(DataError, match="no column 'team', which tells the groups apart"):
        reliability(fit, data.drop(columns="team"))
    with pytest.raises(DataError, match="no rows of group a"):
        validity(fit, data[data["team"] == "b"])


def test_defined_parameters_are_no_second_group():
    fit = population_fit({"A": {"a1": 0.8, "a2": 0.7, "a3": 0.6}, "B": {"b1": 0.8, "b2": 0.7}})
    defined = pd.DataFrame([{"lhs": "ind", "op": ":=", "rhs": "a*b", "est": 0.2, "free": 0, "group": 0}])
    again = replace(fit, _parameters=pd.concat([fit.parameters, defined], ignore_index=True))
    pd.testing.assert_frame_equal(reliability(again), reliability(fit))
    assert validity(again).htmt.equals(validity(fit).htmt)
