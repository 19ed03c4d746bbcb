"""The model card of an evaluation: what the model is, what it is for, and how good it is, in Markdown.

It begins with the fields that model hubs read (https://huggingface.co/docs/hub/model-cards).
"""

from collections.abc import Sequence

from pipeline import pages
from pipeline.evaluation.part import Part, Subject

FILE_NAME = "model_card.md"


def render(subject: Subject, parts: Sequence[Part], evaluated_on: str) -> str:
    """Renders `model_card.md.jinja`.

    Args:
        subject: the run and the images that were measured.
        parts: what was measured.
        evaluated_on: names the evaluation.
    """
    template = pages.environment("pipeline.evaluation").get_template("model_card.md.jinja")
    return template.render(
        subject=subject,
        figures={part.name: part.figures for part in parts},
        trained_with=subject.trained_with,
        evaluated_on=evaluated_on,
        params=subject.run.model.count_params(),
    )
