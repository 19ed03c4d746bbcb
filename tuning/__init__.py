"""Architecture search with KerasTuner."""
