# Writes difference.json: scaled difference tests between steps of equality of ordinal items in several groups.
#
#   Rscript tests/reference/group_ordinal/difference.R       from the checkout root

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group_ordinal")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
case <- Filter(function(m) m$id == "sat_configural", spec$cases)[[1]]
frame <- read.csv(data_path(case$data))
for (name in names(case$cut)) frame[[name]] <- findInterval(frame[[name]], case$cut[[name]]) + 1
none <- ""
loadings <- "loadings"
thresholds <- c("loadings", "thresholds")
residuals <- c("loadings", "thresholds", "residuals")
# equal loadings without equal thresholds are not between: they hold scales equal, which equal thresholds free
pairs <- list(list("WLSMV", "delta", none, loadings), list("WLSMV", "delta", none, thresholds),
              list("WLSM", "delta", none, thresholds), list("DWLS", "delta", none, loadings),
              list("WLSMV", "theta", none, thresholds), list("WLSMV", "theta", thresholds, residuals))
found <- lapply(pairs, function(pair) {
  fits <- lapply(pair[3:4], function(equal) suppressWarnings(
    sem(paste(case$model, collapse = "\n"), frame, group = case$group, ordered = case$ordered, group.equal = equal,
        estimator = pair[[1]], parameterization = pair[[2]])))
  table <- suppressWarnings(lavTestLRT(fits[[1]], fits[[2]]))
  list(estimator = pair[[1]], parameterization = pair[[2]], larger = I(pair[[3]][nzchar(pair[[3]])]), smaller = I(pair[[4]]),
       chisq_diff = table[["Chisq diff"]][2], df_diff = table[["Df diff"]][2], pvalue = table[["Pr(>Chisq)"]][2])
})
write_numbers(list(about = "Written by tests/reference/group_ordinal/difference.R", versions = versions(c("lavaan", "jsonlite")),
                   script = sha256(file.path(OUT, "difference.R")), tests = found), file.path(OUT, "difference.json"))
