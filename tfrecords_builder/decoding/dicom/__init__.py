"""Decodes DICOM X-rays to the gray that a viewer shows, with pydicom; `decode.decode` is the way in.

The stored values go through the modality LUT (or rescale slope and intercept), then through the VOI LUT or
the first window, and are inverted if the file says so (DICOM PS3.4, Annex N.2). X-rays have at most 16 bits
per pixel, so the whole chain is computed once for each stored value and not once for each pixel.
"""

from tfrecords_builder.decoding.dicom.library import import_pydicom

__all__ = ["import_pydicom"]
