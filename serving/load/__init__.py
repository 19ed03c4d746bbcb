"""`python -m serving.load`: what a server answers under load, and how that compares to the bare model."""
