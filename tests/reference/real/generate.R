# Writes the lavaan numbers for whole commands on real files: one JSON file a case of real/cases.json, and manifest.json.
#
#   Rscript tests/reference/real/generate.R
#
# from the checkout root, with B2B_SEM_DATA naming the folder of the survey files (default ../shared/data). What a reference
# is and how its numbers are polished is told in ../lavaan/generate.R, whose functions are used here. The models are read from
# the files that the commands get, by lavaan's own parser.

source(file.path("tests", "reference", "lavaan", "common.R"))
GENERATE <- file.path(REFERENCE, "lavaan", "generate.R")
OUT <- file.path(REFERENCE, "real")

# The definitions of that script, without running it.
for (line in parse(GENERATE)) {
  if (!is.call(line) || !identical(line[[1]], as.name("<-"))) next
  is_function <- is.call(line[[3]]) && identical(line[[3]][[1]], as.name("function"))
  if (is_function || identical(line[[2]], as.name("MEASURES"))) eval(line)
}
published()

cases <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
numbers <- function(case) file.path(OUT, paste0(case$id, ".json"))
for (case in cases) {
  case$`function` <- "sem"
  case$model <- readLines(case$model)
  capture.output(result <- tryCatch(reference(case), error = conditionMessage))
  if (is.character(result)) stop(case$id, ": ", result)
  write_numbers(result, numbers(case))
  cat(sprintf("%-30s chisq %12.5f df %3d  gradient %.1e (default stop %.1e, %.1e SE)%s\n", case$id, result$measures$chisq,
              as.integer(result$measures$df), result$gradient$scaled, result$lavaan_default$gradient$scaled,
              result$lavaan_default$largest_move, if (result$admissible) "" else "  IMPROPER"))
}

ids <- vapply(cases, function(case) case$id, "")
files <- unique(vapply(cases, function(case) case$model, ""))
sources <- unique(vapply(cases, function(case) case$data, ""))
write_numbers(
  list(
    about = "Written by tests/reference/real/generate.R",
    versions = versions(c("lavaan", "jsonlite", "digest", "numDeriv")),
    sha256 = list(
      cases = sha256(file.path(OUT, "cases.json")),
      scripts = list(
        "real/generate.R" = sha256(file.path(OUT, "generate.R")),
        "lavaan/generate.R" = sha256(GENERATE),
        "lavaan/common.R" = sha256(file.path(REFERENCE, "lavaan", "common.R"))
      ),
      models = setNames(lapply(files, sha256), files),
      data = setNames(lapply(sources, function(source) sha256(data_path(source))), sources),
      outputs = setNames(lapply(cases, function(case) sha256(numbers(case))), ids)
    )
  ),
  file.path(OUT, "manifest.json")
)
