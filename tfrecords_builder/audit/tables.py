"""The audit as tables for the terminal."""

from rich.markup import escape
from rich.table import Table

from tfrecords_builder.audit.findings import Audit
from tfrecords_builder.audit.titles import GROUP_TITLES, ODD_TITLES
from tfrecords_builder.records import CLASS_NAMES


def tables(audit: Audit) -> list[Table]:
    """Returns the main figures: the number of images, what was found, and the shortcuts."""
    return [_count_table(audit), _finding_table(audit), _shortcut_table(audit)]


def notes(audit: Audit) -> list[str]:
    """Returns sentences that explain the tables where they could be misunderstood."""
    sentences = []
    if shared := audit.shared_patients.groups:
        certain = sum(group.is_certainly_one_child for group in shared)
        sentences.append(
            f"Of {len(shared)} patients in several splits, {certain} are certainly one child each. Others "
            "have another kind of file name in each split, and may be different children with one number."
        )
    if audit.original_shape is not None and audit.original_shape.read_from_pixels is not None:
        sentences.append(
            "The pixels of the squashed images show the original aspect ratio with an R squared of "
            f"{audit.original_shape.read_from_pixels:.2f} (0: not at all, 1: exactly)."
        )
    return sentences


def _count_table(audit: Audit) -> Table:
    headings = ("split", "class", "images", "by subtype", "patients", "of patients with several")
    table = _table("Images", *headings)
    for split, classes in audit.counts.items():
        for name, count in classes.items():
            subtypes = ", ".join(f"{number} {escape(subtype)}" for subtype, number in count.subtypes.items())
            table.add_row(
                split, name, str(count.images), subtypes, str(count.patients), str(count.images_with_siblings)
            )
    return table


def _finding_table(audit: Audit) -> Table:
    title = "Findings, and the number of groups with several splits, classes or patients"
    table = _table(title, "finding", "groups", "images", "splits", "classes", "patients")
    for kind, title in GROUP_TITLES.items():
        found = getattr(audit, kind)
        figures = (len(found.groups), found.images, found.across_splits, found.across_classes)
        table.add_row(title, *map(str, figures), str(found.across_patients))
    for kind, title in ODD_TITLES.items():
        table.add_row(title, "", str(len(getattr(audit, kind))))
    return table


def _shortcut_table(audit: Audit) -> Table:
    splits = tuple(audit.counts)
    title = "Medians, and how well each number alone predicts the class (AUC)"
    table = _table(title, "number", *CLASS_NAMES, "AUC", *splits)
    original = [] if audit.original_shape is None else [audit.original_shape.shortcut]
    for shortcut in (*audit.shortcuts, *original):
        of_class = shortcut.of_class
        medians = [f"{of_class[name].median:.4g}" if name in of_class else "-" for name in CLASS_NAMES]
        of_splits = [three_digits(shortcut.auc_of_split.get(split)) for split in splits]
        table.add_row(shortcut.quantity, *medians, three_digits(shortcut.auc), *of_splits)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table


def three_digits(figure: float | None) -> str:
    """A figure with three decimals, or a dash if there is none."""
    return "-" if figure is None else f"{figure:.3f}"
