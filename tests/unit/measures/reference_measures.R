# Reference numbers for the measures. Run in this folder:  Rscript reference_measures.R > reference_measures.json
# Needs lavaan, semTools, psych, jsonlite. Data: HolzingerSwineford1939 as shipped with lavaan.
suppressMessages({library(lavaan); library(semTools); library(psych); library(jsonlite)})
d <- HolzingerSwineford1939
simple <- "visual =~ x1 + x2 + x3
textual =~ x4 + x5 + x6
speed =~ x7 + x8 + x9"
crossed <- paste0(simple, "\nvisual =~ x9\nx4 ~~ x5")
out <- list(R = R.version.string, lavaan = as.character(packageVersion("lavaan")),
            semTools = as.character(packageVersion("semTools")), psych = as.character(packageVersion("psych")))
x <- d[, paste0("x", 1:9)]
S <- cov(x) * (nrow(x) - 1) / nrow(x)
out$nobs <- nrow(x)
out$cov <- S
fits <- list(simple = cfa(simple, d), crossed = cfa(crossed, d))
if (abs(fitMeasures(fits$simple, "chisq") - 85.30552) > 1e-4) stop("the well-known chi-square is not reproduced")
for (name in names(fits)) {
  f <- fits[[name]]
  rel <- suppressWarnings(suppressMessages(semTools::reliability(f)))
  est <- lavInspect(f, "est")
  std <- lavInspect(f, "std.all")
  out[[name]] <- list(
    scales = colnames(rel), reliability = apply(rel, 1, as.list),
    omega_observed = as.list(unclass(semTools::compRelSEM(f))),
    lambda = unclass(est$lambda), psi = unclass(est$psi), theta = unclass(est$theta),
    lambda_std = unclass(std$lambda), theta_std = unclass(std$theta),
    implied = unclass(fitted(f)$cov), latent_cor = unclass(lavInspect(f, "cor.lv")),
    parameters = parameterEstimates(f, standardized = TRUE, remove.nonfree = FALSE)[,
      c("lhs", "op", "rhs", "est", "se", "z", "pvalue", "ci.lower", "ci.upper", "std.lv", "std.all")],
    standardized = standardizedSolution(f), r2 = as.list(lavInspect(f, "r2")))
}
suppressMessages({
  a <- psych::alpha(x[, c("x1", "x2", "x3")], warnings = FALSE); k <- psych::KMO(cor(x)); b <- psych::cortest.bartlett(cor(x), nrow(x))
})
out$psych <- list(alpha = a$total$raw_alpha, alpha_std = a$total$std.alpha, deleted = a$alpha.drop$raw_alpha,
                  kmo = k$MSA, kmo_items = as.list(k$MSAi), chisq = b$chisq, df = b$df, pvalue = b$p.value)
for (h in c(TRUE, FALSE)) for (ab in c(TRUE, FALSE)) {
  m <- semTools::htmt(simple, sample.cov = cov(x), absolute = ab, htmt2 = h)
  out[[paste0(if (h) "htmt2" else "htmt", if (ab) "_absolute" else "_signed")]] <- unclass(m)
}
cat(toJSON(out, digits = 15, auto_unbox = TRUE, na = "null", matrix = "rowmajor", pretty = FALSE), "\n")
