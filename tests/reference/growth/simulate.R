# Writes growth.csv: 260 people, five waves, covariates, a distal outcome, and the same waves with dropout.
#
#   Rscript tests/reference/growth/simulate.R            (from the checkout root)
#
# The file is committed: every reference number depends on it. Made with R 4.2.2 (base R only).
#   t1-t5      an outcome that grows about a line, curved slightly downwards
#   v1-v5      a time-varying covariate
#   x1, x2     time-invariant covariates (x2 is 0/1)
#   z          a distal outcome
#   d1-d5      t1-t5 with dropout that depends on the answer before (missing at random) and a few single holes
#   p1-p5, q1-q5   two indicators of a construct at each wave
#   w          x1 with holes
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20271)
n <- 260
x1 <- rnorm(n, 2, 1.2)
x2 <- rbinom(n, 1, 0.45)
i <- 3 + 0.5 * (x1 - 2) + 0.4 * x2 + rnorm(n, sd = 0.9)
s <- 0.6 + 0.15 * (x1 - 2) - 0.2 * x2 + 0.1 * (i - 3) + rnorm(n, sd = 0.35)
waves <- 0:4
level <- sapply(waves, function(k) i + s * k - 0.04 * k^2)
tvc <- sapply(waves, function(k) rnorm(n, 0.2 * k, 1))
t <- level + 0.3 * tvc + matrix(rnorm(5 * n, sd = 0.8), n)
z <- 1 + 0.3 * i + 0.8 * s + rnorm(n)
first <- 1.0 * level + matrix(rnorm(5 * n, sd = 0.6), n)
second <- 0.5 + 0.8 * level + matrix(rnorm(5 * n, sd = 0.7), n)
d <- t
for (k in 2:5) {
  leave <- is.na(d[, k - 1]) | runif(n) < plogis(-3.2 + 0.45 * (t[, k - 1] - mean(t[, k - 1])))
  d[leave, k] <- NA
}
d[matrix(runif(5 * n) < 0.03, n)] <- NA
frame <- data.frame(t, tvc, x1, x2, z, d)
names(frame) <- c(paste0("t", 1:5), paste0("v", 1:5), "x1", "x2", "z", paste0("d", 1:5))
for (k in 1:5) {
  frame[[paste0("p", k)]] <- first[, k]
  frame[[paste0("q", k)]] <- second[, k]
}
frame$w <- ifelse(runif(n) < 0.1, NA, x1)
stopifnot(!anyDuplicated(names(frame)))
frame <- round(frame, 4)
file <- file.path("tests", "reference", "growth", "growth.csv")
if (file.exists(file)) stop(file, " is there already; it is never refreshed")
write.csv(frame, file, row.names = FALSE, na = "")
cat(colMeans(is.na(frame)), "\n"); print(names(frame))
