# What analyses of a known population tend to: models that are right and wrong, fitted by lavaan to its moments.
# Run from the checkout root: Rscript tests/reference/lesson/generate.R
suppressMessages({library(lavaan); library(jsonlite)})
HERE <- file.path("tests", "reference", "lesson")

latents <- c("A", "B", "C", "D")
items <- unlist(lapply(tolower(latents), paste0, 1:3))
loading <- setNames(rep(.75, 12), items)
loading["c3"] <- .6

# moments of the answers as scored, in answer units; careless answers are uniform on 1, ..., 7 and unrelated
moments <- function(method, careless, turned = character()) {
  B <- matrix(0, 4, 4, dimnames = list(latents, latents))
  B["B", "A"] <- .5; B["C", "A"] <- .3; B["C", "B"] <- .4; B["D", "C"] <- .35
  residual <- c(A = 1, B = 1 - .25, C = 1 - (.09 + .16 + 2 * .3 * .4 * .5), D = 1 - .35^2)
  inverse <- solve(diag(4) - B)
  phi <- inverse %*% diag(residual) %*% t(inverse)
  stopifnot(max(abs(diag(phi) - 1)) < 1e-12)
  L <- matrix(0, 12, 4, dimnames = list(items, latents))
  for (item in items) L[item, toupper(substr(item, 1, 1))] <- loading[item]
  R <- L %*% phi %*% t(L) + method
  diag(R) <- 1
  cov <- (1 - careless) * 1.35^2 * R + careless * diag(4, 12) + careless * (1 - careless) * (4.6 - 4)^2
  sign <- ifelse(items %in% turned, -1, 1)
  cov <- cov * outer(sign, sign)
  dimnames(cov) <- list(items, items)
  cov
}

measured <- "A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + c3\nD =~ d1 + d2 + d3\n"
right <- paste0(measured, "B ~ A\nC ~ A + B\nD ~ C")
cases <- list(
  right = list(text = right, method = 0, careless = 0),
  omitted = list(text = paste0(measured, "B ~ A\nC ~ B\nD ~ C"), method = 0, careless = 0),
  turned = list(text = paste0(measured, "B ~ A\nC ~ A + B + D"), method = 0, careless = 0),
  added = list(text = paste0(measured, "B ~ A\nC ~ A + B\nD ~ C + A"), method = 0, careless = 0),
  misplaced = list(text = paste0("A =~ a1 + a2 + a3\nB =~ b1 + b2 + b3\nC =~ c1 + c2 + d3\nD =~ d1 + d2 + c3\n",
                                 "B ~ A\nC ~ A + B\nD ~ C"), method = 0, careless = 0),
  careless = list(text = right, method = 0, careless = .15),
  method = list(text = right, method = .08, careless = 0),
  everything = list(text = paste0(measured, "B ~ A\nC ~ B\nD ~ C"), method = .08, careless = .15, flipped = "c3")
)

found <- lapply(cases, function(case) {
  cov <- moments(case$method, case$careless, if (is.null(case$flipped)) character() else case$flipped)
  fit <- sem(case$text, sample.cov = cov, sample.nobs = 1e6, sample.cov.rescale = FALSE)
  stopifnot(lavInspect(fit, "converged"))
  std <- standardizedSolution(fit)
  std <- std[std$op == "~", ]
  c(case, list(paths = lapply(seq_len(nrow(std)), function(k)
    list(lhs = std$lhs[k], rhs = std$rhs[k], est = std$est.std[k]))))
})
# reliability: squared correlation of the sum of the standardized items with its latent
reliability <- lapply(c(0, .08), function(method) {
  sapply(latents, function(latent) {
    own <- items[toupper(substr(items, 1, 1)) == latent]
    l <- loading[own]
    total <- sum(outer(l, l) + method) - sum(l^2 + method) + 3
    sum(l)^2 / total
  })
})
out <- list(
  versions = list(R = R.version.string, lavaan = as.character(packageVersion("lavaan"))),
  cases = found,
  reliability = list(pure = as.list(reliability[[1]]), method = as.list(reliability[[2]]))
)
write(toJSON(out, auto_unbox = TRUE, digits = 10, pretty = TRUE), file.path(HERE, "lesson.json"))
