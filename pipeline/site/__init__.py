"""Fits a finished model to a new site: its probabilities and its threshold, from few labeled images."""
