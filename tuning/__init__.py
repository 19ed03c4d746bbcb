"""Architecture search with KerasTuner."""

import pipeline  # noqa: F401 - first, as it loads TensorFlow without its notes
