# Writes ../data/answers.csv and ../data/answers_holes.csv: simulated answers with 2, 3, 5 and 7 categories, numeric indicators
# and covariates, complete and with a tenth of the answers missing.
#
#   Rscript tests/reference/ordinal/simulate.R        from the checkout root

RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(20240917)
n <- 400
x1 <- round(rnorm(n), 3)
x2 <- rbinom(n, 1, 0.4)
f <- 0.4 * x1 - 0.3 * x2 + rnorm(n)
g <- 0.6 * f + rnorm(n, 0, 0.8)
h <- 0.4 * f + 0.3 * g + 0.3 * x1 + rnorm(n, 0, 0.8)
m <- 0.5 * f + 0.4 * x2 + rnorm(n, 0, 0.9)
s <- 0.3 * h + 0.3 * m + rnorm(n, 0, 0.9)
answer <- function(eta, loading, cuts, sd = 1) findInterval(loading * eta + rnorm(n, 0, sd), cuts) + 1
frame <- data.frame(
  b1 = answer(f, 1, 0.1), b2 = answer(f, 0.8, -0.5), b3 = answer(f, 1.1, 0.6), b4 = answer(f, 0.7, 0),
  c1 = answer(g, 1, c(-0.6, 0.7)), c2 = answer(g, 0.9, c(-1, 0.2)), c3 = answer(g, 1.2, c(-0.2, 1.1)),
  c4 = answer(g, 0.8, c(-0.5, 0.5)),
  e1 = answer(h, 1, c(-1.6, -0.6, 0.3, 1.4)), e2 = answer(h, 0.9, c(-1, -0.3, 0.6, 1.2)),
  e3 = answer(h, 1.1, c(-2, -1.2, -0.4, 0.5)), e4 = answer(h, 0.8, c(-1.3, -0.4, 0.4, 1.3)),
  k1 = answer(s, 1, c(-2, -1.2, -0.5, 0.1, 0.8, 1.6)), k2 = answer(s, 0.9, c(-1.8, -1, -0.4, 0.3, 0.9, 1.5)),
  k3 = answer(s, 0.8, c(-1.6, -1.1, -0.6, 0, 0.7, 1.3)), k4 = answer(s, 1.1, c(-2.1, -1.4, -0.6, 0.2, 1, 1.9)),
  u1 = round(3 + m + rnorm(n, 0, 0.7), 3), u2 = round(5 + 2 * m + rnorm(n, 0, 1.5), 3), u3 = round(0.8 * m + rnorm(n, 0, 0.8), 3),
  y = answer(0.5 * s + 0.4 * x1, 1, c(-1, 0, 1)), z = round(10 + 1.5 * h + rnorm(n), 3), x1 = x1, x2 = x2
)
write.csv(frame, file.path("tests", "reference", "data", "answers.csv"), row.names = FALSE, quote = FALSE)
items <- setdiff(names(frame), c("x1", "x2"))
for (name in items) frame[[name]][runif(n) < 0.1] <- NA
write.csv(frame, file.path("tests", "reference", "data", "answers_holes.csv"), row.names = FALSE, quote = FALSE, na = "")
