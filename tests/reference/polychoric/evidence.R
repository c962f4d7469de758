# Writes tests/reference/polychoric/evidence.json: ordered probit regressions by MASS::polr beside those that lavaan computes
# for conditional.x = TRUE. lavaan checks the order of the first four thresholds only; from five on, nlminb may leave the
# parameter space and stop at thresholds that are out of order. Also: what lavaan makes of a numeric variable with two values,
# and of a pair of items whose answers do not contradict a perfect correlation.
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
write_numbers(list(about = "Written by tests/reference/polychoric/evidence.R", versions = versions(c("MASS", "lavaan")),
                   two_values = two, perfect = perfect, probit = out), file.path(REFERENCE, "polychoric", "evidence.json"))
for (run in out) cat(run$item, max(abs(run$lavaan - c(run$thresholds, run$slope))), "\n")
