# Writes pooled.json: fits of several groups to imputed data sets, pooled by semTools, for the cases of imputation.json.
#
#   Rscript tests/reference/group_extra/imputation.R        from the checkout root
#
# Data sets, polishing and corrections are those of ../imputation/generate.R, whose functions are used; D4, which semTools
# 0.5-6 lacks, is computed from lavaan's fits to each data set and to all of them stacked.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "group_extra")
HERE <- file.path(REFERENCE, "imputation")
for (e in parse(file.path(HERE, "generate.R"))) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && is.call(e[[3]]) && identical(e[[3]][[1]], as.name("function"))) eval(e)
}
spec <- read_json(file.path(OUT, "imputation.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
RULE <- list(corprep = c(paste0("comp_", 1:3), paste0("like_", 1:3), paste0("cusl_", 1:3), "cusa"))

data_sets <- function(case) {
  found <- imputed(case$data)
  if (case$id == "corprep") found <- lapply(found, function(d) {
    d$servicetype <- read.csv(data_path("shared:corprep"))$servicetype
    d
  })
  found
}

run_groups <- function(case, run) {
  data <- data_sets(case)
  m <- length(data)
  setting <- spec$settings[[run]]
  options <- function(equal) c(as.list(setting), list(group = case$group, fixed.x = TRUE),
                               if (length(equal)) list(group.equal = equal))
  lines <- paste(case$model, collapse = "\n")
  pool <- function(equal) quiet(do.call("sem.mi", c(list(lines, data), options(equal))))
  each <- lapply(data, function(d) solved(case$model, d, options(case$equal)))
  small <- lapply(data, function(d) solved(case$model, d, options(case$nested)))
  object <- take_over(pool(case$equal), each)
  nested <- take_over(pool(case$nested), small)
  fit1 <- each[[1]]
  table <- parTable(fit1)
  s <- quiet(summary(object, output = "data.frame", fmi = TRUE, ci = TRUE, scale.W = FALSE))
  keep <- !(table$op %in% c("==", "<", ">"))
  s <- s[!(s$op %in% c("==", "<", ">")), ]
  stopifnot(nrow(s) == sum(keep), all(s$lhs == table$lhs[keep]), all(s$group == table$group[keep]))
  # standard errors of ":=": Rubin's rules on the values themselves
  squares <- sapply(object@ParTableList, function(p) p$se^2)
  values <- sapply(object@ParTableList, function(p) p$est)
  total <- (rowMeans(squares) + (1 + 1 / m) * apply(values, 1, var))[keep]
  defined <- table$op[keep] == ":="
  s$se[defined] <- sqrt(total)[defined]
  s$t[defined] <- s$est[defined] / s$se[defined]
  s$pvalue[defined] <- 2 * pt(-abs(s$t), s$df)[defined]
  crit <- qt(.975, s$df)
  s$ci.lower[defined] <- (s$est - crit * s$se)[defined]
  s$ci.upper[defined] <- (s$est + crit * s$se)[defined]

  all <- rowMeans(values)
  free <- lavaan:::lav_model_get_parameters(fit1@Model)
  free[] <- all[match(seq_along(free), table$free)]
  std_at <- function(x) {
    now <- lavaan:::lav_model_set_parameters(fit1@Model, x = x)
    est <- all
    est[table$free > 0L] <- x[table$free[table$free > 0L]]
    if (any(table$op == ":=")) est[table$op == ":="] <- now@def.function(x)
    lavaan::standardizedSolution(fit1, type = "std.all", se = FALSE, GLIST = now@GLIST, est = est)$est.std[keep]
  }
  jacobian <- numDeriv::jacobian(std_at, as.numeric(free))
  W <- Reduce(`+`, lapply(each, function(f) lavaan:::lav_object_inspect_vcov(f, add.labels = FALSE, add.class = FALSE))) / m
  B <- cov(t(sapply(each, function(f) as.numeric(lavaan:::lav_model_get_parameters(f@Model)))))
  Ws <- rowSums((jacobian %*% W) * jacobian)
  Bs <- (1 + 1 / m) * rowSums((jacobian %*% B) * jacobian)
  standardized <- data.frame(lhs = s$lhs, op = s$op, rhs = s$rhs, group = table$group[keep], est.std = std_at(as.numeric(free)),
                             se = sqrt(pmax(Ws + Bs, 0)))

  measures <- unclass(quiet(fitMeasures(object)))
  measures <- measures[setdiff(names(measures), grep("^(gammaHat|adjGammaHat|crmr|srmr_|rmr_)", names(measures), value = TRUE))]
  n <- measures[["ntotal"]]
  if (is.null(n) || is.na(n)) n <- nrow(data[[1]])
  groups <- lavInspect(fit1, "ngroups")
  if (run == "gls") n <- n - groups
  tight <- sqrt(groups) * tight_rmsea(measures[["chisq"]], measures[["df"]], n)
  measures[c("rmsea.ci.lower", "rmsea.ci.upper")] <- tight

  tests <- list()
  add <- function(name, expr) {
    found <- try(quiet(expr), silent = TRUE)
    if (!inherits(found, "try-error")) tests[[name]] <<- as.list(under(unclass(found)))
  }
  robust <- run %in% c("mlr", "mlm")
  for (test in c("D2", "D3")) {
    add(paste0("model_", test), lavTestLRT.mi(object, test = test, pool.robust = robust && test == "D2"))
    add(paste0("nested_", test), lavTestLRT.mi(nested, h1 = object, test = test, pool.robust = robust && test == "D2"))
  }
  if (run == "ml") {
    ratio <- sapply(each, function(f) f@test$standard$stat)
    ratio0 <- sapply(small, function(f) f@test$standard$stat)
    below <- do.call(rbind, data)
    stacked <- function(equal) solved(case$model, below, options(equal))@test$standard$stat / m
    d4 <- function(bar, hat, k) {
      r <- max(0, (m + 1) / (k * (m - 1)) * (bar - hat))
      f <- hat / (k * (1 + r))
      v <- k * (m - 1) * (1 + 1 / r)^2
      list(F = f, df1 = k, df2 = v, pvalue = pf(f, k, v, lower.tail = FALSE), ariv = r)
    }
    one <- stacked(case$equal)
    df <- fit1@test$standard$df
    tests$model_D4 <- d4(mean(ratio), one, df)
    tests$nested_D4 <- d4(mean(ratio0 - ratio), stacked(case$nested) - one, small[[1]]@test$standard$df - df)
  }
  wald <- as.list(under(unclass(quiet(lavTestWald.mi(object, constraints = case$wald)))))
  wald$ariv_all <- getMethod("vcov", "lavaan.mi")(object, type = "ariv")
  s$group <- table$group[keep]
  list(case = case$id, run = run, m = m, groups = I(lavInspect(fit1, "group.label")),
       parameters = frame_rows(s[, c("lhs", "op", "rhs", "group", "est", "se", "t", "df", "pvalue", "ci.lower", "ci.upper", "fmi", "riv")]),
       standardized = frame_rows(standardized), measures = as.list(under(measures)), tests = tests, wald = wald)
}

out <- list()
for (case in spec$cases) for (run in case$runs) {
  out[[paste(case$id, run, sep = "-")]] <- run_groups(case, run)
  message(case$id, " ", run)
}
write_numbers(c(list(versions = versions(c("lavaan", "semTools", "numDeriv", "jsonlite")), script = sha256(file.path(OUT, "imputation.R")),
                     cases = sha256(file.path(OUT, "imputation.json"))), out), file.path(OUT, "pooled.json"))
