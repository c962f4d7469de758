# Writes tests/reference/montecarlo/reference.json: a loop of lavaan over the samples of study.yaml.
#
#   Rscript tests/reference/montecarlo/generate.R
#
# from the checkout root. rows.py draws the samples with this package; everything after that is lavaan and R: reverse
# coding, the fit (polished), the standardized solution, Wald tests, fit measures, Holm's adjustment, and the summary
# over samples.

source(file.path("tests", "reference", "lavaan", "common.R"))
OUT <- file.path(REFERENCE, "montecarlo")
python <- Sys.getenv("PYTHON", if (file.exists(".venv/bin/python")) ".venv/bin/python" else "python3")
folder <- tempfile("samples"); dir.create(folder)
stopifnot(system2(python, c(file.path(OUT, "rows.py"), folder)) == 0)
model <- paste(readLines(file.path(folder, "model.lav"), warn = FALSE), collapse = "\n")
STATED <- c("PC~NR", "TV~PE", "PC~RE", "RR~PC", "EQ~TV", "BT~RR", "BT~PC", "DE~BT")  # P1 to P8, all positive
MEASURES <- c("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea.pvalue", "srmr")

fit_one <- function(number) {
  file <- file.path(folder, paste0(number, ".csv"))
  data <- read.csv(file)
  for (item in intersect(reversed, names(data))) data[[item]] <- 8 - data[[item]]
  default <- sem(model, data, fixed.x = TRUE)
  stopifnot(lavInspect(default, "converged"))
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- sem(model, data, fixed.x = TRUE, start = start, optim.method = "none", check.start = FALSE)
  stopifnot(max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best)) < 1e-12 * max(1, abs(best)))
  fit@baseline <- default@baseline
  raw <- parameterEstimates(fit); std <- standardizedSolution(fit)
  stopifnot(identical(paste0(raw$lhs, raw$op, raw$rhs), paste0(std$lhs, std$op, std$rhs)))
  name <- paste0(raw$lhs, raw$op, raw$rhs)
  at <- match(STATED, name)
  adjusted <- p.adjust(raw$pvalue[at], "holm")
  verdict <- ifelse(adjusted < 0.05, ifelse(raw$est[at] > 0, "supported", "contradicted"), "not supported")
  list(
    name = name, est = std$est.std, se = std$se, lower = std$ci.lower, upper = std$ci.upper,
    pvalue = ifelse(is.na(raw$pvalue), std$pvalue, raw$pvalue),
    measures = as.list(setNames(fitMeasures(fit, MEASURES), gsub(".", "_", MEASURES, fixed = TRUE))),
    verdict = verdict, sample = sum(as.matrix(data[lavNames(fit, "ov")]) %*% seq_along(lavNames(fit, "ov")))
  )
}

survey <- readLines(file.path("surveys", "lima2026.yaml"))
reversed <- sub("^ *([a-z]+[0-9]+):.*", "\\1", grep("^ *[a-z]+[0-9]+: \\{.*reverse: true", survey, value = TRUE))
found <- lapply(seq_len(20) - 1L, fit_one)
stack <- function(part) do.call(rbind, lapply(found, `[[`, part))
est <- stack("est"); se <- stack("se")
write_numbers(list(
  versions = versions(c("lavaan", "jsonlite")),
  study = sha256(file.path(OUT, "study.yaml")),
  reversed = reversed,
  rows = found[[1]]$name,
  sample = vapply(found, `[[`, 0, "sample"),
  est = signif(est, 12), se = signif(se, 12), pvalue = signif(stack("pvalue"), 12),
  measures = lapply(found, `[[`, "measures"),
  verdict = stack("verdict"),
  summary = list(mean = colMeans(est), sd = apply(est, 2, sd), mean_se = sqrt(colMeans(se^2)))
), file.path(OUT, "reference.json"))
