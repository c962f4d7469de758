# Writes the lavaan side of tests/reference/growth: one <model>.json for every model of cases.json with all its runs, and
# manifest.json.
#
#   Rscript tests/reference/growth/generate.R            all models
#   Rscript tests/reference/growth/generate.R ID ...     only these
#
# from the checkout root. Solutions of lavaan::growth() are polished as in ../lavaan/common.R before any number is written;
# z, p and intervals follow from estimates and standard errors and are not written. RMSEA bounds and the standard errors of
# the standardized solution are sharpened, as in ../estimators/generate.R. With missing data the polish takes lavaan's
# gradient with its expected information; lavaan's baseline model is kept as it stops (its closed form is gone).

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "growth")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
models <- setNames(spec$models, vapply(spec$models, function(m) m$id, ""))
DATA <- file.path(OUT, "growth.csv")
output <- function(id) file.path(OUT, paste0(id, ".json"))

PLAIN <- c("npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli",
           "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "srmr", "logl", "unrestricted.logl", "aic", "bic",
           "bic2", "ntotal")
SCALED <- c("chisq.scaled", "df.scaled", "pvalue.scaled", "chisq.scaling.factor", "baseline.chisq.scaled", "cfi.scaled",
            "tli.scaled", "rmsea.scaled")

# lavaan's EM algorithm for the saturated moments stops early: SRMR and moments of covariates depend on them
TIGHT <- list(em.h1.iter.max = 2000L, em.h1.tol = 1e-12)

# as in common.R, for growth()
fit_with <- function(case, ...) {
  options <- case$options
  names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  if (is.null(options$fixed.x)) options$fixed.x <- TRUE
  warned <- character(0)
  fit <- withCallingHandlers(
    do.call("growth", c(list(model = paste(case$model, collapse = "\n"), data = read.csv(DATA)), TIGHT, options, list(...))),
    warning = function(w) {
      warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w)))
      invokeRestart("muffleWarning")
    }
  )
  list(fit = fit, warnings = unique(warned))
}

bounds <- function(chisq, df, n) {
  bound <- function(level) {
    f <- function(lambda) pchisq(chisq, df, ncp = lambda) - level
    if (df < 1 || f(0) < 0) return(0)
    top <- max(n, 4 * chisq)
    if (f(top) > 0) return(0)
    sqrt(uniroot(f, c(0, top), tol = 1e-13 * top, maxiter = 10000L)$root / (n * df))
  }
  c(bound(0.95), bound(0.05))
}

run <- function(model, setting) {
  model$options <- modifyList(as.list(model$options), as.list(setting))
  if (identical(model$options$missing, "fiml.x")) model$options$missing <- "ml.x"
  solved <- solve_case(model)
  fit <- solved$fit
  stopifnot(fit@Model@meanstructure)
  all <- as.list(fitMeasures(fit))
  n <- lavaan:::lav_utils_get_ntotal(fit)
  all[c("rmsea.ci.lower", "rmsea.ci.upper")] <- bounds(all$chisq, all$df, n)
  names <- c(PLAIN, if (!is.null(all$chisq.scaled)) SCALED)
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  standardized <- standardizedSolution(fit)
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- suppressWarnings(sqrt(diag(jacobian %*% vcov %*% t(jacobian))[keep]))
  standard <- parameterEstimates(fit, remove.nonfree = FALSE)
  stopifnot(identical(table$lhs, standard$lhs), identical(table$op, standardized$op), identical(table$rhs, standardized$rhs))
  list(
    nobs = lavInspect(fit, "nobs"),
    gradient = size(slope(fit@Model, fit))$scaled,
    measures = under(all[names]),
    parameters = frame_rows(data.frame(lhs = table$lhs, op = table$op, rhs = table$rhs, free = table$free > 0,
                                       est = standard$est, se = standard$se, est.std = standardized$est.std,
                                       se.std = ifelse(standardized$se == 0, 0, se))),
    warnings = I(solved$warnings)
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
for (id in names(spec$runs)) {
  if (length(wanted) && !id %in% wanted) next
  out <- list()
  for (name in spec$runs[[id]]) {
    capture.output(result <- tryCatch(run(models[[id]], spec$settings[[name]]), error = conditionMessage))
    if (is.character(result)) stop(id, " ", name, ": ", result)
    out[[name]] <- result
    cat(sprintf("%-22s %-10s chisq %12.5f df %3d gradient %.1e %s\n", id, name, result$measures$chisq,
                as.integer(result$measures$df), result$gradient, paste(result$warnings, collapse = " | ")))
  }
  write_numbers(out, output(id))
}
write_numbers(
  list(
    about = "Written by tests/reference/growth/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(file.path(OUT, "cases.json")),
      generate = sha256(file.path(OUT, "generate.R")),
      common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
      data = sha256(DATA),
      outputs = setNames(lapply(names(spec$runs), function(id) sha256(output(id))), names(spec$runs))
    )
  ),
  file.path(OUT, "manifest.json")
)
