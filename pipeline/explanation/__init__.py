"""Grad-CAM: heatmaps that show which regions count as evidence for a label, and pictures of them.

`GradCam` computes heatmaps, `overlay` lays them over X-rays. Both are TensorFlow functions, so that the
exported graph runs the same code as the commands. Importing this package loads TensorFlow.
"""

from pipeline.explanation.gradcam import GradCam
from pipeline.explanation.overlays import COLORMAP, overlay, side_by_side

__all__ = ["COLORMAP", "GradCam", "overlay", "side_by_side"]
