# Writes the lavaan side of tests/reference/group: one <case>.json with all its settings, and manifest.json.
#
#   Rscript tests/reference/group/generate.R            all cases
#   Rscript tests/reference/group/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. lavaan's solution is polished with its own gradient and
# numerical Hessian before any number is written, and so is that of a baseline model of rows with holes. The baseline chi-square
# of least squares is exact (the baseline model is linear there), not that of lavaan's loose optimiser. The fit of complete data
# behind robust indices is told whether x is fixed, which lavaan forgets (see ../incomplete/generate.R).

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))

# A number in [0, 1) for each cell, by a rule that any language computes alike.
draw <- function(n, k, seed) {
  i <- rep(seq_len(n), times = k)
  j <- rep(seq_len(k), each = n)
  v <- (i * 7919 + j * 10007 + seed * 3571) %% 65537
  for (r in 1:3) v <- (v * v + 5 * v * (i %% 101) + 3 * j + r) %% 65537
  matrix(v / 65537, n, k)
}

data_of <- function(case) {
  frame <- read.csv(data_path(case$data))
  if (!is.null(case$rule)) frame[[case$group]] <- letters[(seq_len(nrow(frame)) * 7) %% case$rule + 1]
  if (!is.null(case$holes)) {
    u <- draw(nrow(frame), length(case$holes$columns), case$holes$seed)
    for (c in seq_along(case$holes$columns)) frame[u[, c] < case$holes$share, case$holes$columns[c]] <- NA
  }
  frame
}

arguments_of <- function(case, setting) {
  options <- modifyList(as.list(case$options), as.list(setting))
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  if (identical(options$missing, "fiml")) {
    options$em.h1.tol <- 1e-13
    options$em.h1.iter.max <- 20000L
  }
  out <- list(model = paste(case$model, collapse = "\n"), data = data_of(case), group = case$group, fixed.x = TRUE)
  modifyList(out, options)
}

fit_of <- function(case, arguments, ...) {
  warned <- character(0)
  call <- if (is.null(case$`function`)) "sem" else case$`function`
  fit <- withCallingHandlers(do.call(call, c(arguments, list(...))), warning = function(w) {
    warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w)))
    invokeRestart("muffleWarning")
  })
  list(fit = fit, warnings = unique(warned))
}

# Newton's method with the Hessian of lavaan's own stop.
descend <- function(fit) {
  model <- fit@Model
  best <- x <- lavaan:::lav_model_get_parameters(model)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(x))
  # the gradient of rows with holes has the weights of the groups already
  weight <- !fit@SampleStats@missing.flag
  h <- crossprod(open, lavaan:::lav_model_hessian(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                                  lavoptions = fit@Options, lavcache = fit@Cache,
                                                  group.weight = weight) %*% open)
  h <- (h + t(h)) / 2
  d <- 1 / sqrt(diag(h))
  smallest <- Inf
  stalled <- 0L
  start <- NA
  for (k in 1:300) {
    g <- drop(crossprod(open, lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                          lavdata = fit@Data, lavcache = fit@Cache, type = "free",
                                                          group.weight = weight)))
    now <- max(abs(d * g))
    if (is.na(start)) start <- now
    if (is.finite(now) && now < smallest) { smallest <- now; best <- x; stalled <- 0L } else stalled <- stalled + 1L
    if (smallest < 1e-15 || stalled > 5L) break
    x <- x - drop(open %*% (d * solve(d * t(d * h), d * g)))
    model <- lavaan:::lav_model_set_parameters(model, x = x)
  }
  list(x = best, default = start, polished = smallest)
}

# lav_fit_fiml_corrected() fits complete data without passing on whether x is fixed.
fixed_x_passed_on <- function() {
  text <- deparse(lavaan:::lav_fit_fiml_corrected)
  stopifnot(sum(grepl("check.post = FALSE", text)) == 2)
  text <- gsub("check.post = FALSE", "check.post = FALSE, fixed.x = lavobject@Options$fixed.x", text)
  text <- gsub("lav_object_independence(lavobject)", "current_baseline()", text, fixed = TRUE)
  place <- new.env(parent = asNamespace("lavaan"))
  place$current_baseline <- function() CURRENT
  patched <- eval(parse(text = text), envir = place)
  environment(patched) <- place
  patched
}
CURRENT <- NULL
assignInNamespace("lav_fit_fiml_corrected", fixed_x_passed_on(), "lavaan")

sharp_independence <- function(fit) {
  base <- lavaan:::lav_object_independence(fit)
  best <- descend(base)
  start <- parTable(base)
  start$est[start$free > 0] <- best$x[start$free[start$free > 0]]
  options <- base@Options
  options$optim.method <- "none"
  options$do.fit <- TRUE
  options$test <- fit@Options$test
  options$baseline <- options$h1 <- FALSE
  lavaan(start, slotOptions = options, slotSampleStats = fit@SampleStats, slotData = fit@Data,
         slotCache = fit@Cache, sloth1 = fit@h1)
}

# Least squares: min over the free moments of s'Vs, the others being zero in the baseline model; summed over groups.
exact_baseline <- function(fit) {
  sum(vapply(seq_len(fit@Data@ngroups), function(g) {
    s <- fit@SampleStats@WLS.obs[[g]]
    v <- lavTech(fit, "wls.v")[[g]]
    if (!is.matrix(v)) v <- diag(v)
    p <- length(lavNames(fit, "ov"))
    x <- match(lavNames(fit, "ov.x"), lavNames(fit, "ov"))
    cells <- which(lower.tri(diag(p), diag = TRUE), arr.ind = TRUE)
    free <- cells[, 1] == cells[, 2] | (cells[, 1] %in% x & cells[, 2] %in% x)
    if (fit@Model@meanstructure) free <- c(rep(TRUE, p), free)
    used <- diag(v) > 0
    a <- which(!free & used)
    b <- which(free & used)
    inner <- v[a, a] - v[a, b] %*% solve(v[b, b], v[b, a])
    (fit@SampleStats@nobs[[g]] - 1) * drop(s[a] %*% inner %*% s[a])
  }, 0))
}

solve_one <- function(case, setting) {
  arguments <- arguments_of(case, setting)
  first <- fit_of(case, arguments)
  default <- first$fit
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- descend(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best$x[start$free[start$free > 0]]
  fit <- fit_of(case, arguments, start = start, optim.method = "none", check.start = FALSE)$fit
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best$x))
  if (moved > 1e-12 * max(1, abs(best$x))) stop("the polished point was not taken over (", moved, ")")
  fit@baseline <- default@baseline
  old <- fit@baseline$test$standard$stat
  CURRENT <<- lavaan:::lav_object_independence(default)
  if (any(is.na(unlist(lapply(fit@Data@X, range))))) {
    CURRENT <<- sharp_independence(default)
    fit@baseline$test <- CURRENT@test
  } else if (!fit@Options$estimator == "ML") {
    fit@baseline$test$standard$stat <- exact_baseline(fit)
  }
  new <- fit@baseline$test$standard$stat
  if (abs(new - old) > 1e-3 * old) stop("baseline: ", new, " lavaan ", old)
  list(arguments = arguments, fit = fit, first = first, best = best)
}

by_group <- function(fit, what) {
  found <- lavInspect(fit, what)
  lapply(found, function(part) list(cov = labelled(part$cov), mean = labelled(part$mean)))
}

run <- function(case, setting) {
  solved <- solve_one(case, setting)
  fit <- solved$fit
  measures <- suppressWarnings(as.list(fitMeasures(fit)))
  keep <- grep("level|h0|h1|notclose|^rmr_|srmr_|crmr|ci.level", names(measures), invert = TRUE, value = TRUE)
  table <- parameterEstimates(fit, standardized = TRUE, remove.eq = TRUE)
  table <- table[!table$op %in% c("==", "<", ">"), ]
  score <- NULL
  if (fit@Options$estimator == "ML" && fit@Options$se == "standard" && fit@Options$information[1] == "expected" &&
      fit@Options$likelihood == "normal" && fit@Options$missing == "listwise" && fit@Model@eq.constraints)
    score <- list(uni = frame_rows(lavTestScore(fit)$uni[, c("lhs", "rhs", "X2", "df")]),
                  total = as.list(lavTestScore(fit)$test[, c("X2", "df")]),
                  table = frame_rows(parTable(fit)[, c("lhs", "op", "rhs", "group", "free", "plabel")]))
  plain <- fit@Options$estimator == "ML" && fit@Options$se == "standard" && fit@Options$information[1] == "expected" &&
    fit@Options$likelihood == "normal" && fit@Options$missing == "listwise" && is.null(case$options$fixed_x)
  modification <- if (!plain) NULL else
    tryCatch(suppressWarnings(modindices(fit)), error = function(e) NULL)
  if (is.null(modification) || !nrow(modification)) modification <- NULL
  scores <- if (length(lavNames(fit, "lv")) && fit@Options$estimator == "ML" && fit@Model@meanstructure) lavPredict(fit) else NULL
  wald <- if (is.null(case$wald)) NULL else lavTestWald(fit, paste(case$wald, collapse = "\n"))
  list(
    groups = I(lavInspect(fit, "group.label")), nobs = lavInspect(fit, "nobs"),
    chisq_group = fit@test[[1]]$stat.group, measures = under(measures[keep]),
    parameters = frame_rows(table), standardized = frame_rows(standardizedSolution(fit)),
    r2 = lapply(lavInspect(fit, "r2"), function(part) as.list(unclass(part))),
    implied = by_group(fit, "implied"), sample = by_group(fit, if (any(is.na(unlist(fit@Data@X)))) "h1" else "sampstat"),
    score = score,
    modindices = if (is.null(modification)) NULL else
      frame_rows(modification[, c("lhs", "op", "rhs", "group", "mi", "epc", "sepc.lv", "sepc.all", "sepc.nox")]),
    wald = if (is.null(wald)) NULL else list(stat = wald$stat, df = wald$df, p = wald$p.value),
    scores = if (is.null(scores)) NULL else
      lapply(scores, function(m) list(names = I(colnames(m)), first = unname(unclass(m)[c(1:3, nrow(m)), , drop = FALSE]))),
    gradient = list(default = solved$best$default, polished = solved$best$polished),
    warnings = I(solved$first$warnings)
  )
}

# Difference tests between neighbours of a ladder.
ladders <- function(done) {
  found <- list()
  for (ladder in spec$ladders) {
    for (setting in ladder$settings) {
      fits <- lapply(ladder$cases, function(id) solve_one(cases[[id]], cases[[id]]$settings[[setting]])$fit)
      table <- suppressWarnings(do.call(lavTestLRT, fits))
      found[[length(found) + 1]] <- list(cases = ladder$cases, setting = setting, chisq = table[["Chisq diff"]][-1],
                                         df = table[["Df diff"]][-1], rmsea = table[["RMSEA"]][-1], pvalue = table[["Pr(>Chisq)"]][-1])
    }
  }
  found
}

wanted <- commandArgs(trailingOnly = TRUE)
everything <- !length(wanted)
if (everything) wanted <- names(cases)
for (id in setdiff(wanted, "ladders")) {
  case <- cases[[id]]
  write_numbers(list(id = id, settings = lapply(case$settings, function(setting) run(case, setting))), output(id))
  message(id)
}
if (everything || "ladders" %in% wanted) write_numbers(ladders(), file.path(OUT, "ladders.json"))
made <- names(cases)[file.exists(vapply(names(cases), output, ""))]
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite", "digest")),
  script = sha256(file.path(OUT, "generate.R")), cases = sha256(file.path(OUT, "cases.json")),
  data = setNames(lapply(cases[made], function(case) sha256(data_path(case$data))), made)
), file.path(OUT, "manifest.json"))
