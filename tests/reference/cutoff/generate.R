# Writes the lavaan side of tests/reference/cutoff:
#
#   samples.json    SRMR, RMSEA and CFI of each of the samples that draws.py draws with this package
#   quantiles.json  quantiles of these indices in samples that R draws, from populations that R makes by itself
#
#   Rscript tests/reference/cutoff/generate.R             both
#   Rscript tests/reference/cutoff/generate.R samples     one of them; quantiles take some minutes
#
# from the checkout root. Populations of the second file follow from cases.json and additions.json by matrix algebra:
# cross-loadings and correlations of residuals are added, and residual variances make up variances of 1.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "cutoff")
wanted_files <- commandArgs(trailingOnly = TRUE)
if (!length(wanted_files)) wanted_files <- c("samples", "quantiles")
python <- Sys.getenv("PYTHON", if (file.exists(".venv/bin/python")) ".venv/bin/python" else "python3")
# Indices of samples -----------------------------------------------------------------------------------------------------
solved <- function(...) {
  quiet <- function(expr) withCallingHandlers(expr, warning = function(w) invokeRestart("muffleWarning"))
  call <- list(...)
  default <- quiet(do.call("cfa", call))
  if (!lavInspect(default, "converged")) default <- quiet(do.call("cfa", c(call, list(start = "simple"))))
  if (!lavInspect(default, "converged")) return(NULL)
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- quiet(do.call("cfa", c(call, list(start = start, optim.method = "none", check.start = FALSE))))
  fit@baseline <- default@baseline
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-10 * max(1, abs(best)))
  fit
}

index_one <- function(case, sample) {
  options <- case$settings
  names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  if (is.null(sample$rows)) {
    cov <- matrix(unlist(sample$cov), nrow = length(case$names), byrow = TRUE, dimnames = list(case$names, case$names))
    call <- c(list(model = case$model, sample.cov = cov, sample.nobs = case$n, sample.cov.rescale = FALSE,
                   likelihood = case$likelihood), options)
    if (!is.null(sample$mean)) call$sample.mean <- setNames(unlist(sample$mean), case$names)
    wanted <- c("srmr", "rmsea", "cfi")
  } else {
    rows <- as.data.frame(do.call(rbind, lapply(sample$rows, unlist)))
    names(rows) <- case$names
    call <- c(list(model = case$model, data = rows, ordered = case$names, estimator = case$estimator), options)
    wanted <- c("srmr", "rmsea.scaled", "cfi.scaled")
  }
  fit <- do.call(solved, call)
  if (is.null(fit)) message("lavaan finds no solution: ", case$id)
  c(if (is.null(fit)) rep(NA, 3) else unname(fitMeasures(fit, wanted)), sample$checksum)
}
if ("samples" %in% wanted_files) {
  folder <- tempfile("samples"); dir.create(folder)
  stopifnot(system2(python, c(file.path(OUT, "draws.py"), folder)) == 0)
  drawn <- read_json(file.path(folder, "samples.json"))
  found <- lapply(drawn, function(case) {
    case$names <- unlist(case$names)
    levels <- lapply(case$levels, function(level) do.call(rbind, lapply(level, function(s) index_one(case, s))))
    list(id = case$id, indices = lapply(levels, function(m) m[, 1:3]), checksum = lapply(levels, function(m) m[, 4]))
  })
  names(found) <- vapply(found, `[[`, "", "id")
  write_numbers(list(versions = versions(c("lavaan", "jsonlite")), cases = sha256(file.path(OUT, "cases.json")),
                     samples = found), file.path(OUT, "samples.json"))
}

# Quantiles of samples that R draws --------------------------------------------------------------------------------------
REPLICATIONS <- 500L
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$models
names(spec) <- vapply(spec, `[[`, "", "id")
added <- read_json(file.path(OUT, "additions.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$models
names(added) <- vapply(added, `[[`, "", "id")

population <- function(text) {
  table <- lavaanify(text, fixed.x = FALSE)
  table <- table[table$lhs != table$rhs, ]
  loads <- table[table$op == "=~", ]
  items <- unique(loads$rhs); factors <- unique(loads$lhs)
  lambda <- matrix(0, length(items), length(factors), dimnames = list(items, factors))
  lambda[cbind(loads$rhs, loads$lhs)] <- loads$ustart
  phi <- diag(length(factors)); dimnames(phi) <- list(factors, factors)
  residual <- diag(length(items)); dimnames(residual) <- list(items, items)
  for (k in which(table$op == "~~")) {
    pair <- c(table$lhs[k], table$rhs[k])
    if (pair[1] %in% factors) phi[pair[1], pair[2]] <- phi[pair[2], pair[1]] <- table$ustart[k]
    else residual[pair[1], pair[2]] <- residual[pair[2], pair[1]] <- table$ustart[k]
  }
  common <- lambda %*% phi %*% t(lambda)
  spread <- sqrt(1 - diag(common))
  common + residual * outer(spread, spread)
}

bare <- function(text) {
  table <- lavaanify(text, fixed.x = FALSE)
  table <- table[table$lhs != table$rhs & (table$op == "=~" | !table$lhs %in% table$lhs[table$op == "=~"]), ]
  paste(table$lhs, table$op, table$rhs, collapse = "\n")
}

quantiles <- function(id) {
  text <- paste(spec[[id]]$model, collapse = "\n"); n <- spec[[id]]$n
  own <- added[[id]]
  levels <- c(list(text), lapply(seq_len(max(own$levels)), function(k) {
    paste(c(text, own$added[own$levels <= k]), collapse = "\n")
  }))
  model <- bare(text)
  lapply(seq_along(levels), function(k) {
    sigma <- population(levels[[k]])
    stopifnot(max(abs(diag(sigma) - 1)) < 1e-12)
    set.seed(100L + k)
    indices <- t(replicate(REPLICATIONS, {
      rows <- MASS::mvrnorm(n, rep(0, nrow(sigma)), sigma)
      fit <- cfa(model, sample.cov = cov(rows), sample.nobs = n, std.lv = TRUE, se = "none")
      fitMeasures(fit, c("srmr", "rmsea", "cfi"))
    }))
    apply(indices, 2, quantile, c(.05, .1, .5, .9, .95))
  })
}
if ("quantiles" %in% wanted_files) {
  ids <- c("holzinger", "one_six", "negative")
  write_numbers(list(versions = versions(c("lavaan", "MASS")), cases = sha256(file.path(OUT, "cases.json")),
                     replications = REPLICATIONS, shares = c(.05, .1, .5, .9, .95), indices = c("srmr", "rmsea", "cfi"),
                     quantiles = setNames(lapply(ids, quantiles), ids)), file.path(OUT, "quantiles.json"))
}
