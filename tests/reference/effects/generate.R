# Writes the outside truth for effects, factor scores, residuals and bootstrap intervals: one file an area in this folder.
#
#   Rscript tests/reference/effects/generate.R
#
# from the checkout root, as ../lavaan/generate.R (see there for B2B_SEM_DATA and PYTHON). The models are cases of ../cases.json,
# solved by lavaan and polished to rounding level (../lavaan/common.R).
#   effects.json     every directed path, found here by its own search, written as a := and estimated by lavaan; total effects of
#                    a model with a loop from (I - B)^-1 with Richardson's derivative (numDeriv)
#   scores.json      lavPredict
#   residuals.json   lavResiduals
#   montecarlo.json  semTools::monteCarloCI (raw), the same by lavaan's standardization function (standardized)
#   intervals.json   boot::boot.ci on replicates that are stored with it

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(boot))
OUT <- file.path(REFERENCE, "effects")
write_area <- function(object, name) write_numbers(object, file.path(OUT, paste0(name, ".json")))
cases <- read_cases()

EFFECTS <- c("pd_full", "pd_indirect", "pd_constraint", "lima36", "lima36_rival", "lima_scores", "path_mediation",
             "path_mediation_random_x", "path_mediation_means", "path_wishart", "path_multivariate", "path_nonrecursive",
             "path_equality", "path_fixed_slope", "hs_mimic", "hs_latent_and_observed", "hs_direct_effect_on_indicator",
             "order2_structural", "bifactor_predicts", "mobi_ecsi", "mobi_means", "corprep_drivers", "lancelot_sem",
             "influencer_sem", "influencer_covariate", "technology_utaut", "switching_sem", "yoo_second_order", "tpb_sem")
SCORES <- c("hs_three_factor", "hs_means", "hs_wishart", "hs_std_lv", "hs_second_order", "hs_mimic", "hs_mimic_means",
            "hs_mimic_random_x", "hs_single_indicator_auto", "hs_direct_effect_on_indicator", "hs_cross_loading",
            "hs_residual_covariances", "hs_latent_means", "hs_latent_and_observed", "hs_latent_observed_y", "bifactor",
            "order2_structural", "pd_full", "pd_means", "heywood_small", "mobi_ecsi", "mobi_means", "lancelot_wishart_means", "corprep_drivers",
            "influencer_covariate", "yoo_second_order", "lima36")
RESIDUALS <- c("hs_three_factor", "hs_means", "hs_mimic", "hs_mimic_means", "hs_mimic_random_x", "hs_latent_means",
               "hs_equal_loadings", "hs_effect_coding", "hs_equal_intercepts", "hs_second_order", "pd_full", "pd_constraint",
               "path_mediation", "path_mediation_means", "path_nonrecursive", "path_regression", "hs_wishart",
               "heywood_small", "mobi_ecsi", "influencer_covariate", "hs_sample_cov")
KEPT_ROWS <- c(1:8, -1)  # rows of the scores that are stored; the others enter the mean and the SD

solved <- new.env()
solve_once <- function(id) {
  if (is.null(solved[[id]])) {
    capture.output(fit <- solve_case(cases[[id]])$fit)  # lavaan prints matrices it complains about
    solved[[id]] <- fit
  }
  solved[[id]]
}

# Effects -----------------------------------------------------------------------------------------------------------------
# All paths of one or more regressions that pass no variable twice, as vectors of row numbers of the table.
paths_of <- function(table) {
  rows <- which(table$op == "~" & (table$free > 0 | table$est != 0))
  found <- list()
  extend <- function(path, seen) {
    for (r in rows) {
      if (table$rhs[r] == seen[length(seen)] && !table$lhs[r] %in% seen) {
        longer <- c(path, r)
        found[[length(found) + 1]] <<- longer
        extend(longer, c(seen, table$lhs[r]))
      }
    }
  }
  for (start in unique(table$rhs[rows])) extend(integer(0), start)
  found
}

has_loop <- function(table) {
  rows <- which(table$op == "~")
  v <- unique(c(table$lhs[rows], table$rhs[rows]))
  b <- matrix(0, length(v), length(v), dimnames = list(v, v))
  b[cbind(table$lhs[rows], table$rhs[rows])] <- 1
  power <- diag(length(v))
  for (k in seq_along(v)) { power <- power %*% b; if (any(diag(power) > 0)) return(TRUE) }
  FALSE
}

# The model with every effect as a :=, at the polished solution.
with_definitions <- function(id, definitions) {
  fit <- solve_once(id)
  table <- as.data.frame(parTable(fit))
  table$start <- table$est
  rows <- which(table$op == "~")
  names_ <- paste0("edge", rows)
  own <- table$label[rows] != ""
  names_[own] <- table$label[rows][own]
  table$label[rows] <- names_
  labels <- character(nrow(table))
  labels[rows] <- names_
  added <- table[rep(1, length(definitions)), ]
  added[] <- lapply(added, function(column) if (is.character(column)) "" else if (is.logical(column)) NA else 0)
  added$lhs <- added$label <- names(definitions)
  added$op <- ":="
  added$rhs <- vapply(definitions, function(f) f(labels), "")
  added$user <- 1L
  added$ustart <- NA
  added$plabel <- ""
  table <- rbind(table, added)
  table$id <- seq_len(nrow(table))
  arguments <- case_arguments(cases[[id]])
  arguments$model <- table
  out <- suppressWarnings(do.call("sem", c(arguments, list(optim.method = "none", check.start = FALSE))))
  stopifnot(max(abs(coef(out) - coef(fit))) < 1e-12 * max(1, abs(coef(fit))))
  out
}

standardized_se <- function(fit) {
  jacobian <- numDeriv::jacobian(lavaan:::lav_standardize_all_x, lavaan:::lav_model_get_parameters(fit@Model), lavobject = fit)
  suppressWarnings(sqrt(diag(jacobian %*% lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE) %*%
                               t(jacobian))))
}

product <- function(rows) { force(rows); function(labels) paste(labels[rows], collapse = "*") }
sum_of <- function(paths) { force(paths); function(labels) paste(vapply(paths, function(p) product(p)(labels), ""), collapse = "+") }

effects_of <- function(id) {
  table <- as.data.frame(parTable(solve_once(id)))
  paths <- paths_of(table)
  start <- vapply(paths, function(p) table$rhs[p[1]], "")
  end <- vapply(paths, function(p) table$lhs[p[length(p)]], "")
  long <- lengths(paths) > 1
  # lavaan takes no fixed parameter in a := and a loop has no closed form: those come from the matrices
  # (and with equal labels its standardized := takes the first parameter of that label for all of them)
  edges <- table[table$op == "~", ]
  if (any(edges$free == 0) || anyDuplicated(edges$label[edges$label != ""])) return(matrix_effects(solve_once(id), paths))
  loop <- has_loop(table)
  wanted <- list()  # name -> definition; what it is stands beside it
  what <- list()
  add <- function(kind, outcome, predictor, path, definition) {
    name <- paste0("effect", length(wanted) + 1)
    wanted[[name]] <<- definition
    what[[name]] <<- list(kind = kind, outcome = outcome, predictor = predictor, path = path)
  }
  for (k in which(long)) {
    p <- paths[[k]]
    add("specific", end[k], start[k], paste(c(table$rhs[p[1]], table$lhs[p]), collapse = " -> "), product(p))
  }
  for (pair in unique(paste(start, end))) {
    mine <- paste(start, end) == pair
    x <- start[mine][1]; y <- end[mine][1]; arrow <- paste(x, "->", y)
    if (any(mine & !long)) add("direct", y, x, arrow, sum_of(paths[mine & !long]))
    if (loop) next
    if (any(mine & long)) add("indirect", y, x, arrow, sum_of(paths[mine & long]))
    add("total", y, x, arrow, sum_of(paths[mine]))
  }
  fit <- with_definitions(id, wanted)
  estimates <- parameterEstimates(fit)
  std <- standardizedSolution(fit)
  table2 <- parTable(fit)
  std_se <- standardized_se(fit)[!table2$op %in% c("==", "<", ">")]
  at <- match(names(wanted), estimates$label)
  rows <- lapply(seq_along(wanted), function(k) c(what[[k]], list(
    est = estimates$est[at[k]], se = estimates$se[at[k]], est_std = std$est.std[at[k]], se_std = std_se[at[k]])))
  c(rows, if (loop) matrix_effects(solve_once(id), list()))
}

# Total and total indirect effects from (I - B)^-1, effects along given paths as products of elements of B, and their
# delta-method SEs by numerical derivatives.
matrix_effects <- function(fit, paths) {
  table <- as.data.frame(parTable(fit))
  rows <- which(table$op == "~")
  v <- unique(c(table$lhs[rows], table$rhs[rows]))
  x <- lavaan:::lav_model_get_parameters(fit@Model)
  pairs <- expand.grid(y = v, x = v, stringsAsFactors = FALSE)
  pairs <- pairs[pairs$y != pairs$x, ]
  all_of <- function(x, standardized) {
    model <- lavaan:::lav_model_set_parameters(fit@Model, x = x)
    beta <- model@GLIST$beta
    dimnames(beta) <- fit@Model@dimNames[[which(names(fit@Model@GLIST) == "beta")]]
    beta <- beta[v, v]
    total <- solve(diag(length(v)) - beta) - diag(length(v))
    dimnames(total) <- dimnames(beta)
    if (standardized) {
      veta <- lavaan:::computeVETA(model)[[1]]
      dimnames(veta) <- fit@Model@dimNames[[which(names(fit@Model@GLIST) == "psi")]]
      sd <- sqrt(diag(veta))[v]
      total <- total * outer(1 / sd, sd); beta <- beta * outer(1 / sd, sd)
    }
    at <- cbind(pairs$y, pairs$x)
    along <- vapply(paths, function(p) prod(beta[cbind(table$lhs[p], table$rhs[p])]), 0)
    c(total[at], (total - beta)[at], along)
  }
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  se <- function(standardized) {
    j <- numDeriv::jacobian(all_of, x, standardized = standardized)
    sqrt(diag(j %*% vcov %*% t(j)))
  }
  raw <- all_of(x, FALSE); std <- all_of(x, TRUE); raw_se <- se(FALSE); std_se <- se(TRUE)
  kinds <- rep(c("total", "indirect"), each = nrow(pairs))
  out <- lapply(seq_along(raw), function(k) {
    numbers <- list(est = raw[k], se = raw_se[k], est_std = std[k], se_std = std_se[k])
    if (k > length(kinds)) {
      p <- paths[[k - length(kinds)]]
      v <- c(table$rhs[p[1]], table$lhs[p])
      head <- list(kind = if (length(p) > 1) "specific" else "direct", outcome = v[length(v)], predictor = v[1],
                   path = paste(v, collapse = " -> "))
    } else {
      pair <- pairs[(k - 1) %% nrow(pairs) + 1, ]
      head <- list(kind = kinds[k], outcome = pair$y, predictor = pair$x, path = paste(pair$x, "->", pair$y))
    }
    c(head, numbers)
  })
  Filter(function(row) abs(row$est) > 1e-14, out)
}

# Scores ------------------------------------------------------------------------------------------------------------------
scores_of <- function(id) {
  fit <- solve_once(id)
  one <- function(method) {
    s <- suppressWarnings(lavPredict(fit, method = method))
    keep <- ifelse(KEPT_ROWS > 0, KEPT_ROWS, nrow(s) + 1 + KEPT_ROWS)
    list(names = I(colnames(s)), rows = keep, values = unname(unclass(s)[keep, , drop = FALSE]), mean = I(unname(colMeans(s))),
         sd = I(unname(apply(s, 2, sd))))
  }
  c(list(regression = one("regression"), bartlett = one("Bartlett")), conditional_scores(fit))
}

# The two definitions themselves, from lavaan's matrices by plain algebra: the conditional mean of the latent variables given
# the observed ones; and generalised least squares in the distribution of the observed variables given the latent variables
# and the exogenous observed ones. lavPredict rewrites Lambda for observed variables in regressions, which changes both.
conditional_scores <- function(fit) {
  m <- lavInspect(fit, "est")
  y <- lavNames(fit, "ov"); latent <- lavNames(fit, "lv"); x <- lavNames(fit, "ov.x")
  inverse <- solve(diag(ncol(m$lambda)) - if (is.null(m$beta)) 0 else m$beta)
  eta <- inverse %*% m$psi %*% t(inverse)
  cross <- eta %*% t(m$lambda)
  dimnames(cross) <- list(colnames(m$lambda), rownames(m$lambda))
  sigma <- m$lambda %*% eta %*% t(m$lambda) + m$theta
  dimnames(eta) <- list(colnames(m$lambda), colnames(m$lambda))
  data <- lavInspect(fit, "data")
  centre <- colMeans(data)
  mean <- setNames(numeric(length(latent)), latent)
  if (!is.null(m$nu)) {
    centre <- drop(m$nu + m$lambda %*% inverse %*% m$alpha)
    mean <- setNames(drop(inverse %*% m$alpha), colnames(m$lambda))[latent]
  } else if (!is.null(m$beta) && length(setdiff(colnames(m$beta), latent))) {
    known <- setdiff(colnames(m$beta), latent)  # observed variables in regressions: their means are the sample's
    b <- m$beta
    mean <- drop(solve(diag(length(latent)) - b[latent, latent], b[latent, known, drop = FALSE] %*% centre[known]))
    names(mean) <- latent
  }
  u <- sweep(data[, rownames(m$lambda)], 2, centre)
  keep <- ifelse(KEPT_ROWS > 0, KEPT_ROWS, nrow(u) + 1 + KEPT_ROWS)
  pack <- function(s) list(names = I(latent), rows = keep, values = unname(s[keep, , drop = FALSE]), mean = I(unname(colMeans(s))),
                           sd = I(unname(apply(s, 2, sd))))
  regression <- sweep(u %*% solve(sigma, t(cross[latent, , drop = FALSE])), 2, mean, "+")
  bartlett <- tryCatch({
    rest <- setdiff(rownames(m$lambda), x)
    zz <- rbind(cbind(eta[latent, latent, drop = FALSE], cross[latent, x, drop = FALSE]),
                cbind(t(cross[latent, x, drop = FALSE]), sigma[x, x, drop = FALSE]))
    yz <- cbind(t(cross[latent, rest, drop = FALSE]), sigma[rest, x, drop = FALSE])
    l <- yz %*% solve(zz)
    d <- sigma[rest, rest] - l %*% t(yz)
    first <- l[, seq_along(latent), drop = FALSE]
    weight <- solve(d, first)
    free <- u[, rest] - if (length(x)) u[, x, drop = FALSE] %*% t(l[, -seq_along(latent), drop = FALSE]) else 0
    pack(sweep(free %*% weight %*% solve(t(first) %*% weight), 2, mean, "+"))
  }, error = function(e) NULL)
  list(conditional = pack(regression), conditional_bartlett = bartlett)
}

# Residuals ---------------------------------------------------------------------------------------------------------------
residuals_of <- function(id) {
  fit <- solve_once(id)
  out <- list()
  for (type in c("raw", "cor.bollen", "cor.bentler")) {
    r <- suppressWarnings(lavResiduals(fit, type = type, se = TRUE, zstat = FALSE, summary = FALSE))
    out[[under(setNames(0, type)) |> names()]] <- list(
      cov = labelled(r$cov), mean = labelled(r$mean), cov_se = labelled(r$cov.se), mean_se = labelled(r$mean.se))
  }
  # lavaan leaves a residual below 1e-5 undivided, whatever its unit: what it divides by is stored instead
  for (type in c("normalized", "standardized", "standardized.mplus")) {
    se <- suppressWarnings(lavaan:::lav_residuals_se(fit, type = "raw", z.type = type, add.labels = TRUE)[[1]])
    r <- suppressWarnings(residuals(fit, type = type))
    out[[under(setNames(0, type)) |> names()]] <- list(
      cov = labelled(r$cov), mean = labelled(r$mean), cov_se = labelled(se$cov.se), mean_se = labelled(se$mean.se))
  }
  out
}

# Monte Carlo -------------------------------------------------------------------------------------------------------------
monte_carlo <- function() {
  set.seed(20261121)
  fit <- solve_once("pd_indirect")
  raw <- semTools::monteCarloCI(fit, nRep = 1e6)
  rows <- parTable(fit)$op == ":="
  mean <- lavaan:::lav_model_get_parameters(fit@Model)
  draws <- MASS::mvrnorm(20000, mean, lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE))
  std <- t(apply(draws, 1, function(x) lavaan:::lav_standardize_all_x(x, lavobject = fit)[rows]))
  bounds <- apply(std, 2, quantile, c(0.025, 0.975))
  list(case = "pd_indirect", raw_draws = 1e6, std_draws = 20000, effects = lapply(seq_len(nrow(raw)), function(k) list(
    name = rownames(raw)[k], ci_lower = raw$ci.lower[k], ci_upper = raw$ci.upper[k], ci_lower_std = bounds[1, k],
    ci_upper_std = bounds[2, k])))
}

# Bootstrap intervals -----------------------------------------------------------------------------------------------------
intervals <- function() {
  set.seed(20261122)
  n <- 60
  data <- cbind(rexp(n), rnorm(n))
  data[, 2] <- data[, 1] * 0.5 + data[, 2]
  statistic <- function(d, i) { d <- d[i, ]; c(mean(d[, 1]), var(d[, 2]), cor(d)[1, 2], mean(d[, 1]) * cov(d)[1, 2]) }
  done <- boot(data, statistic, R = 999)
  jackknife <- t(vapply(seq_len(n), function(i) statistic(data, setdiff(seq_len(n), i)), numeric(4)))
  rows <- list()
  for (k in seq_along(done$t0)) {
    influence <- mean(jackknife[, k]) - jackknife[, k]
    for (level in c(0.8, 0.9, 0.95, 0.99)) {
      of <- function(type, L = NULL) suppressWarnings(boot.ci(done, conf = level, type = type, index = k, L = L))
      plain <- of("perc")$percent[4:5]
      corrected <- of("bca", rep(c(-1, 1), n))$bca[4:5]  # influences without skewness: no acceleration
      accelerated <- of("bca", influence)$bca[4:5]
      rows[[length(rows) + 1]] <- list(statistic = k, level = level, percentile = plain, bc = corrected, bca = accelerated)
    }
  }
  list(estimate = done$t0, replicates = done$t, jackknife = jackknife, intervals = rows)
}

effects <- lapply(setNames(EFFECTS, EFFECTS), effects_of)
cat(length(unlist(effects, recursive = FALSE)), "effects\n")
write_area(effects, "effects")
write_area(lapply(setNames(SCORES, SCORES), scores_of), "scores")
write_area(lapply(setNames(RESIDUALS, RESIDUALS), residuals_of), "residuals")
write_area(monte_carlo(), "montecarlo")
write_area(intervals(), "intervals")
areas <- c("effects", "scores", "residuals", "montecarlo", "intervals")
write_area(list(
  about = "Written by tests/reference/effects/generate.R",
  versions = versions(c("lavaan", "semTools", "boot", "numDeriv", "jsonlite", "digest")),
  sha256 = list(cases = sha256(CASES), generate = sha256(file.path(OUT, "generate.R")),
                common = sha256(file.path(REFERENCE, "lavaan", "common.R")),
                outputs = setNames(lapply(areas, function(a) sha256(file.path(OUT, paste0(a, ".json")))), areas))
), "manifest")
