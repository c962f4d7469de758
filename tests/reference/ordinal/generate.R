# Writes the lavaan side of tests/reference/ordinal: one <model>.json for every model of cases.json with all its runs
# (estimators and parameterizations), and manifest.json.
#
#   Rscript tests/reference/ordinal/generate.R            all models
#   Rscript tests/reference/ordinal/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. As there, lavaan's solution is polished with its own
# gradient and information before any number is written, and the RMSEA bounds and standard errors of the standardized solution
# are sharpened. Exogenous variables are conditioned on where fixed.x is not FALSE, which is lavaan's default with ordered items.
# Thresholds and correlations are lavaan's own: its optimiser finds polychoric correlations to about 1e-6. Every row counts in
# correlations with numeric variables, also where lavaan drops some (../polychoric/every_row.R).

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "ordinal")
source(file.path(REFERENCE, "polychoric", "every_row.R"))
every_row(TRUE)
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
models <- setNames(spec$models, vapply(spec$models, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

PLAIN <- c("npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli", "nnfi",
           "rfi", "nfi", "pnfi", "ifi", "rni", "ntotal", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue", "rmr",
           "srmr", "cn_05", "cn_01", "gfi", "agfi", "pgfi", "mfi", "ecvi", "wrmr")
SCALED <- c("chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "baseline.pvalue", "cfi", "tli", "nnfi", "rfi", "nfi",
            "pnfi", "ifi", "rni", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")
ROBUST <- c("cfi", "tli", "nnfi", "rni", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "rmsea.pvalue")

bounds <- function(chisq, df, n, factor = 1) {
  bound <- function(level) {
    if (!is.finite(df) || !is.finite(chisq)) return(NA)
    f <- function(lambda) pchisq(chisq, df, ncp = lambda) - level
    if (df < 1 || f(0) < 0) return(0)
    top <- max(n, 4 * chisq)
    if (f(top) > 0) return(0)
    sqrt(factor * uniroot(f, c(0, top), tol = 1e-13 * top, maxiter = 10000L)$root / (n * df))
  }
  c(bound(0.95), bound(0.05))
}

sharpen <- function(fit) {
  table <- standardizedSolution(fit)
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- suppressWarnings(sqrt(diag(jacobian %*% vcov %*% t(jacobian))))
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  table$se <- ifelse(table$se == 0, 0, se[keep])
  table
}

refit <- function(model, setting) {
  options <- setting
  names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  frame <- read.csv(data_path(model$data))
  warned <- character(0)
  # lavaan's default is fixed.x = TRUE, except with optim.method = "none", where it is FALSE: always spelled out
  if (is.null(options$fixed.x)) options$fixed.x <- length(lavNames(paste(model$model, collapse = "\n"), "ov.x")) > 0
  options$conditional.x <- options$fixed.x
  call <- c(list(model = paste(model$model, collapse = "\n"), data = frame, ordered = model$ordered), options)
  quiet <- function(expr) {
    withCallingHandlers(expr, warning = function(w) {
      warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w)))
      invokeRestart("muffleWarning")
    })
  }
  default <- quiet(do.call("sem", call))
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- quiet(do.call("sem", c(call, list(start = start, optim.method = "none", check.start = FALSE))))
  fit@baseline <- default@baseline
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best))
  if (moved > 1e-10 * max(1, abs(best))) stop("the polished point was not taken over (", moved, ")")
  kept <- c("fixed.x", "conditional.x", "meanstructure", "std.lv", "orthogonal", "parameterization", "estimator")
  if (!identical(fit@Options[kept], default@Options[kept])) stop("options changed")
  list(fit = fit, default = default, warnings = unique(warned))
}

run <- function(model, setting) {
  solved <- refit(model, setting)
  fit <- solved$fit
  all <- as.list(fitMeasures(fit))
  all$ntotal <- fit@SampleStats@ntotal
  all$ecvi <- fitMeasures(fit, "ecvi")[[1]]
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
      catml <- lavaan:::lav_fit_catml_dwls(fit)
      all[c("rmsea.ci.lower.robust", "rmsea.ci.upper.robust")] <- bounds(catml$XX3.scaled, catml$df3, n, catml$c.hat3)
    }
  }
  for (name in names) if (is.null(all[[name]])) all[[name]] <- NA
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  standardized <- sharpen(fit)
  standard <- parameterEstimates(fit, remove.nonfree = FALSE)
  standard <- standard[!standard$op %in% c("==", "<", ">"), ]
  stopifnot(identical(table$lhs, standard$lhs), identical(table$op, standardized$op), identical(table$rhs, standardized$rhs))
  implied <- lavInspect(fit, "implied")
  r2 <- lavInspect(fit, "r2")
  list(
    nobs = lavInspect(fit, "nobs"),
    gradient = size(slope(fit@Model, fit))$scaled,
    default = max(abs(coef(solved$default) - coef(fit)) / max(1e-8, sqrt(diag(vcov(fit))))),
    measures = under(all[names]),
    parameters = frame_rows(data.frame(lhs = table$lhs, op = table$op, rhs = table$rhs, free = table$free > 0,
                                       label = table$label, est = standard$est, se = standard$se,
                                       std.lv = standardizedSolution(fit, type = "std.lv", se = FALSE)$est.std,
                                       est.std = standardized$est.std, se.std = standardized$se)),
    r2 = as.list(unclass(r2)),
    implied = lapply(implied, labelled),
    warnings = I(solved$warnings)
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
for (id in names(spec$runs)) {
  if (length(wanted) && !id %in% wanted) next
  out <- list()
  for (name in spec$runs[[id]]) {
    capture.output(result <- tryCatch(run(models[[id]], as.list(spec$settings[[name]])), error = conditionMessage))
    if (is.character(result)) {
      if (length(wanted)) { message(id, " ", name, ": ", result); next }
      stop(id, " ", name, ": ", result)
    }
    out[[name]] <- result
    cat(sprintf("%-20s %-22s chisq %12.5f df %3d gradient %.1e (default stop %.1e)\n", id, name, result$measures$chisq,
                as.integer(result$measures$df), result$gradient, result$default))
  }
  write_numbers(out, output(id))
}
sources <- unique(vapply(names(spec$runs), function(id) models[[id]]$data, ""))
write_numbers(
  list(
    about = "Written by tests/reference/ordinal/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(file.path(OUT, "cases.json")),
      generate = sha256(file.path(OUT, "generate.R")),
      every_row = sha256(file.path(REFERENCE, "polychoric", "every_row.R")),
      common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
      data = setNames(lapply(sources, function(source) sha256(data_path(source))), sources),
      outputs = setNames(lapply(names(spec$runs), function(id) sha256(output(id))), names(spec$runs))
    )
  ),
  file.path(OUT, "manifest.json")
)
