# Writes followup.json: modification indices, difference tests, Wald tests, residuals and effects of models of ordinal items by
# lavaan, on ../data/answers.csv.
#
#   Rscript tests/reference/ordinal/followup.R        from the checkout root

source(file.path("tests", "reference", "lavaan", "common.R"))
frame <- read.csv(file.path(REFERENCE, "data", "answers.csv"))
base <- "g =~ c1 + l2*c2 + l3*c3 + l4*c4\nh =~ e1 + m2*e2 + m3*e3 + m4*e4\nh ~ b*g"
mixed <- "g =~ c1 + c2 + c3 + u1\nz ~ g"
mimic <- "f =~ b1 + b2 + b3 + b4\nh =~ e1 + e2 + e3 + e4\nf ~ a*x1 + x2\nh ~ b*f + x1\nind := a*b"
constraint <- "\nl2 == l3\nm2 == 0.9"
run <- function(model, ordered = TRUE, ...) {
  sem(model, frame, ordered = ordered, ...)
}
rows <- function(x) { x <- as.data.frame(unclass(x)); names(x) <- gsub(".", "_", names(x), fixed = TRUE); x }
lrt <- function(a, b, ...) {
  x <- lavTestLRT(a, b, ...)
  list(chisq_diff = x[["Chisq diff"]][2], df_diff = x[["Df diff"]][2], pvalue = x[["Pr(>Chisq)"]][2])
}
wald <- function(fit, text) { w <- lavTestWald(fit, text); list(chisq = w$stat, df = w$df, pvalue = w$p.value) }
drop <- function(model, what, by = "") sub(what, by, model, fixed = TRUE)

one <- list()
for (parameterization in c("delta", "theta")) {
  free <- run(base, parameterization = parameterization)
  equal <- run(paste0(base, constraint), parameterization = parameterization)
  none <- run(drop(base, "h ~ b*g", "h ~ 0*g"), parameterization = parameterization)
  one[[parameterization]] <- list(
    indices = rows(modindices(none)),
    indices_constrained = rows(modindices(equal)),
    equal = lrt(free, equal), none = lrt(free, none),
    equal_unshifted = lrt(run(base, estimator = "WLSM", parameterization = parameterization),
                          run(paste0(base, constraint), estimator = "WLSM", parameterization = parameterization),
                          method = "satorra.2000", scaled.shifted = FALSE),
    equal_2001 = lrt(run(base, estimator = "WLSM", parameterization = parameterization),
                     run(paste0(base, constraint), estimator = "WLSM", parameterization = parameterization),
                     method = "satorra.bentler.2001"),
    wald = wald(free, "l2 == l3\nm2 == 0.9"),
    residual = labelled(unclass(residuals(none, type = "cor.bollen")$cov))
  )
}
fit <- run(mixed, ordered = c("c1", "c2", "c3"))
one$mixed <- list(indices = rows(modindices(fit)),
                  residual = labelled(unclass(residuals(fit, type = "cor.bollen")$cov)),
                  raw = labelled(unclass(residuals(fit, type = "raw")$cov)))
fit <- run(mimic)
one$mimic <- list(indices = rows(modindices(fit)), residual = labelled(unclass(residuals(fit)$res.cov)),
                  effects = rows(parameterEstimates(fit)[parameterEstimates(fit)$op == ":=", c("lhs", "est", "se")]),
                  standardized = rows(standardizedSolution(fit)[standardizedSolution(fit)$op == ":=", c("lhs", "est.std", "se")]))
one$wls <- lrt(run(base, estimator = "WLS"), run(paste0(base, constraint), estimator = "WLS"))
one$versions <- versions(c("lavaan", "jsonlite"))
one$sha256 <- list(script = sha256(file.path(REFERENCE, "ordinal", "followup.R")), data = sha256(file.path(REFERENCE, "data", "answers.csv")))
write_numbers(one, file.path(REFERENCE, "ordinal", "followup.json"))
