"""Analyses: engine calls composed into answers."""
