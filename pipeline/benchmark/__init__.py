"""Measures how fast the input and the training step are, alone and together. `__main__` is the command.

`stages` decides what is measured, `timing` how. Each of `machine`, `input_stages`, `train_step`, `goodput`
and `peers` measures one thing; `comparisons` and `report` make tables of the results.
"""
