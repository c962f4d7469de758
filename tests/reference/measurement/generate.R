# Writes reference numbers for reliability and validity: one <case>.json for each case below (models of ../cases.json).
#
#   Rscript tests/reference/measurement/generate.R
#
# from the checkout root; data as described in ../lavaan/generate.R. Made with R 4.2.2, lavaan 0.6-14, semTools 0.5-6,
# psych 2.2.9. Model-based numbers stand on the same polished solutions as the lavaan references.
#
# What each number is:
#   alpha            psych::alpha, raw, from the sample covariance matrix (no key is reversed); alpha_standardized: from correlations
#   semtools         semTools::reliability: alpha, omega (Raykov 2001), omega2 (Bentler 1972), omega3 (McDonald 1999), avevar
#   comprelsem       semTools::compRelSEM, denominator from the sample (obs.var = TRUE) or the model-implied covariances (FALSE)
#   ave              semTools::AVE with obs.var TRUE and FALSE (variances of the items weigh in)
#   loadings         lavaan, completely standardized
#   ave_standardized mean squared standardized loading, Fornell & Larcker (1981)
#   cr               (sum l)^2 / ((sum l)^2 + sum(1 - l^2)) of standardized loadings, Fornell & Larcker (1981)
#   htmt             semTools::htmt of the raw data: htmt (arithmetic means) and htmt2 (geometric means), absolute
#                    correlations or signed ones (semTools takes absolute values for htmt2 in both)
#   factor_cor       lavaan, correlations of the latent variables
#   kmo, bartlett    psych::KMO and psych::cortest.bartlett on the Pearson correlations of all items of the measurement model

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages({
  library(semTools)
  library(psych)
})
OUT <- file.path(REFERENCE, "measurement")
WANTED <- c("hs_three_factor", "hs_two_indicators", "pd_no_residual_covariances", "lima36_cfa", "scales_two_factor", "influencer_sem",
            "lancelot_sem", "technology_utaut", "switching_sem", "yoo_first_order")

square <- function(m) labelled(unclass(m)[, ])
per_factor <- function(x) as.list(unclass(x))

measure <- function(case) {
  solved <- solve_case(case)
  fit <- solved$fit
  table <- parTable(fit)
  loading <- table[table$op == "=~", ]
  blocks <- split(loading$rhs, factor(loading$lhs, unique(loading$lhs)))
  items <- unlist(blocks, use.names = FALSE)
  data <- read.csv(data_path(case$data))
  data <- data[complete.cases(data[lavNames(fit, "ov")]), ]
  stopifnot(nrow(data) == lavInspect(fit, "nobs"), !anyDuplicated(items))
  std <- standardizedSolution(fit)
  std <- std[std$op == "=~", ]
  lambda <- split(setNames(std$est.std, std$rhs), factor(std$lhs, names(blocks)))
  alpha <- lapply(blocks, function(block) suppressWarnings(psych::alpha(data[block], check.keys = FALSE))$total)
  # only the measurement part: htmt() reads =~ rows of the text
  text <- paste(vapply(names(blocks), function(f) paste(f, "=~", paste(blocks[[f]], collapse = " + ")), ""), collapse = "\n")
  ratio <- function(absolute, geometric) square(semTools::htmt(text, data = data, absolute = absolute, htmt2 = geometric))
  correlations <- cor(data[items])
  kmo <- psych::KMO(correlations)
  bartlett <- psych::cortest.bartlett(correlations, n = nrow(data))
  semtools <- suppressWarnings(suppressMessages(semTools::reliability(fit, dropSingle = TRUE)))
  list(
    case = case$id, nobs = nrow(data), blocks = lapply(blocks, I),
    alpha = lapply(alpha, function(a) a$raw_alpha), alpha_standardized = lapply(alpha, function(a) a$std.alpha),
    semtools = lapply(setNames(rownames(semtools), rownames(semtools)), function(r) as.list(semtools[r, names(blocks)])),
    comprelsem = list(observed = per_factor(compRelSEM(fit, obs.var = TRUE)), implied = per_factor(compRelSEM(fit, obs.var = FALSE)),
                      tau_equivalent = per_factor(compRelSEM(fit, tau.eq = TRUE))),
    ave = list(observed = per_factor(AVE(fit, obs.var = TRUE)), implied = per_factor(AVE(fit, obs.var = FALSE))),
    loadings = lapply(lambda, as.list), ave_standardized = lapply(lambda, function(l) mean(l^2)),
    cr = lapply(lambda, function(l) sum(l)^2 / (sum(l)^2 + sum(1 - l^2))),
    htmt = list(htmt = ratio(TRUE, FALSE), htmt_signed = ratio(FALSE, FALSE), htmt2 = ratio(TRUE, TRUE), htmt2_signed = ratio(FALSE, TRUE)),
    factor_cor = square(lavInspect(fit, "cor.lv")),
    kmo = list(overall = kmo$MSA, items = as.list(kmo$MSAi)),
    bartlett = list(chisq = bartlett$chisq, df = bartlett$df, pvalue = bartlett$p.value),
    item_cor = square(correlations), item_cov = square(cov(data[items]))
  )
}

cases <- read_cases()
for (id in WANTED) {
  capture.output(result <- tryCatch(suppressMessages(suppressWarnings(measure(cases[[id]]))), error = conditionMessage))
  if (is.character(result)) stop(id, ": ", result)
  write_numbers(result, file.path(OUT, paste0(id, ".json")))
  cat(sprintf("%-28s alpha %s  KMO %.4f\n", id, paste(sprintf("%.4f", unlist(result$alpha)), collapse = " "), result$kmo$overall))
}
write_numbers(
  list(about = "Written by tests/reference/measurement/generate.R", versions = versions(c("lavaan", "semTools", "psych", "jsonlite")),
       sha256 = list(cases = sha256(CASES), generate = sha256(file.path(OUT, "generate.R")),
                     common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
                     outputs = setNames(lapply(WANTED, function(id) sha256(file.path(OUT, paste0(id, ".json")))), WANTED))),
  file.path(OUT, "manifest.json")
)
