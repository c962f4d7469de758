"""Engines: from a parameter table and observed moments to estimates, and from estimates to inference."""
