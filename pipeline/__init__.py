"""Input, training, evaluation and explanation of the pneumonia classifier."""
