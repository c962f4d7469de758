# Writes the lavaan side of tests/reference/invariance: one <case>.json a ladder, and manifest.json.
#
#   Rscript tests/reference/invariance/generate.R            all cases
#   Rscript tests/reference/invariance/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. Each step is fitted by lavaan with std.lv = TRUE, which
# frees variances of latent variables where loadings are equal, and polished with lavaan's own gradient and information.
# Score tests are those of lavTestScore; with more than two groups all constraints of a parameter are released together.
# dMACS is its formula (Nye & Drasgow 2011), integrated numerically over the latent distribution of the second group.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "invariance")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))
STEPS <- list(configural = character(0), metric = "loadings", scalar = c("loadings", "intercepts"),
              strict = c("loadings", "intercepts", "residuals"))

# With missing = "fiml" the fit functions of the groups are sums over all rows already: lavaan's gradient has their weights, and
# common.R's slope(), which asks for them once more, would go to another point.
unweighted <- function(model, fit) {
  gradient <- lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavcache = fit@Cache, type = "free", group.weight = !fit@SampleStats@missing.flag)
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(gradient))
  list(open = open, gradient = drop(crossprod(open, gradient)),
       information = crossprod(open, information %*% open))
}
slope <- unweighted

solve_step <- function(case, equal, partial) {
  options <- case$options
  if (identical(options$missing, "fiml")) options <- c(options, list(em.h1.tol = 1e-13, em.h1.iter.max = 20000L))
  arguments <- c(list(model = paste(case$model, collapse = "\n"), data = read.csv(data_path(case$data)), group = case$group,
                      std.lv = TRUE, meanstructure = TRUE), options)
  if (length(equal)) arguments$group.equal <- equal
  if (length(partial)) arguments$group.partial <- partial
  default <- do.call("cfa", arguments)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("cfa", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  fit@baseline <- default@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  # the way lavaan handles other functions of a fit rests on whether it says that it converged
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  s <- slope(fit@Model, fit)
  list(fit = fit, gradient = size(s)$scaled)
}

# One row a parameter: all equality constraints of it released together.
score_tests <- function(fit, op) {
  table <- parTable(fit)
  constraints <- table[table$op == "==", ]
  shared <- table[table$group == 1 & table$op == op & table$plabel %in% constraints$lhs, ]
  if (op == "~~") shared <- shared[shared$lhs == shared$rhs, ]
  rows <- lapply(seq_len(nrow(shared)), function(i) {
    at <- which(constraints$lhs == shared$plabel[i])
    test <- suppressWarnings(lavTestScore(fit, release = at, univariate = FALSE))$test
    list(parameter = paste0(shared$lhs[i], shared$op[i], shared$rhs[i]), chisq = test$X2, df = test$df, pvalue = test$p.value)
  })
  do.call(rbind, lapply(rows, as.data.frame))
}

dmacs <- function(fit) {
  est <- lavInspect(fit, "est")
  stats <- lavInspect(fit, "sampstat")
  sizes <- lavInspect(fit, "nobs")
  labels <- lavInspect(fit, "group.label")
  lambda1 <- est[[1]]$lambda
  out <- list()
  for (f in colnames(lambda1)) {
    items <- rownames(lambda1)[lambda1[, f] != 0 & rowSums(lambda1 != 0) == 1]
    if (length(items) < 2) next
    r <- items[1]
    for (g in seq_along(labels)[-1]) {
      line <- function(k, i) c(est[[k]]$lambda[i, f], est[[k]]$nu[i, 1])
      one <- line(1, r); two <- line(g, r)
      b <- two[1] / one[1]; a <- (two[2] - one[2]) / one[1]
      for (i in items) {
        p <- line(1, i); q <- line(g, i); q <- c(q[1] / b, q[2] - q[1] / b * a)
        n <- sizes[c(1, g)]
        sd <- c(sqrt(stats[[1]]$cov[i, i] * n[1] / (n[1] - 1)), sqrt(stats[[g]]$cov[i, i] * n[2] / (n[2] - 1)))
        pooled <- sum((n - 1) * sd) / sum(n - 1)
        gap <- function(z) (q[2] - p[2] + (q[1] - p[1]) * (a + abs(b) * z))
        whole <- integrate(function(z) gap(z)^2 * dnorm(z), -Inf, Inf, rel.tol = 1e-12)$value
        part <- integrate(function(z) gap(z) * dnorm(z), -12, 12, rel.tol = 1e-12)$value
        out[[length(out) + 1]] <- data.frame(latent = f, item = i, group = labels[g], referent = r,
                                             dmacs = sqrt(whole) / pooled, signed = part / pooled)
      }
    }
  }
  do.call(rbind, out)
}

WANTED <- c("npar", "chisq", "df", "pvalue", "cfi", "rmsea", "srmr", "aic", "bic", "chisq.scaled", "pvalue.scaled",
            "chisq.scaling.factor", "cfi.scaled", "rmsea.scaled", "cfi.robust", "rmsea.robust")

run <- function(case) {
  steps <- list(); fits <- list()
  for (step in names(STEPS)) {
    solved <- solve_step(case, STEPS[[step]], unlist(case$partial[[step]]))
    fit <- solved$fit
    fits[[step]] <- fit
    measures <- fitMeasures(fit)
    entry <- list(gradient = solved$gradient, measures = under(as.list(measures[intersect(WANTED, names(measures))])))
    if (step != "configural") {
      op <- c(metric = "=~", scalar = "~1", strict = "~~")[[step]]
      tests <- score_tests(fit, op)
      latent <- lavNames(fit, "lv")
      if (op != "=~") tests <- tests[!sub("~.*", "", tests$parameter) %in% latent, ]
      entry$score <- tests
      before <- fits[[length(fits) - 1]]
      test <- as.data.frame(lavTestLRT(before, fit, method = if (is.null(case$options$estimator)) "default" else
                                       "satorra.bentler.2001"))[2, ]
      entry$difference <- list(chisq = test[["Chisq diff"]], df = test[["Df diff"]], pvalue = test[["Pr(>Chisq)"]])
    }
    if (step %in% c("scalar", "strict")) {
      table <- parameterEstimates(fit)
      table <- table[table$op == "~1" & table$lhs %in% lavNames(fit, "lv") & table$group > 1, ]
      label <- lavInspect(fit, "group.label")
      # effect sizes from the implied moments
      cov <- lavInspect(fit, "cov.lv"); n <- lavInspect(fit, "nobs")
      d <- mapply(function(f, g, e) e / sqrt((n[1] * cov[[1]][f, f] + n[g] * cov[[g]][f, f]) / (n[1] + n[g])),
                  table$lhs, table$group, table$est)
      entry$means <- data.frame(latent = table$lhs, group = label[table$group], est = table$est, se = table$se, z = table$z,
                                pvalue = table$pvalue, ci_lower = table$ci.lower, ci_upper = table$ci.upper, d = unname(d))
    }
    steps[[step]] <- entry
  }
  list(id = case$id, groups = as.list(setNames(lavInspect(fits[[1]], "nobs"), lavInspect(fits[[1]], "group.label"))),
       steps = steps, effects = dmacs(fits$configural))
}

chosen <- commandArgs(trailingOnly = TRUE)
if (!length(chosen)) chosen <- names(cases)
for (id in chosen) {
  message(id)
  write_numbers(run(cases[[id]]), output(id))
}
files <- c("cases.json", "generate.R", "../lavaan/common.R", paste0(names(cases), ".json"))
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "jsonlite")), sha256 = digests), file.path(OUT, "manifest.json"),
           auto_unbox = TRUE, pretty = TRUE)
