"""Draws the heatmap of an answer over the original image."""

from typing import TYPE_CHECKING

from serving.client.answers import Explanation
from serving.client.images import EncodedOrPath, encode_png, load
from tfrecords_builder.decoding import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    if not answer.valid or answer.region is None:
        return answer.overlay
    loaded = load(image)
    if loaded.problem:
        return answer.overlay
    return draw_over(decode(loaded.encoded), answer)


def draw_over(xray: "NDArray[np.uint8]", answer: Explanation) -> bytes:
    """Draws a valid answer of a current export over an X-ray, uint8 (height, width); returns a PNG file."""
    from pipeline.explanation.pictures import caption, draw_explanation

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
    picture = draw_explanation(xray, answer.heatmap, answer.region, text, answer.lungs)
    return encode_png(picture[..., ::-1])
