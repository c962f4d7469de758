# Writes the lavaan side of tests/reference/invariance_ordinal: one <case>.json with all its settings, and manifest.json.
#
#   Rscript tests/reference/invariance_ordinal/generate.R            all cases
#   Rscript tests/reference/invariance_ordinal/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. The model of each step is written by semTools
# (measEq.syntax, ID.cat = "Wu.Estabrook.2016"), fitted by lavaan and polished with lavaan's own gradient and information. Items
# with two categories are exempt from equal thresholds and loadings (group.partial) before the scalar step. The strict step is
# one of the theta parameterization, which semTools demands. Difference tests are those of lavTestLRT, uncorrected score tests
# those of lavTestScore. The generalized score test is computed here from lavaan's gradient, information, weight and Gamma, by
# the formula of Boos (1992, equation 11): with A the released constraints, N u'I^-1 A'(A I^-1 B I^-1 A')^-1 A I^-1 u. dMACS is
# its definition, integrated numerically.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "invariance_ordinal")
source(file.path(REFERENCE, "polychoric", "every_row.R"))
every_row(TRUE)
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))
STEPS <- list(configural = "", thresholds = "thresholds", metric = c("thresholds", "loadings"),
              scalar = c("thresholds", "loadings", "intercepts"),
              strict = c("thresholds", "loadings", "intercepts", "residuals"))

data_of <- function(case) {
  frame <- read.csv(data_path(case$data))
  if (!is.null(case$rule)) frame[[case$group]] <- letters[(seq_len(nrow(frame)) * 7) %% case$rule + 1]
  if (length(case$cuts)) for (name in case$ordered) frame[[name]] <- findInterval(frame[[name]], case$cuts) + 1
  for (name in case$collapse) frame[[name]] <- findInterval(frame[[name]], c(2.5, 3.5, 5.5)) + 1
  frame
}

# The text of a step. Values that are fixed but equal become parameters with a constraint if `tests`, to be released.
text_of <- function(case, frame, step, parameterization, tests = FALSE) {
  equal <- STEPS[[step]]
  binary <- Filter(function(x) length(unique(na.omit(frame[[x]]))) == 2, case$ordered)
  arguments <- list(configural.model = paste(case$model, collapse = "\n"), data = frame, ordered = case$ordered,
                    parameterization = if (step == "strict") "theta" else parameterization, ID.fac = "std.lv",
                    ID.cat = "Wu.Estabrook.2016", group = case$group, group.equal = equal)
  if (length(binary) && step %in% c("thresholds", "metric")) {
    table <- lavaanify(arguments$configural.model)
    loadings <- table[table$op == "=~" & table$rhs %in% binary, ]
    arguments$group.partial <- c(paste0(binary, "|t1"), if (step == "metric") paste0(loadings$lhs, "=~", loadings$rhs))
  }
  # released equalities; all thresholds of an item are released together
  at <- seq_len(match(step, names(STEPS)))
  released <- unlist(case$partial[names(STEPS)[at]])
  arguments$group.partial <- c(arguments$group.partial, released)
  text <- strsplit(as.character(suppressWarnings(do.call(measEq.syntax, arguments))), "\n")[[1]]
  text <- text[nzchar(text) & !grepl("^##", text)]
  numeric <- setdiff(lavNames(lavaanify(arguments$configural.model), "ov"), case$ordered)
  for (name in numeric) text <- text[!startsWith(text, paste0(name, " ~*~"))]
  if (tests && step %in% c("scalar", "strict")) {
    groups <- length(unique(frame[[case$group]]))
    for (name in case$ordered) {
      at <- startsWith(text, paste0(name, if (step == "scalar") " ~ " else " ~~ "))
      at <- at & endsWith(text, if (step == "scalar") "*1" else paste0("*", name))
      stopifnot(sum(at) == 1)
      # released, or but a choice of scale where thresholds are
      if (grepl("NA", text[at], fixed = TRUE) || paste0(name, "|t1") %in% released) next
      value <- if (step == "scalar") 0 else 1
      own <- paste0("free_", name, "_", seq_len(groups))
      what <- if (step == "scalar") "1" else name
      op <- if (step == "scalar") "~" else "~~"
      text[at] <- sprintf("%s %s c(%s)*%s + c(%s)*%s", name, op, paste(c(value, rep("NA", groups - 1)), collapse = ", "), what,
                          paste(own, collapse = ", "), what)
      text <- c(text, sprintf("%s == %s", own[-1], value))
    }
  }
  paste(text, collapse = "\n")
}

fit_text <- function(case, frame, text, setting, step, ...) {
  options <- as.list(setting)
  if (step == "strict") options$parameterization <- "theta"
  suppressWarnings(do.call("lavaan", c(list(model = text, data = frame, group = case$group, ordered = case$ordered,
                                            auto.fix.first = FALSE, auto.var = TRUE, auto.cov.lv.x = TRUE, auto.th = TRUE,
                                            auto.delta = TRUE, int.ov.free = TRUE, int.lv.free = FALSE), options, list(...))))
}

solve_step <- function(case, frame, setting, step) {
  text <- text_of(case, frame, step, setting$parameterization)
  default <- fit_text(case, frame, text, setting, step)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- fit_text(case, frame, text, setting, step, start = start, optim.method = "none", check.start = FALSE)
  fit@baseline <- default@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-10 * max(1, abs(best)))
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  list(fit = fit, gradient = size(slope(fit@Model, fit))$scaled)
}

# The same point in a model whose fixed values are constraints.
with_constraints <- function(case, frame, setting, step, fit) {
  text <- text_of(case, frame, step, setting$parameterization, tests = TRUE)
  known <- parTable(fit)
  # labels and constraints differ; all rows of parameters are there
  blank <- fit_text(case, frame, text, setting, step, do.fit = FALSE)
  table <- parTable(blank)
  key <- function(t) paste(t$lhs, t$op, t$rhs, t$group)
  rows <- !table$op %in% c("==", ":=")
  table$est[rows] <- known$est[match(key(table[rows, ]), key(known))]
  stopifnot(!anyNA(table$est[rows]))
  out <- fit_text(case, frame, text, setting, step, start = table, optim.method = "none", check.start = FALSE)
  out@optim$converged <- TRUE
  out@Options$optim.method <- "nlminb"
  out
}

constraints_of <- function(fit, case, step) {
  table <- parTable(fit)
  rows <- table[table$op == "==", ]
  kind <- c(thresholds = "|", metric = "=~", scalar = "~1", strict = "~~")[[step]]
  sides <- table[!table$op %in% c("==", ":=") & table$op == kind, ]
  found <- list()
  for (i in seq_len(nrow(rows))) {
    at <- which(sides$plabel == rows$lhs[i] | (nzchar(sides$label) & sides$label == rows$lhs[i]))
    if (!length(at)) next
    row <- sides[at[1], ]
    if (row$lhs %in% lavNames(fit, "lv") && kind != "=~") next
    if (kind == "~~" && row$lhs != row$rhs) next
    name <- if (kind == "|") row$lhs else paste0(row$lhs, row$op, row$rhs)
    found[[name]] <- c(found[[name]], i)
    names(found[[name]])[length(found[[name]])] <- row$rhs
  }
  if (kind == "|") {
    # two thresholds are absorbed by intercept and scale
    found <- lapply(found, function(at) at[!names(at) %in% c("t1", "t2")])
    found <- Filter(length, found)
    count <- table(table$lhs[table$op == "|" & table$group == 1])
    if (length(found)) names(found) <- paste0(names(found), "|t1-t", count[names(found)])
  }
  # the loading of an item with two categories cannot be told from its threshold and scale
  binary <- names(which(table(table$lhs[table$op == "|" & table$group == 1]) == 1))
  if (kind == "=~") found <- found[!sub(".*=~", "", names(found)) %in% binary]
  found
}

score_tests <- function(fit, found) {
  r <- fit@Model@con.jac
  r <- r[seq_len(nrow(r)), , drop = FALSE]
  g <- -lavaan:::lav_model_gradient(lavmodel = fit@Model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                    lavcache = fit@Cache, type = "free")
  i <- lavaan:::lav_model_information_expected(lavmodel = fit@Model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                               lavoptions = fit@Options, lavcache = fit@Cache)
  delta <- lavaan:::computeDelta(fit@Model)
  n <- fit@SampleStats@ntotal
  b <- 0
  for (k in seq_along(delta)) {
    w <- diag(fit@SampleStats@WLS.VD[[k]])
    half <- w %*% delta[[k]]
    b <- b + fit@SampleStats@nobs[[k]] / n * t(half) %*% fit@SampleStats@NACOV[[k]] %*% half
  }
  rows <- lapply(names(found), function(name) {
    at <- unname(found[[name]])
    kept <- r[-at, , drop = FALSE]
    k0 <- if (nrow(kept)) MASS::Null(t(kept)) else diag(ncol(r))
    u <- t(k0) %*% g
    inverse <- solve(t(k0) %*% i %*% k0)
    a <- r[at, , drop = FALSE] %*% k0
    middle <- a %*% inverse %*% t(k0) %*% b %*% k0 %*% inverse %*% t(a)
    h <- a %*% inverse %*% u
    x2 <- n * drop(t(h) %*% solve(middle) %*% h)
    plain <- suppressWarnings(lavTestScore(fit, release = at, univariate = FALSE))$test
    data.frame(parameter = name, chisq = x2, df = length(at), pvalue = pchisq(x2, length(at), lower.tail = FALSE),
               plain = plain$X2, plain_df = plain$df)
  })
  do.call(rbind, rows)
}

# Expected answers of two groups over the latent distribution of the second; the first item links the scales.
dmacs <- function(fit, ordered) {
  est <- lavInspect(fit, "est"); n <- lavInspect(fit, "nobs"); labels <- lavInspect(fit, "group.label")
  lambda1 <- est[[1]]$lambda
  raw <- split(as.data.frame(do.call(rbind, lavInspect(fit, "data"))), rep(labels, n))[labels]
  curve <- function(g, i, f) {
    loading <- est[[g]]$lambda[i, f]
    if (!i %in% ordered) return(list(slope = loading, cuts = -est[[g]]$nu[i, 1], cdf = identity))
    sd <- sqrt(est[[g]]$theta[i, i])
    cuts <- est[[g]]$tau[sub("\\|.*", "", rownames(est[[g]]$tau)) == i, 1]
    list(slope = loading / sd, cuts = unname(cuts) / sd, cdf = pnorm)
  }
  out <- list()
  for (f in colnames(lambda1)) {
    items <- rownames(lambda1)[lambda1[, f] != 0 & rowSums(lambda1 != 0) == 1]
    if (length(items) < 2) next
    for (g in seq_along(labels)[-1]) {
      one <- curve(1, items[1], f); two <- curve(g, items[1], f)
      spread <- two$slope / one$slope
      mean <- (base::mean(one$cuts) - base::mean(two$cuts)) / one$slope
      for (i in items) {
        a <- curve(1, i, f); b <- curve(g, i, f)
        gap <- function(eta) vapply(eta, function(e) sum(b$cdf(b$slope * (e - mean) / spread - b$cuts)) -
                                                       sum(a$cdf(a$slope * e - a$cuts)), 0)
        over <- function(h) integrate(function(e) h(e) * dnorm(e, mean, abs(spread)), mean - 10 * abs(spread),
                                      mean + 10 * abs(spread), rel.tol = 1e-11, subdivisions = 2000L)$value
        # pairwise: the size of the group counts, not the number of answers
        sds <- vapply(c(1, g), function(k) {
          x <- na.omit(raw[[k]][[i]])
          sqrt(base::mean((x - base::mean(x))^2) * n[k] / (n[k] - 1))
        }, 0)
        pooled <- weighted.mean(sds, c(n[1], n[g]) - 1)
        out[[length(out) + 1]] <- data.frame(latent = f, item = i, group = labels[g], referent = items[1],
                                             dmacs = sqrt(over(function(e) gap(e)^2)) / pooled, signed = over(gap) / pooled)
      }
    }
  }
  do.call(rbind, out)
}

WANTED <- c("npar", "chisq", "df", "pvalue", "chisq.scaled", "pvalue.scaled", "chisq.scaling.factor", "cfi.scaled",
            "rmsea.scaled", "srmr")

run <- function(case, setting) {
  frame <- data_of(case)
  steps <- list(); fits <- list()
  for (step in names(STEPS)) {
    solved <- solve_step(case, frame, setting, step)
    fit <- solved$fit
    fits[[step]] <- fit
    measures <- suppressWarnings(fitMeasures(fit))
    entry <- list(gradient = solved$gradient, measures = under(as.list(measures[intersect(WANTED, names(measures))])))
    if (step != "configural") {
      before <- fits[[length(fits) - 1]]
      if (measures[["df"]] > suppressWarnings(fitMeasures(before, "df"))[[1]]) {
        test <- suppressWarnings(as.data.frame(lavTestLRT(before, fit)))[2, ]
        entry$difference <- list(chisq = test[["Chisq diff"]], df = test[["Df diff"]], pvalue = test[["Pr(>Chisq)"]])
      }
      open <- if (step %in% c("scalar", "strict")) with_constraints(case, frame, setting, step, fit) else fit
      found <- constraints_of(open, case, step)
      if (length(found)) entry$score <- score_tests(open, found)
    }
    if (step %in% c("metric", "scalar") || (step == "strict" && setting$parameterization == "theta")) {
      table <- parameterEstimates(fit, remove.nonfree = TRUE, remove.eq = TRUE, remove.system.eq = TRUE)
      table <- table[!table$op %in% c("==", ":="), ]
      entry$free <- list(lhs = table$lhs, op = table$op, rhs = table$rhs, group = table$group, est = table$est, se = table$se)
    }
    if (step == "scalar") {
      table <- parameterEstimates(fit)
      table <- table[table$op == "~1" & table$lhs %in% lavNames(fit, "lv") & table$group > 1, ]
      label <- lavInspect(fit, "group.label")
      cov <- lavInspect(fit, "cov.lv"); n <- lavInspect(fit, "nobs")
      d <- mapply(function(f, g, e) e / sqrt((n[1] * cov[[1]][f, f] + n[g] * cov[[g]][f, f]) / (n[1] + n[g])),
                  table$lhs, table$group, table$est)
      entry$means <- data.frame(latent = table$lhs, group = label[table$group], est = table$est, se = table$se, z = table$z,
                                pvalue = table$pvalue, ci_lower = table$ci.lower, ci_upper = table$ci.upper, d = unname(d))
    }
    if (step == "metric" && fit@Model@eq.constraints) {
      every <- suppressWarnings(lavTestScore(fit))
      key <- parTable(fit); key <- setNames(paste0(key$lhs, key$op, key$rhs, ifelse(key$group == 1, "", paste0(".g", key$group))),
                                            key$plabel)
      entry$every <- list(chisq = every$test$X2, df = every$test$df,
                          single = data.frame(lhs = unname(key[every$uni$lhs]), rhs = unname(key[every$uni$rhs]), chisq = every$uni$X2))
      index <- suppressWarnings(modindices(fit))
      index <- index[index$mi > 1e-6, ]
      entry$indices <- list(lhs = index$lhs, op = index$op, rhs = index$rhs, group = index$group, mi = index$mi, epc = index$epc,
                            sepc_all = index$sepc.all)
    }
    steps[[step]] <- entry
  }
  list(groups = as.list(setNames(lavInspect(fits[[1]], "nobs"), lavInspect(fits[[1]], "group.label"))), steps = steps,
       effects = dmacs(fits$configural, case$ordered))
}

chosen <- commandArgs(trailingOnly = TRUE)
if (!length(chosen)) chosen <- names(cases)
for (id in chosen) {
  out <- list()
  for (name in cases[[id]]$settings) {
    message(id, " ", name)
    out[[name]] <- run(cases[[id]], spec$settings[[name]])
    message(paste(sprintf("%s %.1e", names(out[[name]]$steps), vapply(out[[name]]$steps, function(s) s$gradient, 0)), collapse = ", "))
  }
  write_numbers(out, output(id))
}
made <- names(cases)[file.exists(vapply(names(cases), output, ""))]
files <- c("cases.json", "generate.R", "../lavaan/common.R", "../polychoric/every_row.R", paste0(made, ".json"))
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "semTools", "jsonlite")), sha256 = digests), file.path(OUT, "manifest.json"),
           auto_unbox = TRUE, pretty = TRUE)
