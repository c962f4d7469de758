# Writes tests/reference/montecarlo_exam/reference.json: loops of lavaan over the samples of five small studies.
#
#   Rscript tests/reference/montecarlo_exam/generate.R
#
# from the checkout root. ../montecarlo/rows.py draws the samples with this package; everything after that is lavaan and R.
# lavaan's solutions are polished (../lavaan/common.R).

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "montecarlo_exam")
ROWS <- file.path(REFERENCE, "montecarlo", "rows.py")
python <- Sys.getenv("PYTHON", if (file.exists(".venv/bin/python")) ".venv/bin/python" else "python3")
REVERSED <- "f3"  # answers from 1 to 5
REPLICATIONS <- 5

# study, folder of its samples, options: lavaan's arguments
CONDITIONS <- list(
  list("clusters", "240 firms", "naive", list()),
  list("clusters", "240 firms", "robust", list(cluster = "firm")),
  list("holes", "180 holes", "listwise", list()),
  list("holes", "180 holes", "fiml", list(missing = "fiml")),
  list("holes", "180 holes", "robust", list(missing = "fiml", estimator = "MLR")),
  list("groups", "400 levels", "configural", list(group = "sector")),
  list("groups", "400 levels", "metric", list(group = "sector", group.equal = "loadings")),
  list("ordinal", "220 cut", "ml", list()),
  list("ordinal", "220 cut", "mlr", list(estimator = "MLR")),
  list("ordinal", "220 cut", "wlsmv", list(ordered = TRUE)),
  list("factors_fitted", "150", "", list()),
  list("factors_fitted", "60", "", list())
)
MEASURES <- c("chisq", "df", "pvalue", "cfi", "rmsea", "srmr", "chisq.scaled", "pvalue.scaled")

folders <- list()
for (study in unique(vapply(CONDITIONS, `[[`, "", 1))) {
  folders[[study]] <- tempfile(study); dir.create(folders[[study]])
  stopifnot(system2(python, c(ROWS, folders[[study]], file.path(OUT, paste0(study, ".yaml")))) == 0)
}

fit_one <- function(condition, number) {
  folder <- folders[[condition[[1]]]]
  model <- paste(readLines(file.path(folder, "model.lav"), warn = FALSE), collapse = "\n")
  data <- read.csv(file.path(folder, condition[[2]], paste0(number, ".csv")))
  data[[REVERSED]] <- 6 - data[[REVERSED]]
  arguments <- c(list(model, data, fixed.x = TRUE), condition[[4]])
  default <- do.call("sem", arguments)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  fit@baseline <- default@baseline
  raw <- parameterEstimates(fit); std <- standardizedSolution(fit)
  groups <- lavInspect(fit, "group.label")
  of <- function(t) paste0(t$lhs, t$op, t$rhs, if (length(groups)) paste0(" ", groups[t$group]))
  raw$name <- of(raw); std$name <- of(std)
  shown <- std$op %in% c("=~", "~", "~~")
  std <- std[shown, ]
  std <- std[order(std$name), ]  # groups stand in the order in which they appear in the sample
  raw <- raw[match(std$name, raw$name), ]
  measures <- fitMeasures(fit)[intersect(MEASURES, names(fitMeasures(fit)))]
  list(name = std$name, est = std$est.std, se = std$se, pvalue = ifelse(is.na(raw$pvalue), std$pvalue, raw$pvalue),
       measures = as.list(setNames(unclass(measures), gsub(".", "_", names(measures), fixed = TRUE))))
}

write_numbers(list(
  versions = versions(c("lavaan", "jsonlite")),
  files = sapply(c("survey", "mediation", "factors", "population", names(folders)),
                 function(name) sha256(file.path(OUT, paste0(name, ".yaml")))) |> as.list(),
  conditions = lapply(CONDITIONS, function(condition) {
    found <- lapply(seq_len(REPLICATIONS) - 1L, function(k) fit_one(condition, k))
    stack <- function(part) signif(do.call(rbind, lapply(found, `[[`, part)), 10)
    list(study = condition[[1]], samples = condition[[2]], options = condition[[3]], rows = found[[1]]$name,
         est = stack("est"), se = stack("se"), pvalue = stack("pvalue"),
         measures = lapply(found, `[[`, "measures"))
  })
), file.path(OUT, "reference.json"))
