# Writes reference numbers for the reliability and validity of ordered items and of incomplete answers: one <case>.json for
# each case of cases.json here, and the two small data sets scales_ordinal*.csv if they are not there.
#
#   Rscript tests/reference/measurement_ordinal/generate.R
#
# from the checkout root; survey files as described in ../lavaan/generate.R. Made with R 4.2.2, lavaan 0.6-14, semTools
# 0.5-6, psych 2.2.9.
#
# What each number is:
#   reliability      semTools::reliability: alpha (answers as numbers, complete rows), alpha.ord (polychoric correlations;
#                    Zumbo, Gadermann & Zeisser 2007), omega, omega2, omega3 (Green & Yang 2009 with denominators from
#                    loadings and residuals, from the model, from the sample), avevar
#   comprelsem       semTools::compRelSEM with denominators from the model: of the sum of the answers (ord.scale = TRUE) and of
#                    the latent responses (ord.scale = FALSE)
#   htmt, htmt2      semTools::htmt on polychoric correlations (or, for FIML, correlations by maximum likelihood)
#   psych_alpha      psych::alpha on the polychoric correlations of lavCor: standardized
#   kmo              psych::KMO on the same correlations
#   model            what the omegas are made of: standardized loadings, thresholds, implied correlations
# Solutions are polished as in ../lavaan/common.R; the largest scaled gradient that is left is in "gradient".

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages({
  library(semTools)
  library(psych)
})
OUT <- file.path(REFERENCE, "measurement_ordinal")
OWN <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases

# ---- data ----------------------------------------------------------------------------------------------------------------
make_data <- function() {
  RNGkind("Mersenne-Twister", "Inversion", "Rejection")
  set.seed(20261122)
  n <- 400
  phi <- matrix(c(1, .4, .3, .2, .4, 1, .5, .3, .3, .5, 1, .4, .2, .3, .4, 1), 4)
  eta <- matrix(rnorm(4 * n), n) %*% chol(phi)
  respond <- function(factor, loading) factor * loading + rnorm(n) * sqrt(1 - loading^2)
  cut_at <- function(x, limits) as.integer(cut(x, c(-Inf, limits, Inf)))
  a <- sapply(c(.8, .7, .6, .75), function(l) respond(eta[, 1], l))
  b <- sapply(c(.7, .8, .6, .75), function(l) respond(eta[, 2], l))
  c <- sapply(c(.85, .7, .6, .8, .5), function(l) respond(eta[, 3], l))
  d <- sapply(c(.8, .7, .6), function(l) respond(eta[, 4], l))
  out <- data.frame(
    mapply(function(j, t) cut_at(a[, j], t), 1:4, c(0, .4, -.5, .8)),
    sapply(1:4, function(j) cut_at(b[, j], c(-.2, .6, 1.1, 1.7))),
    sapply(1:5, function(j) cut_at(c[, j], c(-1.9, -1.2, -.5, .2, .9, 1.6))),
    round(5 + 2 * d, 3)
  )
  names(out) <- c(paste0("a", 1:4), paste0("b", 1:4), paste0("c", 1:5), paste0("d", 1:3))
  write.csv(out, file.path(REFERENCE, "data", "scales_ordinal.csv"), row.names = FALSE)
  # completely at random: about one answer in eight
  holes <- matrix(runif(n * ncol(out)) < .12, n)
  out[holes] <- NA
  write.csv(out, file.path(REFERENCE, "data", "scales_ordinal_holes.csv"), row.names = FALSE, na = "")
}
if (!file.exists(file.path(REFERENCE, "data", "scales_ordinal.csv"))) make_data()

# ---- one case ------------------------------------------------------------------------------------------------------------
square <- function(m) labelled(unclass(m)[, ])
per_factor <- function(x) as.list(unclass(x))

fit_tightly <- function(arguments) {
  default <- do.call("sem", arguments)
  if (!lavInspect(default, "converged")) stop("lavaan did not converge")
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  list(fit = fit, gradient = size(slope(fit@Model, fit))$scaled)
}

measure <- function(case) {
  data <- read.csv(data_path(if (grepl(":", case$data)) case$data else paste0("local:", case$data)))
  categorical <- length(case$ordered) > 0
  options <- case$options
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  if (identical(options$missing, "fiml")) options$missing <- "ml"
  if (is.null(options$estimator) && categorical) options$estimator <- "WLSMV"
  arguments <- c(list(model = paste(case$model, collapse = "\n"), data = data), options)
  if (categorical) arguments$ordered <- case$ordered
  solved <- fit_tightly(arguments)
  fit <- solved$fit
  table <- parTable(fit)
  loading <- table[table$op == "=~", ]
  blocks <- split(loading$rhs, factor(loading$lhs, unique(loading$lhs)))
  items <- unique(loading$rhs)
  std <- standardizedSolution(fit, se = FALSE)
  load <- std[std$op == "=~", ]
  # semTools::reliability stops at scales that mix ordered and numeric items
  rel <- tryCatch(suppressWarnings(suppressMessages(semTools::reliability(fit, dropSingle = TRUE))), error = function(e) NULL)
  text <- paste(vapply(names(blocks), function(f) paste(f, "=~", paste(blocks[[f]], collapse = " + ")), ""), collapse = "\n")
  how <- if (is.null(options$missing)) "listwise" else options$missing
  crossed <- anyDuplicated(loading$rhs) > 0
  ratio <- function(geometric) {
    if (crossed) return(NULL)
    square(suppressWarnings(semTools::htmt(text, data = data[items], missing = how, absolute = TRUE, htmt2 = geometric,
                                           ordered = if (categorical) intersect(items, case$ordered) else NULL)))
  }
  sample <- lavInspect(fit, "sampstat")$cov[items, items]
  cor <- cov2cor(sample)
  implied <- cov2cor(unclass(fitted(fit)$cov)[items, items])
  quiet <- function(x) suppressWarnings(suppressMessages(x))
  compose <- function(...) per_factor(quiet(compRelSEM(fit, obs.var = FALSE, ...)))
  out <- list(
    case = case$id, nobs = lavInspect(fit, "nobs"), gradient = solved$gradient, blocks = lapply(blocks, I),
    reliability = if (!is.null(rel)) lapply(setNames(rownames(rel), rownames(rel)), function(r) as.list(rel[r, ])),
    comprelsem = list(answers = compose(ord.scale = TRUE), responses = compose(ord.scale = FALSE)),
    htmt = ratio(FALSE), htmt2 = ratio(TRUE),
    psych_alpha = lapply(blocks, function(b) quiet(psych::alpha(cor[b, b], check.keys = FALSE))$total$std.alpha),
    kmo = as.numeric(psych::KMO(cor)$MSA),
    sample_cov = square(sample), implied_cor = square(implied), factor_cor = square(lavInspect(fit, "cor.lv")),
    loadings = split(setNames(load$est.std, load$rhs), factor(load$lhs, names(blocks)))
  )
  out$loadings <- lapply(out$loadings, as.list)
  if (categorical) {
    t <- std[std$op == "|", ]
    out$thresholds <- lapply(split(t$est.std, factor(t$lhs, unique(t$lhs))), I)
  }
  out
}

ids <- vapply(OWN, function(case) case$id, "")
for (case in OWN) {
  result <- tryCatch(suppressMessages(suppressWarnings(measure(case))), error = function(e) conditionMessage(e))
  if (is.character(result)) stop(case$id, ": ", result)
  write_numbers(result, file.path(OUT, paste0(case$id, ".json")))
  cat(sprintf("%-16s gradient %.1e  alpha %s\n", case$id, result$gradient, paste(sprintf("%.4f", unlist(result$psych_alpha)), collapse = " ")))
}
write_numbers(
  list(about = "Written by tests/reference/measurement_ordinal/generate.R",
       versions = versions(c("lavaan", "semTools", "psych", "mnormt", "jsonlite")),
       sha256 = list(cases = sha256(file.path(OUT, "cases.json")), generate = sha256(file.path(OUT, "generate.R")),
                     common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
                     outputs = setNames(lapply(ids, function(id) sha256(file.path(OUT, paste0(id, ".json")))), ids))),
  file.path(OUT, "manifest.json")
)
