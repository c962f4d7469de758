# Writes paths.json: structural paths of ordinal items compared across groups by lavTestWald and lavTestLRT.
#
#   Rscript tests/reference/invariance_ordinal/paths.R       from the checkout root
#
# The measurement part of each step is written by semTools as in generate.R, whose functions are used; covariances of latent
# variables give way to paths with labels.

lines <- parse(file.path("tests", "reference", "invariance_ordinal", "generate.R"))
stop_at <- which(vapply(lines, function(e) grepl("commandArgs", paste(deparse(e), collapse = "")), TRUE))[1]
for (e in lines[seq_len(stop_at - 1)]) eval(e)

SAT <- list(id = "paths", data = "shared:satisfaction_gender", group = "gender", cuts = c(6.5, 7.5, 8.5),
            ordered = c(paste0("sat", 1:4), paste0("loy", 1:4), paste0("val", 1:4)),
            model = c("sat =~ sat1 + sat2 + sat3 + sat4", "loy =~ loy1 + loy2 + loy3 + loy4", "val =~ val1 + val2 + val3 + val4"))
TWO <- list(id = "binary", data = "local:answers", rule = 2, group = "part", cuts = NULL,
            ordered = c(paste0("b", 1:4), paste0("c", 1:4)),
            model = c("f =~ b1 + b2 + b3 + b4", "g =~ c1 + c2 + c3 + c4"))
RUNS <- list(
  list(name = "delta", case = SAT, step = "metric", setting = list(estimator = "WLSMV", parameterization = "delta"),
       paths = list(c("loy", "sat"), c("loy", "val"), c("sat", "val"))),
  list(name = "theta", case = SAT, step = "metric", setting = list(estimator = "WLSMV", parameterization = "theta"),
       paths = list(c("loy", "sat"), c("loy", "val"), c("sat", "val"))),
  list(name = "binary", case = TWO, step = "scalar", setting = list(estimator = "WLSMV", parameterization = "delta"),
       paths = list(c("g", "f")))
)

structural <- function(run, frame, equal = NULL) {
  text <- strsplit(text_of(run$case, frame, run$step, run$setting$parameterization), "\n")[[1]]
  latent <- lavNames(lavaanify(paste(run$case$model, collapse = "\n")), "lv")
  for (a in latent) for (b in setdiff(latent, a)) text <- text[!(startsWith(text, paste0(a, " ~~")) & endsWith(text, paste0("*", b)))]
  rows <- vapply(seq_along(run$paths), function(i) {
    p <- run$paths[[i]]
    sprintf("%s ~ c(%s)*%s", p[1], paste0("p", i, if (i %in% equal) c("", "") else c("a", "b"), collapse = ", "), p[2])
  }, "")
  paste(c(text, rows), collapse = "\n")
}

fit_polished <- function(run, frame, text) {
  default <- fit_text(run$case, frame, text, run$setting, run$step)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- fit_text(run$case, frame, text, run$setting, run$step, start = start, optim.method = "none", check.start = FALSE)
  fit@baseline <- default@baseline
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  message(run$name, " ", format(size(slope(fit@Model, fit))$scaled))
  fit
}

lrt <- function(a, b) {
  x <- suppressWarnings(as.data.frame(lavTestLRT(a, b)))[2, ]
  list(chisq = x[["Chisq diff"]], df = x[["Df diff"]], pvalue = x[["Pr(>Chisq)"]])
}

found <- lapply(setNames(RUNS, vapply(RUNS, function(r) r$name, "")), function(run) {
  frame <- data_of(run$case)
  free <- fit_polished(run, frame, structural(run, frame))
  count <- seq_along(run$paths)
  wald <- function(at) {
    w <- lavTestWald(free, paste(sprintf("p%da == p%db", at, at), collapse = "\n"))
    list(wald = w$stat, df = w$df, pvalue = w$p.value)
  }
  one <- function(at) list(wald = wald(at), lrt = lrt(free, fit_polished(run, frame, structural(run, frame, at))))
  table <- parameterEstimates(free)
  table <- table[table$op == "~", ]
  list(groups = I(lavInspect(free, "group.label")), omnibus = one(count),
       single = setNames(lapply(count, one), vapply(run$paths, paste, "", collapse = "~")),
       estimates = table[c("lhs", "rhs", "group", "est", "se")],
       chisq = fitMeasures(free, "chisq")[[1]], df = fitMeasures(free, "df")[[1]])
})
write_numbers(list(versions = versions(c("lavaan", "semTools", "jsonlite")), runs = found,
                   sha256 = list(script = sha256(file.path(OUT, "paths.R")), generate = sha256(file.path(OUT, "generate.R")))),
              file.path(OUT, "paths.json"))
