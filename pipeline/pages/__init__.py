"""What all pages of the project share: the frame around them, and the way pictures get into them.

A page is one HTML file that needs no other file. It extends `base.html.jinja`.
"""

import base64

import jinja2


def environment(package: str) -> jinja2.Environment:
    """Finds the templates of a package and those of this one.

    The filter `data_url` turns a PNG file into a URL that contains it.

    Args:
        package: dotted name of the package whose folder has the templates.
    """
    loaders = [jinja2.PackageLoader(name, ".") for name in (package, __name__)]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=jinja2.select_autoescape(["html.jinja"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    made.filters["data_url"] = _data_url
    return made


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
