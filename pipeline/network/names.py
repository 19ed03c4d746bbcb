"""Names of the layers that other parts of the project look for in a network. See `pipeline.model`."""

MODEL_NAME = "pneumonia_classifier"

FEATURES = "features"
"""Name of the layer whose output Grad-CAM explains: the activation of the last convolution, times the lung
attention if there is one."""
CONVOLVED = "convolved"
"""Name of the activation of the last convolution if lung attention follows it."""
LUNG_LOGITS = "lung_logits"
"""Name of the layer of lung attention before its sigmoid: float32 (batch, height, width, 1)."""
LUNGS = "lungs"
"""Name of the lung attention: how probably each place is in a lung, float32 (batch, height, width, 1)."""
LOGIT = "logit"
"""Name of the layer before the sigmoid, and before the calibration if there is one."""
CALIBRATED_LOGIT = "calibrated_logit"
"""Name of the layer of the calibration, between logit and sigmoid."""
