"""The room that measures a finished run on a split; its way in is `evaluate.evaluate`.

Each part of an evaluation is one module (`discrimination`, `thresholds`, `subtypes`, ...) and one template of
the same name. To add a part, write both and add the module to `PARTS` in `evaluate.py`. `part.py` says what a
part is given and what it returns.
"""
