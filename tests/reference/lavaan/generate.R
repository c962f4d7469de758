# Writes the lavaan side of tests/reference: one <case>.json for every case of ../cases.json, and manifest.json.
#
#   Rscript tests/reference/lavaan/generate.R            all cases
#   Rscript tests/reference/lavaan/generate.R ID ...     only these (the manifest is written for the whole list anyway)
#
# from the checkout root, with B2B_SEM_DATA naming the folder of the survey files (default ../shared/data) and the project's
# environment in .venv (semopy ships two of the data sets; PYTHON names another interpreter).
# Made with R 4.2.2, lavaan 0.6-14, jsonlite 1.8.4, digest 0.6.31. Other versions will differ: see manifest.json.
#
# lavaan's optimiser stops where the relative decrease of the fit function is 1e-10: up to 1e-4 standard errors from the
# minimum. Tighter nlminb tolerances only end in "false convergence". Each case is therefore done in three steps: (1) lavaan
# with its defaults, (2) Fisher scoring from there, with lavaan's own gradient and expected information, until the gradient is
# at rounding level, (3) lavaan with optim.method = "none" at that point, which computes every number that is written.
# `gradient` says how far that point is from a solution, `lavaan_default` how far lavaan's own stop was.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "lavaan")
output <- function(case) file.path(OUT, paste0(case$id, ".json"))
CASES <- file.path(REFERENCE, "cases.json")

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

# 2. Fitting -----------------------------------------------------------------------------------------------------------------
fit_with <- function(case, ...) {
  arguments <- c(case_arguments(case), list(...))
  warned <- character(0)
  fit <- withCallingHandlers(
    do.call(match.arg(case$`function`, c("sem", "cfa")), arguments),
    warning = function(w) {
      warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w)))
      invokeRestart("muffleWarning")
    }
  )
  list(fit = fit, warnings = unique(warned))
}

# Gradient of F/2 and its expected curvature at the free parameters, restricted to the directions the constraints leave open.
slope <- function(model, fit) {
  gradient <- lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavcache = fit@Cache, type = "free")
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(gradient))
  list(open = open, gradient = drop(crossprod(open, gradient)), information = crossprod(open, information %*% open))
}

# Largest absolute element: raw, and with each direction divided by the root of its curvature (free of units).
size <- function(s) {
  scaled <- abs(s$gradient) / sqrt(diag(s$information))
  list(raw = max(abs(s$gradient)), scaled = max(scaled))
}

polish <- function(fit, steps = 500L) {
  model <- fit@Model
  best <- x <- lavaan:::lav_model_get_parameters(model)
  smallest <- Inf
  stalled <- 0L
  for (k in seq_len(steps)) {
    s <- slope(model, fit)
    now <- size(s)$scaled
    if (is.finite(now) && now < smallest) { smallest <- now; best <- x; stalled <- 0L } else stalled <- stalled + 1L
    if (smallest < 1e-15 || stalled > 5L) break
    # curvature scaled to unit diagonal: units from 1e-4 to 1e5 would otherwise make solve() give up
    d <- 1 / sqrt(diag(s$information))
    x <- x - drop(s$open %*% (d * solve(d * t(d * s$information), d * s$gradient)))
    model <- lavaan:::lav_model_set_parameters(model, x = x)
  }
  best
}

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
  default <- fit_with(case)
  if (!lavInspect(default$fit, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- polish(default$fit)
  start <- parTable(default$fit)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  final <- fit_with(case, start = start, optim.method = "none", check.start = FALSE)
  fit <- final$fit
  fit@baseline <- default$fit@baseline  # with optim.method = "none" lavaan does not always finish the independence model
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best))
  if (moved > 1e-12 * max(1, abs(best))) stop(case$id, ": the polished point was not taken over (", moved, ")")
  lavoptions_kept <- c("fixed.x", "meanstructure", "likelihood", "std.lv", "orthogonal")
  stopifnot(identical(fit@Options[lavoptions_kept], default$fit@Options[lavoptions_kept]))

  estimates <- parameterEstimates(fit, standardized = TRUE)
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  stopifnot(identical(table$lhs, estimates$lhs), identical(table$op, estimates$op), identical(table$rhs, estimates$rhs))
  estimates$free <- table$free > 0
  estimates$exo <- table$exo > 0
  if (is.null(estimates$label)) estimates$label <- ""
  estimates$std.nox <- NULL
  standardized <- standardizedSolution(fit)
  if (is.null(standardized$label)) standardized$label <- ""

  measures <- under(as.list(fitMeasures(fit, MEASURES)))
  n <- lavaan:::lav_utils_get_ntotal(fit)
  measures$rmsea_ci_lower_lavaan <- measures$rmsea_ci_lower
  measures$rmsea_ci_upper_lavaan <- measures$rmsea_ci_upper
  measures <- modifyList(measures, rmsea_bounds(measures$chisq, measures$df, n))
  if (abs(measures$baseline_chisq - baseline(fit, n)) > 1e-11 * measures$baseline_chisq) stop(case$id, ": baseline model")
  implied <- fitted(fit)
  sample <- lavInspect(fit, "sampstat")
  admissible <- suppressWarnings(lavInspect(fit, "post.check"))
  estimate_default <- parameterEstimates(default$fit)
  free <- which(estimates$free)
  list(
    case = case$id,
    converged = lavInspect(default$fit, "converged"),
    admissible = admissible,
    nobs = lavInspect(fit, "nobs"),
    gradient = size(slope(fit@Model, fit)),
    lavaan_default = list(
      gradient = size(slope(default$fit@Model, default$fit)),
      largest_move = max(abs(estimate_default$est[free] - estimates$est[free]) / estimates$se[free])
    ),
    measures = measures,
    parameters = frame_rows(estimates),
    standardized = frame_rows(standardized),
    r2 = as.list(lavInspect(fit, "rsquare")),
    implied = list(cov = labelled(implied$cov), mean = labelled(implied$mean)),
    sample = list(cov = labelled(sample$cov), mean = labelled(sample$mean)),
    warnings = I(default$warnings)
  )
}

# 3. Running -----------------------------------------------------------------------------------------------------------------
published()
cases <- read_json(CASES, simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
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
    versions = versions(c("lavaan", "jsonlite", "digest")),
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
