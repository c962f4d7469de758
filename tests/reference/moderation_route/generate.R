# Writes tests/reference/moderation_route: one <case>.json a question of moderation, and manifest.json.
#
#   Rscript tests/reference/moderation_route/generate.R            all cases
#   Rscript tests/reference/moderation_route/generate.R ID ...     only these
#   Rscript tests/reference/moderation_route/generate.R manifest   the manifest alone
#
# from the checkout root; data and versions as in ../lavaan/generate.R. Regression on mean-centred scale means: lm and
# sandwich::vcovHC(type = "HC3"). The standard error of the standardized product: lavaan, MLR, from the saturated model
# with all moments free and the effect as a defined parameter (its sandwich has no leverage correction: HC0). Raw
# products: lavaan's path model of scale means as they are, centred, and moved by 10. The split: lavaan in two groups
# with equal loadings and one label a group, polished with lavaan's own gradient and information.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(sandwich))
OUT <- file.path(REFERENCE, "moderation_route")
cases <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
cases <- setNames(cases, vapply(cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

# With missing = "fiml" the fit functions of the groups are sums over all rows already: lavaan's gradient has their weights.
slope <- function(model, fit) {
  gradient <- lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavcache = fit@Cache, type = "free", group.weight = !fit@SampleStats@missing.flag)
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(gradient))
  list(open = open, gradient = drop(crossprod(open, gradient)), information = crossprod(open, information %*% open))
}

in_groups <- function(text, data, options) {
  if (identical(options$missing, "fiml")) options <- c(options, list(em.h1.tol = 1e-13, em.h1.iter.max = 20000L))
  arguments <- c(list(model = text, data = data, group = "half", group.equal = "loadings", fixed.x = TRUE), options)
  default <- do.call("sem", arguments)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  list(fit = fit, gradient = size(slope(fit@Model, fit))$scaled)
}

run <- function(case) {
  data <- read.csv(data_path(case$data))
  # rows: complete in the whole model, or with fiml in the equation
  scale_of <- function(name) rowMeans(data[unlist(case$scales[[name]])])
  means <- as.data.frame(setNames(lapply(names(case$scales), scale_of), names(case$scales)))
  complete <- complete.cases(means)
  used <- means[complete, ]
  y <- case$outcome; a <- case$focal; m <- case$moderator
  others <- unlist(case$others)
  product <- sub("^.*\\+ ", "", grep(paste0("^", y, " ~"), case$paths, value = TRUE))
  pair <- strsplit(product, "_x_")[[1]]

  centred <- as.data.frame(lapply(used, function(v) v - mean(v)))
  centred[[y]] <- used[[y]]
  centred$product <- centred[[a]] * centred[[m]]
  ols <- lm(reformulate(c(a, m, others, "product"), y), centred)
  se <- sqrt(diag(vcovHC(ols, type = "HC3")))[["product"]]
  est <- coef(ols)[["product"]]
  t <- est / se
  df <- df.residual(ols)
  unit <- sd(used[[a]]) * sd(used[[m]]) / sd(used[[y]])
  predictors <- c(a, m, others, "product")
  label <- setNames(paste0("b", seq_along(predictors)), predictors)
  pairs <- expand.grid(i = predictors, j = predictors, stringsAsFactors = FALSE)
  pairs <- pairs[match(pairs$i, predictors) <= match(pairs$j, predictors), ]
  term <- paste0("v_", pairs$i, "_", pairs$j)
  weight <- ifelse(pairs$i == pairs$j, "", "2*")
  variance <- paste(paste0(weight, label[pairs$i], "*", label[pairs$j], "*", term), collapse = " + ")
  saturated <- paste(c(
    paste(y, "~", paste0(label, "*", predictors, collapse = " + ")),
    paste0(pairs$i, " ~~ ", term, "*", pairs$j), paste0(y, " ~~ e*", y),
    paste0("std := ", label[["product"]], "*sqrt(v_", a, "_", a, "*v_", m, "_", m, "/(e + ", variance, "))")
  ), collapse = "\n")
  whole <- sem(saturated, centred, estimator = "MLR", fixed.x = FALSE, meanstructure = TRUE,
               control = list(rel.tol = 1e-15, x.tol = 1e-15))
  defined <- parameterEstimates(whole)
  defined <- defined[defined$lhs == "std", ]
  scores <- list(est = est, se = se, statistic = t, df = df, pvalue = 2 * pt(-abs(t), df),
                 ci_lower = est - qt(.975, df) * se, ci_upper = est + qt(.975, df) * se, std = est * unit, n = nrow(used))

  raw_paths <- function(frame) {
    frame[[product]] <- frame[[pair[1]]] * frame[[pair[2]]]
    fit <- sem(paste(case$paths, collapse = "\n"), frame, fixed.x = TRUE, control = list(rel.tol = 1e-15, x.tol = 1e-15))
    rows <- parameterEstimates(fit, standardized = TRUE)
    row <- rows[rows$lhs == y & rows$op == "~" & rows$rhs == product, ]
    main <- rows[rows$lhs == y & rows$op == "~" & rows$rhs == a, ]
    list(est = row$est, se = row$se, main = main$est, naive = row$std.all,
         chisq = unname(fitMeasures(fit, "chisq")), df = unname(fitMeasures(fit, "df")))
  }
  observed <- list(raw = raw_paths(used), centred = raw_paths(as.data.frame(scale(used, scale = FALSE))),
                   moved = raw_paths(used + 10))

  split <- case$split
  fiml <- identical(split$options$missing, "fiml")
  usable <- if (fiml) complete.cases(means[m]) else complete
  cut <- if (identical(split$cut, "median")) median(means[[m]][usable]) else split$cut
  half <- data[usable, ]
  half$half <- ifelse(means[[m]][usable] > cut, "high", "low")
  half <- half[order(means[[m]][usable]), ]
  text <- paste(sub("b*", "c(low, high)*", split$model, fixed = TRUE), collapse = "\n")
  found <- in_groups(paste0(text, "\ndifference := high - low"), half, split$options)
  rows <- parameterEstimates(found$fit)
  difference <- rows[rows$label == "difference", ]
  implied <- lavInspect(found$fit, "cov.all"); n <- lavInspect(found$fit, "nobs")
  pooled <- function(v) sum(n * vapply(implied, function(s) s[v, v], 0)) / sum(n)
  known <- means[[m]][usable]
  apart <- (mean(known[known > cut]) - mean(known[known <= cut])) / sd(known)
  groups <- list(est = difference$est, se = difference$se, statistic = difference$z, pvalue = difference$pvalue,
                 ci_lower = difference$ci.lower, ci_upper = difference$ci.upper,
                 std = difference$est / sqrt(pooled(y) / pooled(a)) / apart, n = sum(n))
  list(id = case$id, gradient = found$gradient, scores = scores,
       defined = list(std = defined$est, se = defined$se), observed = observed, split = groups)
}

chosen <- commandArgs(trailingOnly = TRUE)
if (!length(chosen)) chosen <- names(cases)
for (id in setdiff(chosen, "manifest")) {
  message(id)
  write_numbers(run(cases[[id]]), output(id))
}
files <- c("cases.json", "generate.R", "../lavaan/common.R", paste0(names(cases), ".json"))
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "sandwich", "jsonlite")), sha256 = digests),
           file.path(OUT, "manifest.json"), auto_unbox = TRUE, pretty = TRUE)
