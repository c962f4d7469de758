# Writes the R side of tests/reference/probe: slopes, regions and conditional effects of products.
#
#   Rscript tests/reference/probe/generate.R
#
# from the checkout root; data as in ../lavaan/generate.R. Three kinds of truth: regressions by lm() with the textbook
# formulas of Aiken & West (1991) and Bauer & Curran (2005) written out; semTools::indProd and probe2WayMC for latent
# products; lavaan's defined parameters (:=) for conditional effects and the index of moderated mediation. lavaan's
# solutions are polished (common.R).

source(file.path("tests", "reference", "lavaan", "common.R"))
suppressPackageStartupMessages(library(semTools))
OUT <- file.path(REFERENCE, "probe")

# Regressions --------------------------------------------------------------------------------------------------------
# HC3 (MacKinnon & White 1985): (X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1
hc3 <- function(fit) {
  X <- model.matrix(fit); inverse <- solve(crossprod(X))
  w <- residuals(fit) / (1 - hatvalues(fit))
  inverse %*% crossprod(X * w) %*% inverse
}

slopes <- function(b, V, values, df) {
  est <- b[1] + b[2] * values
  se <- sqrt(V[1, 1] + 2 * values * V[1, 2] + values^2 * V[2, 2])
  half <- qt(0.975, df) * se
  data.frame(value = values, est = est, se = se, z = est / se, pvalue = 2 * pt(-abs(est / se), df),
             ci_lower = est - half, ci_upper = est + half)
}

# Roots of (b3^2 - c^2 v33) m^2 + 2 (b1 b3 - c^2 v13) m + (b1^2 - c^2 v11) = 0
roots <- function(b, V, critical) {
  A <- b[2]^2 - critical^2 * V[2, 2]
  B <- 2 * (b[1] * b[2] - critical^2 * V[1, 2])
  C <- b[1]^2 - critical^2 * V[1, 1]
  inside <- B^2 - 4 * A * C
  if (inside < 0) return(numeric(0))
  sort((-B + c(-1, 1) * sqrt(inside)) / (2 * A))
}

regression <- function(id, source, formula, x, m, robust = FALSE) {
  data <- read.csv(data_path(source))
  fit <- lm(as.formula(formula), data)
  product <- intersect(paste(c(x, m), c(m, x), sep = ":"), names(coef(fit)))
  V <- if (robust) hc3(fit) else vcov(fit)
  own <- c(x, product); b <- unname(coef(fit)[own]); V <- V[own, own]
  df <- fit$df.residual
  values <- c(mean(data[[m]]) + c(-1, 0, 1) * sd(data[[m]]))
  square <- paste0("I(", x, "^2)")
  held <- if (square %in% names(coef(fit))) mean(data[[x]]) else NULL
  if (!is.null(held)) { # the slope at the mean of x: b1 + 2 b4 x + b3 m
    V3 <- (if (robust) hc3(fit) else vcov(fit))[c(x, square, product), c(x, square, product)]
    W <- rbind(c(1, 2 * held, 0), c(0, 0, 1))
    b <- drop(W %*% coef(fit)[c(x, square, product)]); V <- W %*% V3 %*% t(W)
  }
  without <- lm(update(formula(fit), paste("~ . -", product)), data)
  R2 <- summary(fit)$r.squared; R2w <- summary(without)$r.squared
  list(id = id, data = source, formula = formula, x = x, m = m, robust = robust, df = df,
       slopes = slopes(b, V, values, df),
       percentiles = slopes(b, V, unname(quantile(data[[m]], c(.16, .5, .84))), df),
       pointwise = I(roots(b, V, qt(0.975, df))), simultaneous = I(roots(b, V, sqrt(2 * qf(0.95, 2, df)))),
       r2 = R2, r2_without = R2w, f2 = (R2 - R2w) / (1 - R2))
}

regressions <- list(
  regression("hs", "semopy:holzinger", "x9 ~ x1 * x7", "x1", "x7"),
  regression("hs_other_way", "semopy:holzinger", "x9 ~ x1 * x7", "x7", "x1"),
  regression("hs_covariates", "semopy:holzinger", "x4 ~ x1 * ageyr + x5 + sex", "x1", "ageyr"),
  regression("hs_hc3", "semopy:holzinger", "x9 ~ x1 * x7", "x1", "x7", robust = TRUE),
  regression("hs_square", "semopy:holzinger", "x9 ~ x1 * x7 + I(x1^2)", "x1", "x7"),
  regression("politics", "semopy:politicaldemocracy", "y1 ~ x1 * y5", "x1", "y5")
)

# Latent products ----------------------------------------------------------------------------------------------------
solve_data <- function(model, data, ...) {
  # fixed.x is spelled out: with optim.method = "none" its default is FALSE
  arguments <- list(model = model, data = data, meanstructure = TRUE, fixed.x = TRUE, ...)
  default <- do.call("sem", arguments)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- do.call("sem", c(arguments, list(start = start, optim.method = "none", check.start = FALSE)))
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  fit@optim$converged <- TRUE
  fit
}

rows <- function(fit) {
  e <- parameterEstimates(fit)
  e <- e[e$op == ":=", c("lhs", "est", "se", "z", "pvalue", "ci.lower", "ci.upper")]
  names(e)[1] <- "name"
  frame_rows(e)
}

latent <- function(id, source, measurement, paths, x, m, y, first, second, options = list()) {
  data <- indProd(read.csv(data_path(source)), var1 = first, var2 = second, match = TRUE, doubleMC = TRUE)
  product <- paste0("XM =~ ", paste(paste(first, second, sep = "."), collapse = " + "))
  model <- paste(c(measurement, product, paths), collapse = "\n")
  fit <- do.call(solve_data, c(list(model, data), options))
  values <- c(-1.3, 0, 0.7)
  probe <- probe2WayMC(fit, c(x, m, "XM"), y, m, values)$SimpleSlope
  names(probe)[1] <- "value"
  V <- lavInspect(fit, "vcov"); b <- coef(fit)[c("b1", "b3")]; V <- V[c("b1", "b3"), c("b1", "b3")]
  list(id = id, data = source, measurement = I(measurement), paths = I(paths), x = x, m = m, y = y, first = I(first),
       second = I(second), options = options, slopes = frame_rows(probe),
       pointwise = I(roots(b, V, qnorm(0.975))), simultaneous = I(roots(b, V, sqrt(qchisq(0.95, 2)))),
       defined = rows(fit))
}

tpb <- c("ATT =~ att1 + att2 + att3 + att4 + att5", "SN =~ sn1 + sn2", "PBC =~ pbc1 + pbc2 + pbc3",
         "INT =~ int1 + int2 + int3", "BEH =~ b1 + b2")
one <- c("X =~ x1 + x2 + x3", "Z =~ z1 + z2 + z3", "Y =~ y1 + y2 + y3")
three <- c("L =~ x1 + x2 + x3", "S =~ x7 + x8 + x9", "T =~ x4 + x5 + x6")
latents <- list(
  latent("one_int", "shared:oneInt", one, c("Y ~ b1*X + b2*Z + b3*XM"), "X", "Z", "Y",
         c("x1", "x2", "x3"), c("z1", "z2", "z3")),
  latent("one_int_mlr", "shared:oneInt", one, c("Y ~ b1*X + b2*Z + b3*XM"), "X", "Z", "Y",
         c("x1", "x2", "x3"), c("z1", "z2", "z3"), list(estimator = "MLR")),
  latent("tpb", "shared:TPB", tpb,
         c("INT ~ a1*ATT + a2*SN + a3*PBC", "BEH ~ b1*INT + c1*PBC + b3*XM",
           "at_low := a1*(b1 - 1.3*b3)", "at_mean := a1*b1", "at_high := a1*(b1 + 0.7*b3)", "index := a1*b3",
           "contrast := a1*b3*2"), "INT", "PBC", "BEH", c("int1", "int2", "int3"), c("pbc1", "pbc2", "pbc3")),
  latent("hs", "semopy:holzinger", three, c("T ~ b1*L + b2*S + b3*XM"), "L", "S", "T",
         c("x1", "x2", "x3"), c("x7", "x8", "x9"))
)

# Moderated mediation of observed variables ----------------------------------------------------------------------------
mediation <- function(id, source, columns, model) {
  data <- read.csv(data_path(source))
  for (name in names(columns)) data[[name]] <- data[[columns[[name]][1]]] * data[[columns[[name]][2]]]
  list(id = id, data = source, columns = columns, model = model, defined = rows(solve_data(paste(model, collapse = "\n"), data)))
}

mediations <- list(
  mediation("second_stage", "semopy:holzinger", list(mw = c("x4", "x7")), c(
    "x4 ~ a1*x1", "x9 ~ b1*x4 + b2*x7 + b3*mw + c1*x1",
    "indirect_low := a1*(b1 + b3*3)", "indirect_high := a1*(b1 + b3*5)", "total_low := c1 + a1*(b1 + b3*3)",
    "total_high := c1 + a1*(b1 + b3*5)", "index := a1*b3", "contrast := a1*b3*2")),
  mediation("first_stage", "semopy:holzinger", list(xw = c("x1", "x7")), c(
    "x4 ~ a1*x1 + a2*x7 + a3*xw", "x9 ~ b1*x4 + c1*x1",
    "indirect_low := (a1 + a3*3)*b1", "indirect_high := (a1 + a3*5)*b1", "total_low := c1 + (a1 + a3*3)*b1",
    "total_high := c1 + (a1 + a3*5)*b1", "index := a3*b1", "contrast := a3*b1*2")),
  mediation("both_stages", "semopy:holzinger", list(xw = c("x1", "x7"), mw = c("x4", "x7")), c(
    "x4 ~ a1*x1 + a2*x7 + a3*xw", "x9 ~ b1*x4 + b2*x7 + b3*mw + c1*x1 + c3*xw",
    "indirect_low := (a1 + a3*3)*(b1 + b3*3)", "indirect_high := (a1 + a3*5)*(b1 + b3*5)",
    "total_low := c1 + c3*3 + (a1 + a3*3)*(b1 + b3*3)", "total_high := c1 + c3*5 + (a1 + a3*5)*(b1 + b3*5)",
    "contrast := (a1 + a3*5)*(b1 + b3*5) - (a1 + a3*3)*(b1 + b3*3)"))
)

write_numbers(list(versions = versions(c("lavaan", "semTools", "jsonlite")), regressions = regressions,
                   latents = latents, mediations = mediations), file.path(OUT, "numbers.json"))
