# Writes the lavaan side of tests/reference/group_ordinal: one <case>.json with all its settings, and manifest.json.
#
#   Rscript tests/reference/group_ordinal/generate.R            all cases
#   Rscript tests/reference/group_ordinal/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. lavaan's solution is polished with its own gradient and
# numerical Hessian before any number is written. Exogenous variables are conditioned on. Thresholds and correlations are
# lavaan's own: its optimiser finds polychoric correlations to about 1e-6. Every row counts in correlations with numeric
# variables, also where lavaan drops some (../polychoric/every_row.R). In robust indices lavaan divides Gamma of each group by
# n_g / N in the trace of the baseline model, but does not multiply the weight by it, as it does in the trace of the model: two
# copies of a data set would not have the index of one. Both are weighted here.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group_ordinal")
source(file.path(REFERENCE, "polychoric", "every_row.R"))
every_row(TRUE)
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

weighted_baseline <- function() {
  f <- lavaan:::lav_fit_catml_dwls
  text <- paste(deparse(body(f), width.cutoff = 500L), collapse = "\n")
  rule <- "kbs <- sum(diag(Gamma.all))"
  stopifnot(lengths(regmatches(text, gregexpr(rule, text, fixed = TRUE))) == 1L)
  new <- "kbs <- sum(vapply(seq_along(Gamma.f), function(g) fg[g] * sum(diag(Gamma.f[[g]])), 0))"
  body(f) <- parse(text = sub(rule, new, text, fixed = TRUE))[[1]]
  assignInNamespace("lav_fit_catml_dwls", f, ns = "lavaan")
}
weighted_baseline()

data_of <- function(case) {
  frame <- read.csv(data_path(case$data))
  if (!is.null(case$rule)) frame[[case$group]] <- letters[(seq_len(nrow(frame)) * 7) %% case$rule + 1]
  for (name in names(case$cut)) frame[[name]] <- findInterval(frame[[name]], case$cut[[name]]) + 1
  frame
}

descend <- function(fit) {
  model <- fit@Model
  best <- x <- lavaan:::lav_model_get_parameters(model)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(x))
  h <- crossprod(open, lavaan:::lav_model_hessian(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                                  lavoptions = fit@Options, lavcache = fit@Cache) %*% open)
  h <- (h + t(h)) / 2
  d <- 1 / sqrt(diag(h))
  smallest <- Inf
  stalled <- 0L
  for (k in 1:300) {
    g <- drop(crossprod(open, lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                          lavdata = fit@Data, lavcache = fit@Cache, type = "free")))
    now <- max(abs(d * g))
    if (is.finite(now) && now < smallest) { smallest <- now; best <- x; stalled <- 0L } else stalled <- stalled + 1L
    if (smallest < 1e-15 || stalled > 5L) break
    x <- x - drop(open %*% (d * solve(d * t(d * h), d * g)))
    model <- lavaan:::lav_model_set_parameters(model, x = x)
  }
  list(x = best, polished = smallest)
}

# RMSEA bounds to rounding level.
bounds <- function(chisq, df, n, groups, factor = 1) {
  bound <- function(level) {
    if (!is.finite(df) || !is.finite(chisq)) return(NA)
    f <- function(lambda) pchisq(chisq, df, ncp = lambda) - level
    if (df < 1 || f(0) < 0) return(0)
    top <- max(n, 4 * chisq)
    if (f(top) > 0) return(0)
    sqrt(groups) * sqrt(factor * uniroot(f, c(0, top), tol = 1e-13 * top, maxiter = 10000L)$root / (n * df))
  }
  c(bound(0.95), bound(0.05))
}

sharpen <- function(fit) {
  table <- standardizedSolution(fit)
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- suppressWarnings(sqrt(diag(jacobian %*% vcov %*% t(jacobian))))
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  table <- table[!table$op %in% c("==", "<", ">"), ]
  table$se <- ifelse(table$se == 0, 0, se[keep])
  table
}

solve_one <- function(case, setting) {
  options <- modifyList(as.list(case$options), as.list(setting))
  names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  text <- paste(case$model, collapse = "\n")
  options$fixed.x <- length(lavNames(text, "ov.x")) > 0
  options$conditional.x <- options$fixed.x
  call <- c(list(model = text, data = data_of(case), group = case$group, ordered = case$ordered), options)
  default <- suppressWarnings(do.call("sem", call))
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- descend(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best$x[start$free[start$free > 0]]
  fit <- suppressWarnings(do.call("sem", c(call, list(start = start, optim.method = "none", check.start = FALSE))))
  fit@baseline <- default@baseline
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best$x))
  if (moved > 1e-10 * max(1, abs(best$x))) stop("the polished point was not taken over (", moved, ")")
  list(fit = fit, best = best)
}

run <- function(case, setting) {
  solved <- solve_one(case, setting)
  fit <- solved$fit
  all <- suppressWarnings(as.list(fitMeasures(fit)))
  keep <- grep("level|h0|h1|notclose|^rmr_|srmr_|crmr|ci.level", names(all), invert = TRUE, value = TRUE)
  all <- all[keep]
  all$ntotal <- fit@SampleStats@ntotal
  all$ecvi <- fitMeasures(fit, "ecvi")[[1]]
  n <- lavaan:::lav_utils_get_ntotal(fit)
  g <- fit@Data@ngroups
  all[c("rmsea.ci.lower", "rmsea.ci.upper")] <- bounds(all$chisq, all$df, n, g)
  if (!is.null(all$chisq.scaled)) {
    test <- fit@test[[2]]
    shifted <- test$test == "scaled.shifted"
    trace <- sum(test$trace.UGamma)
    all[c("rmsea.ci.lower.scaled", "rmsea.ci.upper.scaled")] <-
      if (shifted) bounds(all$chisq.scaled, all$df, n, g) else bounds(all$chisq, trace, n, g)
    if (test$test != "mean.var.adjusted") {
      catml <- tryCatch(lavaan:::lav_fit_catml_dwls(fit), error = function(e) list(XX3.scaled = NA, df3 = NA, c.hat3 = NA))
      all[c("rmsea.ci.lower.robust", "rmsea.ci.upper.robust")] <- bounds(catml$XX3.scaled, catml$df3, n, g, catml$c.hat3)
    }
  }
  table <- parTable(fit)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  standardized <- sharpen(fit)
  standard <- parameterEstimates(fit, remove.nonfree = FALSE, remove.eq = TRUE)
  standard <- standard[!standard$op %in% c("==", "<", ">"), ]
  loose <- standardizedSolution(fit, type = "std.lv", se = FALSE)
  loose <- loose[!loose$op %in% c("==", "<", ">"), ]
  stopifnot(identical(table$lhs, standard$lhs), identical(table$op, standardized$op), identical(table$rhs, standardized$rhs))
  list(
    groups = I(lavInspect(fit, "group.label")), nobs = lavInspect(fit, "nobs"),
    chisq_group = fit@test[[1]]$stat.group, gradient = solved$best$polished, measures = under(all),
    parameters = frame_rows(data.frame(lhs = table$lhs, op = table$op, rhs = table$rhs, group = table$group,
                                       free = table$free > 0, label = table$label, est = standard$est, se = standard$se,
                                       std.lv = loose$est.std, est.std = standardized$est.std, se.std = standardized$se)),
    r2 = lapply(lavInspect(fit, "r2"), function(part) as.list(unclass(part))),
    implied = lapply(lavInspect(fit, "implied"), function(part) lapply(part, labelled))
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) wanted <- names(cases)
for (id in wanted) {
  case <- cases[[id]]
  out <- list()
  for (name in case$settings) {
    found <- tryCatch(run(case, spec$settings[[name]]), error = conditionMessage)
    if (is.character(found)) { message(id, " ", name, ": ", found); next }
    out[[name]] <- found
    message(sprintf("%-22s %-10s chisq %.5f df %g gradient %.1e", id, name, found$measures$chisq, found$measures$df, found$gradient))
  }
  write_numbers(out, output(id))
}
made <- names(cases)[file.exists(vapply(names(cases), output, ""))]
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
  script = sha256(file.path(OUT, "generate.R")), cases = sha256(file.path(OUT, "cases.json")),
  data = setNames(lapply(cases[made], function(case) sha256(data_path(case$data))), made),
  outputs = setNames(lapply(made, function(id) sha256(output(id))), made)
), file.path(OUT, "manifest.json"))
