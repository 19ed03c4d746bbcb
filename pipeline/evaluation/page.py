"""The page of an evaluation: one HTML file that needs no other file."""

from collections.abc import Sequence

from pipeline import pages
from pipeline.evaluation.part import Part, Subject


def render(subject: Subject, parts: Sequence[Part]) -> str:
    """Renders the page: `page.html.jinja` with the templates of all parts, in their order.

    The template of a part sees `subject`, and the part's `figures` and `pictures`.
    """
    template = pages.environment("pipeline.evaluation").get_template("page.html.jinja")
    return template.render(subject=subject, parts=parts)
