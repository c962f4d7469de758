# Times lavaan on rows with holes: FOLDER holds data.csv and model.lav, written by missing.py; REPEATS; "all" or "test".
#
# One fit is sem(missing = "ml") with standard errors and test, and with "all" also every fit measure, whose robust indices
# take lavaan minutes. Prints version, seconds, chi-square and the largest memory of R in MB, once for each repeat.
suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(file.path(arguments[1], "data.csv"))
model <- paste(readLines(file.path(arguments[1], "model.lav")), collapse = "\n")
for (k in seq_len(as.integer(arguments[2]))) {
  invisible(gc(reset = TRUE))
  seconds <- system.time({
    fit <- sem(model, data, missing = "ml")
    parameterEstimates(fit)
    standardizedSolution(fit)
    if (arguments[3] == "all") suppressWarnings(fitMeasures(fit))
  })[["elapsed"]]
  chisq <- lavInspect(fit, "test")[[1]]$stat
  cat(as.character(packageVersion("lavaan")), format(seconds, digits = 6), format(chisq, digits = 12), sum(gc()[, 6]), "\n")
}
