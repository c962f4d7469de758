# Writes the lavaan side of tests/reference/wave_ordinal: one <case>.json with all its settings, and manifest.json.
#
#   Rscript tests/reference/wave_ordinal/generate.R            all cases
#   Rscript tests/reference/wave_ordinal/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. As ../invariance_ordinal/generate.R, whose functions it
# takes, for waves in the place of groups: the model of each step is written by semTools (measEq.syntax with longFacNames and
# longIndNames), fitted by lavaan and polished.

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "wave_ordinal")
source(file.path(REFERENCE, "polychoric", "every_row.R"))
every_row(TRUE)
for (made in as.list(parse(file.path(REFERENCE, "invariance_ordinal", "generate.R")))) {
  if (is.call(made) && identical(made[[1]], as.name("<-")) && is.name(made[[2]]) &&
      (identical(made[[3]][[1]], as.name("function")) || as.character(made[[2]]) %in% c("STEPS", "WANTED"))) eval(made)
}
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

# Names of latent variables and columns of items in each wave.
names_of <- function(case) {
  table <- lavaanify(paste(case$model, collapse = "\n"))
  table <- table[table$op == "=~", ]
  asked <- unique(table$rhs)
  name <- function(base, rule, wave) if (length(rule) == 1L) paste0(base, rule) else paste0(base, "_", wave)
  column <- function(base, rule) if (length(rule) == 1L) paste0(base, rule) else rule[match(base, asked)]
  over <- function(base, f) setNames(lapply(base, function(b) unname(mapply(f, b, case$waves, names(case$waves)))), base)
  list(latents = over(unique(table$lhs), name), items = over(asked, function(b, rule, wave) column(b, rule)), table = table)
}

data_of <- function(case) {
  frame <- read.csv(data_path(case$data))
  for (name in unlist(names_of(case)$items[case$ordered])) frame[[name]] <- findInterval(frame[[name]], case$cuts) + 1
  frame
}

text_of <- function(case, frame, step, parameterization, tests = FALSE) {
  known <- names_of(case)
  waves <- length(case$waves)
  configural <- unlist(lapply(seq_len(waves), function(w)
    sprintf("%s =~ %s", vapply(known$table$lhs, function(f) known$latents[[f]][w], ""),
            vapply(known$table$rhs, function(i) known$items[[i]][w], ""))))
  columns <- unlist(known$items[case$ordered])
  binary <- Filter(function(x) length(unique(na.omit(frame[[known$items[[x]][1]]]))) == 2, case$ordered)
  arguments <- list(configural.model = configural, data = frame, ordered = columns,
                    parameterization = if (step == "strict") "theta" else parameterization, ID.fac = "std.lv",
                    ID.cat = "Wu.Estabrook.2016", longFacNames = known$latents, longIndNames = known$items,
                    long.equal = STEPS[[step]], auto = !identical(case$correlated, FALSE))
  # an item with two categories is as in the configural model up to the scalar step
  partial <- unlist(case$partial[names(STEPS)[seq_len(match(step, names(STEPS)))]])
  if (length(binary) && step %in% c("thresholds", "metric")) {
    loadings <- known$table[known$table$rhs %in% binary, ]
    partial <- c(partial, paste0(binary, "|t1"), if (step == "metric") paste0(loadings$lhs, "=~", loadings$rhs))
  }
  if (length(partial)) arguments$long.partial <- partial
  text <- strsplit(as.character(suppressWarnings(do.call(measEq.syntax, arguments))), "\n")[[1]]
  text <- text[nzchar(text) & !grepl("^##", text)]
  for (name in setdiff(unlist(known$items), columns)) text <- text[!startsWith(text, paste0(name, " ~*~"))]
  if (tests && step %in% c("scalar", "strict")) for (item in case$ordered) for (name in known$items[[item]][-1]) {
    at <- startsWith(text, paste0(name, if (step == "scalar") " ~ " else paste0(" ~~ ")))
    at <- at & endsWith(text, if (step == "scalar") "*1" else paste0("*", name))
    stopifnot(sum(at) == 1)
    if (grepl("NA", text[at], fixed = TRUE)) next
    what <- if (step == "scalar") "1" else name
    text[at] <- sprintf("%s %s NA*%s + free_%s*%s", name, if (step == "scalar") "~" else "~~", what, name, what)
    text <- c(text, sprintf("free_%s == %s", name, if (step == "scalar") 0 else 1))
  }
  paste(text, collapse = "\n")
}

constraints_of <- function(fit, case, step) {
  known <- names_of(case)
  base <- unlist(lapply(c(known$latents, known$items), identity), use.names = FALSE)
  base <- setNames(rep(names(c(known$latents, known$items)), lengths(c(known$latents, known$items))), base)
  table <- parTable(fit)
  rows <- table[table$op == "==", ]
  kind <- c(thresholds = "|", metric = "=~", scalar = "~1", strict = "~~")[[step]]
  sides <- table[!table$op %in% c("==", ":=") & table$op == kind, ]
  found <- list()
  for (i in seq_len(nrow(rows))) {
    at <- which(sides$plabel == rows$lhs[i] | (nzchar(sides$label) & sides$label == rows$lhs[i]))
    if (!length(at)) next
    row <- sides[at[1], ]
    if (row$lhs %in% unlist(known$latents) && kind != "=~") next
    if (kind == "~~" && row$lhs != row$rhs) next
    right <- if (kind %in% c("=~", "~~")) base[[row$rhs]] else row$rhs
    name <- if (kind == "|") base[[row$lhs]] else paste0(base[[row$lhs]], row$op, right)
    found[[name]] <- c(found[[name]], i)
    names(found[[name]])[length(found[[name]])] <- row$rhs
  }
  if (kind == "|") {
    # two thresholds are absorbed by intercept and scale
    found <- lapply(found, function(at) at[!names(at) %in% c("t1", "t2")])
    found <- Filter(length, found)
    if (length(found)) names(found) <- paste0(names(found), "|t1-t", length(case$cuts))
  }
  if (kind == "=~" && length(case$cuts) == 1L) found <- found[!sub(".*=~", "", names(found)) %in% case$ordered]
  found
}

# Expected answers of two waves over the latent distribution of the second; the first item links the scales.
drift_of <- function(fit, case) {
  known <- names_of(case); labels <- names(case$waves)
  est <- lavInspect(fit, "est"); n <- lavInspect(fit, "nobs")
  raw <- as.data.frame(lavInspect(fit, "data"))
  out <- list()
  for (f in names(known$latents)) {
    items <- known$table$rhs[known$table$lhs == f]
    curve <- function(w, i) {
      column <- known$items[[i]][w]
      loading <- est$lambda[column, known$latents[[f]][w]]
      if (!i %in% case$ordered) return(list(slope = loading, cuts = -est$nu[column, 1], cdf = identity))
      sd <- sqrt(est$theta[column, column])
      list(slope = loading / sd, cuts = unname(est$tau[sub("\\|.*", "", rownames(est$tau)) == column, 1]) / sd, cdf = pnorm)
    }
    for (w in seq_along(labels)[-1]) {
      one <- curve(1, items[1]); two <- curve(w, items[1])
      spread <- two$slope / one$slope
      mean <- (base::mean(one$cuts) - base::mean(two$cuts)) / one$slope
      for (i in items) {
        a <- curve(1, i); b <- curve(w, i)
        gap <- function(eta) vapply(eta, function(e) sum(b$cdf(b$slope * (e - mean) / spread - b$cuts)) -
                                                       sum(a$cdf(a$slope * e - a$cuts)), 0)
        over <- function(h) integrate(function(e) h(e) * dnorm(e, mean, abs(spread)), mean - 10 * abs(spread),
                                      mean + 10 * abs(spread), rel.tol = 1e-11, subdivisions = 2000L)$value
        given <- lapply(known$items[[i]][c(1, w)], function(column) na.omit(raw[[column]]))
        pooled <- base::mean(vapply(given, function(x) sqrt(base::mean((x - base::mean(x))^2) * n / (n - 1)), 0))
        out[[length(out) + 1]] <- data.frame(latent = f, item = i, group = labels[w], referent = items[1],
                                             dmacs = sqrt(over(function(e) gap(e)^2)) / pooled, signed = over(gap) / pooled)
      }
    }
  }
  do.call(rbind, out)
}

run <- function(case, setting) {
  frame <- data_of(case); known <- names_of(case); labels <- names(case$waves)
  columns <- unlist(known$items[case$ordered], use.names = FALSE)
  # solve_step and with_constraints ask for it
  fit_text <<- function(case, frame, text, setting, step, ...) {
    options <- as.list(setting)
    if (step == "strict") options$parameterization <- "theta"
    suppressWarnings(do.call("lavaan", c(list(model = text, data = frame, ordered = columns, auto.fix.first = FALSE,
                                              auto.var = TRUE, auto.cov.lv.x = TRUE, auto.th = TRUE, auto.delta = TRUE,
                                              int.ov.free = TRUE, int.lv.free = FALSE), options, list(...))))
  }
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
      if (length(found)) entry$score <- score_tests(open, found)[c("parameter", "chisq", "df", "pvalue")]
    }
    table <- parameterEstimates(fit)
    if (step == "scalar") {
      free <- parameterEstimates(fit, remove.nonfree = TRUE, remove.eq = TRUE, remove.system.eq = TRUE)
      free <- free[!free$op %in% c("==", ":="), ]
      entry$free <- list(lhs = free$lhs, op = free$op, rhs = free$rhs, est = free$est, se = free$se)
      cov <- lavInspect(fit, "cov.lv")
      entry$means <- do.call(rbind, lapply(names(known$latents), function(f) do.call(rbind, lapply(seq_along(labels)[-1], function(w) {
        name <- known$latents[[f]][w]; first <- known$latents[[f]][1]
        row <- table[table$op == "~1" & table$lhs == name, ]
        data.frame(latent = f, group = labels[w], est = row$est, se = row$se, z = row$z, pvalue = row$pvalue,
                   ci_lower = row$ci.lower, ci_upper = row$ci.upper,
                   d = row$est / sqrt((cov[first, first] + cov[name, name]) / 2))
      }))))
    }
    steps[[step]] <- entry
  }
  list(steps = steps, effects = drift_of(fits$configural, case))
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
files <- c("cases.json", "generate.R", "../lavaan/common.R", "../polychoric/every_row.R",
           "../data/panel.csv", paste0(made, ".json"))
digests <- lapply(setNames(files, files), function(f) sha256(file.path(OUT, f)))
write_json(list(versions = versions(c("lavaan", "semTools", "jsonlite")), sha256 = digests), file.path(OUT, "manifest.json"),
           auto_unbox = TRUE, pretty = TRUE)
