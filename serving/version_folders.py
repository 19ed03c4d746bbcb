"""The versions in the folder of a model, as TensorFlow Serving finds them.

A child of the folder is a version if its name is an integer. Leading zeros are allowed: `0002` is version 2.
Other names are ignored, which is why an export is written under a name that is no integer.
"""

from serving.names import MODEL_NAME
from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

LARGEST_VERSION = (1 << 63) - 1
"""TensorFlow Serving keeps the version number in a signed integer of 64 bits."""


def version_folders(base_path: str) -> dict[int, str]:
    """Lists the versions of a model.

    Args:
        base_path: the model's folder; a path or a URL.

    Returns:
        The folder of each version by its number, in ascending order. Of two folders with the same number, as
        `2` and `0002`, the one with fewer zeros counts.

    Raises:
        tf.errors.OpError: if the folder cannot be listed, for example because it does not exist.
    """
    import tensorflow as tf

    names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base_path))  # "0002" comes before "2"
    numbers = {int(name): name for name in names if name.isascii() and name.isdecimal()}
    return {
        number: storage.join(base_path, numbers[number])
        for number in sorted(numbers)
        if number <= LARGEST_VERSION
    }


def newest_version(models: str, model: str = MODEL_NAME) -> str:
    """The folder of the version with the highest number.

    Args:
        models: folder of models; a path or a URL.
        model: name of the model.

    Raises:
        UserError: if the model has no version.
    """
    base_path = storage.join(models, model)
    folders = version_folders(base_path) if storage.exists(base_path) else {}
    if not folders:
        raise UserError(
            f"{models!r} has no version of the model {model!r}: "
            f"export a run with `python -m serving.export RUN {models}`"
        )
    return folders[max(folders)]
