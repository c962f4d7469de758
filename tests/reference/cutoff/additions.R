# Writes tests/reference/cutoff/additions.json: the misspecifications that the R package `dynamic` makes of the models of
# cases.json. Its code is no part of this project: the script sources the functions number_factor, one_num, one_add, DGM_one,
# multi_num_HB and multi_add_HB of its file R/helper.R (repository melissagwolf/dynamic, commit 38af2fa75d74).
#
#   DYNAMIC_HELPER=helper.R Rscript tests/reference/cutoff/additions.R
#
# from the checkout root. Written with dplyr 1.0.10, where `reframe` of that file is called `summarise`.

suppressPackageStartupMessages({ library(jsonlite); library(dplyr); library(lavaan) })
source(Sys.getenv("DYNAMIC_HELPER"))
OUT <- file.path("tests", "reference", "cutoff")
spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)

one <- function(case) {
  text <- paste(case$model, collapse = "\n")
  if (number_factor(text) > 1) {
    set.seed(1)  # the package adds up to .001 to coefficient H, so that ties are drawn
    added <- suppressMessages(multi_add_HB(text))$V1
    levels <- seq_along(added)
  } else {
    added <- one_add(text)$V1
    sizes <- vapply(DGM_one(text), length, 0L) - 1L  # statements of each level, less the model
    added <- added[seq_len(max(sizes))]
    levels <- vapply(seq_along(added), function(k) which(sizes >= k)[1], 0L)
  }
  list(id = case$id, added = I(gsub(" ", "", added)), levels = I(levels))
}
found <- lapply(spec$models, one)
writeLines(toJSON(list(
  source = "dynamic, R/helper.R at 38af2fa75d747f954c66338495dec20118b3e2d9",
  versions = lapply(list(dplyr = "dplyr", lavaan = "lavaan"), function(p) as.character(packageVersion(p))),
  models = found
), auto_unbox = TRUE, pretty = TRUE), file.path(OUT, "additions.json"))
