# Writes the lavaan side of tests/reference/incomplete: one <case>.json with all its settings, and manifest.json.
#
#   Rscript tests/reference/incomplete/generate.R            all cases
#   Rscript tests/reference/incomplete/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. lavaan's EM algorithm is run to a tolerance of 1e-12
# instead of 1e-5. Its solution is polished with its own gradient and numerical Hessian before any number is written, and so
# is that of the baseline model. Standard errors rest on lavaan's Hessian by differences of the gradient.
#
# Three slips of lavaan are put right, its own numbers are kept beside (`own`): with missing = "ml.x" its baseline model has the
# moments of x from the answers there are instead of those of the EM algorithm, and its unrestricted log-likelihood is that
# given x with the former, so that it does not belong to its chi-square; with fixed.x = FALSE its robust indices take x as fixed
# in one of the two models they compare.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "incomplete")
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

punch <- function(frame, holes) {
  if (is.null(holes)) return(frame)
  k <- length(holes$columns)
  share <- matrix(holes$share, nrow(frame), k)
  if (!is.null(holes$driver)) {
    d <- frame[[holes$driver]]
    share <- share * ifelse(d > median(d), 1.5, 0.5)
  }
  u <- draw(nrow(frame), k, holes$seed)
  if (isTRUE(holes$monotone)) {
    # who leaves, leaves for good: the first column decides when
    stay <- floor(u[, 1] / holes$share * k)
    gone <- col(u) > stay & u[, 1] < holes$share
  } else {
    gone <- u < share
  }
  for (c in seq_len(k)) frame[gone[, c], holes$columns[c]] <- NA
  frame
}

arguments_of <- function(case, setting) {
  names(setting) <- gsub("_", ".", names(setting), fixed = TRUE)
  out <- list(model = paste(case$model, collapse = "\n"), data = punch(read.csv(data_path(case$data)), case$holes),
              missing = "ml", fixed.x = TRUE, em.h1.tol = 1e-13, em.h1.iter.max = 20000L)
  modifyList(out, as.list(setting))
}

fit_of <- function(arguments, ...) {
  warned <- character(0)
  fit <- withCallingHandlers(do.call("sem", c(arguments, list(...))), warning = function(w) {
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
  options <- fit@Options
  options$observed.information <- c("hessian", "hessian")
  hessian <- lavaan:::lav_model_information_observed(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                                     lavoptions = options, lavcache = fit@Cache, lavimplied = fit@implied,
                                                     lavh1 = fit@h1)
  h <- crossprod(open, hessian %*% open)
  d <- 1 / sqrt(diag(h))
  smallest <- Inf
  stalled <- 0L
  start <- NA
  for (k in 1:300) {
    g <- drop(crossprod(open, lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                          lavdata = fit@Data, lavcache = fit@Cache, type = "free")))
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
  count <- sum(grepl("check.post = FALSE", text))
  stopifnot(count == 2)
  text <- gsub("check.post = FALSE", "check.post = FALSE, fixed.x = lavobject@Options$fixed.x", text)
  text <- gsub("lav_object_independence(lavobject)", "current_baseline()", text, fixed = TRUE)
  place <- new.env(parent = asNamespace("lavaan"))
  place$current_baseline <- function() CURRENT
  patched <- eval(parse(text = text), envir = place)
  environment(patched) <- place
  patched
}
CURRENT <- NULL
ORIGINAL <- lavaan:::lav_fit_fiml_corrected
PATCHED <- fixed_x_passed_on()
measures_of <- function(fit, corrected) {
  assignInNamespace("lav_fit_fiml_corrected", corrected, "lavaan")
  suppressWarnings(as.list(fitMeasures(fit)))
}

sharp_independence <- function(fit) {
  base <- lavaan:::lav_object_independence(fit)
  if (fit@Options$missing == "ml.x") {
    h1 <- lavTech(fit, "h1", add.labels = TRUE)[[1]]
    table <- parTable(base)
    for (k in which(table$exo > 0)) {
      table$est[k] <- table$start[k] <- table$ustart[k] <-
        if (table$op[k] == "~~") h1$cov[table$lhs[k], table$rhs[k]] else h1$mean[match(table$lhs[k], rownames(h1$cov))]
    }
    options <- base@Options
    base <- lavaan(table, slotOptions = options, slotSampleStats = fit@SampleStats, slotData = fit@Data,
                   slotCache = fit@Cache, sloth1 = fit@h1)
  }
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

modification <- function(fit) {
  if (fit@Options$se != "standard" || fit@Options$information[1] == "first.order") return(NULL)
  table <- tryCatch(suppressWarnings(modindices(fit)), error = function(e) NULL)
  if (is.null(table) || !nrow(table)) return(NULL)
  frame_rows(table[, intersect(names(table), c("lhs", "op", "rhs", "mi", "epc", "sepc.lv", "sepc.all"))])
}

solve_one <- function(case, setting) {
  arguments <- arguments_of(case, setting)
  first <- fit_of(arguments)
  default <- first$fit
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- descend(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best$x[start$free[start$free > 0]]
  fit <- fit_of(arguments, start = start, optim.method = "none", check.start = FALSE)$fit
  fit@baseline <- default@baseline
  old <- fit@baseline$test$standard$stat
  baseline <- sharp_independence(default)
  fit@baseline$test <- baseline@test
  new <- fit@baseline$test$standard$stat
  if (abs(new - old) > (if (fit@Options$missing == "ml.x") 1e-2 else 1e-4) * old) stop("baseline: ", new, " lavaan ", old)
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best$x))
  if (moved > 1e-12 * max(1, abs(best$x))) stop("the polished point was not taken over (", moved, ")")
  list(arguments = arguments, fit = fit, first = first, best = best, old = old, baseline = baseline)
}

run <- function(case, setting) {
  solved <- solve_one(case, setting)
  arguments <- solved$arguments
  fit <- solved$fit
  first <- solved$first
  best <- solved$best
  old <- solved$old
  CURRENT <<- solved$baseline
  own <- measures_of(fit, ORIGINAL)
  measures <- measures_of(fit, PATCHED)
  if (arguments$missing == "ml.x") {
    own$baseline.chisq <- old
    measures$unrestricted.logl <- measures$logl + measures$chisq / 2
  }
  keep <- grep("level|h0|h1|notclose|^rmr_|srmr_|crmr|ci.level", names(measures), invert = TRUE, value = TRUE)
  measures <- measures[keep]
  own <- own[keep]
  changed <- vapply(keep, function(n) !isTRUE(all.equal(own[[n]], measures[[n]], tolerance = 1e-9)), NA)
  # bounds solved tightly where lavaan's root search stops early
  implied <- lavInspect(fit, "implied")
  h1 <- lavInspect(fit, "h1")
  table <- parameterEstimates(fit, standardized = TRUE, remove.eq = TRUE)
  free <- parTable(fit)
  scores <- if (length(lavNames(fit, "lv"))) tryCatch(unclass(lavPredict(fit)), error = function(e) NULL) else NULL
  list(
    nobs = lavInspect(fit, "nobs"), patterns = nrow(lavInspect(fit, "patterns")),
    measures = under(measures), own = under(own[changed]),
    modindices = modification(fit),
    parameters = frame_rows(table[!table$op %in% c("==", "<", ">"), ]),
    standardized = frame_rows(standardizedSolution(fit)),
    r2 = if (length(lavInspect(fit, "r2"))) as.list(unclass(lavInspect(fit, "r2"))) else NULL,
    implied = list(cov = labelled(implied$cov), mean = labelled(implied$mean)),
    h1 = list(cov = labelled(h1$cov), mean = labelled(h1$mean)),
    coverage = labelled(lavInspect(fit, "coverage")),
    scores = if (is.null(scores)) NULL else list(names = I(colnames(scores)), first = unname(scores[c(1:5, nrow(scores)), , drop = FALSE])),
    gradient = list(default = best$default, polished = best$polished),
    warnings = I(first$warnings)
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) wanted <- names(cases)
for (id in wanted) {
  case <- cases[[id]]
  result <- lapply(case$settings, function(setting) run(case, setting))
  difference <- NULL
  if (!is.null(case$restricted)) {
    smaller <- case
    smaller$model <- case$restricted
    difference <- lapply(case$settings[intersect(names(case$settings), c("ML", "MLR"))], function(setting) {
      table <- lavTestLRT(solve_one(case, setting)$fit, solve_one(smaller, setting)$fit)
      list(chisq = table[["Chisq diff"]][2], df = table[["Df diff"]][2], pvalue = table[["Pr(>Chisq)"]][2])
    })
  }
  write_numbers(list(id = id, settings = result, difference = difference), output(id))
  message(id)
}
made <- names(cases)[file.exists(vapply(names(cases), output, ""))]
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite", "digest")),
  script = sha256(file.path(OUT, "generate.R")), cases = sha256(file.path(OUT, "cases.json")),
  data = setNames(lapply(cases[made], function(case) sha256(data_path(case$data))), made)
), file.path(OUT, "manifest.json"))
