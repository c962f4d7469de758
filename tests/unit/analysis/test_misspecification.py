"""Hypothetical misspecifications: what may be changed, in which order, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from b2b_sem.analysis.cutoff_recipe import recipe_of_text
from b2b_sem.analysis.misspecification import Solution, misspecify
from b2b_sem.errors import Unsupported

TWO = "F =~ .8*a + .5*b + .7*c\nG =~ .6*d + .9*e + .4*f\nF ~~ .3*G"


def solution(text: str) -> Solution:
    return recipe_of_text(text, 300).solution


def added(text: str) -> list[str]:
    return [f"{a.level}: {a}" for a in misspecify(solution(text))[0]]


def test_the_smallest_loading_gets_a_cross_loading_of_its_size() -> None:
    assert added(TWO) == ["1: F =~ 0.400*f"]
    assert added("F =~ .7*a + -.6*b + .8*c + .5*d") == ["1: b ~~ 0.300*d"]


def test_items_with_other_loadings_or_covariances_of_residuals_are_left_alone() -> None:
    assert added(TWO + "\nf ~~ .1*a") == ["1: G =~ 0.500*b"]
    assert added(TWO.replace(".7*c", ".7*c + .1*f")) == ["1: G =~ 0.500*b"]


def test_small_factors_come_last_and_pairs_of_factors_only_once() -> None:
    text = "F =~ .3*a + .4*b\nG =~ .6*c + .7*d + .8*e\nH =~ .9*f + .9*g + .9*h"
    pairs = "\nF ~~ .1*G\nF ~~ .1*H\nG ~~ .1*H"
    # H is the most reliable one; F has two items, so that the item of G is first although its loading is larger
    # and the pair of G and H is taken when it is the turn of H; .95 (sqrt(.81 * .01 + .19) - .09) = .337
    assert added(text + pairs) == ["1: H =~ 0.600*c", "2: F =~ 0.337*f"]


def test_levels_are_nested_and_keep_variances_loadings_and_correlations() -> None:
    start = solution("F =~ .7*a + -.6*b + .8*c + .5*d + .65*e + .55*f + .45*g + .75*h\na ~~ .2*c")
    additions, levels = misspecify(start)
    before = start.cor()
    sizes = []
    for level, population in enumerate(levels, 1):
        cor = population.cor()
        assert np.diag(cor) == pytest.approx(np.ones(8))
        assert np.linalg.eigvalsh(cor)[0] > 0
        changed = {frozenset((a.lhs, a.rhs)) for a in additions if a.level <= level}
        at = {frozenset((start.items[i], start.items[j])) for i, j in np.argwhere(np.abs(cor - before) > 1e-12)}
        assert at == changed
        sizes.append(len(changed))
        for a in additions:
            if a.level <= level:
                i, j = start.items.index(a.lhs), start.items.index(a.rhs)
                unexplained = np.sqrt((1 - start.loadings[i, 0] ** 2) * (1 - start.loadings[j, 0] ** 2))
                assert cor[i, j] - before[i, j] == pytest.approx(0.3 * unexplained)
    assert sizes == [1, 2, 3]  # six items are free


def test_a_cross_loading_changes_the_correlations_of_its_item_only() -> None:
    start = solution(TWO)
    (addition,), (population,) = misspecify(start)
    change = population.cor() - start.cor()
    f = start.items.index("f")
    assert np.abs(np.delete(np.delete(change, f, 0), f, 1)).max() == 0
    # with the items of F: .4 times their loadings; with those of G: .4 * .3 times theirs
    assert change[f] == pytest.approx(0.4 * np.array([0.8, 0.5, 0.7, 0.18, 0.27, 0]))
    assert addition.lhs == "F"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("F =~ .7*a + .6*b + .8*c", "one factor with 3 items"),
        ("F =~ .7*a + .6*b + .8*c + .5*d\na ~~ .2*b", "one factor with 2 items"),
        ("F =~ .7*a + .6*b\nG =~ .5*c + .6*d\nF ~~ .3*G\na ~~ .1*c\nb ~~ .1*d", "and 0 have one"),
        (
            "F =~ .7*a + .6*b\nG =~ .5*c + .6*d\nH =~ .5*e + .6*f\nF ~~ .3*G\nF ~~ .3*H\nG ~~ .3*H\n"
            "a ~~ .1*c\nb ~~ .1*d",
            "3 have one|2 factors need",
        ),
    ],
)
def test_too_few_free_items_are_refused(text: str, said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        misspecify(solution(text))
