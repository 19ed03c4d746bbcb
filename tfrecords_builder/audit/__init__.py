"""Audits a source before any training: leakage between splits, duplicates, odd images and shortcuts.

The way in is the command, `__main__.py`: it measures every image (`measurements.py`), finds what the
measurements show (`findings.py`), and reports it (`tables.py` for the terminal, `report.py` for audit.json
and audit.html).
"""
