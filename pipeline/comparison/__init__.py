"""Compares runs on the same images, from the predictions that their evaluations wrote."""
