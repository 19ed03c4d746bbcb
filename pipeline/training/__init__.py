"""Training: `recipe` says what is trained and how, `fit` trains it into a run folder.

The settings of a training are in `settings`; `python -m pipeline.train` is the command.
"""
