"""Finds the X-rays to build from, and draws their splits.

The ways in are `find.find_source_images` for folders and tables of images (its options are in `settings.py`),
and `splits` for drawing `val` and `test` by patient. docs/sources.md describes what is understood.
"""
