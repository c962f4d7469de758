# Writes the small data sets of this folder. They are committed: run this only to add a set, never to "refresh" one, because
# every reference number depends on them.
#
#   Rscript tests/reference/data/simulate.R            (from the checkout root)
#
# Made with R 4.2.2 (base R only; RNGkind "Mersenne-Twister", "Inversion", "Rejection").
#   lima36.csv   400 x 36  seven-point items, nine constructs of four, from the framework's path model P1-P8
#   path5.csv    250 x 9   observed-variable path data: y1-y3 outcomes, m1-m2 mediators, x1-x3 covariates, d a 0/1 variable
#   scales.csv   300 x 8   two correlated factors whose items have standard deviations from 0.2 to 50
#   bifactor.csv 600 x 9   one general factor and three orthogonal group factors
#   order2.csv   350 x 12  four first-order factors under one second-order factor
#   small.csv    28 x 6    two factors, few cases: the solution is improper (one negative error variance)
#   wheaton.csv  6 x 6     covariance matrix (n = 932) printed in Wheaton, Muthen, Alwin & Summers (1977),
#                          Sociological Methodology 8, 84-136, doi 10.2307/270754: anomia, powerlessness, education, SEI

RNGkind("Mersenne-Twister", "Inversion", "Rejection")
here <- function(name) file.path("tests", "reference", "data", name)
stopifnot(dir.exists(here("")))
save <- function(frame, name) {
  if (file.exists(here(name))) {
    cat("kept", name, "\n")
  } else {
    write.csv(frame, here(name), row.names = FALSE)
    cat("wrote", name, "\n")
  }
}

# Likert answers on 1..7 from a continuous response
likert <- function(x) as.integer(cut(x, c(-Inf, -1.8, -1.1, -0.4, 0.3, 1.0, 1.7, Inf)))

set.seed(20261)
n <- 400
NR <- rnorm(n); PE <- 0.4 * NR + rnorm(n, sd = sqrt(1 - 0.16)); RE <- 0.3 * NR + 0.3 * PE + rnorm(n, sd = 0.86)
PC <- 0.30 * NR + 0.35 * RE + rnorm(n, sd = 0.80)
TV <- 0.55 * PE + rnorm(n, sd = 0.83)
RR <- 0.45 * PC + rnorm(n, sd = 0.88)
EQ <- 0.50 * TV + rnorm(n, sd = 0.86)
BT <- 0.35 * RR + 0.30 * PC + rnorm(n, sd = 0.80)
DE <- 0.40 * BT + 0.20 * EQ + rnorm(n, sd = 0.85)
latent <- list(nr = NR, pe = PE, re = RE, pc = PC, tv = TV, rr = RR, eq = EQ, bt = BT, de = DE)
loading <- c(0.85, 0.80, 0.70, 0.65)
lima <- list()
for (code in names(latent)) for (j in 1:4) {
  lima[[paste0(code, j)]] <- likert(loading[j] * latent[[code]] + rnorm(n, sd = sqrt(1 - loading[j]^2)))
}
save(as.data.frame(lima), "lima36.csv")

set.seed(20262)
n <- 250
x1 <- rnorm(n, 3, 1); x2 <- 0.5 * x1 + rnorm(n, 0, 1); x3 <- rexp(n); d <- rbinom(n, 1, 0.4)
m1 <- 0.5 * x1 + 0.3 * d + rnorm(n); m2 <- 0.4 * x2 + 0.3 * m1 + rnorm(n, sd = 1.2)
y1 <- 0.4 * m1 + 0.3 * m2 + 0.2 * x3 + rnorm(n); y2 <- 0.5 * m2 - 0.2 * x1 + 0.3 * y1 + rnorm(n, sd = 0.9)
y3 <- 0.3 * y1 + 0.2 * m1 + rnorm(n, sd = 1.1) + 10
save(round(data.frame(y1, y2, y3, m1, m2, x1, x2, x3, d), 4), "path5.csv")

set.seed(20263)
n <- 300
f <- rnorm(n); g <- 0.5 * f + rnorm(n, sd = sqrt(0.75))
unit <- c(0.2, 0.5, 1, 5, 50, 20, 2, 0.4)
items <- cbind(0.8 * f, 0.7 * f, 0.75 * f, 0.6 * f, 0.8 * g, 0.7 * g, 0.65 * g, 0.75 * g) + matrix(rnorm(8 * n, sd = 0.6), n)
scales <- as.data.frame(signif(sweep(items, 2, unit, "*"), 8)); names(scales) <- paste0("s", 1:8)
save(scales, "scales.csv")

set.seed(20264)
n <- 600
g <- rnorm(n); s <- matrix(rnorm(3 * n), n)
items <- sapply(1:9, function(j) 0.65 * g + 0.45 * s[, (j - 1) %/% 3 + 1] + rnorm(n, sd = 0.6))
bifactor <- as.data.frame(round(items, 4)); names(bifactor) <- paste0("b", 1:9)
save(bifactor, "bifactor.csv")

set.seed(20265)
n <- 350
g <- rnorm(n)
first <- sapply(c(0.8, 0.7, 0.75, 0.6), function(l) l * g + rnorm(n, sd = sqrt(1 - l^2)))
items <- sapply(1:12, function(j) c(0.8, 0.7, 0.75)[(j - 1) %% 3 + 1] * first[, (j - 1) %/% 3 + 1] + rnorm(n, sd = 0.6))
order2 <- as.data.frame(round(items, 4)); names(order2) <- paste0("o", 1:12)
save(order2, "order2.csv")

set.seed(5)
n <- 28
f <- rnorm(n); g <- 0.5 * f + rnorm(n)
items <- cbind(0.8 * f, 0.7 * f, 0.6 * f, 0.8 * g, 0.6 * g, 0.7 * g) + matrix(rnorm(6 * n, sd = 0.7), n)
small <- as.data.frame(round(items, 4)); names(small) <- paste0("q", 1:6)
save(small, "small.csv")

name <- c("anomia67", "powerless67", "anomia71", "powerless71", "education", "sei")
lower <- c(11.834, 6.947, 9.364, 6.819, 5.091, 12.532, 4.783, 5.028, 7.495, 9.986, -3.839, -3.889, -3.841, -3.625, 9.610,
           -21.899, -18.831, -21.748, -18.775, 35.522, 450.288)
wheaton <- matrix(0, 6, 6, dimnames = list(name, name))
wheaton[upper.tri(wheaton, diag = TRUE)] <- lower
wheaton <- wheaton + t(wheaton) - diag(diag(wheaton))
save(data.frame(variable = name, wheaton), "wheaton.csv")
