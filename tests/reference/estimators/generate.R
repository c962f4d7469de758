# Writes the lavaan side of tests/reference/estimators: one <model>.json for every model of cases.json with all its runs
# (estimators, standard errors, tests, information, clusters), and manifest.json.
#
#   Rscript tests/reference/estimators/generate.R            all models
#   Rscript tests/reference/estimators/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. As there, lavaan's solution is polished with its own
# gradient and expected information before any number is written. z, p and intervals follow from estimates and standard
# errors and are not written. Sharpened are the RMSEA bounds, the standard errors of the standardized solution, and the
# baseline chi-square of least squares, which lavaan finds with its loose optimiser: the baseline model is linear there.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "estimators")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
models <- c(read_cases(), setNames(spec$models, vapply(spec$models, function(m) m$id, "")))
output <- function(id) file.path(OUT, paste0(id, ".json"))

PLAIN <- c("npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli", "nnfi",
           "rfi", "nfi", "pnfi", "ifi", "rni", "logl", "unrestricted.logl", "aic", "bic", "ntotal", "bic2", "rmsea",
           "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "rmr", "srmr", "cn_05", "cn_01", "gfi", "agfi", "pgfi", "mfi",
           "ecvi")
SCALED <- c("chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli", "nnfi", "rfi", "nfi",
            "pnfi", "ifi", "rni", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")
ROBUST <- c("cfi", "tli", "nnfi", "rni", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")

bounds <- function(chisq, df, n, factor = 1) {
  bound <- function(level) {
    if (!is.finite(df)) return(NA)
    f <- function(lambda) pchisq(chisq, df, ncp = lambda) - level
    if (df < 1 || f(0) < 0) return(0)
    top <- max(n, 4 * chisq)
    if (f(top) > 0) return(0)
    sqrt(factor * uniroot(f, c(0, top), tol = 1e-13 * top, maxiter = 10000L)$root / (n * df))
  }
  c(bound(0.95), bound(0.05))
}

# Least squares: min over the free moments of s'Vs, the others being zero in the baseline model.
exact_baseline <- function(fit) {
  s <- fit@SampleStats@WLS.obs[[1]]
  v <- lavInspect(fit, "wls.v")
  p <- length(lavNames(fit, "ov"))
  x <- match(lavNames(fit, "ov.x"), lavNames(fit, "ov"))
  cells <- which(lower.tri(diag(p), diag = TRUE), arr.ind = TRUE)
  free <- cells[, 1] == cells[, 2] | (cells[, 1] %in% x & cells[, 2] %in% x)
  if (fit@Model@meanstructure) free <- c(rep(TRUE, p), free)
  used <- diag(v) > 0
  a <- which(!free & used)
  b <- which(free & used)
  inner <- v[a, a] - v[a, b] %*% solve(v[b, b], v[b, a])
  (nobs(fit) - 1) * drop(s[a] %*% inner %*% s[a])
}

sharpen <- function(fit) {
  table <- standardizedSolution(fit)
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- suppressWarnings(sqrt(diag(jacobian %*% vcov %*% t(jacobian))[keep]))
  table$se <- ifelse(table$se == 0, 0, se)
  table
}

run <- function(model, setting) {
  model$options <- modifyList(as.list(model$options), setting)
  solved <- solve_case(model)
  fit <- solved$fit
  if (!fit@Options$estimator %in% c("ML")) {
    exact <- exact_baseline(fit)
    old <- fit@baseline$test$standard$stat
    if (abs(exact - old) > 1e-5 * old) stop("baseline: ", exact, " lavaan ", old)
    fit@baseline$test$standard$stat <- exact
    if (fit@Options$estimator != "ULS") {
      fit@baseline$test$standard$pvalue <- 1 - pchisq(exact, fit@baseline$test$standard$df)
    }
  }
  all <- as.list(fitMeasures(fit))
  logl <- as.list(fitMeasures(fit, c("logl", "unrestricted.logl", "aic", "bic", "bic2", "ntotal")))
  all <- modifyList(all, logl)
  n <- lavaan:::lav_utils_get_ntotal(fit)
  names <- PLAIN
  all[c("rmsea.ci.lower", "rmsea.ci.upper")] <- bounds(all$chisq, all$df, n)
  if (!is.null(all$chisq.scaled)) {
    names <- c(names, paste0(SCALED, ".scaled"), "chisq.scaling.factor", "baseline.chisq.scaling.factor")
    test <- fit@test[[2]]
    shifted <- test$test == "scaled.shifted"
    trace <- if (is.null(test$trace.UGamma)) NA else test$trace.UGamma
    all[c("rmsea.ci.lower.scaled", "rmsea.ci.upper.scaled")] <-
      if (shifted) bounds(all$chisq.scaled, all$df, n) else bounds(all$chisq, trace, n)
    if (test$test != "mean.var.adjusted") {
      names <- c(names, paste0(ROBUST, ".robust"))
      all[c("rmsea.ci.lower.robust", "rmsea.ci.upper.robust")] <-
        bounds(all$chisq.scaled, all$df, n, all$chisq.scaling.factor)
    }
  }
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  standardized <- sharpen(fit)
  standard <- parameterEstimates(fit)
  stopifnot(identical(table$lhs, standard$lhs), identical(table$op, standardized$op), identical(table$rhs, standardized$rhs))
  list(
    nobs = lavInspect(fit, "nobs"),
    gradient = size(slope(fit@Model, fit))$scaled,
    default = max(abs(coef(solved$default) - coef(fit)) / max(1e-8, sqrt(diag(vcov(fit))))),
    measures = under(all[names]),
    parameters = frame_rows(data.frame(lhs = table$lhs, op = table$op, rhs = table$rhs, free = table$free > 0,
                                       est = standard$est, se = standard$se,
                                       est.std = standardized$est.std, se.std = standardized$se)),
    warnings = I(solved$warnings)
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
for (id in names(spec$runs)) {
  if (length(wanted) && !id %in% wanted) next
  out <- list()
  for (name in spec$runs[[id]]) {
    setting <- as.list(spec$settings[[name]])
    if (!is.null(setting$cluster)) setting$cluster <- spec$clusters[[models[[id]]$data]]
    capture.output(result <- tryCatch(run(models[[id]], setting), error = conditionMessage))
    if (is.character(result)) stop(id, " ", name, ": ", result)
    out[[name]] <- result
    cat(sprintf("%-24s %-22s chisq %12.5f df %3d gradient %.1e (default stop %.1e)\n", id, name, result$measures$chisq,
                as.integer(result$measures$df), result$gradient, result$default))
  }
  write_numbers(out, output(id))
}
sources <- unique(vapply(names(spec$runs), function(id) models[[id]]$data, ""))
write_numbers(
  list(
    about = "Written by tests/reference/estimators/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(file.path(OUT, "cases.json")),
      models = sha256(CASES),
      generate = sha256(file.path(OUT, "generate.R")),
      common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
      data = setNames(lapply(sources, function(source) sha256(data_path(source))), sources),
      outputs = setNames(lapply(names(spec$runs), function(id) sha256(output(id))), names(spec$runs))
    )
  ),
  file.path(OUT, "manifest.json")
)
