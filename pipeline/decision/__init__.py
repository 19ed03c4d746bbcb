"""Turns probabilities into labels: has the operating point and the rules that it is chosen by."""
