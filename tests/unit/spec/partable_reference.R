# Writes partable_reference.json: the parameter tables lavaan makes of varied model texts.
#
#   Rscript tests/unit/spec/partable_reference.R        from the checkout root
#
# Made with R 4.2.2, lavaan 0.6-14, jsonlite 1.8.4. The tables are those sem() works with: lavaanify() with sem()'s defaults.
# Rows are written in lavaan's order: lhs, op, rhs, whether the user wrote them, whether they are free, the fixed value
# or starting value (ustart), exo and label. Equal labels become '==' rows between plabels; they are written as pairs of row
# numbers (`equal`).

suppressPackageStartupMessages({library(lavaan); library(jsonlite)})
options(digits = 17, warn = -1)

case <- function(id, model, ...) list(id = id, model = model, options = list(...))
three <- "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9"

cases <- list(
  case("three_factors", three),
  case("std_lv", three, std.lv = TRUE),
  case("orthogonal", three, orthogonal = TRUE),
  case("means", three, meanstructure = TRUE),
  case("std_lv_orthogonal_means", three, std.lv = TRUE, orthogonal = TRUE, meanstructure = TRUE),
  case("outcomes_covary", "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\ng ~ f\nh ~ f"),
  case("outcomes_orthogonal", "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\ng ~ f\nh ~ f", orthogonal = TRUE),
  case("chain", "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\nh ~ g\ng ~ f"),
  case("covariates", "f =~ x1 + x2 + x3\nf ~ age + sex"),
  case("covariates_random", "f =~ x1 + x2 + x3\nf ~ age + sex", fixed.x = FALSE),
  case("covariates_means", "f =~ x1 + x2 + x3\nf ~ age + sex", meanstructure = TRUE),
  case("covariates_random_means", "f =~ x1 + x2 + x3\nf ~ age + sex", meanstructure = TRUE, fixed.x = FALSE),
  case("covariate_variance_given", "f =~ x1 + x2 + x3\nf ~ age + sex\nage ~~ age"),
  case("covariate_covariance_given", "f =~ x1 + x2 + x3\nf ~ age + sex + size\nsex ~~ age"),
  case("covariate_mean_given", "f =~ x1 + x2 + x3\nf ~ age + sex\nage ~ 1"),
  case("path_model", "m ~ a*x\ny ~ b*m + c*x\nind := a*b\ntotal := c + ind"),
  case("path_outcomes", "y1 + y2 ~ x1 + x2\ny3 ~ y1"),
  case("latent_and_observed_outcomes", "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\ny ~ f\ng ~ f\nz ~ f + w"),
  case("observed_outcome_predicts", "f =~ x1 + x2 + x3\ny ~ f\nz ~ y"),
  case("second_order", "a =~ x1 + x2 + x3\nb =~ x4 + x5 + x6\nc =~ x7 + x8 + x9\ng =~ a + b + c"),
  case("second_order_std_lv", "g =~ a + b + c\na =~ x1 + x2 + x3\nb =~ x4 + x5 + x6\nc =~ x7 + x8 + x9", std.lv = TRUE),
  case("second_order_predicts", "a =~ x1 + x2 + x3\nb =~ x4 + x5 + x6\ng =~ 1*a + 1*b\ny ~ g\nh =~ x7 + x8\nh ~ g"),
  case("swapped_covariances", paste0(three, "\nx5 ~~ x1\nspeed ~~ visual\nx9 ~~ x9")),
  case("swapped_residual_latents", "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9\ng + h ~ f\nh ~~ 0*g"),
  case("single_indicator", "f =~ x1\ng =~ x2 + x3 + x4\ng ~ f"),
  case("single_indicator_given", "f =~ x1\nx1 ~~ 0.3*x1\ng =~ x2 + x3 + x4\ng ~ f"),
  case("single_indicator_cross", "f =~ x1\ng =~ x1 + x2 + x3 + x4"),
  case("label_on_first_loading", "f =~ a*x1 + b*x2 + c*x3\ng =~ a*x4 + b*x5 + c*x6"),
  case("label_shared_with_fixed", "f =~ NA*x1 + a*x2 + x3\ng =~ a*x4 + x5 + x6\nf ~~ 1*f"),
  case("labels_first_fixed_second_free", "f =~ 1*x1 + a*x2 + a*x3\ng =~ x4 + a*x5 + x6"),
  case("start_values", "f =~ x1 + start(0.7)*x2 + 0.4?x3\nf ~~ start(2)*f"),
  case("start_on_first_loading", "f =~ start(0.8)*x1 + x2 + x3"),
  case("start_and_label", "f =~ NA*x1 + start(0.8)*x1 + a*x1 + x2 + x3\nf ~~ 1*f"),
  case("equal_modifier", 'f =~ x1 + x2 + equal("f=~x2")*x3\ng =~ x4 + x5 + equal("f=~x2")*x6'),
  case("equal_to_label", "f =~ x1 + a*x2 + x3\ng =~ x4 + equal(\"a\")*x5 + x6"),
  case("free_first_loading", "f =~ NA*x1 + x2 + x3\nf ~~ 1*f\ng =~ x4 + x5 + x6"),
  case("fixed_values", "f =~ x1 + 0.5*x2 + -0.5*x3 + x4\nx1 ~~ 0*x2\nx3 ~~ 1.5*x3"),
  case("intercepts", "f =~ x1 + x2 + x3\nx1 ~ 0*1\nf ~ 1\nx2 ~ m*1\nx3 ~ m*1"),
  case("intercept_zero", "f =~ x1 + x2 + x3\nx1 ~ 0\nf ~ 1"),
  case("direct_effect_on_indicator", "f =~ x1 + x2 + x3\nf ~ z\nx3 ~ z"),
  case("residual_with_observed_outcome", "f =~ x1 + x2 + x3\ny ~ f\nz ~ f\ny ~~ x1"),
  case("covariances_only", "a ~~ b\nb ~~ c"),
  case("feedback", "y1 ~ y2 + x1\ny2 ~ y1 + x2\ny1 ~~ y2"),
  case("constraints", "f =~ x1 + a*x2 + b*x3\nx1 ~~ v*x1\na == 2*b\nv == 0.5\nd := a - b"),
  case("predictor_is_indicator", "f =~ x1 + x2 + x3\ny ~ x1 + f"),
  case("bifactor", "g =~ x1 + x2 + x3 + x4 + x5 + x6\ns =~ x1 + x2 + x3\nt =~ x4 + x5 + x6\ng ~~ 0*s + 0*t\ns ~~ 0*t", std.lv = TRUE)
)

table_of <- function(case) {
  options <- list(meanstructure = FALSE, fixed.x = TRUE, std.lv = FALSE, orthogonal = FALSE)
  for (name in names(case$options)) options[[name]] <- case$options[[name]]
  if (grepl("~ *(0[*])?1\\b|~ *0$|[*]1\\b|~ 0\n", case$model)) options$meanstructure <- TRUE  # sem() switches it on by itself
  # what sem() passes on
  partable <- lavaanify(case$model, meanstructure = options$meanstructure, int.ov.free = TRUE, int.lv.free = FALSE,
                        orthogonal = options$orthogonal, std.lv = options$std.lv, fixed.x = options$fixed.x,
                        auto.fix.first = !options$std.lv, auto.fix.single = TRUE, auto.var = TRUE, auto.cov.lv.x = TRUE,
                        auto.cov.y = TRUE, auto.th = TRUE, auto.delta = TRUE)
  rows <- partable[!partable$op %in% c("==", ":="), ]
  plabel <- setNames(seq_len(nrow(rows)), rows$plabel)
  equal <- partable[partable$op == "==" & partable$lhs %in% names(plabel) & partable$rhs %in% names(plabel), ]
  # the same model fitted by sem() must have the same rows
  variables <- lavNames(partable, "ov")
  cov <- 0.3 + diag(0.7, length(variables)); dimnames(cov) <- list(variables, variables)
  mean <- if (options$meanstructure) setNames(rep(0, length(variables)), variables)
  set <- do.call("sem", c(list(case$model, sample.cov = cov, sample.mean = mean, sample.nobs = 100, do.fit = FALSE), case$options))
  fitted <- parTable(set); fitted <- fitted[!fitted$op %in% c("==", ":="), ]
  stopifnot(identical(paste(fitted$lhs, fitted$op, fitted$rhs), paste(rows$lhs, rows$op, rows$rhs)),
            identical(fitted$free > 0, rows$free > 0), identical(fitted$exo, rows$exo), identical(fitted$label, rows$label))
  list(id = unbox(case$id), model = unbox(case$model),
       options = lapply(setNames(options, gsub(".", "_", names(options), fixed = TRUE)), unbox),
       observed = variables, latents = I(lavNames(partable, "lv")), exogenous = I(lavNames(partable, "ov.x")),
       df = unbox(as.integer(lavaan:::lav_partable_df(parTable(set)) + qr(set@Model@ceq.JAC)$rank)),
       rows = lapply(seq_len(nrow(rows)), function(i) with(rows[i, ], list(unbox(lhs), unbox(op), unbox(rhs), unbox(user),
              unbox(as.integer(free > 0)), unbox(ustart), unbox(exo), unbox(label)))),
       equal = lapply(seq_len(nrow(equal)), function(i) unname(c(plabel[equal$lhs[i]], plabel[equal$rhs[i]]))),
       constraints = I(with(partable[partable$op %in% c("==", ":=") & !partable$lhs %in% names(plabel), ], paste(lhs, op, rhs))))
}

out <- list(r = unbox(as.character(getRversion())), lavaan = unbox(as.character(packageVersion("lavaan"))),
            columns = c("lhs", "op", "rhs", "user", "free", "ustart", "exo", "label"), cases = lapply(cases, table_of))
json <- toJSON(out, digits = NA, na = "null", null = "null")
# one row of a table on a line
json <- gsub("\\],\\[\"", "],\n  [\"", gsub("(\"(rows|equal|model|observed|options|constraints)\":)", "\n \\1", json))
writeLines(json, file.path("tests", "unit", "spec", "partable_reference.json"))
