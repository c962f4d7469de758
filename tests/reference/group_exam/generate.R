# Writes the lavaan side of tests/reference/group_exam: reference.json, with the manifest in it.
#
#   Rscript tests/reference/group_exam/generate.R
#
# from the checkout root; data and versions as in ../lavaan/generate.R. Combinations that ../group does not have: see "why" in
# cases.json. Fits, polishing and corrections of lavaan are those of ../group/generate.R, whose functions are used here; the
# numbers are kept short: estimates, standard errors, standardized ones, and everything that is said of the fit.

HERE <- file.path("tests", "reference", "group_exam")
FUNCTIONS <- file.path("tests", "reference", "group", "generate.R")
source(file.path("tests", "reference", "lavaan", "common.R"))
is_function <- function(e) is.call(e) && identical(e[[1]], as.name("<-")) && is.call(e[[3]]) && identical(e[[3]][[1]], as.name("function"))
for (e in as.list(parse(FUNCTIONS))) if (is_function(e)) eval(e)
CURRENT <- NULL
assignInNamespace("lav_fit_fiml_corrected", fixed_x_passed_on(), "lavaan")
lavPredict <- function(...) NULL  # scores of outcomes are not lavaan's: see the differences from lavaan

arguments_of_rows <- arguments_of
arguments_of <- function(case, setting) {
  out <- arguments_of_rows(case, setting)
  if (is.null(case$moments)) return(out)
  labels <- unique(out$data[[case$group]])
  names_used <- lavNames(lavaanify(out$model, auto = TRUE, warn = FALSE, ngroups = length(labels)), "ov")
  parts <- lapply(labels, function(label) out$data[out$data[[case$group]] == label, names_used])
  out$data <- out$group <- NULL
  c(out, list(sample.cov = lapply(parts, cov), sample.mean = lapply(parts, colMeans), sample.nobs = vapply(parts, nrow, 1L)))
}

short <- function(found) {
  table <- found$parameters
  standardized <- found$standardized[!found$standardized$op %in% c("==", "<", ">"), ]
  stopifnot(identical(table$lhs, standardized$lhs), identical(table$rhs, standardized$rhs))
  rows <- cbind(table[, c("lhs", "op", "rhs", "group", "est", "se", "std_lv")],
                est_std = standardized$est_std, se_std = standardized$se)
  for (name in names(rows)) if (is.numeric(rows[[name]])) rows[[name]] <- signif(rows[[name]], 12)
  mi <- found$modindices
  if (!is.null(mi)) {
    mi <- mi[order(-mi$mi), ][1:min(12, nrow(mi)), c("lhs", "op", "rhs", "group", "mi", "epc")]
    mi[c("mi", "epc")] <- lapply(mi[c("mi", "epc")], signif, digits = 12)
  }
  list(groups = found$groups, nobs = found$nobs, chisq_group = found$chisq_group, measures = found$measures, rows = rows,
       r2 = lapply(found$r2, function(part) lapply(part, signif, digits = 12)), modindices = mi, gradient = found$gradient)
}

spec <- read_json(file.path(HERE, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
numbers <- lapply(cases, function(case) {
  message(case$id)
  lapply(case$settings, function(setting) short(run(case, setting)))
})
write_numbers(list(
  manifest = list(versions = versions(c("lavaan", "jsonlite", "digest")), script = sha256(file.path(HERE, "generate.R")),
                  functions = sha256(FUNCTIONS), cases = sha256(file.path(HERE, "cases.json")),
                  data = lapply(cases, function(case) sha256(data_path(case$data)))),
  cases = numbers
), file.path(HERE, "reference.json"))
