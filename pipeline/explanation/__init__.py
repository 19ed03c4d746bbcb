"""Grad-CAM: heatmaps that show which regions count as evidence for a label, and pictures of them.

`gradcam` computes heatmaps, `explainer` also assesses the images, and `overlays` lays heat over X-rays. They
are TensorFlow functions, so that the exported graph runs the same code as the commands. `pictures` draws for
people, without TensorFlow.
"""
