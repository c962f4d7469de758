# Writes the reference side of tests/reference/indicator: product indicators made by semTools::indProd, fitted by lavaan.
#
#   Rscript tests/reference/indicator/generate.R            all cases
#   Rscript tests/reference/indicator/generate.R ID ...     only these
#
# from the checkout root; data and versions as in ../lavaan/generate.R. Products of observed variables (cases with "columns")
# are made by lavaan. How a fit is polished are the functions of
# ../group/generate.R. The latent product is called X.Z in R and X:Z in the files. Standardized paths of products are those of
# Wen, Marsh & Hau (2010), b sd(X) sd(Z) / sd(Y), with standard errors by the delta method; what lavaan prints is "naive".

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "indicator")

# The functions of another script, without running it.
functions_of <- function(file) {
  place <- new.env(parent = globalenv())
  for (e in parse(file)) {
    if (is.call(e) && identical(e[[1]], as.name("<-")) && is.call(e[[3]]) && identical(e[[3]][[1]], as.name("function")))
      eval(e, place)
  }
  place
}
G <- functions_of(file.path(REFERENCE, "group", "generate.R"))
G$CURRENT <- NULL
assignInNamespace("lav_fit_fiml_corrected", G$fixed_x_passed_on(), "lavaan")

spec <- read_json(file.path(OUT, "cases.json"), simplifyVector = TRUE, simplifyDataFrame = FALSE)
cases <- setNames(spec$cases, vapply(spec$cases, function(m) m$id, ""))
output <- function(id) file.path(OUT, paste0(id, ".json"))
inner <- function(name) sub(":", ".", name, fixed = TRUE)

# Models -----------------------------------------------------------------------------------------------------------------
parts_of <- function(label) {
  words <- strsplit(label, "-", fixed = TRUE)[[1]]
  list(centring = words[1], all = length(words) > 1 && words[2] == "all")
}

products_of <- function(product, how) {
  if (!how$all) return(paste(product$first, product$second, sep = "."))
  grid <- expand.grid(second = product$second, first = product$first, stringsAsFactors = FALSE)
  keep <- !duplicated(apply(grid, 1, function(r) paste(sort(r), collapse = ".")))
  paste(grid$first, grid$second, sep = ".")[keep]
}

plain_data <- G$data_of
# indProd() loses the name of a set of one variable, and so leaves it out when it residual-centres: see the differences.
with_products <- function(frame, case, how) {
  for (product in case$products) {
    columns <- products_of(product, how)
    if (how$centring == "rc" && length(product$second) == 1) {
      items <- c(product$first, product$second)
      for (k in seq_along(columns))
        frame[[columns[k]]] <- residuals(lm(frame[[product$first[k]]] * frame[[product$second]] ~ as.matrix(frame[items])))
      next
    }
    whole <- indProd(frame, product$first, product$second, match = !how$all, meanC = TRUE,
                     residualC = how$centring == "rc", doubleMC = !how$centring %in% c("mc", "ca"))
    frame[columns] <- whole[columns]
  }
  frame
}

model_of <- function(case, how) {
  if (!is.null(case$constrained)) return(case$constrained)
  lines <- case$model
  words <- c("PRODUCT", "SQUARE")
  extra <- character(0)
  columns <- character(0)
  for (k in seq_along(case$products)) {
    product <- case$products[[k]]
    lines <- gsub(words[k], inner(product$name), lines, fixed = TRUE)
    own <- products_of(product, how)
    extra <- c(extra, paste(inner(product$name), "=~", paste(own, collapse = " + ")))
    if (how$centring == "mc") extra <- c(extra, paste(own[1], "~ 0*1"), paste(inner(product$name), "~ NA*1"))
    columns <- c(columns, own)
  }
  # residuals of products with an item in common, if the item has measurement error
  measured <- unlist(strsplit(gsub(" ", "", sub(".*=~", "", grep("=~", case$model, value = TRUE))), "+", fixed = TRUE))
  items <- strsplit(columns, ".", fixed = TRUE)
  for (i in seq_along(columns)) for (j in seq_len(i - 1))
    if (length(intersect(intersect(items[[i]], items[[j]]), measured)))
      extra <- c(extra, paste(columns[j], "~~", columns[i]))
  c(lines, extra)
}

SETTING <- NULL
G$data_of <- function(case) with_products(plain_data(case), case, parts_of(SETTING))

# Solutions on nonlinear equations, as in ../constraints.
K <- functions_of(file.path(REFERENCE, "constraints", "generate.R"))
K$nothing <- function(x, ...) numeric(0)
solve_constrained <- function(case, setting) {
  arguments <- G$arguments_of(case, setting)
  default <- G$fit_of(case, arguments)
  found <- K$polish_constrained(default$fit)
  start <- parTable(default$fit)
  start$est[start$free > 0] <- found$x[start$free[start$free > 0]]
  fit <- G$fit_of(case, arguments, start = start, optim.method = "none", check.start = FALSE)$fit
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - found$x))
  if (moved > 1e-12 * max(1, abs(found$x))) stop("the polished point was not taken over (", moved, ")")
  fit@baseline <- default$fit@baseline
  list(fit = fit, first = default, best = list(default = NA, polished = found$size))
}

# Standardized paths of products -----------------------------------------------------------------------------------------
spreads <- function(fit, x) {
  model <- lavaan:::lav_model_set_parameters(fit@Model, x = x)
  eta <- lavaan:::computeVETA(model, remove.dummy.lv = TRUE)
  sigma <- lavaan:::computeSigmaHat(model)
  lapply(seq_along(sigma), function(g) {
    c(setNames(sqrt(diag(as.matrix(eta[[g]]))), lavNames(fit, "lv")), setNames(sqrt(diag(sigma[[g]])), lavNames(fit, "ov")))
  })
}

standardized_products <- function(fit, case) {
  table <- parTable(fit)
  names <- c(vapply(case$products, function(p) inner(p$name), ""), case$columns)
  at <- which(table$op == "~" & table$rhs %in% names)
  latents <- lavNames(fit, "lv")
  f <- function(x, kind) {
    sd <- spreads(fit, x)
    vapply(at, function(i) {
      own <- sd[[max(1, table$group[i])]]
      if (kind == "lv") own[setdiff(base::names(own), latents)] <- 1
      pair <- strsplit(table$rhs[i], "[.:]")[[1]]
      x[table$free[i]] * own[pair[1]] * own[pair[2]] / own[table$lhs[i]]
    }, 0)
  }
  x <- lavaan:::lav_model_get_parameters(fit@Model)
  if (fit@Model@eq.constraints) full <- lavaan:::lav_model_get_parameters(fit@Model, type = "free") else full <- x
  jacobian <- numDeriv::jacobian(f, full, kind = "all")
  vcov <- lavaan:::lav_object_inspect_vcov(fit, add.labels = FALSE, add.class = FALSE)
  data.frame(lhs = table$lhs[at], rhs = table$rhs[at], group = table$group[at], lv = f(full, "lv"), all = f(full, "all"),
             se = sqrt(diag(jacobian %*% vcov %*% t(jacobian))))
}

# z, p and limits follow from estimate and standard error; they are left out
correct <- function(frame, products) {
  frame$z <- frame$pvalue <- frame$ci.lower <- frame$ci.upper <- frame$label <- frame$block <- frame$std.nox <- NULL
  for (k in seq_len(nrow(products))) {
    own <- products[k, ]
    i <- frame$op == "~" & frame$lhs == own$lhs & frame$rhs == own$rhs &
      (if (is.null(frame$group)) TRUE else frame$group == own$group)
    if (is.null(frame$std.all)) {
      frame[i, c("est.std", "se")] <- c(own$all, own$se)
    } else {
      frame[i, "naive"] <- frame$std.all[i]
      frame[i, c("std.lv", "std.all")] <- c(own$lv, own$all)
    }
  }
  frame[!frame$op %in% c("==", "<", ">"), ]
}

renamed <- function(frame, case) {
  for (product in case$products) for (side in c("lhs", "rhs"))
    frame[[side]][frame[[side]] == inner(product$name)] <- product$name
  frame
}

run <- function(case, setting) {
  SETTING <<- setting
  case$model <- model_of(case, parts_of(setting))
  solve <- if (is.null(case$constrained)) G$solve_one else solve_constrained
  solved <- solve(case, case$settings[[setting]])
  fit <- solved$fit
  measures <- suppressWarnings(as.list(fitMeasures(fit)))
  keep <- grep("level|h0|h1|notclose|^rmr_|srmr_|crmr|ci.level", names(measures), invert = TRUE, value = TRUE)
  products <- standardized_products(fit, case)
  table <- correct(parameterEstimates(fit, standardized = TRUE, remove.eq = TRUE), products)
  standardized <- correct(standardizedSolution(fit), products)
  r2 <- lavInspect(fit, "r2")
  if (!is.list(r2)) r2 <- list(r2)
  list(
    nobs = sum(lavInspect(fit, "nobs")), measures = under(measures[keep]),
    parameters = frame_rows(renamed(table, case)), standardized = frame_rows(renamed(standardized, case)),
    r2 = lapply(unname(r2), function(part) as.list(unclass(part))),
    gradient = list(default = solved$best$default, polished = solved$best$polished), warnings = I(solved$first$warnings)
  )
}

wanted <- commandArgs(trailingOnly = TRUE)
if (!length(wanted)) wanted <- names(cases)
for (id in wanted) {
  case <- cases[[id]]
  found <- lapply(names(case$settings), function(setting) run(case, setting))
  write_numbers(list(id = id, settings = setNames(found, names(case$settings))), output(id))
  message(id, " ", paste(sprintf("%.1e", vapply(found, function(f) f$gradient$polished, 0)), collapse = " "))
}
made <- names(cases)[file.exists(vapply(names(cases), output, ""))]
write_numbers(list(
  versions = versions(c("lavaan", "semTools", "jsonlite", "digest", "numDeriv")),
  script = sha256(file.path(OUT, "generate.R")), cases = sha256(file.path(OUT, "cases.json")),
  data = setNames(lapply(cases[made], function(case) sha256(data_path(case$data))), made)
), file.path(OUT, "manifest.json"))
