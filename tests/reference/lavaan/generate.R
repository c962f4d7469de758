# Writes the lavaan side of tests/reference: one <case>.json for every case of ../cases.json, and manifest.json.
#
#   Rscript tests/reference/lavaan/generate.R            all cases
#   Rscript tests/reference/lavaan/generate.R ID ...     only these (the manifest is written for the whole list anyway)
#
# from the checkout root, with B2B_SEM_DATA naming the folder of the survey files (default ../shared/data) and the project's
# environment in .venv (semopy ships two of the data sets; PYTHON names another interpreter).
# Made with R 4.2.2, lavaan 0.6-14, jsonlite 1.8.4, digest 0.6.31, numDeriv 2016.8-1.1. Other versions will differ: see manifest.json.
#
# lavaan's optimiser stops where the relative decrease of the fit function is 1e-10: up to 1e-4 standard errors from the
# minimum. Tighter nlminb tolerances only end in "false convergence". Each case is therefore done in three steps: (1) lavaan
# with its defaults, (2) Fisher scoring from there, with lavaan's own gradient and expected information, until the gradient is
# at rounding level, (3) lavaan with optim.method = "none" at that point, which computes every number that is written.
# Two numbers are sharpened, because lavaan computes them to a few digits only: the RMSEA bounds (lavaan's own are kept as
# rmsea_ci_*_lavaan) and the standard errors of the standardized solution (`standardized_se`: how far that moved them).
# `gradient` says how far that point is from a solution, `lavaan_default` how far lavaan's own stop was.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "lavaan")
output <- function(case) file.path(OUT, paste0(case$id, ".json"))

MEASURES <- c("npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli",
              "nnfi", "rfi", "nfi", "pnfi", "ifi", "rni", "logl", "unrestricted.logl", "aic", "bic", "ntotal", "bic2",
              "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "rmr", "srmr", "cn_05", "cn_01", "gfi", "agfi",
              "pgfi", "mfi", "ecvi")

# 1. Known published numbers, before anything is written -------------------------------------------------------------------
published <- function() {
  hs <- cfa("visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9", HolzingerSwineford1939)
  pd <- sem("ind60 =~ x1 + x2 + x3\ndem60 =~ y1 + y2 + y3 + y4\ndem65 =~ y5 + y6 + y7 + y8\ndem60 ~ ind60
             dem65 ~ ind60 + dem60\ny1 ~~ y5\ny2 ~~ y4 + y6\ny3 ~~ y7\ny4 ~~ y8\ny6 ~~ y8", PoliticalDemocracy)
  stopifnot(abs(fitMeasures(hs, "chisq") - 85.30552) < 1e-5, fitMeasures(hs, "df") == 24,
            abs(fitMeasures(pd, "chisq") - 38.125) < 5e-4, fitMeasures(pd, "df") == 35)
  cat("published chi-squares reproduced: Holzinger-Swineford 85.30552 (24), political democracy 38.125 (35)\n")
}

# 2. Numbers of one case -------------------------------------------------------------------------------------------------
# lavaan's bounds come from uniroot() with its loose default tolerance: solved again to rounding level.
rmsea_bounds <- function(chisq, df, n) {
  bound <- function(level) {
    f <- function(lambda) pchisq(chisq, df, ncp = lambda) - level
    if (df < 1 || f(0) < 0) return(0)
    top <- max(n, 4 * chisq)
    if (f(top) > 0) return(0)
    sqrt(uniroot(f, c(0, top), tol = 1e-13 * top, maxiter = 10000L)$root / (n * df))
  }
  list(rmsea_ci_lower = bound(0.95), rmsea_ci_upper = bound(0.05))
}

# standardizedSolution() takes a forward difference where its complex step does not apply: standard errors are off by about
# 3e-8 of themselves, 1e-4 in an improper solution. Here the same function gets Richardson's derivative. What lavaan sets
# to zero (se below 1.2e-4) stays zero.
sharpen <- function(table, fit) {
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  variance <- diag(jacobian %*% lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE) %*% t(jacobian))[keep]
  se <- ifelse(table$se == 0, 0, suppressWarnings(sqrt(variance)))
  moved <- max(abs(se / table$se - 1), na.rm = TRUE)
  if (!is.finite(moved) || moved > 1e-3) stop("standardized standard errors: derivative moves them by ", moved)
  table$se <- se
  table$z <- table$est.std / ifelse(se == 0, NA, se)
  table$pvalue <- 2 * pnorm(-abs(table$z))
  table$ci.lower <- table$est.std + qnorm(0.025) * se
  table$ci.upper <- table$est.std + qnorm(0.975) * se
  attr(table, "moved") <- moved
  table
}

# lavaan's complex step is wrong for abs(): a := row must agree with Richardson's derivative too.
check_defined <- function(fit, table) {
  rows <- which(table$op == ":=")
  if (!length(rows)) return(invisible())
  jacobian <- numDeriv::jacobian(fit@Model@def.function, lavaan:::lav_model_get_parameters(fit@Model))
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- sqrt(diag(jacobian %*% vcov %*% t(jacobian)))
  if (max(abs(se / table$se[rows] - 1)) > 1e-7) stop("standard errors of := rows are not what their definition says")
}

# The independence model has a closed form: diagonal, but exogenous observed variables keep their covariances.
baseline <- function(fit, n) {
  s <- unclass(lavInspect(fit, "sampstat")$cov)
  x <- lavNames(fit, "ov.x")
  b <- diag(diag(s))
  dimnames(b) <- dimnames(s)
  b[x, x] <- s[x, x]
  n * (determinant(b)$modulus - determinant(s)$modulus)[[1]]
}

reference <- function(case) {
  solved <- solve_case(case)
  fit <- solved$fit
  default <- solved$default
  estimates <- parameterEstimates(fit, standardized = TRUE)
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  stopifnot(identical(table$lhs, estimates$lhs), identical(table$op, estimates$op), identical(table$rhs, estimates$rhs))
  check_defined(fit, estimates)
  estimates$free <- table$free > 0
  estimates$exo <- table$exo > 0
  if (is.null(estimates$label)) estimates$label <- ""
  estimates$std.nox <- NULL
  own <- standardizedSolution(fit)
  standardized <- sharpen(own, fit)
  if (is.null(standardized$label)) standardized$label <- ""

  measures <- under(as.list(fitMeasures(fit, MEASURES)))
  n <- lavaan:::lav_utils_get_ntotal(fit)
  measures$rmsea_ci_lower_lavaan <- measures$rmsea_ci_lower
  measures$rmsea_ci_upper_lavaan <- measures$rmsea_ci_upper
  measures <- modifyList(measures, rmsea_bounds(measures$chisq, measures$df, n))
  if (abs(measures$baseline_chisq - baseline(fit, n)) > 1e-11 * measures$baseline_chisq) stop(case$id, ": baseline model")
  implied <- fitted(fit)
  rsquare <- lavInspect(fit, "rsquare")
  sample <- lavInspect(fit, "sampstat")
  admissible <- suppressWarnings(lavInspect(fit, "post.check"))
  estimate_default <- parameterEstimates(default)
  free <- which(estimates$free)
  list(
    case = case$id,
    converged = lavInspect(default, "converged"),
    admissible = admissible,
    nobs = lavInspect(fit, "nobs"),
    gradient = size(slope(fit@Model, fit)),
    lavaan_default = list(
      gradient = size(slope(default@Model, default)),
      largest_move = max(abs(estimate_default$est[free] - estimates$est[free]) / estimates$se[free]),
      standardized_se = attr(standardized, "moved")
    ),
    measures = measures,
    parameters = frame_rows(estimates),
    standardized = frame_rows(standardized),
    r2 = if (length(rsquare)) as.list(rsquare) else structure(list(), names = character(0)),
    implied = list(cov = labelled(implied$cov), mean = labelled(implied$mean)),
    sample = list(cov = labelled(sample$cov), mean = labelled(sample$mean)),
    warnings = I(solved$warnings)
  )
}

# 3. Running -----------------------------------------------------------------------------------------------------------------
published()
cases <- read_cases()
wanted <- commandArgs(trailingOnly = TRUE)
for (case in cases) {
  if (length(wanted) && !case$id %in% wanted) next
  capture.output(result <- tryCatch(reference(case), error = conditionMessage))  # lavaan prints matrices it complains about
  if (is.character(result)) stop(case$id, ": ", result)
  write_numbers(result, output(case))
  cat(sprintf("%-34s chisq %12.5f df %3d  gradient %.1e (default stop %.1e, %.1e SE)%s\n", case$id, result$measures$chisq,
              as.integer(result$measures$df), result$gradient$scaled, result$lavaan_default$gradient$scaled,
              result$lavaan_default$largest_move, if (result$admissible) "" else "  IMPROPER"))
}
sources <- unique(vapply(cases, function(case) case$data, ""))
write_numbers(
  list(
    about = "Written by tests/reference/lavaan/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(CASES),
      generate = sha256(file.path(OUT, "generate.R")),
      common = sha256(file.path(OUT, "common.R")),
      data = setNames(lapply(sources, function(source) sha256(data_path(source))), sources),
      outputs = setNames(lapply(cases, function(case) sha256(output(case))), vapply(cases, function(case) case$id, ""))
    )
  ),
  file.path(OUT, "manifest.json")
)
