"""Long work that the same command continues after a stop, but only with the settings it was begun with."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from tfrecords_builder import storage
from tfrecords_builder.errors import UserError

CONTINUE_OR_START_ANEW = "give the same settings to continue it, choose another folder, or use --overwrite"


def begin_or_continue(
    path: str, settings: Mapping[str, Any], began: str, may_differ: Collection[str] = ()
) -> bool:
    """Writes the settings of a piece of work, or compares them with those it was begun with.

    Args:
        path: JSON file of the settings; a path or a URL.
        settings: what decides the result.
        began: says in the error which work was begun, as in `'run' was begun`.
        may_differ: names of settings that are not compared.

    Returns:
        Whether the work was begun before and is to be continued.

    Raises:
        UserError: if it was begun with other settings; the message names the first difference.
    """
    if not storage.exists(path):
        storage.write(path, json.dumps(settings, indent=2) + "\n")
        return False
    compared = {name: value for name, value in settings.items() if name not in may_differ}
    refuse_other_settings(began, read_json(path), compared, CONTINUE_OR_START_ANEW)
    return True


def read_json(path: str) -> dict[str, Any]:
    """Reads a file of settings.

    Raises:
        UserError: if it is damaged.
    """
    try:
        content = json.loads(storage.read(path))
    except ValueError as error:
        raise UserError(
            f"{path!r} is damaged ({error}): restore it, choose another folder, or use --overwrite"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path!r} is damaged (it is no JSON object): restore it, or use --overwrite")
    return content


def refuse_other_settings(began: str, before: Mapping[str, Any], now: Mapping[str, Any], remedy: str) -> None:
    """Refuses settings that differ from those before.

    Args:
        began: says in the error which work was begun, as in `'run' was begun`.
        before: the settings as read from JSON.
        now: the settings that are wanted. Those that only `before` has are not compared: an earlier version
            wrote settings that no longer exist, or that may differ now.
        remedy: what the user can do, the end of the message.

    Raises:
        UserError: naming the first setting that differs.
    """
    for name, value in json.loads(json.dumps(now)).items():  # through JSON, as tuples come back as lists
        if before.get(name) != value:
            raise UserError(f"{began} with {name}={before.get(name)!r}, not {value!r}: {remedy}")
