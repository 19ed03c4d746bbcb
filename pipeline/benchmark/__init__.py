"""Measures how fast the input and the training step are, and how little the one waits for the other."""
