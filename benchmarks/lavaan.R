# Times lavaan on the problems that run.py has written to a folder: <name>.csv and <name>.lav.
#
#   OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 Rscript benchmarks/lavaan.R FOLDER SECONDS NAME ...
#
# One fit is sem() with standard errors, all fit measures, parameter estimates and the standardized solution, as for the
# others. The first fit is not counted; then fits are repeated for about SECONDS. Prints name, median and fastest seconds, repeats and chi-square.
suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
budget <- as.numeric(arguments[2])
cat("lavaan", as.character(packageVersion("lavaan")), "R", as.character(getRversion()), "\n")
for (name in arguments[-(1:2)]) {
  data <- read.csv(file.path(folder, paste0(name, ".csv")))
  model <- paste(readLines(file.path(folder, paste0(name, ".lav"))), collapse = "\n")
  once <- function() {
    fit <- sem(model, data)
    measures <- fitMeasures(fit)
    parameterEstimates(fit)
    standardizedSolution(fit)
    measures[["chisq"]]
  }
  chisq <- once()
  times <- numeric(0)
  while (length(times) < 3 || (sum(times) < budget && length(times) < 200)) {
    times <- c(times, system.time(once(), gcFirst = FALSE)[["elapsed"]])
  }
  cat(name, format(median(times), digits = 6), format(min(times), digits = 6), length(times), format(chisq, digits = 12), "\n")
}
