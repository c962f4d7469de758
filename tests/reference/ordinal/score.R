# Writes score.json: score tests of models of ordinal items by lavaan, on ../data/answers.csv.
#
#   Rscript tests/reference/ordinal/score.R        from the checkout root
#
# The models are polished with lavaan's own gradient and information before they are tested.

source(file.path("tests", "reference", "lavaan", "common.R"))
frame <- read.csv(file.path(REFERENCE, "data", "answers.csv"))
BASE <- "g =~ c1 + c2 + c3 + c4\nh =~ e1 + e2 + e3 + e4\nh ~ 0*g"
TIED <- "g =~ c1 + a*c2 + a*c3 + a*c4\nh =~ e1 + b*e2 + b*e3 + m*e4\nh ~ g\nm == 0.9"
ADD <- "c1 ~~ e1\ng =~ e2"

polished <- function(text, ...) {
  default <- sem(text, frame, ordered = TRUE, ...)
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- sem(text, frame, ordered = TRUE, start = start, optim.method = "none", check.start = FALSE, ...)
  fit@optim$converged <- TRUE
  fit@Options$optim.method <- "nlminb"
  message(format(size(slope(fit@Model, fit))$scaled))
  fit
}
rows <- function(x) { x <- as.data.frame(unclass(x)); names(x) <- gsub(".", "_", names(x), fixed = TRUE); x }
found <- lapply(list(delta = list(), theta = list(parameterization = "theta"), ULSMV = list(estimator = "ULSMV")), function(more) {
  added <- lavTestScore(do.call(polished, c(list(BASE), more)), add = ADD)
  tied <- do.call(polished, c(list(TIED), more))
  released <- lavTestScore(tied)
  key <- parTable(tied)
  name <- setNames(paste0(key$lhs, key$op, key$rhs), key$plabel)
  uni <- rows(released$uni)
  uni$lhs <- ifelse(uni$lhs %in% names(name), name[uni$lhs], uni$lhs)
  uni$rhs <- ifelse(uni$rhs %in% names(name), name[uni$rhs], uni$rhs)
  list(added = list(total = rows(added$test), single = rows(added$uni)), released = list(total = rows(released$test), single = uni))
})
write_numbers(list(versions = versions(c("lavaan", "jsonlite")), runs = found,
                   sha256 = list(script = sha256(file.path(REFERENCE, "ordinal", "score.R")),
                                 data = sha256(file.path(REFERENCE, "data", "answers.csv")))),
              file.path(REFERENCE, "ordinal", "score.json"))
