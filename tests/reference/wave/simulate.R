# Writes ../data/panel.csv: 240 people, two scales of four and three items, three waves, with drop-out.
#
#   Rscript tests/reference/wave/simulate.R            (from the checkout root)
#
# The file is committed: every reference number depends on it. Made with R 4.2.2 (base R only). Errors are skewed, items keep
# something of their own over waves, x3 drifts upwards in wave t3 and the loading of y2 is lower from wave t2 on. Who answered
# high before leaves more often (missing at random), and some single answers are missing.
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
set.seed(30417)
n <- 240
skewed <- function(sd) sd * (rchisq(n, 3) - 3) / sqrt(6)
f <- rnorm(n); g <- 0.4 * f + rnorm(n, sd = 0.9)
own <- sapply(1:7, function(k) rnorm(n, sd = 0.4))
frame <- list()
for (t in 1:3) {
  if (t > 1) {
    f <- 0.15 + 0.75 * f + rnorm(n, sd = 0.6)
    g <- 0.6 * g + 0.2 * f + rnorm(n, sd = 0.7)
  }
  x <- sapply(1:4, function(k) 4 + 0.1 * k + c(0.9, 0.8, 1.0, 0.7)[k] * f + own[, k] + skewed(0.6))
  x[, 3] <- x[, 3] + 0.6 * (t == 3)
  y <- sapply(1:3, function(k) 3 + (c(1.0, 0.9, 0.8)[k] - 0.4 * (k == 2 && t > 1)) * g + own[, 4 + k] + skewed(0.7))
  frame[[paste0("t", t)]] <- setNames(data.frame(x, y), c(paste0("x", 1:4, "_t", t), paste0("y", 1:3, "_t", t)))
}
gone <- rep(FALSE, n)
for (t in 2:3) {
  gone <- gone | runif(n) < plogis(-2 + 0.7 * (rowMeans(frame[[t - 1]][1:4]) - 4.2))
  frame[[t]][gone, ] <- NA
}
frame <- do.call(cbind, unname(frame))
frame[matrix(runif(n * ncol(frame)) < 0.01, n)] <- NA
frame <- round(frame, 2)
file <- file.path("tests", "reference", "data", "panel.csv")
if (file.exists(file)) stop(file, " is there already; it is never refreshed")
write.csv(frame, file, row.names = FALSE, na = "")
cat(round(colMeans(is.na(frame)), 3), sum(complete.cases(frame)), "\n")
