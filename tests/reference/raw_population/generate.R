# What lavaan makes of populations that are its own text with a number for every parameter: moments, standardized
# values, and the parameters of models fitted to exactly these moments, which are the true values of a Monte Carlo study.
# Run from the checkout root: Rscript tests/reference/raw_population/generate.R

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})

folder <- file.path("tests", "reference", "raw_population")
cases <- fromJSON(file.path(folder, "cases.json"), simplifyVector = FALSE)
rows <- function(x) lapply(seq_len(nrow(x)), function(i) as.list(x[i, ]))

populations <- lapply(cases$populations, function(text) {
  # every parameter is fixed: there is nothing to fit
  fit <- lavaan(text, do.fit = FALSE, fixed.x = FALSE, meanstructure = TRUE)
  implied <- lavInspect(fit, "implied")
  std <- standardizedSolution(fit, se = FALSE, zstat = FALSE, pvalue = FALSE, ci = FALSE)
  names <- rownames(implied$cov)
  list(names = names, cov = lapply(seq_along(names), function(i) as.numeric(implied$cov[i, ])),
       mean = as.numeric(implied$mean), standardized = rows(std[, c("lhs", "op", "rhs", "est.std")]))
})

fits <- lapply(cases$fits, function(case) {
  moments <- populations[[case$population]]
  cov <- do.call(rbind, moments$cov)
  dimnames(cov) <- list(moments$names, moments$names)
  n <- 1e6
  fit <- sem(case$model, sample.cov = cov * n / (n - 1), sample.mean = if (case$meanstructure) setNames(moments$mean, moments$names),
             sample.nobs = n, std.lv = isTRUE(case$std_lv), meanstructure = case$meanstructure,
             control = list(rel.tol = 1e-15, iter.max = 10000))
  est <- parameterEstimates(fit, se = FALSE)
  free <- parTable(fit)
  key <- function(t) paste(t$lhs, t$op, t$rhs)
  kept <- est[est$op == ":=" | key(est) %in% key(free[free$free > 0, ]), c("lhs", "op", "rhs", "est")]
  list(fmin = as.numeric(fitMeasures(fit, "fmin")), parameters = rows(kept))
})

write_json(list(versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                                lavaan = as.character(packageVersion("lavaan"))),
                populations = populations, fits = fits),
           file.path(folder, "raw_population.json"), digits = 12, auto_unbox = TRUE)
