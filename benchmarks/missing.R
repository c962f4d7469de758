# Times lavaan on rows with holes: FOLDER holds data.csv and model.lav, written by missing.py; REPEATS; "all" or "test".
#
# One fit is sem(missing = "ml") with standard errors and test, and with "all" also every fit measure, whose robust indices
# take lavaan minutes. Prints version, processor seconds, chi-square, the largest resident size of the process in MB and
# the file of the BLAS, once for each repeat. A small fit comes first, so that loading code does not count.
suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(file.path(arguments[1], "data.csv"))
model <- paste(readLines(file.path(arguments[1], "model.lav")), collapse = "\n")
blas <- paste(tail(strsplit(extSoftVersion()[["BLAS"]], "/")[[1]], 2), collapse = "/")
used <- function() sum(proc.time()[c("user.self", "sys.self")])
peak <- function() {
  status <- "/proc/self/status"
  if (!file.exists(status)) return(sum(gc()[, 6]))
  as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines(status), value = TRUE))) / 1024
}
small <- sem(paste("F =~", paste(names(data)[1:4], collapse = " + ")), data[1:100, ], missing = "ml")
invisible(standardizedSolution(small))
for (k in seq_len(as.integer(arguments[2]))) {
  start <- used()
  fit <- sem(model, data, missing = "ml")
  parameterEstimates(fit)
  standardizedSolution(fit)
  if (arguments[3] == "all") suppressWarnings(fitMeasures(fit))
  seconds <- used() - start
  chisq <- lavInspect(fit, "test")[[1]]$stat
  cat(as.character(packageVersion("lavaan")), format(seconds, digits = 6), format(chisq, digits = 12), peak(), blas, "\n")
}
