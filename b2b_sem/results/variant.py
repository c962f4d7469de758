"""Which variant of a fit measure is to be read: plain, scaled or robust."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["TEST_TITLES", "variant"]

#: What a scaled test is called in a table or a text, by the name of the option `test`.
TEST_TITLES = {
    "satorra.bentler": "Satorra-Bentler",
    "mean.var.adjusted": "mean and variance adjusted",
    "scaled.shifted": "scaled and shifted",
    "yuan.bentler.mplus": "Yuan-Bentler (Mplus variant)",
}


def variant(measures: Mapping[str, float], name: str) -> str:
    """Return what to put behind `name` to get the variant that suits the test: ``_robust``, ``_scaled`` or nothing.

    The robust variants of CFI, TLI and RMSEA estimate what the plain ones do for normal data; the scaled ones do not
    (Brosseau-Liard & Savalei 2014, doi:10.1080/00273171.2014.933697), and stand in only where no robust one exists.
    Without a scaled test the measures hold neither, and the plain one is read.
    """
    for suffix in ("_robust", "_scaled"):
        if not math.isnan(measures.get(name + suffix, math.nan)):
            return suffix
    return ""
