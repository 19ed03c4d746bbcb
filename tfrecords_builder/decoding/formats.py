"""Which image files this project reads, how it recognizes them, and how large they may be.

To add a format: name it here with its suffixes and its first bytes, read its header in `headers/`, and teach
both decoders to read it (`opencv.py` for the builder, `graph/` for the served model). Add files of it to
`tests/tfrecords_builder/image_files.py`: the tests then compare the two decoders.
"""

FORMATS = ("JPEG", "PNG", "BMP", "GIF")
"""Formats that every part of the project reads."""

MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "BMP": (b"BM",),
    "GIF": (b"GIF87a", b"GIF89a"),
}
"""First bytes of the files of each of FORMATS."""

DICOM = "DICOM"
"""Name of the format that the builder reads as well. The served model does not read it."""

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".gif")
"""Ends of the names of files in FORMATS, in lower case."""

DICOM_SUFFIXES = (".dcm", ".dicom")
"""Ends of the names of DICOM files, in lower case."""

MAX_PIXELS = 1 << 26
"""Most pixels that an image may have: 67 megapixels, three times the largest X-ray of the public datasets."""

MAX_BYTES_PER_PIXEL = 16
"""Most memory that decoding takes for each pixel, beside the file: 1 GiB for MAX_PIXELS."""

MAX_SIDE = 65_500
"""Largest width and height of an image, in pixels: libjpeg's own limit, here for every format."""

BEGINNING_BYTES = 132
"""Number of bytes at the beginning of a file that are enough to recognize its format."""

_DICOM_MARK = slice(128, 132)  # after the preamble
_DICOM_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of files without a preamble, little endian

_OTHER_FORMATS = (
    # Name, and the bytes that its files have at each of some positions.
    ("WebP", {0: b"RIFF", 8: b"WEBP"}),
    ("TIFF", {0: b"II*\0"}),
    ("TIFF", {0: b"MM\0*"}),
    ("TIFF", {0: b"II+\0"}),
    ("TIFF", {0: b"MM\0+"}),
    ("JPEG 2000", {0: b"\0\0\0\x0cjP  "}),
    ("JPEG 2000", {0: b"\xff\x4f\xff\x51"}),
    ("JPEG XL", {0: b"\0\0\0\x0cJXL "}),
    ("JPEG XL", {0: b"\xff\x0a"}),
    ("JPEG XR", {0: b"II\xbc"}),
    ("AVIF", {4: b"ftypavi"}),
    ("HEIF", {4: b"ftyphei"}),
    ("HEIF", {4: b"ftypmif1"}),
    ("OpenEXR", {0: b"\x76\x2f\x31\x01"}),
    ("Radiance HDR", {0: b"#?"}),
    ("Photoshop", {0: b"8BPS"}),
    ("QOI", {0: b"qoif"}),
    ("Sun raster", {0: b"\x59\xa6\x6a\x95"}),
    *(("PNM", {0: b"P%d%c" % (kind, end)}) for kind in range(1, 8) for end in b"\n "),
    ("PFM", {0: b"PF\n"}),
    ("PFM", {0: b"Pf\n"}),
)


def recognize(beginning: bytes) -> str | None:
    """Tells the format of a file by its first bytes, whatever its name is.

    Args:
        beginning: the first BEGINNING_BYTES of the file, or all of it.

    Returns:
        One of FORMATS, DICOM, the name of a format that is not read, or None for anything else.
    """
    for name, magics in MAGIC.items():
        if beginning.startswith(magics):
            return name
    if is_dicom(beginning):
        return DICOM
    for name, marks in _OTHER_FORMATS:
        if all(beginning.startswith(mark, position) for position, mark in marks.items()):
            return name
    return None


def is_dicom(beginning: bytes) -> bool:
    """Whether a file starts as DICOM does: with the preamble and "DICM", or, in old files, without them.

    A file without them starts with a data element of group 2 or 8 whose number is below 256.
    """
    return beginning[_DICOM_MARK] == b"DICM" or (
        beginning[:2] in _DICOM_FIRST_GROUPS and beginning[3:4] == b"\0"
    )


def expected(formats: tuple[str, ...]) -> str:
    """Lists formats in a sentence, for example "JPEG, PNG or BMP"."""
    return f"{', '.join(formats[:-1])} or {formats[-1]}"
