"""Measures what a server answers under load, and what the exported model answers without a server.

The commands are `python -m serving.load` and `python -m serving.load.explanation`.
"""
