"""The page of an evaluation: one HTML file that needs no other file."""

import base64
from collections.abc import Sequence

import jinja2

from pipeline.evaluation.part import Part, Subject


def render(subject: Subject, parts: Sequence[Part]) -> str:
    """Renders the page: `page.html.jinja` with the templates of all parts, in their order.

    The template of a part sees `subject`, and the part's `figures` and `pictures`. The filter `data_url`
    turns a picture into a URL that contains it, so that the page needs no files beside it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.evaluation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["data_url"] = _data_url
    return environment.get_template("page.html.jinja").render(subject=subject, parts=parts)


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
