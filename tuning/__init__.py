"""Architecture search with KerasTuner. `python -m tuning.search` is the way in."""
