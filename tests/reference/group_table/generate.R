# Writes tests/reference/group_table/reference.json: the parameter table of lavaan for every case of cases.json.
#
#   Rscript tests/reference/group_table/generate.R      from the checkout root
#
# Nothing is fitted. The data are those of Holzinger and Swineford that lavaan brings along; groups are rows in turn, and
# ordinal items are cut at quantiles of the whole column, because only the number of groups and of categories matters.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "group_table")
cases <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases

table_of <- function(case) {
  data <- HolzingerSwineford1939
  data$group <- paste0("g", (seq_len(nrow(data)) - 1) %% case$groups + 1)
  for (item in names(case$ordered)) {
    k <- case$ordered[[item]]
    data[[item]] <- findInterval(rank(data[[item]], ties.method = "first"), nrow(data) * seq_len(k - 1) / k)
  }
  options <- case$options
  growth <- identical(options$kind, "growth")
  options$kind <- NULL
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  if (length(case$ordered)) options$ordered <- names(case$ordered)
  arguments <- c(list(paste(case$model, collapse = "\n"), data = data, group = "group", do.fit = FALSE), options)
  fit <- suppressWarnings(do.call(if (growth) "growth" else "sem", arguments))
  table <- parTable(fit)
  same <- table[table$op == "==" & table$user == 2, ]
  rows <- table[!table$op %in% c("==", "<", ">", ":="), ]
  # parameters that lavaan makes equal by an equation of its own are one parameter
  for (i in seq_len(nrow(same))) {
    a <- rows$free[rows$plabel == same$lhs[i]]
    rows$free[rows$free == rows$free[rows$plabel == same$rhs[i]]] <- a
  }
  rows$free[rows$free > 0] <- match(rows$free[rows$free > 0], unique(rows$free[rows$free > 0]))
  for (side in c("lower", "upper")) {
    if (is.null(rows[[side]])) rows[[side]] <- NA_real_
    rows[[side]][!is.finite(rows[[side]]) | rows$free == 0] <- NA
  }
  list(id = case$id, meanstructure = fit@Model@meanstructure,
       rows = as.list(rows[c("lhs", "op", "rhs", "user", "group", "free", "ustart", "exo", "label", "lower", "upper")]))
}

write_numbers(list(
  versions = list(R = as.character(getRversion()), lavaan = as.character(packageVersion("lavaan"))),
  cases_digest = digest(file.path(OUT, "cases.json"), algo = "sha256", file = TRUE),
  tables = lapply(cases, table_of)
), file.path(OUT, "reference.json"))
