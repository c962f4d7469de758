# lavaan drops rows from the likelihood of a correlation with a numeric variable where their density, in the units of that
# variable, is below sqrt(.Machine$double.eps): its correlations depend on the unit (`units` in evidence.json). every_row(TRUE)
# switches that off, which is what lavaan computes by itself once the variable is divided by a large enough constant;
# every_row(FALSE) restores lavaan as it is. The constant itself would do for correlations, but makes the information about
# means and variances too badly scaled for lavaan's inverse. Source it after loading lavaan.

every_row <- local({
  names <- c("lav_bvmix_lik_cache", "lav_bvreg_lik_cache")
  original <- setNames(lapply(names, getFromNamespace, ns = "lavaan"), names)
  rule <- "which(lik < sqrt(.Machine$double.eps))"
  function(on) {
    for (name in names) {
      f <- original[[name]]
      if (on) {
        text <- paste(deparse(body(f), width.cutoff = 500L), collapse = "\n")
        stopifnot(lengths(regmatches(text, gregexpr(rule, text, fixed = TRUE))) == 1L)
        body(f) <- parse(text = sub(rule, "integer(0)", text, fixed = TRUE))[[1]]
      }
      assignInNamespace(name, f, ns = "lavaan")
    }
  }
})
