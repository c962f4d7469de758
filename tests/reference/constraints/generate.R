# Writes the lavaan side of the constraint cases: one <case>.json for every case of cases.json here, and manifest.json.
#
#   Rscript tests/reference/constraints/generate.R [ID ...]
#
# from the checkout root; data and versions as for ../lavaan/generate.R, whose functions compute what is written.
#
# lavaan's constrained optimiser stops at 1e-6. Each case is therefore done in three steps: (1) lavaan with its defaults,
# (2) Newton's method on the Karush-Kuhn-Tucker equations of the constraints that are active there (gradient g of the fit
# function, c the active constraints, J their Jacobian, l the multipliers: g = J'l, c = 0) with lavaan's own gradient and
# constraint functions, (3) lavaan with optim.method = "none" at that point, which computes every number that is written.
# That the multipliers of inequalities have the right sign and the inactive ones hold is checked.
#
# lavaan takes an active inequality as an equation when it computes standard errors, but forgets active *bounds* (lower(),
# upper(), bounds =). Step (3) therefore states active bounds as inequalities; lavaan's numbers without that are kept as
# `se_ignoring_bounds`. The bounds themselves are written as `bounds`.

source(file.path("tests", "reference", "lavaan", "common.R"))
for (e in parse(file.path("tests", "reference", "lavaan", "generate.R"))) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && (identical(e[[2]], as.name("MEASURES")) ||
      (is.call(e[[3]]) && identical(e[[3]][[1]], as.name("function"))))) eval(e)
}
OUT <- file.path(REFERENCE, "constraints")
CASES <- file.path(OUT, "cases.json")
output <- function(case) file.path(OUT, paste0(case$id, ".json"))
TINY <- 1e-7  # a standard error below this share of the largest is one of a parameter that constraints pin

nothing <- function(x, ...) numeric(0)
constraint_functions <- function(fit) {
  m <- fit@Model
  list(equal = if (is.null(body(m@ceq.function))) nothing else m@ceq.function,
       least = if (is.null(body(m@cin.function))) nothing else m@cin.function)
}
jacobian <- function(f, x) if (length(f(x))) numDeriv::jacobian(f, x) else matrix(0, 0, length(x))

bounds_of <- function(fit) {
  table <- parTable(fit)
  free <- which(table$free > 0 & !duplicated(ifelse(table$free > 0, table$free, -seq_along(table$free))))
  end <- function(name, none) if (is.null(table[[name]])) rep(none, length(free)) else table[[name]][free]
  data.frame(row = free, free = table$free[free], lower = end("lower", -Inf), upper = end("upper", Inf))
}

# All constraints that hold as equations near x: list(value(x), which inequalities, which bounds).
active_set <- function(fit, x, slack = 1e-4) {
  f <- constraint_functions(fit)
  least <- which(f$least(x) < slack)
  b <- bounds_of(fit)
  near <- slack * pmax(1, abs(x[b$free]))
  low <- b$free[is.finite(b$lower) & x[b$free] - b$lower < near]
  high <- b$free[is.finite(b$upper) & b$upper - x[b$free] < near]
  make <- function(least, low, high) {
    value <- function(x) c(f$equal(x), f$least(x)[least], x[low] - b$lower[match(low, b$free)], b$upper[match(high, b$free)] - x[high])
    list(value = value, equations = length(f$equal(x)), least = least, low = low, high = high)
  }
  list(make = make, start = make(least, low, high))
}

independent <- function(J) { q <- qr(t(J)); sort(q$pivot[seq_len(q$rank)]) }

kkt_newton <- function(fit, x, active, steps = 40L) {
  gradient <- function(x) {
    model <- lavaan:::lav_model_set_parameters(fit@Model, x = x)
    drop(lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                     lavcache = fit@Cache, type = "free"))
  }
  scale <- sqrt(diag(lavaan:::lav_model_information_expected(lavmodel = fit@Model, lavsamplestats = fit@SampleStats,
                lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)))
  keep <- NULL
  lambda <- NULL
  best <- list(size = Inf)
  for (k in seq_len(steps)) {
    J <- jacobian(active$value, x)
    if (is.null(keep)) keep <- if (nrow(J)) independent(J) else integer(0)
    J <- J[keep, , drop = FALSE]
    value <- function(x) active$value(x)[keep]
    g <- gradient(x)
    lambda <- if (nrow(J)) drop(qr.coef(qr(t(J) / scale), g / scale)) else numeric(0)
    residual <- (g - drop(crossprod(J, lambda))) / scale
    size <- max(abs(residual), if (nrow(J)) abs(value(x)) / sqrt(rowSums(t(t(J) / scale)^2)) else 0)
    gained <- size < 0.5 * best$size
    if (size < best$size) best <- list(size = size, x = x, lambda = lambda, keep = keep, scale = scale)
    if (best$size < 1e-12 && !gained) break
    if (size < 1e-14) break
    H <- numDeriv::jacobian(gradient, x)
    H <- (H + t(H)) / 2
    for (i in seq_along(lambda)) H <- H - lambda[i] * numDeriv::hessian(function(x) value(x)[i], x)
    n <- length(x)
    r <- nrow(J)
    Js <- t(t(J) / scale)
    A <- rbind(cbind(t(H / scale) / scale, -t(Js)), cbind(Js, matrix(0, r, r)))
    move <- solve(A, -c(residual, if (r) value(x) else NULL))[seq_len(n)]
    x <- x + move / scale
  }
  best
}

polish_constrained <- function(fit) {
  x <- lavaan:::lav_model_get_parameters(fit@Model)
  set <- active_set(fit, x)
  active <- set$start
  repeat {
    found <- kkt_newton(fit, x, active)
    if (is.null(found$x)) stop("Newton's method failed")
    # lambda belongs to the constraints kept: inequalities need a positive one
    wrong <- which(found$lambda < 0 & found$keep > active$equations)
    if (!length(wrong)) break
    drop_at <- found$keep[wrong[which.min(found$lambda[wrong])]] - active$equations
    ids <- c(rep("least", length(active$least)), rep("low", length(active$low)), rep("high", length(active$high)))
    of <- function(name) active[[name]][setdiff(seq_along(active[[name]]), drop_at - match(name, ids) + 1L)]
    left <- lapply(c(least = "least", low = "low", high = "high"), function(name) if (identical(ids[drop_at], name)) of(name) else active[[name]])
    active <- set$make(left$least, left$low, left$high)
  }
  f <- constraint_functions(fit)
  b <- bounds_of(fit)
  stopifnot(f$least(found$x) > -1e-10, found$x[b$free] > b$lower - 1e-10, found$x[b$free] < b$upper + 1e-10)
  c(found, list(active = active))
}

# The gradient that is left, in the directions the constraints leave open.
slope <- function(model, fit) {
  gradient <- drop(lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                               lavcache = fit@Cache, type = "free"))
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  scale <- sqrt(diag(information))
  J <- t(t(jacobian(CURRENT$value, lavaan:::lav_model_get_parameters(model))) / scale)
  open <- if (nrow(J)) { q <- qr(t(J)); qr.Q(q, complete = TRUE)[, -seq_len(q$rank), drop = FALSE] } else diag(length(gradient))
  open <- open / scale
  list(open = open, gradient = drop(crossprod(open, gradient)), information = crossprod(open, information %*% open))
}

CURRENT <- NULL
EXTRA <- NULL
solve_case <- function(case) {
  first <- fit_with(case)
  default <- first$fit
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  linear <- default@Model@eq.constraints
  found <- polish_constrained(default)
  CURRENT <<- found$active
  best <- found$x
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  for (name in c("lower", "upper")) start[[name]] <- NULL
  # active bounds as inequalities
  table <- parTable(default)
  b <- bounds_of(default)
  label <- function(free) table$plabel[b$row[match(free, b$free)]]
  stated <- c(sprintf("%s > %.17g", label(found$active$low), b$lower[match(found$active$low, b$free)]),
              sprintf("%s < %.17g", label(found$active$high), b$upper[match(found$active$high, b$free)]))
  plain <- case
  plain$options$bounds <- NULL
  again <- list(start = start, optim.method = "none", check.start = FALSE)
  ignoring <- do.call(fit_with, c(list(plain), again))$fit
  if (length(stated)) again$constraints <- stated
  fit <- do.call(fit_with, c(list(plain), again))$fit
  fit@baseline <- default@baseline
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best))
  if (moved > 1e-12 * max(1, abs(best))) stop("the polished point was not taken over (", moved, ")")
  whole <- bounds_of(default)
  EXTRA <<- list(
    size = found$size,
    active = length(found$active$least) + length(stated),
    bounds = if (any(is.finite(c(whole$lower, whole$upper)))) data.frame(
      lhs = table$lhs[whole$row], op = table$op[whole$row], rhs = table$rhs[whole$row], lower = whole$lower, upper = whole$upper),
    se_ignoring_bounds = if (length(stated)) parameterEstimates(ignoring)$se
  )
  list(fit = fit, default = default, warnings = first$warnings)
}

# Parameters that constraints pin have no standard error; lavaan leaves rounding there, or the root of a negative number.
clean <- function(table, estimate) {
  if (all(is.na(table$se))) stop("no standard errors")
  pinned <- is.na(table$se) | table$se < TINY * max(table$se, na.rm = TRUE)
  table$se[pinned] <- 0
  table$z[pinned] <- NA
  table$pvalue[pinned] <- NA
  table$ci.lower[pinned] <- table$ci.upper[pinned] <- table[[estimate]][pinned]
  table
}

sharpen <- function(table, fit) {
  keep <- !parTable(fit)$op %in% c("==", "<", ">")
  derivative <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  variance <- diag(derivative %*% lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE) %*% t(derivative))[keep]
  table <- table[!table$op %in% c("==", "<", ">"), ]
  se <- suppressWarnings(sqrt(variance))
  se[is.na(se) | se < 1e-6] <- 0
  moved <- max(abs(se / table$se - 1)[se > 0 & table$se > 1e-4], na.rm = TRUE)
  if (!is.finite(moved) || moved > 1e-3) stop("standardized standard errors: derivative moves them by ", moved)
  table$se <- se
  table$z <- table$est.std / ifelse(se == 0, NA, se)
  table$pvalue <- 2 * pnorm(-abs(table$z))
  table$ci.lower <- table$est.std + qnorm(0.025) * se
  table$ci.upper <- table$est.std + qnorm(0.975) * se
  attr(table, "moved") <- moved
  table
}

check_defined <- function(fit, table) invisible()

all_estimates <- parameterEstimates
parameterEstimates <- function(object, ...) {
  table <- all_estimates(object, ...)
  clean(table[!table$op %in% c("==", "<", ">"), ], "est")
}

cases <- read_cases()
wanted <- commandArgs(trailingOnly = TRUE)
for (case in cases) {
  if (length(wanted) && !case$id %in% wanted) next
  capture.output(result <- tryCatch(c(reference(case), EXTRA), error = conditionMessage))
  if (is.character(result)) stop(case$id, ": ", result)
  # pinned parameters have no standard error to measure a move in
  if (!is.finite(result$lavaan_default$largest_move)) result$lavaan_default["largest_move"] <- list(NA)
  if (!is.null(EXTRA$bounds)) {
    for (n in c("lower", "upper")) EXTRA$bounds[[n]][!is.finite(EXTRA$bounds[[n]])] <- NA
    result$bounds <- EXTRA$bounds
  }
  write_numbers(result, output(case))
  cat(sprintf("%-28s chisq %12.5f df %3d npar %3d active %d  gradient %.1e kkt %.1e (default stop %.1e SE)%s\n", case$id, result$measures$chisq,
              as.integer(result$measures$df), as.integer(result$measures$npar), EXTRA$active, result$gradient$scaled, EXTRA$size,
              result$lavaan_default$largest_move, if (result$admissible) "" else "  IMPROPER"))
}
sources <- unique(vapply(cases, function(case) case$data, ""))
write_numbers(
  list(
    about = "Written by tests/reference/constraints/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(CASES),
      generate = sha256(file.path(OUT, "generate.R")),
      common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
      functions = sha256(file.path(REFERENCE, "lavaan", "generate.R")),
      data = setNames(lapply(sources, function(source) sha256(data_path(source))), sources),
      outputs = setNames(lapply(cases, function(case) sha256(output(case))), vapply(cases, function(case) case$id, ""))
    )
  ),
  file.path(OUT, "manifest.json")
)
