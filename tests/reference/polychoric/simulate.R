# Writes tests/reference/polychoric/simulated.csv: 400 answers to items with 2, 3, 5 and 7 categories, numeric variables, and
# two covariates. Run from the checkout root. Committed, so that neither tests nor generate.R depend on R's random numbers.
set.seed(20261122)
n <- 400
x1 <- rnorm(n); x2 <- rbinom(n, 1, 0.4)
f <- 0.5 * x1 - 0.4 * x2 + rnorm(n)
g <- 0.5 * f + rnorm(n)
latent <- function(factor, loading) loading * factor + rnorm(n) * sqrt(max(0.05, 1 - loading^2))
cut_at <- function(y, at) findInterval(y, at)
data <- data.frame(
  b1 = cut_at(latent(f, 0.7), 0.2), b2 = cut_at(latent(f, 0.8), 1.9), b3 = cut_at(latent(g, -0.6), -0.3),
  b4 = cut_at(latent(f, 0.95), 1.95),
  t1 = cut_at(latent(f, 0.8), c(-0.5, 0.9)), t2 = cut_at(latent(g, 0.7), c(0.5, 1.8)),
  c1 = cut_at(latent(f, 0.7), c(-1.5, -0.6, 0.3, 1.2)), c2 = cut_at(latent(g, 0.8), c(-0.2, 0.6, 1.3, 2.2)),
  s1 = cut_at(latent(f, 0.9), c(-2, -1.2, -0.4, 0.3, 1, 1.8)), s2 = cut_at(latent(g, 0.8), c(-1.8, -1, -0.4, 0.3, 1, 2)),
  z1 = round(3 + 2 * latent(f, 0.7), 3), z2 = round(exp(0.4 * latent(g, 0.8)), 3), x1 = round(x1, 3), x2 = x2
)
# never chosen together with b2: one empty cell of four
data$b5 <- data$b4 * (1 - data$b2)
# codes need not be 1, 2, 3, ...
data$t2 <- c(-1, 0.5, 4)[data$t2 + 1]
write.csv(data, file.path("tests", "reference", "polychoric", "simulated.csv"), row.names = FALSE, quote = FALSE)
print(with(data, table(b2, b4))); print(lapply(data[1:10], table))
