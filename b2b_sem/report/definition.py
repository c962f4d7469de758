"""What each number in the report means: formula in words, customary guide and where both come from.

Guides are printed beside values as orientation, never as a pass or a fail: they depend on loadings, degrees of freedom
and sample size (Marsh, Hau & Wen 2004, doi:10.1207/s15328007sem1103_2; McNeish & Wolf 2023, doi:10.1037/met0000425).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DEFINITIONS",
    "FIT_CAUTION",
    "FORNELL_LARCKER",
    "GUIDES",
    "HAIR",
    "HENSELER",
    "ROEMER",
    "Definition",
    "Guide",
]

HU_BENTLER = "Hu & Bentler 1999, doi:10.1080/10705519909540118"
HAIR = "Hair, Risher, Sarstedt & Ringle 2019, doi:10.1108/EBR-11-2018-0203"
FORNELL_LARCKER = "Fornell & Larcker 1981, doi:10.1177/002224378101800104"
HENSELER = "Henseler, Ringle & Sarstedt 2015, doi:10.1007/s11747-014-0403-8"
ROEMER = "Roemer, Schuberth & Henseler 2021, doi:10.1108/IMDS-02-2021-0082"
MACCALLUM = "MacCallum, Browne & Sugawara 1996, doi:10.1037/1082-989X.1.2.130"

FIT_CAUTION = (
    "The guides are conventions from simulated three-factor models, not rules: they depend on loadings, degrees of "
    "freedom and sample size (Marsh, Hau & Wen 2004, doi:10.1207/s15328007sem1103_2; McNeish & Wolf 2023, "
    "doi:10.1037/met0000425). Read them together with the largest residuals."
)


@dataclass(frozen=True)
class Guide:
    """A customary guide for a quantity and its source."""

    text: str
    source: str


#: Guides by measure name.
GUIDES: dict[str, Guide] = {
    "chisq": Guide("p > .05: no misfit detected; large samples detect trivial misfit", ""),
    "cfi": Guide("about .95 or higher", HU_BENTLER),
    "tli": Guide("about .95 or higher", HU_BENTLER),
    "rmsea": Guide("about .06 or lower", HU_BENTLER),
    "rmsea_pvalue": Guide("test of close fit, H0: RMSEA <= .05", MACCALLUM),
    "srmr": Guide("about .08 or lower", HU_BENTLER),
    "aic": Guide("lower is better, same data only", ""),
    "bic": Guide("lower is better, same data only", ""),
    "bic2": Guide("lower is better, same data only", ""),
}


@dataclass(frozen=True)
class Definition:
    """One quantity.

    Attributes
    ----------
    name : str
    words : str
        The formula in words.
    source : str
        Citation with its DOI.
    """

    name: str
    words: str
    source: str


#: Definitions by section of the report.
DEFINITIONS: dict[str, tuple[Definition, ...]] = {
    "verdicts": (
        Definition(
            "Standardized coefficient",
            "the change in the outcome, in its standard deviations, for one standard deviation of the predictor, the "
            "other predictors held constant; its standard error and interval come from the delta method",
            "Bollen 1989, Structural Equations with Latent Variables",
        ),
        Definition(
            "p",
            "two-sided Wald test of the unstandardized coefficient: estimate divided by its standard error, against "
            "the normal distribution (of imputed data, the t distribution of the pooled estimate)",
            "Wald 1943, doi:10.1090/S0002-9947-1943-0012401-3",
        ),
        Definition(
            "Adjusted p",
            "the p-values of all tested propositions form one family; Holm multiplies the smallest by the number of "
            "tests, the next by one less, and so on, never letting a larger p fall below a smaller one",
            "Holm 1979, Scandinavian Journal of Statistics 6, 65-70",
        ),
        Definition(
            "Verdict",
            "supported: adjusted p below alpha and the sign as stated; contradicted: adjusted p below alpha and the "
            "opposite sign; not supported: adjusted p not below alpha, which is not evidence of no effect; not "
            "testable here: the model, the data or a failed fit do not allow a test",
            "",
        ),
    ),
    "fit": (
        Definition(
            "Chi-square",
            "N times the minimum of the maximum likelihood fit function; under the model it has a chi-square "
            "distribution with (known moments minus free parameters) degrees of freedom. With missing answers under "
            "full information: twice the log-likelihood lost against free means and covariances; of ordered items: "
            "N - 1 times the minimum of weighted least squares",
            "Joreskog 1969, doi:10.1007/BF02289343",
        ),
        Definition(
            "Scaled chi-square",
            "chi-square corrected for the fourth moments of answers that are not normally distributed, so that its "
            "mean (and with some tests its variance) is that of a chi-square distribution",
            "Satorra & Bentler 1994; Yuan & Bentler 2000, doi:10.1111/0081-1750.00078; Asparouhov & Muthen 2010",
        ),
        Definition(
            "Robust CFI, TLI, RMSEA",
            "the same formulas with the expected value of chi-square, scaling factor x df, in the place of df: they "
            "estimate what CFI, TLI and RMSEA do for normal answers, and with missing answers those of complete ones "
            "(Zhang & Savalei 2023, doi:10.1080/10705511.2022.2118114)",
            "Brosseau-Liard & Savalei 2014, doi:10.1080/00273171.2014.933697; Brosseau-Liard, Savalei & Li 2012, "
            "doi:10.1080/00273171.2012.715252",
        ),
        Definition(
            "CFI",
            "one minus the excess of chi-square over its degrees of freedom, divided by the same excess in the "
            "baseline model of uncorrelated variables",
            "Bentler 1990, doi:10.1037/0033-2909.107.2.238",
        ),
        Definition(
            "TLI",
            "the drop of chi-square per degree of freedom from the baseline model to the model, divided by the "
            "largest drop expected; can exceed 1",
            "Tucker & Lewis 1973, doi:10.1007/BF02291170",
        ),
        Definition(
            "RMSEA",
            "square root of the excess of chi-square over its degrees of freedom, per degree of freedom and per "
            "observation; 90% interval from the noncentral chi-square distribution",
            "Steiger 1990, doi:10.1207/s15327906mbr2502_4; Browne & Cudeck 1992, doi:10.1177/0049124192021002005",
        ),
        Definition(
            "SRMR",
            "square root of the mean squared difference between observed and implied correlations",
            "Bentler 1995, EQS Structural Equations Program Manual",
        ),
        Definition(
            "AIC, BIC",
            "minus twice the log-likelihood plus a penalty for each free parameter: 2 (AIC), log N (BIC), or "
            "log((N + 2)/24) (sample-size adjusted BIC)",
            "Akaike 1974, doi:10.1109/TAC.1974.1100705; Schwarz 1978, doi:10.1214/aos/1176344136; "
            "Sclove 1987, doi:10.1007/BF02294360",
        ),
        Definition(
            "Correlation residual",
            "observed minus implied correlation of two indicators: local misfit that global indices can hide",
            "Kline 2023, Principles and Practice of Structural Equation Modeling, 5th ed.",
        ),
        Definition("R2", "share of the variance of a variable that its predictors in the model account for", ""),
    ),
    "moderation": (
        Definition(
            "Product",
            "the change of an effect when the moderator is one unit higher. Of latent variables it is estimated by "
            "maximum likelihood over all values that one of its factors may have (LMS), as a product of items would "
            "depend on where their scales have their zero",
            "Klein & Moosbrugger 2000, doi:10.1007/BF02296338",
        ),
        Definition(
            "Standardized product",
            "coefficient times the standard deviations of both factors, divided by that of the outcome: the change of "
            "the standardized effect when the moderator is one standard deviation higher",
            "Wen, Marsh & Hau 2010, doi:10.1080/10705510903438872",
        ),
        Definition(
            "Simple slope",
            "the effect at a value of the moderator: coefficient of the predictor plus value times coefficient of the "
            "product",
            "Aiken & West 1991; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5",
        ),
        Definition(
            "Johnson-Neyman region",
            "the values of the moderator at which the effect differs from zero",
            "Johnson & Neyman 1936; Bauer & Curran 2005, doi:10.1207/s15327906mbr4003_5",
        ),
        Definition(
            "Index of moderated mediation",
            "the change of an indirect effect when the moderator is one unit higher",
            "Hayes 2015, doi:10.1080/00273171.2014.962683",
        ),
        Definition(
            "f²",
            "explained variance that the product adds, divided by the unexplained; about .005 small, .01 medium, .025 "
            "large",
            "Aiken & West 1991; Kenny 2018; Aguinis et al. 2005, doi:10.1037/0021-9010.90.1.94",
        ),
    ),
    "groups": (
        Definition(
            "Configural, metric, scalar, strict",
            "the same items measure the same constructs in all groups; and loadings are equal, so that paths may be "
            "compared; and intercepts, so that latent means may be compared; and residual variances, so that sums of "
            "answers may be compared. For ordered items thresholds come before loadings",
            "Meredith 1993, doi:10.1007/BF02294825",
        ),
        Definition(
            "Released",
            "a parameter that is not equal in all groups: the one with the largest score test, if its p-value is small "
            "after adjustment for all tests of its round (partial invariance). Releases follow the data and should be "
            "confirmed with other answers",
            "Byrne, Shavelson & Muthén 1989, doi:10.1037/0033-2909.105.3.456",
        ),
        Definition(
            "dMACS",
            "root mean square of the difference of the expected answers of two people with the same value of the "
            "construct, one of each group, in standard deviations of the item",
            "Nye & Drasgow 2011, doi:10.1037/a0022955",
        ),
        Definition(
            "d of a latent mean",
            "difference of two latent means in pooled standard deviations of the construct",
            "Hancock 2001, doi:10.1007/BF02294440",
        ),
        Definition(
            "Wald, difference of χ²",
            "two tests that a path is equal in all groups: from the estimates and their standard errors, and from the "
            "fit of the model in which it is equal; with a scaled test the difference is scaled, too",
            "Satorra & Bentler 2001, doi:10.1007/BF02296192",
        ),
        Definition(
            "Power, detectable",
            "the chance that the test of a path finds a standardized difference of the stated size, if there is one, "
            "with the standard error of these answers; and the difference that it finds with a chance of .80",
            "Satorra & Saris 1985, doi:10.1007/BF02294150",
        ),
    ),
    "missing": (
        Definition(
            "Missing completely at random",
            "who leaves an answer out depends on nothing: rows without holes are then a random part of the sample",
            "Rubin 1976, doi:10.1093/biomet/63.3.581",
        ),
        Definition(
            "Missing at random",
            "who leaves an answer out depends only on answers that are there: full information maximum likelihood and "
            "multiple imputation are right if those answers are used",
            "Rubin 1976, doi:10.1093/biomet/63.3.581",
        ),
        Definition(
            "Missing not at random",
            "who leaves an answer out depends on what that answer would have been: the data cannot show it",
            "Rubin 1976, doi:10.1093/biomet/63.3.581",
        ),
        Definition(
            "Little's test",
            "squared distances of the means of each pattern of holes from the means of all, estimated by maximum "
            "likelihood; chi-square if answers are missing completely at random and normally distributed",
            "Little 1988, doi:10.1080/01621459.1988.10478722",
        ),
        Definition("Coverage", "share of the respondents who answered both items of a pair", ""),
        Definition(
            "Auxiliary variable",
            "a variable outside the model that goes with the holes and with the answers: it makes missing at random "
            "more plausible",
            "Graham 2003, doi:10.1207/S15328007SEM1001_4",
        ),
    ),
    "effects": (
        Definition(
            "Indirect effect",
            "product of the coefficients along one path; its standard error comes from the delta method",
            "Sobel 1982, doi:10.2307/270723",
        ),
        Definition(
            "Total effect",
            "sum over all paths from one variable to another, the direct one included",
            "Bollen 1987, doi:10.2307/271028",
        ),
        Definition(
            "Std.",
            "the effect in standard deviations of the outcome for one standard deviation of the predictor",
            "",
        ),
    ),
    "measurement": (
        Definition("Loading", "standardized regression of an item on its construct; guide: .708 or higher", HAIR),
        Definition(
            "Alpha",
            "items / (items - 1) x (1 - sum of item variances / variance of the sum score); assumes equal loadings",
            "Cronbach 1951, doi:10.1007/BF02310555",
        ),
        Definition(
            "Omega",
            "squared sum of the loadings x factor variance, divided by the variance of the sum score",
            "McDonald 1999, Test Theory; McNeish 2018, doi:10.1037/met0000144",
        ),
        Definition(
            "Ordinal alpha",
            "alpha of the polychoric correlations of ordered items: of the sum of the responses behind the answers, "
            "not of the answers themselves",
            "Zumbo, Gadermann & Zeisser 2007, doi:10.22237/jmasm/1177992180; Chalmers 2018, "
            "doi:10.1177/0013164417727036",
        ),
        Definition(
            "Omega of the sum, of ordered items",
            "share of the variance of the sum of the answers that the factor brings in, from thresholds, loadings and "
            "bivariate normal probabilities; omega, latent, is that of the sum of the responses behind the answers",
            "Green & Yang 2009, doi:10.1007/s11336-008-9099-3",
        ),
        Definition(
            "CR, composite reliability",
            "squared sum of the standardized loadings, divided by itself plus the sum of the residual variances; "
            f"guide: .70 to .90 good, .60 to .70 exploratory, above .95 redundant items ({HAIR})",
            "Joreskog 1971, doi:10.1007/BF02291393; Raykov 1997, doi:10.1177/01466216970212006",
        ),
        Definition(
            "AVE, average variance extracted",
            "mean squared standardized loading; guide: .50 or higher",
            FORNELL_LARCKER,
        ),
        Definition(
            "Fornell-Larcker criterion",
            "the square root of a construct's AVE should exceed its correlations with all other constructs",
            FORNELL_LARCKER,
        ),
        Definition(
            "HTMT",
            "mean correlation between the items of two scales, divided by the geometric mean of the two mean "
            "correlations within the scales; guide: below .85, or below .90 for conceptually close constructs",
            HENSELER,
        ),
        Definition(
            "HTMT2",
            "the same with geometric means throughout, right also when loadings differ within a scale",
            ROEMER,
        ),
        Definition(
            "KMO",
            "sum of squared correlations divided by itself plus the sum of squared partial correlations; .80 or "
            "higher is good, below .60 poor",
            "Kaiser 1974, doi:10.1007/BF02291575",
        ),
        Definition(
            "Bartlett's test",
            "tests whether all correlations are zero",
            "Bartlett 1950, doi:10.1111/j.2044-8317.1950.tb00285.x",
        ),
    ),
}
