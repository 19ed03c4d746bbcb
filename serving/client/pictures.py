"""Draws the heatmap of an answer over the original image."""

from typing import TYPE_CHECKING

from serving.client.answers import Explanation
from serving.client.images import EncodedOrPath, load
from tfrecords_builder.decoding import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FAST_COMPRESSION = 1  # level of zlib, 1 to 9


def draw(image: EncodedOrPath, answer: Explanation) -> bytes:
    """Draws what an answer explains over the whole image, at the image's own size, with the answer above it.

    Args:
        image: the image file that the answer is about: its content, or its path.
        answer: the answer.

    Returns:
        A PNG file. It is the server's own small picture if the export is of an earlier version, which does
        not tell what part of the image it saw, or if the file can no longer be read. It is empty if the
        answer is not valid.
    """
    loaded = load(image)
    if not answer.valid or answer.region is None or loaded.problem:
        return answer.overlay
    return draw_over(decode(loaded.encoded), answer)


def draw_over(xray: "NDArray[np.uint8]", answer: Explanation) -> bytes:
    """Draws a valid answer of a current export over an X-ray, uint8 (height, width); returns a PNG file."""
    import cv2

    from pipeline.explanation.pictures import caption, explained

    if answer.region is None:
        raise ValueError("the answer does not tell which part of the image the heatmap covers")
    text = caption(
        answer.label,
        answer.probability,
        answer.threshold,
        evidence=answer.evidence,
        version=answer.version,
        warning=answer.warning,
    )
    picture = explained(xray, answer.heatmap, answer.region, text, answer.lungs)
    compression = [cv2.IMWRITE_PNG_COMPRESSION, _FAST_COMPRESSION]
    return cv2.imencode(".png", picture[..., ::-1], compression)[1].tobytes()
