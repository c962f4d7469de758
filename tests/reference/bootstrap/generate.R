# Refits of resampled data by lavaan, for the batched engine: the same rows in every replicate.
# Run from the checkout root: Rscript tests/reference/bootstrap/generate.R
# Rows are drawn by the Park-Miller generator (16807 x mod 2^31 - 1), which double precision computes exactly here and in Python.

source(file.path("tests", "reference", "lavaan", "common.R"))

SEED <- 20261121
REPLICATES <- 20L
WANTED <- c("hs_three_factor", "hs_mimic_means", "pd_indirect", "pd_constraint", "hs_wishart", "lima36")

draws <- function(n, replicates) {
  x <- SEED
  rows <- integer(n * replicates)
  for (k in seq_along(rows)) {
    x <- (16807 * x) %% 2147483647
    rows[k] <- x %% n + 1
  }
  matrix(rows, nrow = replicates, byrow = TRUE)
}

# Bollen & Stine (1992): symmetric roots, as lavaan's bootstrap does it
transform_data <- function(fit) {
  root <- function(m, power) { e <- eigen(m, symmetric = TRUE); e$vectors %*% (e$values^power * t(e$vectors)) }
  x <- scale(fit@Data@X[[1]], center = TRUE, scale = FALSE)
  z <- x %*% root(fit@SampleStats@cov[[1]], -0.5) %*% root(fitted(fit)$cov[], 0.5)
  if (fit@Model@meanstructure) z <- sweep(z, 2, as.numeric(fitted(fit)$mean), "+")
  z <- as.data.frame(z)
  names(z) <- lavNames(fit, "ov")
  z
}

refit <- function(case, data) {
  arguments <- case_arguments(case)
  arguments$data <- data
  call <- function(...) suppressWarnings(do.call(case$`function`, c(arguments, list(...))))
  first <- call()
  if (!lavInspect(first, "converged")) return(list(converged = FALSE))
  best <- polish(first)
  start <- parTable(first)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- call(start = start, optim.method = "none", check.start = FALSE, se = "none")
  table <- parTable(fit)
  kept <- table$op %in% c("=~", "~", "~~", "~1", ":=")
  std <- standardizedSolution(fit, se = FALSE)
  list(converged = TRUE, gradient = size(slope(fit@Model, fit))$scaled, chisq = unname(fitMeasures(fit, "chisq")),
       est = table$est[kept], std = std$est.std, rows = table[kept, c("lhs", "op", "rhs")],
       std_rows = std[, c("lhs", "op", "rhs")])
}

for (id in WANTED) {
  case <- read_cases()[[id]]
  fit <- solve_case(case)$fit
  data <- as.data.frame(fit@Data@X[[1]])
  names(data) <- fit@Data@ov.names[[1]]
  rows <- draws(nrow(data), REPLICATES)
  out <- list(case = id, nobs = nrow(data), seed = SEED)
  for (kind in c("nonparametric", "bollen-stine")) {
    source_data <- if (kind == "nonparametric") data else transform_data(fit)
    fits <- lapply(seq_len(REPLICATES), function(r) refit(case, source_data[rows[r, ], ]))
    good <- Filter(function(f) f$converged, fits)
    out[[kind]] <- list(
      rows = good[[1]]$rows, std_rows = good[[1]]$std_rows,
      converged = vapply(fits, function(f) f$converged, TRUE),
      gradient = vapply(good, function(f) f$gradient, 0), chisq = vapply(good, function(f) f$chisq, 0),
      est = lapply(good, function(f) f$est), std = lapply(good, function(f) f$std)
    )
  }
  write_numbers(out, file.path(REFERENCE, "bootstrap", paste0(id, ".json")))
  cat(id, sum(out$nonparametric$converged), sum(out$`bollen-stine`$converged), max(out$nonparametric$gradient), "\n")
}

# Intervals of fixed replicates by boot::boot.ci
library(boot)
set.seed(1)
n <- 50L
x <- round(rexp(n), 6)
statistic <- function(d, i) mean(d[i])
b <- boot(x, statistic, R = 999)
knife <- vapply(seq_len(n), function(i) mean(x[-i]), 0)
ci <- lapply(c(0.9, 0.95, 0.99), function(level) {
  found <- boot.ci(b, conf = level, type = c("norm", "basic", "perc", "bca"), L = (n - 1) * (mean(x) - knife))
  list(level = level, normal = found$normal[2:3], basic = found$basic[4:5], percentile = found$percent[4:5], bca = found$bca[4:5])
})
write_numbers(list(estimate = b$t0, draws = drop(b$t), jackknife = knife, intervals = ci),
              file.path(REFERENCE, "bootstrap", "intervals.json"))

manifest <- list(versions = versions(c("lavaan", "boot")), sha256 = list(
  generate = sha256(file.path(REFERENCE, "bootstrap", "generate.R")), common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
  outputs = as.list(sapply(c(WANTED, "intervals"), function(id) sha256(file.path(REFERENCE, "bootstrap", paste0(id, ".json")))))))
write_numbers(manifest, file.path(REFERENCE, "bootstrap", "manifest.json"))
