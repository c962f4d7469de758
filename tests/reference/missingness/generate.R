# Writes the R side of tests/reference/missingness: reference.json (Little's test from lavaan's EM moments, coverage, Welch
# tests, correlations) and airquality.csv, a data set of R whose test other programs have published.
#
#   Rscript tests/reference/missingness/generate.R            (from the checkout root; B2B_SEM_DATA as in ../lavaan)
#
# Little (1988, doi:10.1080/01621459.1988.10478722): d2 = sum_g n_g (ybar_g - mu)' Sigma^-1 (ybar_g - mu) over patterns, with
# mu and Sigma the maximum likelihood estimates (divisor n), which are lavaan's saturated moments under missing = "ml". Before
# anything is written the script reproduces the test of naniar 1.0 for airquality (35.1, 14 df, p .00142, 4 patterns).

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "missingness")

little <- function(x) {
  x <- x[rowSums(!is.na(x)) > 0, , drop = FALSE]
  v <- names(x)
  p <- length(v)
  pairs <- which(upper.tri(diag(p), diag = TRUE), arr.ind = TRUE)
  model <- c(paste(v, "~ 1"), paste(v[pairs[, 1]], "~~", v[pairs[, 2]]))
  fit <- suppressWarnings(lavaan(paste(model, collapse = "\n"), x, missing = "ml", meanstructure = TRUE, se = "none",
                                 test = "none", do.fit = FALSE, h1 = TRUE, em.h1.iter.max = 100000L, em.h1.tol = 1e-14))
  moments <- lavInspect(fit, "sampstat")
  mu <- unclass(moments$mean)[v]
  sigma <- unclass(moments$cov)[v, v]
  key <- apply(!is.na(x), 1, function(r) paste(which(r), collapse = ","))
  d2 <- 0
  df <- -p
  for (k in unique(key)) {
    o <- as.integer(strsplit(k, ",")[[1]])
    y <- as.matrix(x[key == k, o, drop = FALSE])
    d <- colMeans(y) - mu[o]
    d2 <- d2 + nrow(y) * drop(d %*% solve(sigma[o, o], d))
    df <- df + length(o)
  }
  list(chisq = d2, df = df, pvalue = pchisq(d2, df, lower.tail = FALSE), patterns = length(unique(key)))
}

published <- little(airquality)
stopifnot(round(published$chisq, 1) == 35.1, published$df == 14, round(published$pvalue, 5) == 0.00142,
          published$patterns == 4)
cat("published test reproduced: airquality 35.1 (14)\n")

differences <- function(x, items) {
  out <- list()
  for (item in items) for (other in setdiff(names(x), item)) {
    hole <- is.na(x[[item]])
    if (!any(hole)) next
    a <- x[[other]][hole & !is.na(x[[other]])]
    b <- x[[other]][!hole & !is.na(x[[other]])]
    if (length(a) < 10 || length(b) < 10 || (var(a) == 0 && var(b) == 0)) next
    test <- t.test(a, b)
    pooled <- sqrt(((length(a) - 1) * var(a) + (length(b) - 1) * var(b)) / (length(a) + length(b) - 2))
    r <- suppressWarnings(cor(x[[item]], x[[other]], use = "pairwise.complete.obs"))
    out[[length(out) + 1]] <- data.frame(item = item, variable = other, n_missing = length(a), n_answered = length(b),
                                         mean_missing = mean(a), mean_answered = mean(b), d = (mean(a) - mean(b)) / pooled,
                                         t = unname(test$statistic), df = unname(test$parameter), pvalue = test$p.value, r = r)
  }
  if (!length(out)) return(list())
  out <- do.call(rbind, out)
  out$pvalue_fdr <- p.adjust(out$pvalue, "BH")
  out
}

air <- airquality
write.csv(air, file.path(OUT, "airquality.csv"), row.names = FALSE, na = "")
growth <- read.csv(file.path(REFERENCE, "growth", "growth.csv"))
hs <- read.csv(data_path("semopy:holzinger"))
corprep <- read.csv(data_path("shared:corprep"))
# holes by rule, the same in Python: of the k-th item those of rows i with (7 i + 3 k) mod 10 == 0
xs <- paste0("x", 1:9)
for (k in 1:9) hs[[xs[k]]][(7 * seq_len(nrow(hs)) + 3 * k) %% 10 == 0 & seq_len(nrow(hs)) %% 3 != k %% 3] <- NA
cases <- list(
  airquality = list(data = air, items = names(air)),
  dropout = list(data = growth[c(paste0("d", 1:5), "x1", "x2", "z", "t5")], items = paste0("d", 1:5)),
  holzinger_rule = list(data = hs[c(xs, "ageyr", "sex")], items = xs),
  corprep = list(data = corprep[c("cusl_1", "cusl_2", "cusl_3", "cusa", "csor_1", "csor_2", "age", "education")],
                 items = c("cusl_1", "cusl_2", "cusl_3", "cusa", "csor_1", "csor_2"))
)
result <- lapply(cases, function(case) {
  x <- case$data[case$items]
  seen <- !is.na(x)
  c(list(items = I(case$items), others = I(setdiff(names(case$data), case$items)), n = nrow(x),
         missing = as.list(colSums(!seen)), coverage = unname(crossprod(seen) / nrow(x)), mcar = little(x)),
    list(related = differences(case$data, case$items)))
})
for (name in names(result)) {
  m <- result[[name]]$mcar
  cat(sprintf("%-16s %10.5f df %3d p %.5f patterns %d\n", name, m$chisq, m$df, m$pvalue, m$patterns))
}
write_numbers(c(list(about = "Written by tests/reference/missingness/generate.R",
                     versions = versions(c("lavaan", "jsonlite", "digest"))), result), file.path(OUT, "reference.json"))
