# Writes the lavaan side of tests/reference/path_group: one <case>.json a comparison of paths, and manifest.json.
#
#   Rscript tests/reference/path_group/generate.R            all cases
#   Rscript tests/reference/path_group/generate.R ID ...     only these
#   Rscript tests/reference/path_group/generate.R manifest   the manifest alone
#
# from the checkout root; data and versions as in ../lavaan/generate.R. The paths have a label in each group in the free
# model, so that lavTestWald can test their equality; the restricted models have group.equal = "regressions" with all
# other paths in group.partial, and are compared by lavTestLRT. All fits are polished with lavaan's own gradient and
# information. Standardized differences and power are written out here from lavaan's implied variances and vcov.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "path_group")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

# With missing = "fiml" the fit functions of the groups are sums over all rows already: lavaan's gradient has their weights.
slope <- function(model, fit) {
  gradient <- lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavcache = fit@Cache, type = "free", group.weight = !fit@SampleStats@missing.flag)
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(gradient))
  list(open = open, gradient = drop(crossprod(open, gradient)),
       information = crossprod(open, information %*% open))
}

solve_model <- function(case, model, equal, partial) {
  options <- case$options
  if (identical(options$missing, "fiml")) options <- c(options, list(em.h1.tol = 1e-13, em.h1.iter.max = 20000L))
  arguments <- c(list(model = model, data = read.csv(data_path(case$data)), group = case$group, fixed.x = TRUE), options)
  if (length(equal)) arguments$group.equal <- equal
  if (length(partial)) arguments$group.partial <- partial
  default <- do.call("sem", arguments)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  fit@baseline <- default@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  s <- slope(fit@Model, fit)
  list(fit = fit, gradient = size(s)$scaled)
}

run <- function(case) {
  text <- paste(case$model, collapse = "\n")
  rows <- lavaanify(text)
  rows <- rows[rows$op == "~", ]
  paths <- paste0(rows$lhs, "~", rows$rhs)
  wanted <- if (is.null(case$paths)) paths else unlist(case$paths)
  groups <- length(unique(na.omit(read.csv(data_path(case$data))[[case$group]])))
  # the measurement part as given, the paths with one label a group
  lines <- case$model[!grepl("[^=]~[^~]", case$model)]
  label <- function(path, g) paste0("b", match(path, paths), "_", g)
  labelled <- vapply(paths, function(p) {
    side <- strsplit(p, "~")[[1]]
    sprintf("%s ~ c(%s)*%s", side[1], paste(label(p, seq_len(groups)), collapse = ","), side[2])
  }, "")
  partial <- unlist(case$partial)
  free <- solve_model(case, paste(c(lines, labelled), collapse = "\n"), "loadings", partial)
  fit <- free$fit
  equations <- function(some) unlist(lapply(some, function(p) paste(label(p, 1), "==", label(p, 2:groups))))
  scaled <- !is.null(case$options$estimator)
  test <- function(some) {
    wald <- lavTestWald(fit, paste(equations(some), collapse = "\n"))
    restricted <- solve_model(case, text, c("loadings", "regressions"), c(partial, setdiff(paths, some)))
    lrt <- as.data.frame(lavTestLRT(fit, restricted$fit, method = if (scaled) "satorra.bentler.2001" else "default"))[2, ]
    list(gradient = restricted$gradient, df = wald$df, wald = wald$stat, wald_pvalue = wald$p.value,
         chisq_diff = lrt[["Chisq diff"]], df_diff = lrt[["Df diff"]], pvalue_diff = lrt[["Pr(>Chisq)"]])
  }
  implied <- lavInspect(fit, "cov.all"); n <- lavInspect(fit, "nobs"); names_of <- lavInspect(fit, "group.label")
  est <- coef(fit); covariance <- vcov(fit)
  differences <- list()
  for (p in wanted) for (g in 2:groups) {
    a <- label(p, 1); b <- label(p, g)
    d <- unname(est[b] - est[a])
    se <- sqrt(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b])
    pooled <- function(v) (n[1] * implied[[1]][v, v] + n[g] * implied[[g]][v, v]) / (n[1] + n[g])
    side <- strsplit(p, "~")[[1]]
    unit <- sqrt(pooled(side[1]) / pooled(side[2]))
    power <- function(size) pchisq(qchisq(.95, 1), 1, ncp = (size * unit / se)^2, lower.tail = FALSE)
    detectable <- uniroot(function(x) power(x) - 0.8, c(1e-6, 50), tol = 1e-13)$root
    differences[[length(differences) + 1]] <- data.frame(
      path = p, group = as.character(names_of[g]), est = d, se = se, z = d / se, pvalue = 2 * pnorm(-abs(d / se)),
      ci_lower = d - qnorm(.975) * se, ci_upper = d + qnorm(.975) * se, std = d / unit, power = power(0.2),
      detectable = detectable)
  }
  tests <- do.call(rbind, lapply(wanted, function(p) as.data.frame(c(list(path = p), test(p)))))
  tests$wald_adjusted <- p.adjust(tests$wald_pvalue, "holm")
  tests$diff_adjusted <- p.adjust(tests$pvalue_diff, "holm")
  differences <- do.call(rbind, differences)
  differences$p_adjusted <- p.adjust(differences$pvalue, "holm")
  loose <- solve_model(case, paste(c(lines, labelled), collapse = "\n"), character(0), character(0))
  lrt <- as.data.frame(lavTestLRT(loose$fit, fit, method = if (scaled) "satorra.bentler.2001" else "default"))[2, ]
  list(id = case$id, gradient = free$gradient, groups = as.list(setNames(n, names_of)), omnibus = test(wanted),
       tests = tests, differences = differences,
       loadings = list(chisq = lrt[["Chisq diff"]], df = lrt[["Df diff"]], pvalue = lrt[["Pr(>Chisq)"]]))
}

chosen <- commandArgs(trailingOnly = TRUE)
if (!length(chosen)) chosen <- names(cases)
for (id in setdiff(chosen, "manifest")) {
  message(id)
  write_numbers(run(cases[[id]]), output(id))
}
files <- c("cases.json", "generate.R", "../lavaan/common.R", paste0(names(cases), ".json"))
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "jsonlite")), sha256 = digests), file.path(OUT, "manifest.json"),
           auto_unbox = TRUE, pretty = TRUE)
