"""Frozen result types: what an analysis found, and nothing that can compute."""
