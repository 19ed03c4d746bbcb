"""Measures a finished run on a split; `evaluate.evaluate` is the way in.

Each part of an evaluation is one module (`discrimination`, `thresholds`, ...) and one template of the same
name. To add a part, write both and add the module to `PARTS` in `evaluate.py`. `part.py` says what a
part is given and what it returns.
"""

DEFAULT_PREVALENCES = (0.01, 0.05, 0.2, 0.5)
"""Shares of patients with pneumonia for which predictive values are computed by default."""
