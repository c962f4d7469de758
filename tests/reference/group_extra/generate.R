# Writes the lavaan side of tests/reference/group_extra: clusters, constraints, bounds, auxiliary variables, difference and
# score tests with several groups; one <case>.json for each case with all its settings, differences.json, scores.json,
# replicates.json (refits of resampled data), residuals.json (their standard errors) and manifest.json.
#
#   Rscript tests/reference/group_extra/generate.R            everything
#   Rscript tests/reference/group_extra/generate.R ID ...     only these cases ("differences", "scores", "replicates")
#
# from the checkout root; data and versions as in ../lavaan/generate.R. How a fit is polished and what is written are the
# functions of ../group/generate.R, those of ../constraints/generate.R for solutions on constraints.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group_extra")

# The functions of another script, without running it.
functions_of <- function(file) {
  place <- new.env(parent = globalenv())
  for (e in parse(file)) {
    if (is.call(e) && identical(e[[1]], as.name("<-")) && is.call(e[[3]]) && identical(e[[3]][[1]], as.name("function")))
      eval(e, place)
  }
  place
}
G <- functions_of(file.path(REFERENCE, "group", "generate.R"))
K <- functions_of(file.path(REFERENCE, "constraints", "generate.R"))
K$nothing <- function(x, ...) numeric(0)
K$TINY <- 1e-7
G$CURRENT <- NULL
assignInNamespace("lav_fit_fiml_corrected", G$fixed_x_passed_on(), "lavaan")

spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
known <- read_json(file.path(REFERENCE, "group", "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
known <- setNames(known, vapply(known, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

plain_data <- G$data_of
G$data_of <- function(case) {
  frame <- plain_data(case)
  if (!is.null(case$firms)) frame[[case$group]] <- letters[as.integer(sub("F", "", frame$firm)) %% case$firms + 1]
  frame
}

# Solutions on constraints ---------------------------------------------------------------------------------------------
plain_solve <- G$solve_one
EXTRA <- NULL
solve_constrained <- function(case, setting) {
  arguments <- G$arguments_of(case, setting)
  first <- G$fit_of(case, arguments)
  default <- first$fit
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  found <- K$polish_constrained(default)
  best <- found$x
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  for (name in c("lower", "upper")) start[[name]] <- NULL
  table <- parTable(default)
  b <- K$bounds_of(default)
  label <- function(free) table$plabel[b$row[match(free, b$free)]]
  # lavaan forgets active bounds in standard errors: they are stated as inequalities
  stated <- c(sprintf("%s > %.17g", label(found$active$low), b$lower[match(found$active$low, b$free)]),
              sprintf("%s < %.17g", label(found$active$high), b$upper[match(found$active$high, b$free)]))
  arguments$bounds <- NULL
  again <- list(start = start, optim.method = "none", check.start = FALSE)
  if (length(stated)) again$constraints <- stated
  fit <- do.call(G$fit_of, c(list(case, arguments), again))$fit
  fit@baseline <- default@baseline
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best))
  if (moved > 1e-12 * max(1, abs(best))) stop("the polished point was not taken over (", moved, ")")
  ends <- data.frame(lhs = table$lhs[b$row], op = table$op[b$row], rhs = table$rhs[b$row], group = table$group[b$row],
                     lower = b$lower, upper = b$upper)
  for (n in c("lower", "upper")) ends[[n]][!is.finite(ends[[n]])] <- NA
  EXTRA <<- list(active = length(found$active$least) + length(stated),
                 bounds = if (any(!is.na(c(ends$lower, ends$upper)))) ends)
  list(arguments = arguments, fit = fit, first = first, best = list(default = NA, polished = found$size))
}

# Auxiliary variables --------------------------------------------------------------------------------------------------
BASE <- NULL
settle <- function(object, case, options) {
  table <- start <- parTable(object)
  best <- G$descend(object)
  table$est <- table$se <- table$start <- NULL
  start$est[start$free > 0] <- best$x[start$free[start$free > 0]]
  options$group.equal <- NULL
  arguments <- c(list(model = table, start = start, data = G$data_of(case), group = case$group, fixed.x = FALSE,
                      meanstructure = TRUE, optim.method = "none", check.start = FALSE), options)
  fit <- suppressWarnings(do.call(lavaan, arguments))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best$x)) < 1e-12 * max(1, abs(best$x)))
  list(fit = fit, best = best)
}

solve_auxiliary <- function(case, setting) {
  arguments <- G$arguments_of(case, setting)
  options <- arguments[setdiff(names(arguments), c("model", "data", "group", "fixed.x"))]
  made <- suppressWarnings(do.call(semTools::auxiliary, c(list(model = arguments$model, data = arguments$data,
                                   aux = case$auxiliary, fun = "sem", group = case$group), options)))
  solved <- settle(made, case, options)
  base <- settle(made@external$baseline.model, case, options)
  BASE <<- base$fit
  G$CURRENT <- lavaan:::lav_object_independence(made)
  solved$best$polished <- max(solved$best$polished, base$best$polished)
  list(arguments = arguments, fit = solved$fit, first = list(warnings = character(0)), best = solved$best)
}

G$solve_one <- function(case, setting) {
  BASE <<- EXTRA <<- NULL
  if (!is.null(case$auxiliary)) solve_auxiliary(case, setting)
  else if (isTRUE(case$constrained)) solve_constrained(case, setting)
  else plain_solve(case, setting)
}
G$CURRENT <- NULL
environment(plain_solve) <- G
G$fitMeasures <- function(fit) if (is.null(BASE)) fitMeasures(fit) else {
  found <- fitMeasures(fit, baseline.model = BASE)
  found[!grepl("(cfi|tli|nnfi|rni)[.]robust", names(found))]  # another baseline model: see the differences from lavaan
}
G$parameterEstimates <- function(object, ...) {
  table <- parameterEstimates(object, ...)
  if (is.null(EXTRA)) table else K$clean(table[!table$op %in% c("==", "<", ">"), ], "est")
}
G$standardizedSolution <- function(object, ...) {
  table <- standardizedSolution(object, ...)
  if (is.null(EXTRA)) table else K$clean(K$sharpen(table, object), "est.std")
}

run <- function(case, setting) {
  found <- G$run(case, setting)
  found[c("score", "modindices", "scores")] <- NULL
  c(found, EXTRA)
}

# Difference and score tests of the cases of ../group -------------------------------------------------------------------
difference <- function(item) {
  setting <- list(estimator = item$estimator)
  all <- c(known, cases)
  fits <- if (is.null(item$equal)) lapply(item$cases, function(id) plain_solve(all[[id]], setting)$fit) else
    lapply(item$equal, function(equal) {
      case <- all[[item$cases]]
      case$options$group_equal <- if (nzchar(equal[1])) equal
      plain_solve(case, setting)$fit
    })
  more <- if (item$method == "satorra.2000") list(scaled.shifted = FALSE) else list()
  table <- suppressWarnings(do.call(lavTestLRT, c(fits, list(method = item$method), more)))
  list(cases = I(item$cases), equal = item$equal, estimator = item$estimator, method = item$method, chisq = table[["Chisq diff"]][-1],
       df = table[["Df diff"]][-1], pvalue = table[["Pr(>Chisq)"]][-1])
}

score <- function(item) {
  case <- known[[item$case]]
  fit <- plain_solve(case, case$settings[[item$setting]])$fit
  add <- gsub(";", "\n", item$add, fixed = TRUE)
  found <- lavTestScore(fit, add = add, epc = TRUE)
  all <- found$epc
  list(case = item$case, setting = item$setting, add = item$add, uni = frame_rows(found$uni[, c("lhs", "X2", "df", "p.value")]),
       total = as.list(found$test[, c("X2", "df")]),
       table = frame_rows(all[all$free > 0, c("lhs", "op", "rhs", "group", "epc")]))
}

# Refits of resampled data: rows of each group by the generator of ../bootstrap/generate.R -------------------------------
park_miller <- function(x, n) {
  out <- numeric(n)
  for (k in seq_len(n)) out[k] <- x <- (16807 * x) %% 2147483647
  out
}

resampled <- function(frames, seed) {
  x <- park_miller(seed, sum(vapply(frames, nrow, 0L)))
  before <- 0
  do.call(rbind, lapply(frames, function(part) {
    at <- x[before + seq_len(nrow(part))] %% nrow(part) + 1
    before <<- before + nrow(part)
    part[at, ]
  }))
}

replicates <- function(item) {
  case <- known[[item$case]]
  first <- plain_solve(case, case$settings$ML)$fit
  frame <- G$data_of(case)
  labels <- lavInspect(first, "group.label")
  used <- lapply(labels, function(label) {
    part <- frame[as.character(frame[[case$group]]) == label, ]
    part[complete.cases(part[lavNames(first, "ov")]), ]
  })
  original <- G$data_of
  on.exit(G$data_of <- original)
  fits <- lapply(seq_len(item$replicates), function(r) {
    G$data_of <- function(case) resampled(used, item$seed + r)
    solved <- plain_solve(case, case$settings$ML)
    table <- parTable(solved$fit)
    kept <- table$op %in% c("=~", "~", "~~", "~1", ":=")
    std <- standardizedSolution(solved$fit, se = FALSE)
    list(rows = table[kept, c("lhs", "op", "rhs", "group")], est = table$est[kept],
         std = std$est.std[!std$op %in% c("==", "<", ">")], chisq = unname(fitMeasures(solved$fit, "chisq")),
         gradient = solved$best$polished)
  })
  list(case = item$case, seed = item$seed, rows = fits[[1]]$rows, gradient = max(vapply(fits, function(f) f$gradient, 0)),
       est = lapply(fits, function(f) f$est), std = lapply(fits, function(f) f$std), chisq = vapply(fits, function(f) f$chisq, 0))
}

# Standard errors of residuals: lavaan's pieces for all groups together. Its own leave out that parameters which groups
# share depend on the moments of the other groups ("own").
residual_errors <- function(item) {
  case <- known[[item$case]]
  fit <- plain_solve(case, case$settings$ML)$fit
  block <- lavaan:::lav_matrix_bdiag
  obs <- lavaan:::lav_model_h1_acov(lavobject = fit, h1.information = "unstructured")
  a1 <- lavaan:::lav_model_h1_information(fit)
  delta <- lavTech(fit, "delta")
  share <- unlist(fit@SampleStats@nobs) / fit@SampleStats@ntotal
  inverse <- lavaan:::lav_model_information(lavmodel = fit@Model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                            lavcache = fit@Cache, lavimplied = fit@implied, lavh1 = fit@h1, lavoptions = fit@Options,
                                            extra = FALSE, augmented = TRUE, inverted = TRUE, use.ginv = TRUE)
  d <- do.call(rbind, delta)
  q <- diag(nrow(d)) - d %*% inverse %*% t(d) %*% do.call(block, Map(`*`, share, a1))
  whole <- q %*% do.call(block, obs) %*% t(q)
  vcov <- lavTech(fit, "vcov")
  last <- cumsum(vapply(delta, nrow, 0L))
  root <- function(v, size) ifelse(abs(v) < 1e-10 * size, 0, suppressWarnings(sqrt(v)))
  lapply(seq_along(delta), function(g) {
    at <- last[g] - nrow(delta[[g]]) + seq_len(nrow(delta[[g]]))
    size <- diag(obs[[g]])
    cov <- fit@SampleStats@cov[[g]]
    ff <- block(diag(1 / sqrt(diag(cov))), lavaan:::lav_deriv_cov2corB(cov))
    alone <- diag(nrow(delta[[g]])) - share[g] * delta[[g]] %*% inverse %*% t(delta[[g]]) %*% a1[[g]]
    list(names = I(lavNames(fit, "ov")), raw = root(diag(whole)[at], size), normalized = root(size, size),
         mplus = root(size - diag(delta[[g]] %*% vcov %*% t(delta[[g]])), size),
         cor_bollen = root(diag(ff %*% whole[at, at] %*% t(ff)), diag(ff %*% obs[[g]] %*% t(ff)) + 1e-12),
         own = root(diag(alone %*% obs[[g]] %*% t(alone)), size))
  })
}

EXTRAS <- list(residuals = function(item) list(case = item$case, groups = residual_errors(item)), differences = difference, scores = score, replicates = replicates)
wanted <- commandArgs(trailingOnly = TRUE)
everything <- !length(wanted)
if (everything) wanted <- c(names(cases), names(EXTRAS))
for (id in intersect(wanted, names(cases))) {
  case <- cases[[id]]
  write_numbers(list(id = id, settings = lapply(case$settings, function(setting) run(case, setting))), output(id))
  message(id)
}
for (name in intersect(wanted, names(EXTRAS))) {
  write_numbers(lapply(spec[[name]], EXTRAS[[name]]), output(name))
  message(name)
}
write_numbers(list(
  versions = versions(c("lavaan", "semTools", "jsonlite", "digest", "numDeriv")),
  script = sha256(file.path(OUT, "generate.R")), cases = sha256(file.path(OUT, "cases.json")),
  data = setNames(lapply(cases, function(case) sha256(data_path(case$data))), names(cases))
), file.path(OUT, "manifest.json"))
