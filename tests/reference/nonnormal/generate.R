# Writes polynomials and intermediate correlations of the method of Vale & Maurelli as lavaan solves for them inside
# simulateData(skewness =, kurtosis =). Run from the checkout root: Rscript tests/reference/nonnormal/generate.R
#
# The function of lavaan draws data and keeps what it solved for to itself; its own body is run here with another last line.
# Its optimiser minimises a sum of squares; the equations it leaves are right to about nine decimals.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})

solve_vm <- lavaan:::ValeMaurelli1983
lines <- body(solve_vm)
lines[[length(lines)]] <- quote(list(table = FTable, between = ICOR))
body(solve_vm) <- lines

cor4 <- matrix(c(1, .6, .5, .3, .6, 1, .4, -.2, .5, .4, 1, .1, .3, -.2, .1, 1), 4)
cases <- list(
  same = list(skew = rep(1, 4), kurtosis = rep(2, 4), cor = cor4),
  mixed = list(skew = c(2, -1, 0.5, 0), kurtosis = c(7, 2, 0, 3), cor = cor4),
  heavy = list(skew = c(3, 1.75, -2, 0), kurtosis = c(21, 3.75, 7, -1), cor = cor4)
)

out <- lapply(cases, function(case) {
  set.seed(1)
  found <- solve_vm(n = 10L, COR = case$cor, skewness = case$skew, kurtosis = case$kurtosis)
  c(lapply(case, function(x) if (is.matrix(x)) lapply(seq_len(nrow(x)), function(i) x[i, ]) else x),
    list(table = lapply(1:4, function(i) found$table[i, ]),
         between = lapply(1:4, function(i) found$between[i, ])))
})
write_json(list(versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                                lavaan = as.character(packageVersion("lavaan"))), cases = out),
           file.path("tests", "reference", "nonnormal", "nonnormal.json"), digits = 12, auto_unbox = TRUE, pretty = 2)
