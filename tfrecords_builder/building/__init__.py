"""Builds sharded TFRecords from a source of X-rays.

The way in is `build.build`. It finds the images, plans the shards (`plan.py`), lets an engine write them
(`engines/`), and publishes them (`unfinished.py`).
"""
