# Writes difference.json: scaled difference tests between steps of equality of ordinal items in several groups.
#
#   Rscript tests/reference/group_ordinal/difference.R       from the checkout root

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group_ordinal")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
case <- Filter(function(m) m$id == "sat_configural", spec$cases)[[1]]
frame <- read.csv(data_path(case$data))
for (name in names(case$cut)) frame[[name]] <- findInterval(frame[[name]], case$cut[[name]]) + 1
steps <- list("", "loadings", c("loadings", "thresholds"))
found <- list()
for (parameterization in c("delta", "theta")) {
  for (estimator in c("WLSMV", "WLSM", "DWLS")) {
    if (parameterization == "theta" && estimator != "WLSMV") next
    fits <- lapply(steps, function(equal) suppressWarnings(
      sem(paste(case$model, collapse = "\n"), frame, group = case$group, ordered = case$ordered, group.equal = equal,
          estimator = estimator, parameterization = parameterization)))
    if (estimator == "DWLS") fits <- fits[1:2]
    table <- suppressWarnings(do.call(lavTestLRT, fits))
    found[[paste(estimator, parameterization, sep = "_")]] <- list(
      estimator = estimator, parameterization = parameterization, steps = lapply(steps[seq_along(fits)], function(s) I(s[nzchar(s)])),
      chisq_diff = table[["Chisq diff"]][-1], df_diff = table[["Df diff"]][-1], pvalue = table[["Pr(>Chisq)"]][-1])
  }
}
write_numbers(list(about = "Written by tests/reference/group_ordinal/difference.R", versions = versions(c("lavaan", "jsonlite")),
                   script = sha256(file.path(OUT, "difference.R")), tests = found), file.path(OUT, "difference.json"))
