# Writes moments.json: what lavaan makes of the population in population.yaml, level by level and all levels together.
#
#   Rscript tests/reference/population/generate.R
#
# from the checkout root. The values are those of population.yaml; what they leave open is worked out here by hand from
# its rules: in each level all latents have variance 1, means are total means, residuals of items are those of the
# reference level, and who belongs to no level answers like the reference level.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "population")

measurement <- function(m2) paste0("
  X =~ 0.8*x1 + 0.8*x2 + 0.8*x3
  Z =~ 0.7*z1 + 0.7*z2 + 0.7*z3
  M =~ 0.8*m1 + ", m2, "*m2 + 0.8*m3
  Y =~ 0.8*y1 + 0.8*y2 + 0.6*y3
  A =~ 0.8*a1 + 0.8*a2 + 0.8*a3
  x1 ~~ 0.36*x1\n x2 ~~ 0.36*x2\n x3 ~~ 0.36*x3\n x1 ~~ ", 0.2 * 0.36, "*x2
  z1 ~~ 0.51*z1\n z2 ~~ 0.51*z2\n z3 ~~ 0.51*z3
  m1 ~~ 0.36*m1\n m2 ~~ 0.36*m2\n m3 ~~ 0.36*m3
  y1 ~~ 0.36*y1\n y2 ~~ 0.36*y2\n y3 ~~ 0.64*y3
  a1 ~~ 0.36*a1\n a2 ~~ 0.36*a2\n a3 ~~ 0.36*a3")

structure <- function(mx, xz) {
  rest <- c(M = 1 - (mx^2 + 0.2^2 + 2 * mx * 0.2 * xz), Y = 1 - 0.5^2, A = 1 - 0.4^2)
  paste0("
  M ~ ", mx, "*X + 0.2*Z
  Y ~ 0.5*M
  A ~ 0.4*X
  X ~~ 1*X\n Z ~~ 1*Z\n X ~~ ", xz, "*Z
  M ~~ ", rest["M"], "*M\n Y ~~ ", rest["Y"], "*Y\n A ~~ ", rest["A"], "*A
  A ~~ ", 0.25 * sqrt(rest["A"] * rest["Y"]), "*Y")
}

# intercepts that give the total means X 0.2, M 0, Y -0.3, A -0.5
means <- paste0("
  X ~ 0.2*1\n M ~ ", 0 - 0.6 * 0.2, "*1\n Y ~ ", -0.3 - 0.5 * 0, "*1\n A ~ ", -0.5 - 0.4 * 0.2, "*1
  z1 ~ 0.4*1")

implied <- function(text) {
  fit <- lavaan(text, do.fit = FALSE, meanstructure = TRUE)
  observed <- fitted(fit)
  latent <- lavInspect(fit, "cov.lv")
  list(cov = observed$cov, mean = observed$mean, latent = latent)
}
upper <- implied(paste(measurement(0.8), structure(0.3, 0.3)))
lower <- implied(paste(measurement(0.5), structure(0.6, 0.1), means))

# all respondents: 0.4 in the upper level, 0.2 in none, 0.4 in the lower level
w <- c(0.6, 0.4)
order <- rownames(upper$cov)
centre <- w[1] * upper$mean + w[2] * lower$mean[order]
pooled <- w[1] * (upper$cov + tcrossprod(upper$mean - centre)) +
  w[2] * (lower$cov[order, order] + tcrossprod(lower$mean[order] - centre))
text <- "
  X =~ x1 + x2 + x3
  Z =~ z1 + z2 + z3
  M =~ m1 + m2 + m3
  Y =~ y1 + y2 + y3
  A =~ a1 + a2 + a3
  M ~ X + Z
  Y ~ M
  A ~ X
  A ~~ Y
  x1 ~~ x2"
arguments <- list(model = text, sample.cov = pooled, sample.nobs = 1e6, sample.cov.rescale = FALSE)
default <- do.call("sem", arguments)
start <- parTable(default)
start$est[start$free > 0] <- polish(default)[start$free[start$free > 0]]
fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE, baseline = FALSE)))
std <- standardizedSolution(fit)

level <- function(x) list(cov = labelled(x$cov), mean = labelled(x$mean[rownames(x$cov)]), latent = labelled(x$latent))
files <- c("population.yaml", "model.yaml", "survey.yaml", "generate.R")
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite")),
  sha256 = as.list(setNames(vapply(file.path(OUT, files), sha256, ""), files)),
  upper = level(upper), lower = level(lower),
  pooled = frame_rows(std[, c("lhs", "op", "rhs", "est.std")])
), file.path(OUT, "moments.json"))
