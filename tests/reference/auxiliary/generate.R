# Writes the R side of tests/reference/auxiliary: reference.json, all models of cases.json with saturated correlates.
#
#   Rscript tests/reference/auxiliary/generate.R            (from the checkout root; the project's environment in .venv)
#
# semTools::auxiliary() makes the parameter tables of the model and of its baseline model; both are then polished with
# lavaan's own gradient and expected information, as in ../lavaan/common.R, and every number is computed at those points.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "auxiliary")
cases <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$models
GROWTH <- file.path(REFERENCE, "growth", "growth.csv")

frames <- local({
  complete <- read.csv(data_path("semopy:holzinger"))
  complete$school <- as.integer(factor(complete$school)) - 1L
  holes <- complete
  row <- seq_len(nrow(holes))
  # missing completely at random by rule, and x4 to x6 more often for the young
  for (k in 1:9) holes[[paste0("x", k)]][(7 * row + 3 * k) %% 11 == 0 & row %% 3 != k %% 3] <- NA
  holes$x5[holes$ageyr <= 12 & row %% 3 == 0] <- NA
  list(holzinger = holes, holzinger_complete = complete, growth = read.csv(GROWTH))
})

MEASURES <- c("npar", "fmin", "chisq", "df", "pvalue", "baseline.chisq", "baseline.df", "cfi", "tli", "rmsea", "srmr", "logl",
              "unrestricted.logl", "aic", "bic", "bic2", "ntotal")
ROBUST <- "rmsea.robust"
SCALED <- c("chisq.scaled", "df.scaled", "pvalue.scaled", "chisq.scaling.factor", "baseline.chisq.scaled", "cfi.scaled",
            "tli.scaled", "rmsea.scaled")

# Far from the data, as a baseline model is, steps with the expected information need not converge: Newton steps instead.
sharpest <- function(fit) {
  model <- lavaan:::lav_model_set_parameters(fit@Model, x = polish(fit))
  for (k in 1:8) {
    s <- slope(model, fit)
    if (size(s)$scaled < 1e-14) break
    hessian <- lavaan:::lav_model_hessian(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavoptions = fit@Options, lavcache = fit@Cache)
    step <- s$open %*% solve(crossprod(s$open, hessian %*% s$open), s$gradient)
    model <- lavaan:::lav_model_set_parameters(model, x = lavaan:::lav_model_get_parameters(model) - drop(step))
  }
  lavaan:::lav_model_get_parameters(model)
}

# the polished version of a fitted object: the same table and options, started at the polished point and left there
settle <- function(object, data, options) {
  table <- start <- parTable(object)
  best <- sharpest(object)
  table$est <- table$se <- table$start <- NULL
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  arguments <- c(list(model = table, start = start, data = data, missing = "fiml", fixed.x = FALSE, meanstructure = TRUE,
                      em.h1.iter.max = 2000L, em.h1.tol = 1e-12, optim.method = "none", check.start = FALSE), options)
  fit <- suppressWarnings(do.call(lavaan, arguments))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  fit
}

run <- function(case) {
  data <- frames[[case$data]]
  options <- case$options
  object <- suppressWarnings(do.call(auxiliary, c(list(model = paste(case$model, collapse = "\n"), data = data,
                                                       aux = case$auxiliary, fun = case$`function`), options)))
  fit <- settle(object, data, options)
  base <- settle(object@external$baseline.model, data, options)
  all <- suppressWarnings(as.list(fitMeasures(fit, baseline.model = base)))
  same <- suppressWarnings(as.list(fitMeasures(object)))
  stopifnot(all$df == same$df, all$npar == same$npar, all$baseline.df == same$baseline.df,
            abs(all$chisq - same$chisq) < 1e-4 * max(1, same$chisq),
            abs(all$baseline.chisq - same$baseline.chisq) < 1e-4 * same$baseline.chisq)
  names <- c(MEASURES, if (!is.null(all$rmsea.robust)) ROBUST, if (!is.null(all$chisq.scaled)) SCALED)
  table <- parTable(fit)
  keep <- !table$op %in% c("==", "<", ">")
  table <- table[keep, ]
  standardized <- standardizedSolution(fit)
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- suppressWarnings(sqrt(diag(jacobian %*% vcov %*% t(jacobian))[keep]))
  standard <- parameterEstimates(fit, remove.nonfree = FALSE)
  stopifnot(identical(table$lhs, standard$lhs), identical(table$rhs, standardized$rhs))
  list(nobs = lavInspect(fit, "nobs"), gradient = max(size(slope(fit@Model, fit))$scaled, size(slope(base@Model, base))$scaled),
       measures = under(all[names]),
       # lavaan cannot compute these at the polished points (its fit of the baseline model to smoothed moments fails)
       stopped = under(same[intersect(c("cfi.robust", "tli.robust"), names(same))]), r2 = as.list(lavInspect(fit, "rsquare")),
       parameters = frame_rows(data.frame(lhs = table$lhs, op = table$op, rhs = table$rhs, free = table$free > 0,
                                          est = standard$est, se = standard$se, est.std = standardized$est.std,
                                          se.std = ifelse(standardized$se == 0, 0, se))))
}

out <- list()
for (case in cases) {
  capture.output(result <- tryCatch(run(case), error = conditionMessage))
  if (is.character(result)) stop(case$id, ": ", result)
  out[[case$id]] <- result
  cat(sprintf("%-20s chisq %10.5f df %3d baseline %11.5f df %3d gradient %.1e\n", case$id, result$measures$chisq,
              as.integer(result$measures$df), result$measures$baseline_chisq, as.integer(result$measures$baseline_df),
              result$gradient))
}
write_numbers(
  c(list(about = "Written by tests/reference/auxiliary/generate.R",
         versions = versions(c("lavaan", "semTools", "jsonlite", "digest", "numDeriv")),
         sha256 = list(cases = sha256(file.path(OUT, "cases.json")), generate = sha256(file.path(OUT, "generate.R")),
                       growth = sha256(GROWTH))), out),
  file.path(OUT, "reference.json"))
