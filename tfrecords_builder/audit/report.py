"""The audit as JSON, as tables for the terminal, and as one HTML page that needs nothing beside it."""

import base64
import dataclasses
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import jinja2
from rich.markup import escape
from rich.table import Table

from tfrecords_builder import __version__
from tfrecords_builder.audit import findings
from tfrecords_builder.audit.findings import Audit, Groups, ImageGroup, OddImage
from tfrecords_builder.audit.measurements import HASH_BITS
from tfrecords_builder.decoding import UnreadableImage, decode
from tfrecords_builder.records import CLASS_NAMES, SPLITS
from tfrecords_builder.source.images import SourceImage

FORMAT_VERSION = 1
THUMBNAIL_SIDE = 128
"""Longer side of a picture in the page, in pixels."""
MOST_PICTURES_OF_GROUP = 6

GROUP_KINDS = {
    "shared_patients": "patients in several splits",
    "identical": "byte-identical images",
    "near": "near-identical images",
}
ODD_KINDS = {
    "unreadable": "unreadable",
    "tiny": f"shorter side < {findings.TINY_SIDE} pixels",
    "blank": "blank",
    "inverted": "seem inverted",
}


def to_json(audit: Audit) -> str:
    """All of the audit; labels are indices of `class_names`."""
    content = {
        "format_version": FORMAT_VERSION,
        "builder_version": __version__,
        "class_names": CLASS_NAMES,
        **dataclasses.asdict(audit),
        **{kind: [_group_content(group) for group in groups] for kind, groups in _group_lists(audit).items()},
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _group_lists(audit: Audit) -> dict[str, tuple[ImageGroup, ...]]:
    return {kind: getattr(audit, kind).groups for kind in GROUP_KINDS}


def _group_content(group: ImageGroup) -> dict[str, object]:
    across = {"splits": group.splits, "class_names": group.class_names, "patients": group.patients}
    return across | dataclasses.asdict(group)


def tables(audit: Audit) -> list[Table]:
    """The main figures: how many images there are, what was found, and the shortcuts."""
    return [_count_table(audit), _finding_table(audit), _shortcut_table(audit)]


def notes(audit: Audit) -> list[str]:
    """What the tables alone would leave misunderstood, a sentence each."""
    shared = audit.shared_patients.groups
    if not shared:
        return []
    surely = sum(group.subtype_in_several_splits for group in shared)
    return [
        f"Of {len(shared)} patients in several splits, {surely} are so under one subtype; the others, "
        "if a number means one child whatever the subtype."
    ]


def _count_table(audit: Audit) -> Table:
    table = _table("Images", "split", "class", "images", "by subtype", "patients", "with siblings")
    for split, classes in audit.counts.items():
        for name, count in classes.items():
            subtypes = ", ".join(f"{number} {escape(subtype)}" for subtype, number in count.subtypes.items())
            table.add_row(
                split, name, str(count.images), subtypes, str(count.patients), str(count.images_with_siblings)
            )
    return table


def _finding_table(audit: Audit) -> Table:
    title = "Findings, and how many groups are of several splits, classes, patients"
    table = _table(title, "what", "groups", "images", "splits", "classes", "patients")
    for kind, title in GROUP_KINDS.items():
        found: Groups = getattr(audit, kind)
        figures = (len(found.groups), found.images, found.across_splits, found.across_classes)
        table.add_row(title, *map(str, figures), str(found.across_patients))
    for kind, title in ODD_KINDS.items():
        table.add_row(title, "", str(len(getattr(audit, kind))))
    return table


def _shortcut_table(audit: Audit) -> Table:
    splits = tuple(audit.counts)
    table = _table("Medians, and AUC of each number alone", "number", *CLASS_NAMES, "AUC", *splits)
    for shortcut in audit.shortcuts:
        of_class = shortcut.of_class
        medians = [f"{of_class[name].median:.4g}" if name in of_class else "-" for name in CLASS_NAMES]
        of_splits = [_three_digits(shortcut.auc_of_split.get(split)) for split in splits]
        table.add_row(shortcut.quantity, *medians, _three_digits(shortcut.auc), *of_splits)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table


def _three_digits(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.3f}"


def render(audit: Audit, shown: int, workers: int) -> str:
    """The page.

    Args:
        audit: what was found.
        shown: findings of each kind that are shown.
        workers: threads that read the images of these.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfrecords_builder.audit", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["three_digits"] = _three_digits
    groups = {kind: groups[:shown] for kind, groups in _group_lists(audit).items()}
    odd: dict[str, tuple[OddImage, ...]] = {kind: getattr(audit, kind)[:shown] for kind in ODD_KINDS}
    pictured = [image for of_kind in groups.values() for group in of_kind for image in representatives(group)]
    pictured += [found.image for of_kind in odd.values() for found in of_kind]
    return environment.get_template("report.html.jinja").render(
        audit=audit,
        groups=groups,
        odd=odd,
        odd_kinds=ODD_KINDS,
        class_names=CLASS_NAMES,
        representatives=representatives,
        pictures=_pictures(audit.source, {image.source for image in pictured}, workers),
        splits_shared=_splits_shared(audit.shared_patients.groups),
        hash_bits=HASH_BITS,
        limits=findings,
        version=__version__,
    )


def representatives(group: ImageGroup) -> Sequence[SourceImage]:
    """Those images of a group that are shown: of its splits in turn."""
    places: list[tuple[int, int, SourceImage]] = []
    for split in group.splits:
        of_split = [image for image in group.images if image.split == split]
        places += [(turn, SPLITS.index(split), image) for turn, image in enumerate(of_split)]
    places.sort(key=lambda place: place[:2])
    return [image for _, _, image in places[:MOST_PICTURES_OF_GROUP]]


def _splits_shared(groups: Iterable[ImageGroup]) -> dict[str, dict[str, int]]:
    """Patients, and their images of each split, by the splits that share them."""
    shared: dict[str, dict[str, int]] = {}
    for group in groups:
        keys = ("patients", "of_one_subtype", *group.splits)
        numbers = shared.setdefault(" and ".join(group.splits), dict.fromkeys(keys, 0))
        numbers["patients"] += 1
        numbers["of_one_subtype"] += group.subtype_in_several_splits
        for image in group.images:
            numbers[image.split] += 1
    return shared


def _pictures(folder: str, sources: Iterable[str], workers: int) -> dict[str, str]:
    """Thumbnails as data: URLs by path; of the images that can be read."""
    ordered = sorted(sources)
    with ThreadPoolExecutor(workers) as pool:
        made = pool.map(thumbnail, [Path(folder) / source for source in ordered])
        return {source: url for source, url in zip(ordered, made, strict=True) if url is not None}


def thumbnail(path: Path) -> str | None:
    """An image as a small gray PNG in a data: URL, or None if it is none."""
    try:
        pixels = decode(path.read_bytes())
    except (OSError, UnreadableImage):
        return None
    height, width = pixels.shape
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    png = cv2.imencode(".png", cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))[1]
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
