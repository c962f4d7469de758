# Writes the lavaan side of tests/reference/claim: one <case>.json a claim on groups, and manifest.json.
#
#   Rscript tests/reference/claim/generate.R            all cases
#   Rscript tests/reference/claim/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. One joint model of two groups with equal loadings
# and intercepts (partial ones free), variance 1 and mean 0 in the group that is not the level, which stands first. Total,
# direct and indirect differences are defined parameters (:=), written out from labels of slopes, intercepts and variances:
# with equal slopes, and with slopes of each group. The two models are compared by lavTestLRT and lavTestWald.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "claim")
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

solve_model <- function(case, model, data) {
  options <- case$options
  if (identical(options$missing, "fiml")) options <- c(options, list(em.h1.tol = 1e-13, em.h1.iter.max = 20000L))
  arguments <- c(list(model = model, data = data, group = case$group, meanstructure = TRUE, std.lv = TRUE,
                      group.equal = c("loadings", "intercepts")), options)
  if (length(case$partial)) arguments$group.partial <- unlist(case$partial)
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

sum_of <- function(terms) if (length(terms)) paste(terms, collapse = " + ") else "0"

# Labels: b_Y_X_g slopes, i_Y_g intercepts and means, v_Y_g (residual) variances, r_X_Z_1 covariances of the first group.
model_text <- function(case, equal) {
  latents <- names(case$latents)
  paths <- case$paths
  group <- function(stem) paste0("c(", stem, "_1,", stem, if (equal) "_1)" else "_2)")
  lines <- vapply(latents, function(f) paste(f, "=~", paste(case$latents[[f]], collapse = " + ")), "")
  for (y in names(paths)) for (x in paths[[y]]) lines <- c(lines, sprintf("%s ~ %s*%s", y, group(paste("b", y, x, sep = "_")), x))
  for (f in latents) lines <- c(lines,
    sprintf("%s ~ c(0,NA)*1 + c(i_%s_1,i_%s_2)*1", f, f, f),
    sprintf("%s ~~ c(1,NA)*%s + c(v_%s_1,v_%s_2)*%s", f, f, f, f, f))
  for (pair in case$covary) {
    side <- strsplit(pair, " ~~ ")[[1]]
    lines <- c(lines, sprintf("%s ~~ c(r_%s_%s_1,r_%s_%s_2)*%s", side[1], side[1], side[2], side[1], side[2], side[2]))
  }
  c(lines, definitions(case, equal))
}

definitions <- function(case, equal) {
  latents <- names(case$latents); paths <- case$paths
  predictors <- function(f) paths[[f]]
  b <- function(y, x, g) paste("b", y, x, if (equal) 1 else g, sep = "_")
  # latent variables after what predicts them
  order_of <- character(0)
  while (length(order_of) < length(latents))
    for (f in setdiff(latents, order_of)) if (all(predictors(f) %in% order_of)) order_of <- c(order_of, f)
  lines <- character(0)
  for (g in 1:2) for (f in order_of) {
    terms <- c(paste("i", f, g, sep = "_"), vapply(predictors(f), function(x) paste0(b(f, x, g), "*m_", x, "_", g), ""))
    lines <- c(lines, sprintf("m_%s_%d := %s", f, g, sum_of(terms)))
  }
  # covariances in the first group; residuals of predictors do not covary in these models
  covariance <- function(x, z) {
    if (x == z) return(paste0("s_", x))
    later <- if (match(x, order_of) > match(z, order_of)) c(x, z) else c(z, x)
    if (length(predictors(later[1])))
      return(sum_of(vapply(predictors(later[1]), function(p) paste0(b(later[1], p, 1), "*(", covariance(p, later[2]), ")"), "")))
    pair <- c(paste(x, "~~", z), paste(z, "~~", x))
    found <- pair[pair %in% unlist(case$covary)]
    if (!length(found)) return("0")
    paste0("r_", sub(" ~~ ", "_", found), "_1")
  }
  for (f in order_of) {
    terms <- paste0("v_", f, "_1")
    for (x in predictors(f)) for (z in predictors(f))
      terms <- c(terms, paste0(b(f, x, 1), "*", b(f, z, 1), "*(", covariance(x, z), ")"))
    lines <- c(lines, sprintf("s_%s := %s", f, sum_of(terms)))
  }
  n <- case$shares
  for (y in case$outcomes) {
    unit <- sprintf("/sqrt(s_%s)", y)
    lines <- c(lines, sprintf("total_%s := (m_%s_2 - m_%s_1)%s", y, y, y, unit))
    own <- predictors(y)
    if (!length(own)) next
    through <- vapply(own, function(x) sprintf("(%s*%s + %s*%s)*(m_%s_2 - m_%s_1)", format(n[1], digits = 17), b(y, x, 2),
                                                format(n[2], digits = 17), b(y, x, 1), x, x), "")
    lines <- c(lines, sprintf("indirect_%s_%s := (%s)%s", y, own, through, unit),
               sprintf("direct_%s := (m_%s_2 - m_%s_1 - (%s))%s", y, y, y, sum_of(through), unit))
    if (length(own) > 1) lines <- c(lines, sprintf("indirect_%s := (%s)%s", y, sum_of(through), unit))
    if (!equal) for (g in 1:2) {
      at <- vapply(own, function(x) sprintf("(%s - %s)*m_%s_%d", b(y, x, 2), b(y, x, 1), x, g), "")
      lines <- c(lines, sprintf("direct_%s_at_%d := (i_%s_2 - i_%s_1 + %s)%s", y, g, y, y, sum_of(at), unit))
    }
  }
  # fixed parameters have no place in definitions
  for (f in latents) {
    lines <- gsub(sprintf("\\bi_%s_1\\b", f), "0", lines)
    lines <- gsub(sprintf("\\bv_%s_1\\b", f), "1", lines)
  }
  lines
}

effects <- function(case, fit) {
  table <- parameterEstimates(fit)
  table <- table[table$op == ":=" & grepl("^(total|direct|indirect)_", table$lhs), ]
  data.frame(name = table$lhs, est = table$est, se = table$se, z = table$z, pvalue = table$pvalue,
             ci_lower = table$ci.lower, ci_upper = table$ci.upper)
}

run <- function(case) {
  data <- read.csv(data_path(case$data))
  data <- data[!is.na(data[[case$group]]), ]
  data <- data[order(data[[case$group]] == case$level), ]
  used <- if (identical(case$options$missing, "fiml")) data else data[complete.cases(data[unlist(case$latents)]), ]
  last <- used[[case$group]] == case$level
  if (identical(case$options$missing, "fiml")) last <- last[rowSums(!is.na(used[unlist(case$latents)])) > 0]
  case$shares <- c(mean(!last), mean(last))
  equal <- solve_model(case, paste(model_text(case, TRUE), collapse = "\n"), data)
  free <- solve_model(case, paste(model_text(case, FALSE), collapse = "\n"), data)
  method <- if (is.null(case$options$estimator)) "default" else "satorra.bentler.2001"
  lrt <- as.data.frame(lavTestLRT(free$fit, equal$fit, method = method))[2, ]
  labels <- unlist(lapply(names(case$paths), function(y) paste("b", y, case$paths[[y]], sep = "_")))
  wald <- lavTestWald(free$fit, paste(sprintf("%s_1 == %s_2", labels, labels), collapse = "\n"))
  est <- coef(free$fit); covariance <- vcov(free$fit)
  slopes <- do.call(rbind, lapply(labels, function(l) {
    a <- paste0(l, "_1"); b <- paste0(l, "_2"); d <- unname(est[b] - est[a])
    se <- sqrt(covariance[a, a] + covariance[b, b] - 2 * covariance[a, b])
    data.frame(path = sub("^b_([^_]*)_(.*)$", "\\1~\\2", l), first = unname(est[a]), second = unname(est[b]), est = d, se = se,
               z = d / se, pvalue = 2 * pnorm(-abs(d / se)), ci_lower = d - qnorm(.975) * se, ci_upper = d + qnorm(.975) * se)
  }))
  list(id = case$id, groups = as.list(setNames(lavInspect(free$fit, "nobs"), lavInspect(free$fit, "group.label"))),
       gradient = list(equal = equal$gradient, free = free$gradient),
       test = list(chisq = lrt[["Chisq diff"]], df = lrt[["Df diff"]], pvalue = lrt[["Pr(>Chisq)"]], wald = wald$stat,
                   wald_pvalue = wald$p.value),
       slopes = slopes, equal = effects(case, equal$fit), free = effects(case, free$fit))
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
