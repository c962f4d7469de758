# Numbers of semTools for models fitted to imputed data sets: Rscript tests/reference/imputation/generate.R, from the checkout root.
#
# Estimates, their tests and the missing information are those of semTools::summary (Rubin's total variance, scale.W =
# FALSE); chi-squares and fit measures those of fitMeasures (asymptotic), with two corrections where semTools takes
# values of the first data set for all of them (see docs/developer/lavaan-differences.md); difference tests those of
# lavTestLRT.mi, Wald tests those of lavTestWald.mi. D4, which semTools 0.5-6 lacks, is computed from lavaan's fits to
# each data set and to all of them stacked.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
suppressPackageStartupMessages(library(numDeriv))

HERE <- file.path("tests", "reference", "imputation")
SPEC <- read_json(file.path(HERE, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)

# Data -------------------------------------------------------------------------------------------------------------------
# "rule": holes by a rule, filled with given answers by another; test_imputation_parity.py does the same.
RULE <- list(corprep = c(paste0("comp_", 1:3), paste0("like_", 1:3), paste0("cusl_", 1:3), "cusa"))
imputed <- function(source) {
  part <- strsplit(source, ":", fixed = TRUE)[[1]]
  if (part[1] == "imputed") {
    all <- read.csv(file.path(HERE, paste0(part[2], ".csv")))
    return(unname(split(all[names(all) != "imputation"], all$imputation)))
  }
  frame <- read.csv(data_path(paste0("shared:", part[2])))[RULE[[part[2]]]]
  for (j in seq_along(frame)) frame[[j]][(7 * (seq_len(nrow(frame)) - 1) + 11 * (j - 1)) %% 13 == 0] <- NA
  lapply(1:5, function(i) {
    as.data.frame(lapply(frame, function(v) {
      given <- v[!is.na(v)]
      hole <- which(is.na(v))
      v[hole] <- given[(7 * (seq_along(hole) - 1) + 13 * i + 3 * i^2) %% length(given) + 1]
      v
    }))
  })
}

quiet <- function(expr) suppressMessages(withCallingHandlers(expr, warning = function(w) invokeRestart("muffleWarning")))

settings_of <- function(run) {
  options <- SPEC$settings[[run]]
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  options$fixed.x <- TRUE
  as.list(options)
}

# lavaan's fit to one data set, polished as in common.R.
solved <- function(lines, d, options) {
  arguments <- c(list(paste(lines, collapse = "\n"), d), options)
  first <- quiet(do.call("sem", arguments))
  best <- polish(first)
  start <- parTable(first)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- quiet(do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE))))
  fit@baseline <- first@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) <= 1e-12 * max(1, abs(best)))
  fit
}

# The object of semTools with the polished fits in place of those where lavaan stopped.
take_over <- function(object, fits) {
  for (i in seq_along(fits)) {
    table <- parTable(fits[[i]])
    object@ParTableList[[i]]$est <- table$est
    object@ParTableList[[i]]$se <- table$se
    object@vcovList[[i]]$vcov <- fits[[i]]@vcov$vcov
    object@testList[[i]] <- fits[[i]]@test
  }
  object
}

# Corrections ------------------------------------------------------------------------------------------------------------
# lavaan's model at the pooled estimates, moments of covariates included: semTools leaves those of one data set there.
at_pooled <- function(object, fit1, pooled) {
  model <- lavaan:::lav_model_set_parameters(fit1@Model, x = pooled$free)
  table <- parTable(fit1)
  for (k in which(table$exo == 1L)) {
    value <- pooled$all[k]
    if (table$op[k] == "~~") {
      for (name in c("psi", "theta")) {
        at <- which(names(model@GLIST) == name)
        known <- model@dimNames[[at]][[1]]
        if (all(c(table$lhs[k], table$rhs[k]) %in% known)) {
          i <- match(table$lhs[k], known); j <- match(table$rhs[k], known)
          if (name == "theta" && table$lhs[k] %in% model@dimNames[[which(names(model@GLIST) == "psi")]][[1]]) next
          model@GLIST[[at]][i, j] <- model@GLIST[[at]][j, i] <- value
        }
      }
    } else if (table$op[k] == "~1") {
      at <- which(names(model@GLIST) == "alpha")
      psi <- model@dimNames[[which(names(model@GLIST) == "psi")]][[1]]
      if (table$lhs[k] %in% psi) model@GLIST[[at]][match(table$lhs[k], psi), 1] <- value
      else {
        nu <- which(names(model@GLIST) == "nu")
        model@GLIST[[nu]][match(table$lhs[k], model@dimNames[[nu]][[1]]), 1] <- value
      }
    }
  }
  model
}

tight_rmsea <- function(x2, df, n) {
  bound <- function(p, upper) {
    f <- function(l) pchisq(x2, df, ncp = l) - p
    if (f(0) < 0) return(0)
    sqrt(uniroot(f, c(0, upper), tol = 1e-12)$root / (n * df))
  }
  c(lower = bound(.95, max(x2, 1)), upper = bound(.05, max(n, 4 * x2, 50)))
}

# One case ---------------------------------------------------------------------------------------------------------------
run_case <- function(case, run) {
  data <- imputed(case$data)
  m <- length(data)
  options <- settings_of(run)
  pool <- function(model) quiet(do.call("sem.mi", c(list(paste(model, collapse = "\n"), data), options)))
  each <- lapply(data, function(d) solved(case$model, d, options))
  small <- lapply(data, function(d) solved(case$nested, d, options))
  object <- take_over(pool(case$model), each)
  nested <- take_over(pool(case$nested), small)
  fit1 <- each[[1]]
  table <- parTable(fit1)
  s <- quiet(summary(object, output = "data.frame", fmi = TRUE, ci = TRUE, scale.W = FALSE, standardized = "std.all"))
  all <- colMeans(do.call(rbind, lapply(object@ParTableList, function(p) p$est)))
  free <- lavaan:::lav_model_get_parameters(fit1@Model)
  free[] <- all[table$free > 0L]
  pooled <- list(free = free, all = all)
  model <- at_pooled(object, fit1, pooled)

  # standard errors of ":=": Rubin's rules on the values themselves
  squares <- sapply(object@ParTableList, function(p) p$se^2)
  values <- sapply(object@ParTableList, function(p) p$est)
  total <- rowMeans(squares) + (1 + 1 / m) * apply(values, 1, var)
  keep <- !(table$op %in% c("==", "<", ">"))
  defined <- table$op[keep] == ":="
  s$semtools_se <- s$se
  s$se[defined] <- sqrt(total[keep])[defined]
  s$t[defined] <- s$est[defined] / s$se[defined]
  s$pvalue[defined] <- 2 * pt(-abs(s$t), s$df)[defined]
  crit <- qt(.975, s$df)
  s$ci.lower[defined] <- (s$est - crit * s$se)[defined]
  s$ci.upper[defined] <- (s$est + crit * s$se)[defined]

  # standardized solution of the pooled estimates, delta method
  std_at <- function(x) {
    now <- at_pooled(object, fit1, list(free = x, all = all))
    est <- all
    est[table$free > 0L] <- x
    if (any(table$op == ":=")) est[table$op == ":="] <- now@def.function(lavaan:::lav_model_get_parameters(now, type = "free"))
    lavaan::standardizedSolution(fit1, type = "std.all", se = FALSE, GLIST = now@GLIST, est = est)$est.std
  }
  std <- std_at(free)
  if (!any(table$exo == 1L)) stopifnot(isTRUE(all.equal(std[!is.na(s$std.all)], s$std.all[!is.na(s$std.all)], tolerance = 1e-10)))
  jacobian <- numDeriv::jacobian(std_at, as.numeric(free))
  covs <- lapply(each, function(f) lavaan:::vcov(f))
  W <- Reduce(`+`, covs) / m
  B <- cov(t(sapply(each, function(f) as.numeric(lavaan:::lav_model_get_parameters(f@Model)))))
  Ws <- rowSums((jacobian %*% W) * jacobian); Bs <- (1 + 1 / m) * rowSums((jacobian %*% B) * jacobian)
  standardized <- data.frame(lhs = s$lhs, op = s$op, rhs = s$rhs, est.std = std, se = sqrt(pmax(Ws + Bs, 0)),
                             df = (m - 1) * (1 + Ws / Bs)^2)

  # fit measures
  measures <- unclass(quiet(fitMeasures(object)))
  n <- measures[["ntotal"]]
  if (is.null(n) || is.na(n)) n <- nrow(data[[1]])
  implied <- lavaan:::lav_model_implied(model)
  sampled <- lapply(each, function(f) f@h1$implied)
  S <- Reduce(`+`, lapply(sampled, function(h) h$cov[[1]])) / m
  sigma <- implied$cov[[1]]
  sd <- sqrt(diag(S))
  low <- lower.tri(S, diag = TRUE)
  raw <- (S - sigma)[low]; scaled <- ((S - sigma) / outer(sd, sd))[low]
  if (fit1@Model@meanstructure) {
    mean <- Reduce(`+`, lapply(sampled, function(h) h$mean[[1]])) / m
    raw <- c(raw, mean - implied$mean[[1]]); scaled <- c(scaled, (mean - implied$mean[[1]]) / sd)
  }
  ours <- c(rmr = sqrt(mean(raw^2)), srmr = sqrt(mean(scaled^2)))
  if (!any(table$exo == 1L)) stopifnot(isTRUE(all.equal(ours, measures[c("rmr", "srmr")], tolerance = 1e-9)))
  measures[c("rmr", "srmr")] <- ours
  measures <- measures[setdiff(names(measures), grep("^(gammaHat|adjGammaHat|crmr|srmr_|rmr_)", names(measures), value = TRUE))]
  if (run %in% c("gls", "wls")) n <- n - 1
  tight <- tight_rmsea(measures[["chisq"]], measures[["df"]], n)
  measures[c("rmsea.ci.lower", "rmsea.ci.upper")] <- tight

  # the baseline model: semTools fits that of the first data set, moments of covariates included, to all
  if (fit1@Options$estimator == "ML" && !run %in% "mlmv") {
    x <- lavNames(fit1, "ov.x")
    B0 <- diag(diag(S)); dimnames(B0) <- dimnames(S) <- list(lavNames(fit1), lavNames(fit1))
    B0[x, x] <- S[x, x]
    n0 <- measures[["ntotal"]]
    # -2 log likelihood but for a constant; both models have the mean of the means
    centre <- if (fit1@Model@meanstructure) mean
    minus2 <- function(at) mean(sapply(sampled, function(h) {
      d <- if (is.null(centre)) 0 * diag(at) else drop(h$mean[[1]]) - drop(centre)
      n0 * (log(det(at)) + sum(solve(at) * h$cov[[1]]) + sum(d * solve(at, d)))
    }))
    k <- fit1@baseline$test$standard$df
    bar <- mean(sapply(each, function(f) f@baseline$test$standard$stat))
    at_mean <- minus2(B0) - minus2(S)
    r <- (m + 1) / (k * (m - 1)) * (bar - at_mean)
    base <- at_mean / (1 + r)
    if (!length(x)) stopifnot(isTRUE(all.equal(base, measures[["baseline.chisq"]], tolerance = 1e-6)))
    x2 <- measures[["chisq"]]; df <- measures[["df"]]
    measures[["baseline.chisq"]] <- base
    measures[["baseline.pvalue"]] <- pchisq(base, k, lower.tail = FALSE)
    measures[["cfi"]] <- 1 - max(x2 - df, 0) / max(x2 - df, base - k, 0)
    measures[["rni"]] <- 1 - (x2 - df) / (base - k)
    measures[["tli"]] <- measures[["nnfi"]] <- 1 - (x2 - df) * k / ((base - k) * df)
    measures[["rfi"]] <- (base / k - x2 / df) / (base / k)
    measures[["nfi"]] <- (base - x2) / base
    measures[["pnfi"]] <- df / k * (base - x2) / base
    measures[["ifi"]] <- (base - x2) / (base - df)
    if (length(x)) measures <- measures[!(grepl("(baseline|cfi|rni|tli|nnfi|rfi|nfi|ifi).*(scaled|robust|scaling)", names(measures)))]
  }

  tests <- list()
  add <- function(name, expr) {
    found <- try(quiet(expr), silent = TRUE)
    if (!inherits(found, "try-error")) tests[[name]] <<- as.list(under(unclass(found)))
  }
  robust <- !is.null(options$estimator) && options$estimator %in% c("MLR", "MLM", "MLMV", "MLMVS")
  for (test in c("D2", "D3")) {
    add(paste0("model_", test), lavTestLRT.mi(object, test = test, pool.robust = robust && test == "D2"))
    add(paste0("nested_", test), lavTestLRT.mi(nested, h1 = object, test = test, pool.robust = robust && test == "D2"))
  }
  if (!robust) {
    ratio <- sapply(each, function(f) f@test$standard$stat)
    ratio0 <- sapply(small, function(f) f@test$standard$stat)
    below <- do.call(rbind, data)
    stacked <- function(lines) solved(lines, below, options)@test$standard$stat / m
    d4 <- function(bar, hat, k) {
      r <- max(0, (m + 1) / (k * (m - 1)) * (bar - hat))
      f <- hat / (k * (1 + r))
      v <- k * (m - 1) * (1 + 1 / r)^2
      list(F = f, df1 = k, df2 = v, pvalue = pf(f, k, v, lower.tail = FALSE), ariv = r)
    }
    if (run %in% c("ml", "means", "observed")) {
      one <- stacked(case$model); other <- stacked(case$nested)
      df <- fit1@test$standard$df
      tests$model_D4 <- d4(mean(ratio), one, df)
      tests$nested_D4 <- d4(mean(ratio0 - ratio), other - one, small[[1]]@test$standard$df - df)
    }
  }
  wald <- as.list(under(unclass(quiet(lavTestWald.mi(object, constraints = case$wald)))))
  wald$ariv_all <- getMethod("vcov", "lavaan.mi")(object, type = "ariv")
  s$exo <- NULL
  list(case = case$id, run = run, m = m, converged = sum(sapply(object@convergence, `[[`, "converged")),
       parameters = frame_rows(s), standardized = frame_rows(standardized), measures = as.list(under(measures)),
       tests = tests, wald = wald)
}

for (case in SPEC$cases) {
  runs <- lapply(case$runs, function(run) { message(case$id, " ", run); run_case(case, run) })
  write_numbers(setNames(runs, case$runs), file.path(HERE, paste0(case$id, ".json")))
}
inputs <- c("generate.R", "cases.json", "holzinger.csv", "democracy.csv")
write_numbers(list(versions = versions(c("lavaan", "semTools", "numDeriv", "jsonlite")),
                   sha256 = as.list(setNames(sapply(file.path(HERE, inputs), sha256), inputs))),
              file.path(HERE, "manifest.json"))
