# Times lavaan on rows with holes: FOLDER holds data.csv and model.lav, written by missing.py.
#
# Prints version, seconds of sem(missing = "ml") with standard errors and test, seconds with all fit measures, estimates and
# the standardized solution, chi-square and the largest memory of R in MB, once for each repeat.
suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(file.path(arguments[1], "data.csv"))
model <- paste(readLines(file.path(arguments[1], "model.lav")), collapse = "\n")
for (k in seq_len(as.integer(arguments[2]))) {
  gc(reset = TRUE)
  alone <- system.time(fit <- sem(model, data, missing = "ml"))[["elapsed"]]
  rest <- system.time({
    measures <- suppressWarnings(fitMeasures(fit))
    parameterEstimates(fit)
    standardizedSolution(fit)
  })[["elapsed"]]
  cat(as.character(packageVersion("lavaan")), format(alone, digits = 6), format(alone + rest, digits = 6), format(measures[["chisq"]], digits = 12),
      sum(gc()[, 6]), "\n")
}
