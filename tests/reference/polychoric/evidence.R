# Writes tests/reference/polychoric/evidence.json: ordered probit regressions by MASS::polr beside those that lavaan computes
# for conditional.x = TRUE. lavaan checks the order of the first four thresholds only; from five on, nlminb may leave the
# parameter space and stop at thresholds that are out of order. Also: what lavaan makes of a numeric variable with two values,
# and of a pair of items whose answers do not contradict a perfect correlation; and how its polyserial correlations and the
# chi-square of a model depend on the unit of the numeric variable.
#
#   Rscript tests/reference/polychoric/evidence.R      from the checkout root

source(file.path("tests", "reference", "lavaan", "common.R"))
runs <- list(c("mobi", "CUSL2", "PERV1"), c("mobi", "IMAG1", "PERV1"), c("lancelotmiltgen", "trust1", "risk3"),
             c("influencer", "pic_1", "pi_5"))
out <- lapply(runs, function(run) {
  frame <- read.csv(data_path(paste0("shared:", run[1])))[run[2:3]]
  frame <- frame[complete.cases(frame), ]
  y <- as.integer(factor(frame[[1]])); x <- frame[[2]]
  polr <- suppressWarnings(MASS::polr(factor(y) ~ x, method = "probit", control = list(reltol = 1e-15, maxit = 1000)))
  lavaan <- suppressWarnings(lavaan:::lav_uvord_fit(y = y, X = cbind(x)))$theta
  list(data = paste0("shared:", run[1]), item = run[2], covariate = run[3], thresholds = I(unname(polr$zeta)),
       slope = unname(coef(polr)), loglik = as.numeric(logLik(polr)), lavaan = I(lavaan))
})
statistics <- function(frame, ordered) {
  model <- paste("f =~", paste(names(frame), collapse = " + "))
  fit <- suppressWarnings(cfa(model, frame, ordered = ordered, do.fit = FALSE, estimator = "WLSMV"))
  list(labels = I(names(lavInspect(fit, "wls.obs"))), statistic = I(unname(c(unclass(lavInspect(fit, "wls.obs"))))),
       diagonal = I(unname(diag(lavInspect(fit, "gamma")))))
}
simulated <- read.csv(file.path(REFERENCE, "polychoric", "simulated.csv"))
two <- statistics(simulated[c("b1", "c1", "s1", "x2")], c("b1", "c1", "s1"))
rare <- data.frame(a = rep(0:1, c(98, 2)), b = rep(0:3, c(20, 30, 30, 20)), c = rep(c(0, 1, 2, 0, 1), 20))
perfect <- statistics(rare, names(rare))
# lavaan as it is, with the numeric variable multiplied; log-likelihood of its correlation and the largest one
unit <- function(data, item, number, factors) {
  frame <- read.csv(data_path(paste0("shared:", data)))[c(item, number)]
  frame <- frame[complete.cases(frame), ]
  y <- as.integer(factor(frame[[1]])); x <- frame[[2]]
  edge <- c(-Inf, qnorm(head(cumsum(table(y)) / length(y), -1)), Inf)
  z <- (x - mean(x)) / sqrt(mean((x - mean(x))^2))
  loglik <- function(r) {
    h <- (edge[y + 1] - r * z) / sqrt(1 - r^2); k <- (edge[y] - r * z) / sqrt(1 - r^2)
    flip <- k > 0
    sum(log(pnorm(ifelse(flip, -k, h)) - pnorm(ifelse(flip, -h, k))))
  }
  best <- optimize(loglik, c(-0.99, 0.99), maximum = TRUE, tol = 1e-10)
  rho <- vapply(factors, function(k) {
    suppressWarnings(lavCor(setNames(data.frame(y, k * x), c(item, number)), ordered = item)[1, 2])
  }, 0)
  list(data = paste0("shared:", data), item = item, number = number, factor = I(factors), lavaan = I(rho),
       loglik = I(vapply(rho, loglik, 0)), mle = best$maximum, best = best$objective)
}
units <- list(unit("lancelotmiltgen", "intent1", "intent2", c(1, 10, 0.01)), unit("lancelotmiltgen", "trust1", "trust2", c(1, 0.01)),
              unit("satisfaction_gender", "val2", "sat1", c(1, 0.001)), unit("influencer", "pi_1", "wtp", c(1, 1e-10)))
spec <- read_json(file.path(REFERENCE, "ordinal", "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
model <- Filter(function(m) m$id == "influencer_wtp", spec$models)[[1]]
chisq <- vapply(c(1, 100, 0.01), function(k) {
  frame <- read.csv(data_path(model$data))
  frame$wtp <- k * frame$wtp
  fitMeasures(sem(paste(model$model, collapse = "\n"), frame, ordered = model$ordered, estimator = "WLSMV"), "chisq")[[1]]
}, 0)
units <- list(pairs = units, model = list(id = "influencer_wtp", factor = I(c(1, 100, 0.01)), chisq = I(chisq)))
for (run in units$pairs) cat(run$item, run$number, run$lavaan, "maximum", run$mle, "loss", run$best - run$loglik, "\n")
cat(model$id, chisq, "\n")

write_numbers(list(about = "Written by tests/reference/polychoric/evidence.R", versions = versions(c("MASS", "lavaan")),
                   two_values = two, perfect = perfect, units = units, probit = out), file.path(REFERENCE, "polychoric", "evidence.json"))
for (run in out) cat(run$item, max(abs(run$lavaan - c(run$thresholds, run$slope))), "\n")
