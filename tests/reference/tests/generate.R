# Writes the lavaan side of tests/reference/tests: modification indices, score tests, Wald tests and chi-square differences.
#
#   Rscript tests/reference/tests/generate.R [modindices|score|wald|lrt ...]      from the checkout root; see ../lavaan/generate.R
#
# Every fit is polished first (../lavaan/common.R), so that the gradient lavaan's tests start from is that of a solution.
#
# modindices() is taken apart where it is wrong, and checked against itself where it is right:
# 1. lavaan drops a row if V < 6e-6. V has the units of the parameter: rows of variables with large variances vanish, and
#    rows the model cannot identify appear (mi 1e-30, or noise) if variances are small. Here a row is dropped if less than 1e-9
#    of its information is left.
# 2. Parameters whose place in the matrices is taken by a row of the model (a ~ g beside g =~ a) overwrite that row with 0;
#    lavaan then takes all scores away from the solution. They are left out of the list before.
# 3. With fixed.x the information is zeroed in the moments of the covariates only after a path into a covariate has changed them:
#    such rows are taken from the same fit with fixed.x = FALSE, where the likelihood is the same. `random_x` marks them.
# 4. The standardized change of a variance is its estimate in lavaan, not its change: written as null.
# 5. lav_standardize_all_nox() looks a predictor up among the variables without the exogenous ones, and takes its standard deviation
#    from a list with them: wrong for variables that come after a fixed covariate. Written as null.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "tests")
SPEC <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
ALL <- read_cases()

converged <- function(fit) { fit@optim$converged <- TRUE; fit }
key <- function(table) paste(table$lhs, table$op, table$rhs)

misplaced <- function(fit) {
  nox <- lavNames(fit, "ov.nox")
  nox[lavNames(fit, "ov")[seq_along(nox)] != nox]
}

indices <- function(case) {
  fit <- converged(solve_case(case)$fit)
  partable <- parTable(fit)
  full <- lavaan:::lav_partable_full(partable = fit@ParTable, lavpta = fit@pta, free = TRUE, start = TRUE)
  loading <- partable[partable$op == "=~", ]
  full <- full[!(full$op == "~" & paste(full$rhs, full$lhs) %in% paste(loading$lhs, loading$rhs)), ]
  full$free <- rep(1L, nrow(full))
  full$user <- rep(10L, nrow(full))
  extended <- lavaan:::lav_object_extended(fit, add = full, all.free = TRUE)
  list <- as.data.frame(extended@ParTable)
  information <- lavTech(extended, "information.expected")
  score <- -lavTech(extended, "gradient.logl")
  own <- list$free[list$free > 0L & list$user != 10L]
  extra <- list$free[list$free > 0L & list$user == 10L]
  inverse <- lavTech(fit, "inverted.information.expected")
  before <- diag(information)[extra]
  v <- before - rowSums((information[extra, own, drop = FALSE] %*% inverse) * information[extra, own, drop = FALSE])
  n <- fit@SampleStats@ntotal
  out <- list[match(extra, list$free), c("lhs", "op", "rhs", "exo")]
  out$mi <- n * score[extra]^2 / v
  out$epc <- -score[extra] / v
  out$v <- v
  out <- out[v > 1e-9 * before & out$exo == 0, ]
  own_table <- modificationIndices(fit)
  tidy <- nrow(full) == nrow(lavaan:::lav_partable_full(partable = fit@ParTable, lavpta = fit@pta))
  standard <- own_table[match(key(out), key(own_table)), ]
  both <- !is.na(standard$mi)
  if (tidy) {
    # a change near zero is the difference of large numbers
    apart <- abs(standard$mi[both] - out$mi[both]) / (1e-6 + out$mi[both])
    if (max(apart) > 1e-7 || !all(both | out$v < .Machine$double.eps^(1 / 3))) stop(case$id, ": not what modindices() gives")
  }
  # lavaan's own standardization of these changes
  epc <- rep(NA, nrow(list)); epc[match(key(out), key(list))] <- out$epc
  variance <- list$op == "~~" & list$lhs == list$rhs & list$exo == 0L
  epc[variance] <- list$est[variance]
  small <- variance & abs(epc) < sqrt(.Machine$double.eps)
  epc[small] <- NA
  for (kind in c("lv", "all", "nox")) {
    standardize <- get(paste0("lav_standardize_", c(lv = "lv", all = "all", nox = "all_nox")[[kind]]), asNamespace("lavaan"))
    value <- standardize(fit, partable = list, est = abs(epc), cov.std = TRUE)[match(key(out), key(list))] * sign(out$epc)
    value[out$op == "~~" & out$lhs == out$rhs] <- NA
    if (tidy) {
      same <- both & !is.na(value) & !is.na(standard[[paste0("sepc.", kind)]])
      apart <- abs(standard[[paste0("sepc.", kind)]][same] - value[same]) / (1e-6 + abs(value[same]))
      if (any(apart > 1e-6)) stop(case$id, ": sepc.", kind, " is not what modindices() gives")
    }
    if (kind == "nox") value[out$op == "~" & out$rhs %in% misplaced(fit)] <- NA
    out[[paste0("sepc_", kind)]] <- value
  }
  out$exo <- out$v <- NULL
  out$random_x <- rep(FALSE, nrow(out))
  x <- lavNames(fit, "ov.x")
  # paths among fixed covariates say what their covariances say already
  out <- out[!(out$op == "~" & out$lhs %in% x & out$rhs %in% x), ]
  into <- out$op == "~" & out$lhs %in% x
  if (any(into) && fit@Model@fixed.x) {
    case$options$fixed_x <- FALSE
    random <- indices(case)
    # in a saturated model nothing is left of them
    out <- out[!into | key(out) %in% key(random), ]
    into <- out$op == "~" & out$lhs %in% x
    at <- match(key(out)[into], key(random))
    stopifnot(max(abs(random$mi[match(key(out)[!into], key(random))] - out$mi[!into]) / (1e-3 + out$mi[!into]), 0, na.rm = TRUE) < 1e-5)
    out[into, ] <- random[at, ]
    out$random_x[into] <- TRUE
  }
  out
}

# plabels turned into names of parameters
named <- function(text, table) {
  at <- match(text, table$plabel)
  ifelse(is.na(at), text, paste0(table$lhs, table$op, table$rhs)[at])
}

score <- function(case) {
  if (!is.null(case$same_as)) case$model <- ALL[[case$same_as]]$model
  fit <- converged(solve_case(case)$fit)
  table <- parTable(fit)
  tests <- function(...) {
    test <- suppressWarnings(lavTestScore(fit, epc = TRUE, cumulative = TRUE, ...))
    tidy <- function(t) {
      t <- as.data.frame(unclass(t))
      t$lhs <- named(t$lhs, table); t$rhs <- named(t$rhs, table)
      names(t)[names(t) == "X2"] <- "chisq"; names(t)[names(t) == "p.value"] <- "pvalue"
      t
    }
    epc <- frame_rows(test$epc)
    epc <- epc[!is.na(epc$epc), ]
    # as in modindices(): the standardized change of a variance is its estimate
    variance <- epc$op == "~~" & epc$lhs == epc$rhs
    epc$sepc_nox[epc$op == "~" & epc$rhs %in% misplaced(fit)] <- NA
    for (column in c("sepc_lv", "sepc_all", "sepc_nox")) epc[[column]][variance] <- NA
    list(chisq = test$test$X2, df = test$test$df, pvalue = test$test$p.value, univariate = tidy(test$uni),
         cumulative = tidy(test$cumulative),
         epc = epc[c("lhs", "op", "rhs", "est", "epc", "epv", "sepc_lv", "sepc_all", "sepc_nox")])
  }
  if (!is.null(case$add)) return(list(all = tests(add = case$add)))
  list(all = tests(), second = tests(release = 2), first_two = tests(release = 1:2))
}

wald <- function(entry) {
  fit <- converged(solve_case(ALL[[entry$case]])$fit)
  lapply(entry$restrictions, function(text) {
    test <- lavTestWald(fit, text)
    list(restrictions = text, chisq = test$stat, df = test$df, pvalue = test$p.value)
  })
}

lrt <- function(entry) {
  # models of equal length arrive as the rows of a matrix
  if (is.matrix(entry$models)) entry$models <- lapply(seq_len(nrow(entry$models)), function(i) entry$models[i, ])
  fits <- lapply(entry$models, function(model) {
    case <- c(entry[c("id", "function", "data")], list(model = model))
    converged(solve_case(case)$fit)
  })
  labels <- letters[seq_along(fits)]
  row <- function(table) {
    table <- as.data.frame(table)
    list(model = labels[match(rownames(table), labels)], df = table$Df, aic = table$AIC, bic = table$BIC, chisq = table$Chisq,
         chisq_diff = table[["Chisq diff"]], df_diff = table[["Df diff"]], pvalue = table[["Pr(>Chisq)"]],
         rmsea = table$RMSEA)
  }
  out <- list(standard = row(do.call(lavTestLRT, c(unname(fits), list(model.names = labels)))))
  scaled <- lapply(entry$models, function(model) {
    case <- c(entry[c("id", "function", "data")], list(model = model, options = list(estimator = "MLM")))
    fit <- fit_with(case)$fit
    start <- parTable(fit)
    # the estimates are those of ML: take the polished ones over
    mean <- start$op == "~1"
    best <- polish(fit)
    start$est[start$free > 0] <- best[start$free[start$free > 0]]
    converged(fit_with(case, start = start, optim.method = "none", check.start = FALSE)$fit)
  })
  pick <- function(fit) list(chisq = fit@test[[1]]$stat, df = fit@test[[1]]$df, factor = fit@test[[2]]$scaling.factor)
  out$mlm <- lapply(scaled, pick)
  # lavaan evaluates the larger model at the estimates of the smaller one by the names of parameters: right only if that
  # reproduces the moments of the smaller one
  by_df <- scaled[order(vapply(scaled, function(fit) fit@test[[1]]$df, 0))]
  out$m10_apart <- vapply(seq_along(by_df)[-1], function(k) {
    m10 <- lavaan:::lav_test_diff_m10(by_df[[k - 1]], by_df[[k]], test = TRUE)
    a <- fitted(m10)$cov; b <- fitted(by_df[[k]])$cov[rownames(a), rownames(a)]
    max(abs(a - b))
  }, 0)
  for (method in c("satorra.bentler.2001", "satorra.bentler.2010", "satorra.2000")) {
    table <- do.call(lavTestLRT, c(unname(scaled), list(model.names = labels, method = method, scaled.shifted = FALSE)))
    out[[gsub(".", "_", method, fixed = TRUE)]] <- row(table)
  }
  out
}

run <- function(kind, entries, f, id) {
  numbers <- lapply(entries, function(entry) { cat(kind, id(entry), "\n"); f(entry) })
  names(numbers) <- vapply(entries, id, "")
  write_numbers(numbers, file.path(OUT, paste0(kind, ".json")))
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) wanted <- c("modindices", "score", "wald", "lrt")
# columns instead of records: shorter
columns <- function(f) function(...) as.list(f(...))
if ("modindices" %in% wanted) run("modindices", ALL[SPEC$modindices], columns(indices), function(e) e$id)
if ("score" %in% wanted) run("score", SPEC$score, score, function(e) e$id)
if ("wald" %in% wanted) run("wald", SPEC$wald, wald, function(e) e$case)
if ("lrt" %in% wanted) run("lrt", SPEC$lrt, lrt, function(e) e$id)

files <- c("modindices", "score", "wald", "lrt")
sources <- unique(c(vapply(ALL[c(SPEC$modindices, vapply(SPEC$wald, function(e) e$case, ""))], function(e) e$data, ""),
                    vapply(c(SPEC$score, SPEC$lrt), function(e) e$data, "")))
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite", "digest")),
  sha256 = list(
    cases = sha256(file.path(OUT, "cases.json")), all_cases = sha256(CASES), generate = sha256(file.path(OUT, "generate.R")),
    common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
    outputs = setNames(lapply(files, function(f) sha256(file.path(OUT, paste0(f, ".json")))), files),
    data = setNames(lapply(sources, function(s) sha256(data_path(s))), unname(sources))
  )
), file.path(OUT, "manifest.json"))
