"""The error for a mistake that the user can correct, and errors of files as one line."""

import errno
import os
import re
import sys

_REASONS_WITHOUT_FILE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors of writing that name no file but are no bug either."""
_MARKS_OF_COMPUTATION = ("[Op:", "Graph execution error", "{{node")
"""TensorFlow's errors contain them when an operation failed that is not on a file."""
_IN_GRAPH = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")
_UNFINISHED_NAME = re.compile(r"\.([^/]+)\.\d+\.tmp\b")  # as `storage.replacing` names it
_REMEDIES = {
    "No space left": "free some space, then give the same command again",
    "quota": "free some space, then give the same command again",
    "Permission denied": "check who may read and write there, or choose another folder",
    "Read-only file system": "choose a folder that can be written to",
    "Not a directory": "a file is where a folder is expected: choose another folder",
    "File exists": "a file is where a folder is expected: choose another folder",
    "Is a directory": "a folder is where a file is expected: choose another name",
    "File name too long": "choose a shorter name",
    "File too large": "the file system or a limit of this process allows no file of this size",
}
"""What the user can do, by words of the reason."""


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line. It says what was received, what was expected and what to do. A command prints it
    on stderr and exits with code 2.
    """


def describe_file_error(error: BaseException) -> str | None:
    """One line about a file that cannot be read or written: its path, the reason and what to do.

    Returns:
        The line, or None if the error is of another kind, and so may be a bug.
    """
    tensorflow = sys.modules.get("tensorflow")  # its errors can only occur once it is loaded
    if isinstance(error, OSError):
        return _describe_os_error(error)
    if tensorflow is not None and isinstance(error, tensorflow.errors.OpError):
        return _describe_tensorflow_error(str(error.message))
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _describe_os_error(error: OSError) -> str | None:
    if error.errno is None or (error.filename is None and error.errno not in _REASONS_WITHOUT_FILE):
        return None
    reason = os.strerror(error.errno)
    name = "stdout or a file" if error.filename is None else repr(_final_name(str(error.filename)))
    return f"cannot read or write {name}: {reason}{_remedy(reason)}"


def _describe_tensorflow_error(message: str) -> str | None:
    lines = message.strip().splitlines()
    about_files = [line for line in lines if any(words in line for words in _REMEDIES)]
    if not about_files and any(mark in message for mark in _MARKS_OF_COMPUTATION):
        return None
    line = _final_name(_IN_GRAPH.sub("", next(iter(about_files or lines), "unknown reason")).strip())
    return f"cannot read or write a file: {line}{_remedy(line)}"


def _final_name(text: str) -> str:
    """Names a file as it would be named when it is finished."""
    return _UNFINISHED_NAME.sub(r"\1", text)


def _remedy(reason: str) -> str:
    return next((f"; {what_to_do}" for words, what_to_do in _REMEDIES.items() if words in reason), "")
