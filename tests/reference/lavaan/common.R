# Shared by the scripts that write reference numbers: where data live, how a case is read and fitted, how numbers are written.
# Sourced by generate.R here and in ../measurement; both run from the checkout root.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
  library(digest)
})

REFERENCE <- file.path("tests", "reference")
if (!dir.exists(REFERENCE)) stop("run this script from the checkout root")

# The folder of the installed semopy package, asked from the project's Python without importing semopy.
semopy_examples <- function() {
  python <- Sys.getenv("PYTHON", if (file.exists(".venv/bin/python")) ".venv/bin/python" else "python3")
  code <- "import importlib.util as u; print(next(iter(u.find_spec('semopy').submodule_search_locations)))"
  file.path(system2(python, c("-c", shQuote(code)), stdout = TRUE), "examples")
}

CASES <- file.path(REFERENCE, "cases.json")
read_cases <- function() {
  cases <- read_json(CASES, simplifyVector = TRUE, simplifyDataFrame = FALSE)$cases
  setNames(cases, vapply(cases, function(case) case$id, ""))
}

data_path <- function(source) {
  part <- strsplit(source, ":", fixed = TRUE)[[1]]
  file <- switch(part[1],
    semopy = file.path(semopy_examples(), c(holzinger = "holzinger_swineford39_data.csv",
                                            politicaldemocracy = "pd_data.csv")[[part[2]]]),
    shared = file.path(Sys.getenv("B2B_SEM_DATA", file.path("..", "shared", "data")), paste0(part[2], ".csv")),
    local = file.path(REFERENCE, "data", paste0(part[2], ".csv")),
    stop("unknown data source ", source)
  )
  if (!file.exists(file)) stop("no file ", file, " for ", source)
  file
}

# Arguments of lavaan for one case: data or moments, and the options in lavaan's own names.
case_arguments <- function(case) {
  file <- data_path(case$data)
  options <- case$options
  if (length(options)) names(options) <- gsub("_", ".", names(options), fixed = TRUE)
  input <- if (is.null(case$input)) "raw" else case$input
  source <- if (input == "raw") {
    list(data = read.csv(file))
  } else if (input == "matrix") {
    matrix <- as.matrix(read.csv(file, row.names = 1))
    list(sample.cov = matrix, sample.nobs = case$nobs)
  } else {
    frame <- read.csv(file)
    names_used <- lavNames(lavaanify(paste(case$model, collapse = "\n"), auto = TRUE, warn = FALSE), "ov")
    frame <- frame[complete.cases(frame[names_used]), names_used]
    c(list(sample.cov = cov(frame), sample.nobs = nrow(frame)),
      if (input == "cov+mean") list(sample.mean = colMeans(frame)))
  }
  # lavaan's default is fixed.x = TRUE here, except with optim.method = "none", where it is FALSE: always spelled out
  if (is.null(options$fixed.x)) options$fixed.x <- TRUE
  c(list(model = paste(case$model, collapse = "\n")), source, options)
}

# Fitting ----------------------------------------------------------------------------------------------------------------
fit_with <- function(case, ...) {
  arguments <- c(case_arguments(case), list(...))
  warned <- character(0)
  fit <- withCallingHandlers(
    do.call(match.arg(case$`function`, c("sem", "cfa")), arguments),
    warning = function(w) {
      warned <<- c(warned, gsub("\\s+", " ", conditionMessage(w)))
      invokeRestart("muffleWarning")
    }
  )
  list(fit = fit, warnings = unique(warned))
}

# Gradient of F/2 and its expected curvature at the free parameters, restricted to the directions the constraints leave open.
slope <- function(model, fit) {
  gradient <- lavaan:::lav_model_gradient(lavmodel = model, lavsamplestats = fit@SampleStats, lavdata = fit@Data,
                                          lavcache = fit@Cache, type = "free")
  information <- lavaan:::lav_model_information_expected(lavmodel = model, lavsamplestats = fit@SampleStats,
                                                        lavdata = fit@Data, lavoptions = fit@Options, lavcache = fit@Cache)
  open <- if (model@eq.constraints) model@eq.constraints.K else diag(length(gradient))
  list(open = open, gradient = drop(crossprod(open, gradient)), information = crossprod(open, information %*% open))
}

# Largest absolute element: raw, and with each direction divided by the root of its curvature (free of units).
size <- function(s) {
  scaled <- abs(s$gradient) / sqrt(diag(s$information))
  list(raw = max(abs(s$gradient)), scaled = max(scaled))
}

polish <- function(fit, steps = 500L) {
  model <- fit@Model
  best <- x <- lavaan:::lav_model_get_parameters(model)
  smallest <- Inf
  stalled <- 0L
  for (k in seq_len(steps)) {
    s <- slope(model, fit)
    now <- size(s)$scaled
    if (is.finite(now) && now < smallest) { smallest <- now; best <- x; stalled <- 0L } else stalled <- stalled + 1L
    if (smallest < 1e-15 || stalled > 5L) break
    # curvature scaled to unit diagonal: units from 1e-4 to 1e5 would otherwise make solve() give up
    d <- 1 / sqrt(diag(s$information))
    x <- x - drop(s$open %*% (d * solve(d * t(d * s$information), d * s$gradient)))
    model <- lavaan:::lav_model_set_parameters(model, x = x)
  }
  best
}

# The whole procedure: list(fit = lavaan object at the polished point, default = lavaan's own stop, warnings).
solve_case <- function(case) {
  first <- fit_with(case)
  default <- first$fit
  if (!lavInspect(default, "converged")) stop("lavaan did not converge: not a case to compare with")
  best <- polish(default)
  start <- parTable(default)
  start$est[start$free > 0] <- best[start$free[start$free > 0]]
  fit <- fit_with(case, start = start, optim.method = "none", check.start = FALSE)$fit
  # with optim.method = "none" lavaan does not always finish the independence model
  fit@baseline <- default@baseline
  moved <- max(abs(lavaan:::lav_model_get_parameters(fit@Model) - best))
  if (moved > 1e-12 * max(1, abs(best))) stop("the polished point was not taken over (", moved, ")")
  kept <- c("fixed.x", "meanstructure", "likelihood", "std.lv", "orthogonal")
  stopifnot(identical(fit@Options[kept], default@Options[kept]))
  list(fit = fit, default = default, warnings = first$warnings)
}

# Writing ----------------------------------------------------------------------------------------------------------------
# lavaan writes names with dots; the project writes underscores.
under <- function(x) { names(x) <- gsub(".", "_", names(x), fixed = TRUE); x }

frame_rows <- function(frame) {
  frame <- as.data.frame(unclass(frame), stringsAsFactors = FALSE)
  names(frame) <- gsub(".", "_", names(frame), fixed = TRUE)
  frame
}

labelled <- function(m) {
  if (is.null(m)) return(NULL)
  m <- unclass(m)
  if (is.matrix(m)) list(names = I(rownames(m)), values = unname(m)) else list(names = I(names(m)), values = unname(c(m)))
}

# 15 significant digits (what a double carries); NA and NaN become null; whole or not at all.
write_numbers <- function(object, file) {
  text <- toJSON(object, digits = NA, na = "null", null = "null", auto_unbox = TRUE, dataframe = "rows", pretty = FALSE)
  # one record per line keeps version-control differences readable
  text <- gsub("},{", "},\n{", text, fixed = TRUE)
  text <- gsub(",\"(parameters|standardized|measures|r2|implied|sample|lavaan|gradient|warnings|rmsea)\":", ",\n\"\\1\":", text)
  temporary <- paste0(file, ".part")
  writeLines(text, temporary, useBytes = TRUE)
  invisible(file.rename(temporary, file))
}

sha256 <- function(file) digest(file = file, algo = "sha256")

versions <- function(packages) {
  c(list(R = as.character(getRversion()), platform = R.version$platform),
    setNames(lapply(packages, function(p) as.character(packageVersion(p))), packages))
}
