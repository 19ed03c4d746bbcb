"""A program of its own: writes an image as large as the limit, or prints how much memory decoding it takes.

python memory_of_decoding.py write KIND FILE
python memory_of_decoding.py builder|graph FILE
"""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.tfrecords_builder.image_files import as_file, rotating_exif

SIDE = 8192


def main(task: str, *arguments: str) -> None:
    if task == "write":
        kind, path = arguments
        Path(path).write_bytes((KINDS | REFUSED)[kind]())
    else:
        print(measure(task, Path(arguments[0]).read_bytes()))  # noqa: T201


def measure(decoder: str, encoded: bytes) -> int:
    """Bytes of memory that decoding takes beside the file."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from tfrecords_builder.decoding import decode, decode_in_graph

    in_graph = tf.function(decode_in_graph, input_signature=[tf.TensorSpec([], tf.string)])
    run = decode if decoder == "builder" else lambda file: in_graph(tf.constant(file))
    run(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes())
    before = memory("VmRSS")
    run(encoded)
    return memory("VmHWM") - before


def memory(field: str) -> int:
    """Bytes of memory that this program has (VmRSS), or has had at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) << 10


def opencv(suffix: str, channels: int, dtype: type = np.uint8, *options: int) -> bytes:
    return cv2.imencode(suffix, np.zeros((SIDE, SIDE, channels), dtype), options)[1].tobytes()


def pillow(mode: str, file_format: str) -> bytes:
    options = {"exif": rotating_exif()} if file_format == "JPEG" else {}
    return as_file(Image.new(mode, (SIDE, SIDE)), file_format, **options)


def dicom() -> bytes:
    from tests.tfrecords_builder.decoding.dicom_files import as_file, dataset

    return as_file(dataset(np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE), bits=16))


KINDS = {
    "color png": lambda: opencv(".png", 3),
    "16-bit color png": lambda: opencv(".png", 4, np.uint16),
    "rotated jpeg": lambda: pillow("L", "JPEG"),
    "progressive jpeg": lambda: opencv(
        ".jpg",
        3,
        np.uint8,
        *(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ),
    "cmyk jpeg": lambda: pillow("CMYK", "JPEG"),
    "gif": lambda: pillow("P", "GIF"),
    "bmp": lambda: pillow("RGB", "BMP"),
    "dicom": dicom,
}

REFUSED = {"webp": lambda: as_file(Image.new("L", (16383, 16383)), "WEBP")}

if __name__ == "__main__":
    main(*sys.argv[1:])
