# Called by groups.py: Rscript groups.R FOLDER REPEATS. Prints lavaan's version, seconds and chi-squares of each ladder.
suppressPackageStartupMessages(library(lavaan))
given <- commandArgs(trailingOnly = TRUE)
data <- read.csv(file.path(given[1], "data.csv"))
model <- paste(readLines(file.path(given[1], "model.lav")), collapse = "\n")
ladder <- list("", "loadings", c("loadings", "intercepts"), c("loadings", "intercepts", "residuals"))
for (k in seq_len(as.integer(given[2]))) {
  seconds <- system.time({
    fits <- lapply(ladder, function(equal) sem(model, data, group = "half", group.equal = equal))
    chisq <- vapply(fits, function(fit) {
      standardizedSolution(fit)
      unname(fitMeasures(fit)["chisq"])
    }, 0)
    do.call(lavTestLRT, fits)
  })[["elapsed"]]
  cat(as.character(packageVersion("lavaan")), seconds, format(chisq, digits = 12), "\n")
}
