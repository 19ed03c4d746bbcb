"""Finds the X-rays to build from, and draws their splits.

The ways in are `folders.find_images` for folders of images, `table.read_table` for CSV and Parquet tables,
and `splits` for drawing `val` and `test` by patient.
"""
