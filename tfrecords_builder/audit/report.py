"""Writes audit.json, and audit.html: one page that contains its pictures."""

import base64
import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import jinja2

from tfrecords_builder import __version__, storage
from tfrecords_builder.audit import odd_images
from tfrecords_builder.audit.findings import Audit
from tfrecords_builder.audit.groups import ImageGroup
from tfrecords_builder.audit.measurements import HASH_BITS
from tfrecords_builder.audit.tables import three_digits
from tfrecords_builder.audit.titles import GROUP_TITLES, ODD_TITLES
from tfrecords_builder.decoding import UnreadableImage, decode
from tfrecords_builder.decoding.threads import single_threaded_opencv
from tfrecords_builder.errors import UserError
from tfrecords_builder.ownership import OwnedFiles
from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.images import SourceImage, image_path, read_image

JSON_NAME = "audit.json"
PAGE_NAME = "audit.html"
FORMAT_VERSION = 1
OWNED_FILES = OwnedFiles(
    "a folder of an audit",
    {re.escape(JSON_NAME): b'"builder_version"', re.escape(PAGE_NAME): b"<title>Audit of "},
)
THUMBNAIL_SIDE = 128
"""Longer side of a picture in the page, in pixels."""
MAX_PICTURES_OF_GROUP = 6


def write(audit: Audit, folder: str, shown: int, workers: int) -> None:
    """Writes both files into a folder.

    Args:
        audit: what was found.
        folder: the folder to write to.
        shown: number of findings of each kind that the page shows.
        workers: number of threads that read the images of these findings.

    Raises:
        UserError: if a file cannot be written.
    """
    for name, text in ((JSON_NAME, to_json(audit)), (PAGE_NAME, render_page(audit, shown, workers))):
        path = storage.join(folder, name)
        try:
            storage.write(path, text)
        except OSError as error:
            raise UserError(
                f"cannot write {path!r}: {error.strerror}; name another folder with --output"
            ) from None


def to_json(audit: Audit) -> str:
    """Returns all of the audit as JSON; labels are indices of `class_names`."""
    content = {
        "format_version": FORMAT_VERSION,
        "builder_version": __version__,
        "class_names": CLASS_NAMES,
        **dataclasses.asdict(audit),
        **{kind: [_group_to_dict(group) for group in _groups(audit, kind)] for kind in GROUP_TITLES},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _groups(audit: Audit, kind: str) -> tuple[ImageGroup, ...]:
    return getattr(audit, kind).groups


def _group_to_dict(group: ImageGroup) -> dict[str, object]:
    across = {"splits": group.splits, "class_names": group.class_names, "patients": group.patients}
    return across | dataclasses.asdict(group)


def render_page(audit: Audit, shown: int, workers: int) -> str:
    """Returns the HTML page.

    Args:
        audit: what was found.
        shown: number of findings of each kind that are shown.
        workers: number of threads that read the images of these findings.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfrecords_builder.audit", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["three_digits"] = three_digits
    groups = {kind: _groups(audit, kind)[:shown] for kind in GROUP_TITLES}
    odd: dict[str, tuple[odd_images.OddImage, ...]] = {
        kind: getattr(audit, kind)[:shown] for kind in ODD_TITLES
    }
    pictured = [image for kind in groups.values() for group in kind for image in representatives(group)]
    pictured += [found.image for kind in odd.values() for found in kind]
    return environment.get_template("report.html.jinja").render(
        audit=audit,
        groups=groups,
        odd=odd,
        odd_titles=ODD_TITLES,
        class_names=CLASS_NAMES,
        representatives=representatives,
        pictures=_thumbnails(audit.folder, {image.source for image in pictured}, workers),
        shared_splits=_count_by_shared_splits(audit.shared_patients.groups),
        hash_bits=HASH_BITS,
        blank_deviation=odd_images.BLANK_DEVIATION,
        version=__version__,
    )


def representatives(group: ImageGroup) -> Sequence[SourceImage]:
    """Returns the images of a group that are shown: one of each split, then a second of each, and so on."""
    ranked: list[tuple[int, int, SourceImage]] = []
    for split in group.splits:
        in_split = [image for image in group.images if image.split == split]
        ranked += [(position, SPLITS.index(split), image) for position, image in enumerate(in_split)]
    ranked.sort(key=lambda entry: entry[:2])
    return [image for _, _, image in ranked[:MAX_PICTURES_OF_GROUP]]


def _count_by_shared_splits(groups: Iterable[ImageGroup]) -> dict[str, dict[str, int]]:
    """Counts patients, and their images in each split, by the splits that share them."""
    shared: dict[str, dict[str, int]] = {}
    for group in groups:
        keys = ("patients", "certainly_one_child", *group.splits)
        counts = shared.setdefault(" and ".join(group.splits), dict.fromkeys(keys, 0))
        counts["patients"] += 1
        counts["certainly_one_child"] += group.is_certainly_one_child
        for image in group.images:
            counts[image.split] += 1
    return shared


def _thumbnails(folder: str, sources: Iterable[str], workers: int) -> dict[str, str]:
    """Returns the thumbnails of the images that can be read, by path."""
    ordered = sorted(sources)
    with single_threaded_opencv(), ThreadPoolExecutor(workers) as pool:
        urls = pool.map(thumbnail, [image_path(folder, source) for source in ordered])
        return {source: url for source, url in zip(ordered, urls, strict=True) if url is not None}


def thumbnail(path: str) -> str | None:
    """Returns an image as a small gray PNG in a data: URL, or None if it cannot be read."""
    try:
        pixels = decode(read_image(path))
    except (OSError, UnreadableImage):
        return None
    height, width = pixels.shape
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    png = cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))[1]
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
