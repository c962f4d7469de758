# Writes the lavaan side of tests/reference/polychoric: one <case>.json for every case of cases.json, and manifest.json.
#
#   Rscript tests/reference/polychoric/generate.R            all cases
#   Rscript tests/reference/polychoric/generate.R ID ...     only these
#
# from the checkout root; data as in ../lavaan/generate.R. lavaan finds correlations and probit regressions with nlminb at its
# default tolerance. Here every such search is finished by Newton steps on lavaan's own gradient before anything is written;
# `moved` tells how far that changed the statistics, in standard errors. Every row counts (every_row.R); where lavaan drops rows
# and so arrives elsewhere, its own statistics are kept in `rule`.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "polychoric")
source(file.path(OUT, "every_row.R"))
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(case) case$id, ""))
path_of <- function(source) {
  if (source == "here:simulated") file.path(OUT, "simulated.csv") else data_path(source)
}

# nlminb as lavaan calls it, then Newton's method on its gradient; the cache ends at the point that is returned.
finished <- function(start, objective, gradient = NULL, hessian = NULL, control = list(), ..., cache) {
  out <- stats::nlminb(start = start, objective = objective, gradient = gradient, hessian = hessian, control = control, ...,
                       cache = cache)
  at <- function(x) { objective(x, cache = cache); gradient(x, cache = cache) }
  x <- out$par
  if (!is.null(gradient) && max(abs(x)) < 0.99 || length(x) > 1L) {
    for (k in 1:8) {
      g <- at(x)
      step <- 1e-5
      H <- vapply(seq_along(x), function(j) {
        e <- replace(numeric(length(x)), j, step)
        (at(x + e) - at(x - e)) / (2 * step)
      }, numeric(length(x)))
      x <- x - drop(solve(matrix(H, length(x)), g))
    }
  }
  objective(x, cache = cache)
  out$par <- x
  out
}
PATCHED <- c("lav_uvord_fit", "lav_bvord_cor_twostep_fit", "lav_bvmix_cor_twostep_fit", "lav_bvreg_cor_twostep_fit")
ORIGINAL <- setNames(lapply(PATCHED, getFromNamespace, ns = "lavaan"), PATCHED)
use <- function(finish) {
  for (name in PATCHED) {
    f <- ORIGINAL[[name]]
    if (finish) environment(f) <- list2env(list(nlminb = finished), parent = asNamespace("lavaan"))
    assignInNamespace(name, f, ns = "lavaan")
  }
}

frame_of <- function(case) {
  frame <- read.csv(path_of(case$data))
  if (!is.null(case$holes)) {
    i <- as.numeric(seq_len(nrow(frame)))
    given <- if (is.null(case$holes_given)) TRUE else frame[[case$columns[1]]] >= case$holes_given
    for (j in seq_along(case$columns)) {
      if (!is.null(case$holes_given) && j == 1) next
      frame[[case$columns[j]]][(37 * i + 101 * j + 7 * i * i * j) %% 97 < case$holes & given] <- NA
    }
  }
  frame[c(case$columns, case$covariates)]
}

statistics <- function(case, finish, all = FALSE) {
  use(finish)
  every_row(all)
  on.exit({ use(FALSE); every_row(FALSE) })
  ordered <- if (isTRUE(case$ordered)) case$columns else case$ordered
  model <- paste("f =~", paste(case$columns, collapse = " + "))
  if (length(case$covariates)) model <- c(model, paste("f ~", paste(case$covariates, collapse = " + ")))
  warned <- character(0)
  fit <- withCallingHandlers(
    sem(paste(model, collapse = "\n"), frame_of(case), ordered = ordered, estimator = "WLSMV", do.fit = FALSE,
        missing = if (is.null(case$missing)) "listwise" else case$missing,
        conditional.x = length(case$covariates) > 0),
    warning = function(w) { warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w))); invokeRestart("muffleWarning") })
  list(fit = fit, statistic = lavInspect(fit, "wls.obs"), gamma = lavInspect(fit, "gamma"), warnings = unique(warned))
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) wanted <- names(cases)
for (id in wanted) {
  case <- cases[[id]]
  raw <- statistics(case, finish = FALSE)
  rule <- statistics(case, finish = TRUE)
  done <- statistics(case, finish = TRUE, all = TRUE)
  n <- lavInspect(done$fit, "nobs")
  gamma <- unclass(done$gamma)
  k <- seq_len(nrow(gamma))
  moved <- max(abs(unclass(raw$statistic) - unclass(rule$statistic)) / sqrt(diag(gamma) / n))
  other <- which(abs(unclass(rule$statistic) - unclass(done$statistic)) / sqrt(diag(gamma) / n) > 1e-7)
  tables <- done$fit@SampleStats@zero.cell.tables[[1]]
  out <- list(id = id, nobs = n, labels = I(names(done$statistic)), statistic = I(unname(c(unclass(done$statistic)))),
              diagonal = I(unname(diag(gamma))), cos = I(unname(drop(gamma %*% cos(k)))), sin = I(unname(drop(gamma %*% sin(k)))),
              gamma = if (isTRUE(case$full)) unname(gamma), empty = nrow(tables), moved = moved, warnings = I(done$warnings))
  if (length(other)) out$rule <- list(labels = I(names(rule$statistic)[other]), statistic = I(unname(c(unclass(rule$statistic)))[other]))
  write_numbers(out, file.path(OUT, paste0(id, ".json")))
  cat(sprintf("%-22s n %5d  K %4d  moved %.1e se  %s\n", id, n, nrow(gamma), moved, paste(done$warnings, collapse = " | ")))
}

sources <- unique(vapply(cases, function(case) case$data, ""))
write_numbers(list(about = "Written by tests/reference/polychoric/generate.R", versions = versions(c("lavaan", "pbivnorm", "jsonlite", "digest")),
                   sha256 = list(cases = sha256(file.path(OUT, "cases.json")), generate = sha256(file.path(OUT, "generate.R")),
                                 every_row = sha256(file.path(OUT, "every_row.R")),
                                 data = as.list(setNames(vapply(sources, function(s) sha256(path_of(s)), ""), sources)))),
              file.path(OUT, "manifest.json"))
