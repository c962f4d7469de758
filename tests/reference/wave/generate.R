# Writes the lavaan side of tests/reference/wave: one <case>.json a ladder over waves, and manifest.json.
#
#   Rscript tests/reference/wave/generate.R            all cases
#   Rscript tests/reference/wave/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. The model of all waves is written here in lavaan syntax,
# with labels for what is equal, fitted with std.lv = TRUE and polished with lavaan's own gradient and information. Score tests
# are those of lavTestScore with all equalities of a parameter released together. Where a case says so, the models of
# semTools::measEq.syntax are fitted beside (`semtools`): another hand that wrote the same equalities. dMACS is its formula
# (Nye & Drasgow 2011), integrated numerically over the latent distribution of the later wave.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "wave")
# lists and named lists must stay apart: c("y1", "y5") is one vector, {"y1": "y5"} a list
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
fits <- setNames(spec$fits, vapply(spec$fits, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))
STEPS <- list(configural = character(0), metric = "loadings", scalar = c("loadings", "intercepts"),
              strict = c("loadings", "intercepts", "residuals"))

# Names of latent variables and items in each wave, and all rows of the model: lhs, op, rhs, value (NA: free).
spread <- function(case) {
  rows <- lavParseModelString(paste(case$model, collapse = "\n"), as.data.frame. = TRUE)
  rows <- data.frame(lhs = rows$lhs, op = rows$op, rhs = rows$rhs, value = suppressWarnings(as.numeric(rows$fixed)))
  waves <- case$waves
  if (all(unlist(waves) %in% rows$lhs[rows$op == "=~"])) {
    latents <- waves
    items <- list(); members <- list()
    for (f in names(latents)) {
      sets <- lapply(latents[[f]], function(l) rows$rhs[rows$op == "=~" & rows$lhs == l])
      members[[f]] <- sets[[1]]
      for (k in seq_along(sets[[1]])) items[[sets[[1]][k]]] <- vapply(sets, function(s) s[k], "")
    }
    return(list(rows = rows, latents = latents, items = items, members = members))
  }
  own <- unique(rows$lhs[rows$op == "=~"])
  asked <- unique(rows$rhs[rows$op == "=~"])
  columns <- lapply(waves, function(w) {
    if (is.list(w)) return(unlist(w)[asked])
    if (length(w) == 1L) return(setNames(paste0(asked, w), asked))
    setNames(w, asked)
  })
  factors <- lapply(names(waves), function(w) {
    rule <- waves[[w]]
    setNames(if (!is.list(rule) && length(rule) == 1L) paste0(own, rule) else paste0(own, "_", w), own)
  })
  all <- do.call(rbind, lapply(seq_along(waves), function(w) {
    here <- c(columns[[w]], factors[[w]])
    data.frame(lhs = here[rows$lhs], op = rows$op, rhs = here[rows$rhs], value = rows$value)
  }))
  list(rows = all,
       latents = setNames(lapply(own, function(f) vapply(factors, function(w) w[[f]], "")), own),
       items = setNames(lapply(asked, function(i) unname(vapply(columns, function(w) w[[i]], ""))), asked),
       members = setNames(lapply(own, function(f) rows$rhs[rows$op == "=~" & rows$lhs == f]), own))
}

# What a kind of equality makes one parameter: name, and lhs op rhs in each wave.
shared <- function(model, kind) {
  out <- list()
  single <- unlist(model$members[lengths(model$members) == 1L])
  fixed <- with(model$rows[!is.na(model$rows$value), ], paste0(lhs, op, rhs))
  if (kind == "loadings") {
    for (f in names(model$members)) for (i in model$members[[f]])
      out[[paste0(f, "=~", i)]] <- paste0(model$latents[[f]], "=~", model$items[[i]])
  } else for (i in names(model$items)) {
    if (kind == "intercepts") out[[paste0(i, "~1")]] <- paste0(model$items[[i]], "~1")
    if (kind == "residuals" && !i %in% single)
      out[[paste0(i, "~~", i)]] <- paste0(model$items[[i]], "~~", model$items[[i]])
  }
  Filter(function(rows) !any(rows %in% fixed), out)
}

write_model <- function(model, kinds, partial, correlated) {
  label <- character(0)
  for (kind in kinds) {
    tied <- shared(model, kind)
    tied <- tied[!names(tied) %in% partial]
    for (k in seq_along(tied)) label[tied[[k]]] <- paste0(substr(kind, 1, 1), k)
  }
  r <- model$rows
  key <- paste0(r$lhs, r$op, r$rhs)
  lines <- paste(r$lhs, r$op, ifelse(!is.na(r$value), paste0(r$value, "*"),
                                     ifelse(key %in% names(label), paste0(label[key], "*"), "")), r$rhs)
  rest <- label[!names(label) %in% key]
  for (name in names(rest)) {
    part <- strsplit(name, "~1$|~~")[[1]]
    lines <- c(lines, if (endsWith(name, "~1")) paste0(part[1], " ~ ", rest[[name]], "*1")
                      else paste0(part[1], " ~~ ", rest[[name]], "*", part[1]))
  }
  if (correlated) {
    single <- unlist(model$members[lengths(model$members) == 1L])
    for (i in setdiff(names(model$items), single)) {
      pairs <- combn(model$items[[i]], 2)
      for (k in seq_len(ncol(pairs))) {
        p <- pairs[, k]
        if (!any(r$op == "~~" & ((r$lhs == p[1] & r$rhs == p[2]) | (r$lhs == p[2] & r$rhs == p[1]))))
          lines <- c(lines, paste(p[1], "~~", p[2]))
      }
    }
  }
  for (names in model$latents) for (later in names[-1]) {
    if ("loadings" %in% kinds) lines <- c(lines, paste0(later, " ~~ NA*", later))
    if ("intercepts" %in% kinds) lines <- c(lines, paste0(later, " ~ NA*1"))
  }
  lines
}

options_of <- function(case) {
  options <- case$options
  if (identical(options$missing, "fiml")) options <- c(options, list(em.h1.tol = 1e-13, em.h1.iter.max = 20000L))
  options
}

solve_text <- function(case, text, std.lv = TRUE) {
  arguments <- c(list(model = text, data = read.csv(data_path(case$data)), std.lv = std.lv, meanstructure = TRUE), options_of(case))
  default <- suppressWarnings(do.call("sem", arguments))
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- suppressWarnings(do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE))))
  fit@baseline <- default@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  # the way lavaan handles other functions of a fit rests on whether it says that it converged
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  list(fit = fit, default = default, gradient = size(slope(fit@Model, fit))$scaled)
}

score_tests <- function(fit, model, kind, partial) {
  table <- parTable(fit)
  constraints <- table[table$op == "==", ]
  key <- paste0(table$lhs, table$op, table$rhs)
  tied <- shared(model, kind)
  tied <- tied[!names(tied) %in% partial]
  rows <- lapply(names(tied), function(name) {
    labels <- table$plabel[match(tied[[name]], key)]
    at <- which(constraints$lhs %in% labels)
    stopifnot(length(at) == length(labels) - 1L)
    test <- suppressWarnings(lavTestScore(fit, release = at, univariate = FALSE))$test
    data.frame(parameter = name, chisq = test$X2, df = test$df, pvalue = test$p.value)
  })
  do.call(rbind, rows)
}

dmacs <- function(fit, model, labels) {
  est <- lavInspect(fit, "est")
  stats <- lavInspect(fit, "sampstat")
  n <- lavInspect(fit, "nobs")
  out <- list()
  for (f in names(model$members)) {
    use <- Filter(function(i) sum(unlist(model$members) == i) == 1L, model$members[[f]])
    if (length(use) < 2) next
    line <- function(w, i) c(est$lambda[model$items[[i]][w], model$latents[[f]][w]], est$nu[model$items[[i]][w], 1])
    for (w in seq_along(labels)[-1]) {
      one <- line(1, use[1]); two <- line(w, use[1])
      b <- two[1] / one[1]; a <- (two[2] - one[2]) / one[1]
      for (i in use) {
        p <- line(1, i); q <- line(w, i); q <- c(q[1] / b, q[2] - q[1] / b * a)
        both <- model$items[[i]][c(1, w)]
        pooled <- mean(sqrt(diag(stats$cov)[both] * n / (n - 1)))
        gap <- function(z) (q[2] - p[2] + (q[1] - p[1]) * (a + abs(b) * z))
        whole <- integrate(function(z) gap(z)^2 * dnorm(z), -Inf, Inf, rel.tol = 1e-12)$value
        part <- integrate(function(z) gap(z) * dnorm(z), -12, 12, rel.tol = 1e-12)$value
        out[[length(out) + 1]] <- data.frame(latent = f, item = i, group = labels[w], referent = use[1],
                                             dmacs = sqrt(whole) / pooled, signed = part / pooled)
      }
    }
  }
  do.call(rbind, out)
}

WANTED <- c("npar", "chisq", "df", "pvalue", "cfi", "rmsea", "srmr", "aic", "bic", "chisq.scaled", "pvalue.scaled",
            "chisq.scaling.factor", "cfi.scaled", "rmsea.scaled", "cfi.robust", "rmsea.robust")

# Gradient and fit measures. Without an optimiser lavaan does not always finish the models behind the robust CFI: then its own
# stop has it (`loose`).
numbers_of <- function(solved) {
  measures <- fitMeasures(solved$fit)
  loose <- intersect(names(measures)[is.na(measures)], c("cfi.robust", "rmsea.robust"))
  if (length(loose)) measures[loose] <- fitMeasures(solved$default)[loose]
  out <- list(gradient = solved$gradient, measures = under(as.list(measures[intersect(WANTED, names(measures))])))
  if (length(loose)) out$loose <- I(gsub(".", "_", loose, fixed = TRUE))
  out
}

# The same ladder by semTools: chi-square and degrees of freedom of each step.
second_source <- function(case, model) {
  plain <- with(model$rows, paste(lhs, op, rhs))
  out <- lapply(STEPS, function(equal) {
    syntax <- as.character(do.call(measEq.syntax, c(list(
      configural.model = plain, data = read.csv(data_path(case$data)), ID.fac = "std.lv", longFacNames = model$latents,
      longIndNames = model$items, long.equal = if (length(equal)) equal else "", meanstructure = TRUE,
      auto = if (identical(case$correlated, FALSE)) FALSE else TRUE), case$options)))
    measures <- fitMeasures(solve_text(case, syntax)$fit)
    under(as.list(measures[intersect(c("npar", "chisq", "df", "chisq.scaled"), names(measures))]))
  })
  setNames(out, names(STEPS))
}

run <- function(case) {
  model <- spread(case)
  labels <- if (all(names(case$waves) %in% names(model$latents)) && length(model$latents) == 1L) model$latents[[1]] else names(case$waves)
  correlated <- !identical(case$correlated, FALSE)
  steps <- list(); fits <- list()
  for (step in names(STEPS)) {
    partial <- unlist(case$partial[[step]])
    solved <- solve_text(case, write_model(model, STEPS[[step]], partial, correlated))
    fit <- solved$fit
    fits[[step]] <- fit
    entry <- numbers_of(solved)
    table <- parameterEstimates(fit)
    if (isTRUE(case$tables) || step == "scalar")
      entry$table <- data.frame(name = paste0(table$lhs, table$op, table$rhs), est = table$est, se = table$se)
    if (step != "configural") {
      entry$score <- score_tests(fit, model, tail(STEPS[[step]], 1), partial)
      before <- fits[[length(fits) - 1]]
      robust <- "chisq_scaled" %in% names(entry$measures)
      test <- as.data.frame(lavTestLRT(before, fit, method = if (robust) "satorra.bentler.2001" else "default"))[2, ]
      entry$difference <- list(chisq = test[["Chisq diff"]], df = test[["Df diff"]], pvalue = test[["Pr(>Chisq)"]])
    }
    if (step == "scalar") {
      cov <- lavInspect(fit, "cov.lv")
      entry$means <- do.call(rbind, lapply(names(model$latents), function(f) do.call(rbind, lapply(seq_along(labels)[-1], function(w) {
        name <- model$latents[[f]][w]
        row <- table[table$op == "~1" & table$lhs == name, ]
        first <- model$latents[[f]][1]
        data.frame(latent = f, group = labels[w], est = row$est, se = row$se, z = row$z, pvalue = row$pvalue,
                   ci_lower = row$ci.lower, ci_upper = row$ci.upper, d = row$est / sqrt((cov[first, first] + cov[name, name]) / 2))
      }))))
    }
    steps[[step]] <- entry
  }
  out <- list(id = case$id, nobs = lavInspect(fit, "nobs"), steps = steps, effects = dmacs(fits$configural, model, labels))
  if (isTRUE(case$semtools)) out$semtools <- second_source(case, model)
  out
}

# A model of several waves as a user writes it, with paths from one to the next.
run_plain <- function(case) {
  solved <- solve_text(case, paste(case$model, collapse = "\n"), std.lv = FALSE)
  table <- parameterEstimates(solved$fit)
  c(list(id = case$id), numbers_of(solved),
    list(table = data.frame(name = paste0(table$lhs, table$op, table$rhs), est = table$est, se = table$se)))
}

chosen <- commandArgs(trailingOnly = TRUE)
if (!length(chosen)) chosen <- c(names(cases), names(fits))
for (id in chosen) {
  message(id)
  write_numbers(if (id %in% names(fits)) run_plain(fits[[id]]) else run(cases[[id]]), output(id))
}
files <- c("cases.json", "generate.R", "../lavaan/common.R", "../data/panel.csv", paste0(c(names(cases), names(fits)), ".json"))
files <- files[file.exists(file.path(OUT, files))]
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "semTools", "jsonlite")), sha256 = digests), file.path(OUT, "manifest.json"),
           auto_unbox = TRUE, pretty = TRUE)
