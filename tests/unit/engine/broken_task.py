"""Tasks that end the process they run in: what a machine without memory does to workers."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fragile:
    """Blocks of 4 numbers; the process that works on one of the `deadly` blocks is killed.

    A block is deadly once if `marks` is given: the killed process leaves a mark there.
    """

    deadly: tuple[int, ...] = ()
    marks: Path | None = None
    size: int = 4
    seconds: float = 0.0
    weight: Any = None

    def run(self, block: int) -> dict[str, Any]:
        time.sleep(self.seconds)
        if block in self.deadly and not (self.marks is not None and (self.marks / str(block)).exists()):
            if self.marks is not None:
                (self.marks / str(block)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        rng = np.random.default_rng([7, block])
        x = rng.standard_normal((self.size, 3))
        if self.weight is not None:
            x = x + self.weight[block]
        return {"x": x, "why": np.array([f"block {block}"] * self.size)}
