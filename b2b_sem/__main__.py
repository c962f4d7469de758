"""``python -m b2b_sem`` is ``b2b-sem``."""

from b2b_sem.cli import main

main()
