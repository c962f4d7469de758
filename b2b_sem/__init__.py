"""b2b_sem."""
