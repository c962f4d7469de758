"""Repeated fits of a model of several groups: rows are drawn within each group, the groups are fitted together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from b2b_sem.engine.base import Array
from b2b_sem.engine.group import GroupProblem, group_starts
from b2b_sem.engine.native.group_stack import GroupKernel, GroupStack, make_group_stack
from b2b_sem.engine.native.grouped import Part, grouped_moments
from b2b_sem.engine.native.implied import compile_structure
from b2b_sem.engine.native.loss import Moments
from b2b_sem.engine.native.optimize import minimize
from b2b_sem.engine.native.stack import Stack, compile_kernel, make_stack
from b2b_sem.engine.native.start import plain_start
from b2b_sem.engine.recentring import Recentring
from b2b_sem.engine.replicate import Replicates, Replicator, admissible_stack, curvature_at, refuse_repeats
from b2b_sem.engine.resample import bootstrap_counts, leave_one_out, stream, weighted_moments
from b2b_sem.engine.rowstack import fill_definitions, row_stack
from b2b_sem.engine.threads import single_thread
from b2b_sem.errors import Unsupported

__all__ = ["GroupReplicator", "GroupTask", "group_replicator", "group_row_stack"]


@dataclass(frozen=True)
class GroupReplicator(Replicator):
    """A problem of several groups prepared for repeated fits."""

    def fit_groups(self, moments: list[tuple[Array, Array]], weight: Array) -> Replicates:
        """Fit a stack of samples.

        Parameters
        ----------
        moments : list of ((R, p, p), (R, p)) arrays
            Covariance matrices and means of each group.
        weight : (R, G) array
            n_g / N in each sample.
        """
        kernel = self.kernel
        assert isinstance(kernel, GroupKernel)

        def make(at: slice) -> Stack:
            pairs = zip(kernel.parts, moments, strict=True)
            return make_group_stack(
                tuple(make_stack(part, cov[at], mean[at]) for part, (cov, mean) in pairs), weight[at]
            )

        return self.fit_stacks(len(weight), make)

    def _admissible(self, theta: Array, exo: Array) -> npt.NDArray[np.bool_]:
        kernel = self.kernel
        assert isinstance(kernel, GroupKernel)
        good = np.ones(len(theta), dtype=bool)
        for part, place, own in zip(kernel.parts, kernel.places, kernel.split(exo), strict=True):
            good &= admissible_stack(part, theta[:, place], own)
        return good

    def _alone(self, stack: Stack, r: int) -> tuple[Array, float] | None:
        """Fit one replicate by the single-fit engine; None if it finds no minimum either."""
        problem, kernel = self.problem, self.kernel
        assert isinstance(problem, GroupProblem)
        assert isinstance(stack, GroupStack)
        assert isinstance(kernel, GroupKernel)
        parts, joint = [], []
        for g, (part, own) in enumerate(zip(problem.parts, stack.groups, strict=True)):
            names = [row.name for row in part.table.rows if row.exo]
            fixed = {n: float(v) for n, v in zip(names, own.exo[r], strict=True)}
            mean = None if own.mean is None else np.array(own.mean[r])
            moments = Moments(np.array(own.cov[r]), mean, float(own.logdet[r]))
            structure = compile_structure(part.table, fixed) if fixed else part.structure
            parts.append(replace(part, structure=structure, moments=moments, fixed=fixed))
            joint.append(Part(structure, moments, problem.places[g], float(stack.weight[r, g])))
        whole = replace(problem, parts=tuple(parts), moments=grouped_moments(joint, problem.table.nfree))
        try:
            found = minimize(
                whole.structure,
                whole.moments,
                group_starts(whole),
                constraints=problem.constraints,
                max_iterations=min(problem.options.max_iterations, 75),
            )
        except ValueError:
            return None
        return (found.theta, found.fmin) if found.converged else None


def group_replicator(problem: GroupProblem, theta: Array) -> GroupReplicator:
    """Prepare a problem of several groups for repeated fits from a solution.

    Raises
    ------
    Unsupported, ModelError
        As :func:`b2b_sem.engine.replicate.replicator`, and for the Wishart likelihood.
    """
    refuse_repeats(problem)
    if problem.options.likelihood != "normal":
        raise Unsupported(
            "repeated fits of several groups are not available for likelihood='wishart'", hint="leave likelihood out"
        )
    curvature = curvature_at(problem, theta)
    kernels = tuple(compile_kernel(part.table, part.structure) for part in problem.parts)
    cold: Array = np.zeros(problem.table.nfree)
    count = np.zeros(problem.table.nfree)
    for part, place in zip(problem.parts, problem.places, strict=True):
        cold[place] += plain_start(part.table, part.moments.cov, part.moments.mean)
        count[place] += 1.0
    cold /= count
    if problem.constraints is not None:
        cold = problem.constraints.project(cold)
    first = kernels[0]
    kernel = GroupKernel(
        problem.structure,
        first.used,
        all(k.factor for k in kernels),
        all(k.diagonal for k in kernels),
        tuple(place for k in kernels for place in k.exo),
        tuple(source for k in kernels for source in k.exo_source),
        any(k.paths for k in kernels),
        first.info_index,
        kernels,
        problem.places,
        tuple(problem.shares),
    )
    return GroupReplicator(problem, kernel, np.array(theta), cold, curvature)


def group_row_stack(problem: GroupProblem, kernel: GroupKernel, theta: Array, exo: Array) -> tuple[Array, Array]:
    """Return raw and standardized values of all rows and definitions, each (R, rows + definitions)."""
    table = problem.table
    raw, std = [], []
    for part, own, place, given in zip(problem.parts, kernel.parts, problem.places, kernel.split(exo), strict=True):
        one, other = row_stack(part.table, own, theta[:, place], given)
        raw.append(one)
        std.append(other)
    empty = np.empty((len(theta), len(table.definitions)))
    out = np.concatenate([*raw, empty], axis=1), np.concatenate([*std, empty], axis=1)
    for target in out:
        fill_definitions(table, target)
    return out


@dataclass(frozen=True, eq=False)
class GroupTask:
    """What a worker needs to fit one block of replicates.

    Attributes
    ----------
    replicator : GroupReplicator
    data : tuple of (n_g, p) arrays
    seed, size : int
    recentring : Recentring, optional
        Where columns are products of items.
    """

    replicator: GroupReplicator
    data: tuple[Array, ...]
    seed: int
    size: int
    recentring: Recentring | None = None

    @property
    def nobs(self) -> int:
        """Rows of all groups."""
        return sum(len(part) for part in self.data)

    def draw(self, block: int) -> dict[str, Array]:
        """Fit a block of bootstrap samples: each group is drawn by itself, and keeps its number of rows."""
        with single_thread():
            rng = stream(self.seed, block)
            moments = []
            for part in self.data:
                counts = bootstrap_counts(rng, len(part), self.size)
                moments.append(weighted_moments(part, counts, divisor=len(part)))
            weight = np.tile([len(part) / self.nobs for part in self.data], (self.size, 1))
            return self._fit(moments, weight)

    def leave_out(self, block: int) -> dict[str, Array]:
        """Fit a block of samples that lack one row each, counted through all groups."""
        with single_thread():
            first, last = block * self.size, min((block + 1) * self.size, self.nobs)
            count, begin = last - first, 0
            moments = []
            weight = np.tile([float(len(part)) for part in self.data], (count, 1))
            for g, part in enumerate(self.data):
                n = len(part)
                inside = slice(max(first - begin, 0), max(min(last - begin, n), 0))
                every = np.ones((1, n))
                cov, mean = (np.repeat(a, count, axis=0) for a in weighted_moments(part, every, divisor=n))
                if inside.start < inside.stop:
                    at = slice(begin + inside.start - first, begin + inside.stop - first)
                    cov[at], mean[at] = leave_one_out(part, inside, divisor=n)
                    weight[at, g] -= 1.0
                moments.append((cov, mean))
                begin += n
            return self._fit(moments, weight / (self.nobs - 1))

    def _fit(self, moments: list[tuple[Array, Array]], weight: Array) -> dict[str, Array]:
        if self.recentring is not None:
            moments = self.recentring.apply(moments, weight)
        return dict(self.replicator.fit_groups(moments, weight).__dict__)
