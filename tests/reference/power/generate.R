# Power by semTools: tests of RMSEA, and Satorra & Saris's noncentrality from models fitted to population moments.
# Run from the checkout root: Rscript tests/reference/power/generate.R
suppressMessages({library(lavaan); library(semTools); library(jsonlite)})
HERE <- file.path("tests", "reference", "power")
cases <- fromJSON(file.path(HERE, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)

# not findRMSEAsamplesize: it looks at 5:500, 505:1000, ... and never at the numbers between
smallest <- function(enough) {
  low <- 1
  high <- 2
  while (!enough(high)) { low <- high; high <- 2 * high }
  while (high - low > 1) {
    middle <- (low + high) %/% 2
    if (enough(middle)) high <- middle else low <- middle
  }
  high
}

rmsea <- lapply(cases$rmsea, function(case) {
  power <- sapply(cases$rows, function(n)
    findRMSEApower(case$null, case$alternative, case$df, n, case$alpha, group = case$groups))
  enough <- function(n, p) findRMSEApower(case$null, case$alternative, case$df, n, case$alpha, group = case$groups) >= p
  rows <- sapply(cases$power, function(p) smallest(function(n) enough(n, p)))
  list(power = power, rows = rows)
})

# lavaan's optimiser with tighter control refuses '==': its default leaves the fit function, which is flat, right to 1e-9
models <- lapply(cases$models, function(case) {
  groups <- length(case$nobs)
  population <- paste(case$population, collapse = "\n")
  # the moments implied by the values: every parameter that the text leaves out is a fixed 0 (or a free mean of 0)
  implied <- fitted(sem(population, sample.nobs = case$nobs, meanstructure = TRUE, fixed.x = FALSE))
  implied <- if (groups > 1) implied else list(implied)
  cov <- lapply(implied, function(m) unclass(m$cov))
  mean <- lapply(implied, function(m) unclass(m$mean))
  fit_to <- function(text, ...) {
    arguments <- list(model = text, sample.cov = if (groups > 1) cov else cov[[1]], sample.nobs = case$nobs,
                      sample.cov.rescale = FALSE, ...)
    if (groups > 1) arguments$sample.mean <- mean
    fit <- do.call("sem", arguments)
    stopifnot(lavInspect(fit, "converged"))
    fit
  }
  text <- paste(case$model, collapse = "\n")
  larger <- fit_to(text)
  whole <- fitmeasures(larger, c("chisq", "df"))
  restrictions <- lapply(case$restrictions, function(r) {
    smaller <- fit_to(paste(c(text, strsplit(r, "; ")[[1]]), collapse = "\n"))
    now <- fitmeasures(smaller, c("chisq", "df"))
    df <- unname(now["df"] - whole["df"])
    ncp <- unname(now["chisq"] - whole["chisq"])
    out <- list(restriction = r, df = df, ncp = ncp,
                power = pchisq(qchisq(.05, df, lower.tail = FALSE), df, ncp = ncp, lower.tail = FALSE))
    if (whole["chisq"] < 1e-8) { # semTools takes the noncentrality of the restricted model: right where the other fits
      arguments <- list(powerModel = paste(c(text, strsplit(r, "; ")[[1]]), collapse = "\n"), n = case$nobs, nparam = df,
                        Sigma = if (groups > 1) cov else cov[[1]], sample.cov.rescale = FALSE)
      if (groups > 1) arguments$mu <- mean
      out$semtools <- unname(do.call(SSpower, arguments))
    }
    out
  })
  steps <- list()
  if (!is.null(case$steps)) {
    equal <- list(configural = "", metric = "loadings", scalar = c("loadings", "intercepts"),
                  strict = c("loadings", "intercepts", "residuals"))
    measures <- lapply(case$steps, function(s) fitmeasures(fit_to(text, group.equal = equal[[s]]), c("chisq", "df")))
    for (k in seq_along(measures)[-1]) {
      difference <- measures[[k]] - measures[[k - 1]]
      steps[[case$steps[k]]] <- list(df = unname(difference["df"]), ncp = unname(difference["chisq"]))
    }
  }
  table <- parameterEstimates(larger)
  table <- table[table$op == "~", ]
  if (is.null(table$group)) table$group <- 1
  list(id = case$id, fit = list(df = unname(whole["df"]), ncp = unname(whole["chisq"])), restrictions = restrictions,
       steps = steps, paths = table[, c("lhs", "op", "rhs", "group", "est", "se")])
})

nested <- lapply(cases$nested, function(case) {
  about <- list(case$null[1], case$null[2], case$alternative[1], case$alternative[2], case$df[1], case$df[2])
  at <- function(n) do.call(findRMSEApowernested, c(about, list(n = n, alpha = case$alpha, group = case$groups)))
  list(power = sapply(cases$rows, at), rows = sapply(cases$power, function(p) smallest(function(n) at(n) >= p)))
})

# Holes at random, each variable by itself: every pattern has rows whose means and covariances are those of the
# population exactly, as often as the pattern is expected. lavaan's likelihood of these rows is the expected one.
missing <- lapply(cases$missing, function(case) {
  own <- Filter(function(m) m$id == case$model, cases$models)[[1]]
  groups <- length(own$nobs)
  implied <- fitted(sem(paste(own$population, collapse = "\n"), sample.nobs = own$nobs, meanstructure = TRUE,
                        fixed.x = FALSE))
  implied <- if (groups > 1) implied else list(implied)
  rates <- unlist(case$rates)
  grid <- expand.grid(rep(list(c(FALSE, TRUE)), length(rates)))
  share <- apply(grid, 1, function(gone) prod(ifelse(gone, rates, 1 - rates)))
  copies <- round(share / min(share))
  stopifnot(max(abs(copies / sum(copies) - share)) < 1e-12)
  # rows of each group in the ratio of the groups
  unit <- own$nobs / Reduce(function(a, b) if (b == 0) a else Recall(b, a %% b), as.integer(own$nobs))
  parts <- lapply(seq_len(groups), function(g) {
    sigma <- unclass(implied[[g]]$cov)
    mu <- as.numeric(implied[[g]]$mean)
    p <- ncol(sigma)
    half <- sqrt(p) * t(chol(sigma))
    rows <- t(cbind(mu + half, mu - half))
    colnames(rows) <- colnames(sigma)
    out <- lapply(seq_along(copies), function(k) {
      holes <- rows
      holes[, names(rates)[unlist(grid[k, ])]] <- NA
      do.call(rbind, rep(list(holes), copies[k] * unit[g]))
    })
    data.frame(do.call(rbind, out), group = g)
  })
  data <- do.call(rbind, parts)
  result <- lapply(c("ml", "listwise"), function(how) {
    fit_to <- function(text) {
      arguments <- list(model = text, data = data, missing = how, meanstructure = TRUE)
      if (groups > 1) arguments$group <- "group"
      fit <- do.call("sem", arguments)
      stopifnot(lavInspect(fit, "converged"))
      fitmeasures(fit, c("logl", "df"))
    }
    text <- paste(own$model, collapse = "\n")
    larger <- fit_to(text)
    lapply(own$restrictions, function(r) {
      smaller <- fit_to(paste(c(text, strsplit(r, "; ")[[1]]), collapse = "\n"))
      list(restriction = r, df = unname(smaller["df"] - larger["df"]),
           per_row = unname(2 * (larger["logl"] - smaller["logl"])) / nrow(data))
    })
  })
  list(model = case$model, rows = nrow(data), fiml = result[[1]], listwise = result[[2]])
})

write(toJSON(list(
  versions = list(R = R.version.string, lavaan = as.character(packageVersion("lavaan")),
                  semTools = as.character(packageVersion("semTools"))),
  rmsea = rmsea, nested = nested, models = models, missing = missing), digits = NA, auto_unbox = TRUE, pretty = 1), file.path(HERE, "power.json"))
