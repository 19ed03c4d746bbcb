"""Grad-CAM: heatmaps that show which regions count as evidence for a label, and pictures of them.

`GradCam` computes heatmaps, `Explainer` also assesses the images, and `overlay` lays heat over X-rays. They
are TensorFlow functions, so that the exported graph runs the same code as the commands. Importing this
package loads TensorFlow.
"""

from pipeline.explanation.explainer import Explained, Explainer
from pipeline.explanation.gradcam import GradCam
from pipeline.explanation.overlays import COLORMAP, overlay, side_by_side

__all__ = ["COLORMAP", "Explained", "Explainer", "GradCam", "overlay", "side_by_side"]
