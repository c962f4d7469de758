# Writes reference numbers for the quality of scales in each group of a joint fit: scales.json, for the cases of cases.json.
#
#   Rscript tests/reference/group_scale/generate.R
#
# from the checkout root; data and versions as in ../measurement/generate.R. Solutions are polished as in ../lavaan/common.R.
#
# What each number is, by group:
#   alpha            semTools::reliability: of the sample covariances; of ordered items, of the answers as numbers
#   alpha_ord        semTools::reliability: of the polychoric correlations
#   omega            semTools::reliability, omega2; for ordered items Green & Yang (2009) by semTools' own function of loadings,
#                    thresholds and correlations, given those of the standardized responses (semTools::reliability leaves out
#                    their means, which equal thresholds set free)
#   omega2           what semTools::reliability itself says
#   comprelsem       semTools::compRelSEM, denominator implied by the model
#   ave              mean squared standardized loading
#   cr               (sum l)^2 / sum of the implied correlations of the items
#   htmt, htmt2      semTools::htmt of the answers of the group
#   factor_cor       lavaan, correlations of the latent variables
#   kmo              psych::KMO of the sample correlations

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages({
  library(semTools)
  library(psych)
})
OUT <- file.path(REFERENCE, "group_scale")
cases <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
square <- function(m) labelled(unclass(m)[, ])
quiet <- function(x) suppressWarnings(suppressMessages(x))

measure <- function(case) {
  data <- read.csv(data_path(case$data))
  table <- lavaanify(paste(case$model, collapse = "\n"))
  loading <- table[table$op == "=~", ]
  blocks <- split(loading$rhs, factor(loading$lhs, unique(loading$lhs)))
  items <- loading$rhs
  if (!is.null(case$cut)) data[items] <- lapply(data[items], function(x) findInterval(x, case$cut) + 1L)
  options <- as.list(case$options)
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  categorical <- isTRUE(case$ordered)
  if (categorical) options$ordered <- items
  arguments <- c(list(model = paste(case$model, collapse = "\n"), data = data, group = case$group), options)
  default <- quiet(do.call("sem", arguments))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- quiet(do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE, fixed.x = TRUE))))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  std <- quiet(standardizedSolution(fit, se = FALSE))
  rel <- quiet(semTools::reliability(fit))
  composed <- quiet(compRelSEM(fit, obs.var = FALSE))
  text <- paste(vapply(names(blocks), function(f) paste(f, "=~", paste(blocks[[f]], collapse = " + ")), ""), collapse = "\n")
  labels <- lavInspect(fit, "group.label")
  one <- function(g) {
    rows <- data[data[[case$group]] == labels[g] & complete.cases(data[items]), items]
    stopifnot(nrow(rows) == lavInspect(fit, "nobs")[g])
    own <- std[std$group == g, ]
    load <- own[own$op == "=~", ]
    lambda <- split(setNames(load$est.std, load$rhs), factor(load$lhs, names(blocks)))
    implied <- cov2cor(unclass(fitted(fit)[[g]]$cov)[items, items])
    sample <- cov2cor(unclass(lavInspect(fit, "sampstat")[[g]]$cov)[items, items])
    ratio <- function(geometric) square(quiet(semTools::htmt(text, data = rows, absolute = TRUE, htmt2 = geometric,
                                                             ordered = if (categorical) items else NULL)))
    # of what lavaan implies for the answers: proportions of categories, so thresholds of standardized responses
    th <- if (categorical) fitted(fit)[[g]]$th
    limits <- if (categorical) lapply(setNames(items, items), function(i) unname(th[startsWith(names(th), paste0(i, "|"))]))
    sd <- if (categorical) setNames(rep(1, length(items)), items)
    omega <- lapply(names(blocks), function(f) {
      b <- blocks[[f]]
      if (!categorical) return(rel[[g]]["omega2", f])
      semTools:::omegaCat(truevar = tcrossprod(lambda[[f]]), threshold = limits[b], scales = sd[b], denom = implied[b, b])
    })
    list(
      nobs = nrow(rows), alpha = as.list(rel[[g]]["alpha", names(blocks)]),
      alpha_ord = if (categorical) as.list(rel[[g]]["alpha.ord", names(blocks)]),
      omega = setNames(omega, names(blocks)), omega2 = as.list(rel[[g]]["omega2", names(blocks)]),
      comprelsem = as.list(composed[g, names(blocks)]),
      ave = lapply(lambda, function(l) mean(l^2)), loadings = lapply(lambda, as.list),
      cr = lapply(setNames(names(blocks), names(blocks)), function(f) sum(lambda[[f]])^2 / sum(implied[blocks[[f]], blocks[[f]]])),
      htmt = ratio(FALSE), htmt2 = ratio(TRUE), factor_cor = square(lavInspect(fit, "cor.lv")[[g]]),
      kmo = as.numeric(psych::KMO(sample)$MSA)
    )
  }
  list(case = case$id, gradient = size(slope(fit@Model, fit))$scaled, groups = setNames(lapply(seq_along(labels), one), labels))
}

ids <- vapply(cases, function(case) case$id, "")
found <- lapply(cases, measure)
for (f in found) cat(sprintf("%-20s gradient %.1e\n", f$case, f$gradient))
write_numbers(setNames(found, ids), file.path(OUT, "scales.json"))
write_numbers(
  list(about = "Written by tests/reference/group_scale/generate.R",
       versions = versions(c("lavaan", "semTools", "psych", "mnormt", "jsonlite")),
       sha256 = list(cases = sha256(file.path(OUT, "cases.json")), generate = sha256(file.path(OUT, "generate.R")),
                     common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
                     outputs = list(scales = sha256(file.path(OUT, "scales.json"))))),
  file.path(OUT, "manifest.json")
)
