# Writes tests/reference/polychoric/evidence.json: ordered probit regressions by MASS::polr beside those that lavaan computes
# for conditional.x = TRUE. lavaan checks the order of the first four thresholds only; from five on, nlminb may leave the
# parameter space and stop at thresholds that are out of order.
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
write_numbers(list(about = "Written by tests/reference/polychoric/evidence.R", versions = versions(c("MASS", "lavaan")),
                   probit = out), file.path(REFERENCE, "polychoric", "evidence.json"))
for (run in out) cat(run$item, max(abs(run$lavaan - c(run$thresholds, run$slope))), "\n")
