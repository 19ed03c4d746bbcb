"""One line for what tyro complains about in a frame of many lines: options that do not fit."""

import difflib
import re

_FRAME = "╭╮╰╯│"
_RULE = re.compile(r"[ ─-]*")
_NAME_OF_CLASS = re.compile(r"Error parsing [\w.]+: ")
_REQUIRED = re.compile(r"\.?\s*\(required\)$")
_INDENT_OF_NAMES = 4  # spaces before the names of arguments; their help is indented further
_MAX_SUGGESTIONS = 3
_MIN_SIMILARITY = 0.6  # of a suggestion, by difflib: 1 is the same name
_IN_PLAIN_WORDS = [
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 takes a whole number, not \2"),
    (r"could not convert string to float: (.*)", r"\1 takes a number, not \2"),
    (r"Could not find valid parse for arguments: \[(.*)\]", r"\1 does not take \2"),
    (r"no type matching .* could be instantiated from \[(.*)\]\.", r"\1 does not take \2"),
]


def one_line(framed: str) -> str:
    """What tyro complains about, in one line without the frame and without names of classes.

    Args:
        framed: tyro's message: a title, and paragraphs with rules between them.

    Returns:
        Which arguments are missing, or which options are unknown and what may be meant instead, or else the
        first paragraph of the message.
    """
    first, *others = _paragraphs(framed) or [[framed.strip()]]
    if first[0].startswith("Missing from "):
        return _missing(first)
    message = _NAME_OF_CLASS.sub("", " ".join(line.strip() for line in first))
    names = [name for paragraph in others for name in _names(paragraph)]
    if message.startswith("Unrecognized options"):
        return message + _suggestion(message, names)
    for pattern, words in _IN_PLAIN_WORDS:
        message = re.sub(rf"Error parsing (\S+): {pattern}", words, message)
    return message


def _suggestion(message: str, names: list[str]) -> str:
    """Which of the options are meant perhaps: those whose name, or its last part, is like an unknown one."""
    unknown = re.findall(r"--[\w.-]+", message)
    similar = [
        name
        for name in names
        if difflib.get_close_matches(name, unknown, cutoff=_MIN_SIMILARITY)
        or difflib.get_close_matches(f"--{name.rpartition('.')[2]}", unknown, cutoff=_MIN_SIMILARITY)
    ]
    return f"; perhaps you meant {' or '.join(similar[:_MAX_SUGGESTIONS])}" if similar else ""


def _paragraphs(framed: str) -> list[list[str]]:
    """The lines of each paragraph, without the title. The indents within the frame stay."""
    paragraphs: list[list[str]] = [[]]
    for line in framed.splitlines()[1:]:
        text = line.strip(_FRAME).rstrip()
        if _RULE.fullmatch(text):
            paragraphs.append([])
        else:
            paragraphs[-1].append(text)
    filled = [paragraph for paragraph in paragraphs if paragraph]
    margin = min((_indent(line) for paragraph in filled for line in paragraph), default=0)
    return [[line[margin:] for line in paragraph] for paragraph in filled]


def _missing(paragraph: list[str]) -> str:
    """Says which arguments are missing; of a single one also what it is."""
    *others, last = _names(paragraph)
    if others:
        return f"{', '.join(others)} and {last} are missing"
    explanation = " ".join(line.strip() for line in paragraph[2:])
    return f"{last} is missing: {_REQUIRED.sub('', explanation)}"


def _names(paragraph: list[str]) -> list[str]:
    """The names of the arguments that are listed, without their values."""
    return [line.split()[0].rstrip(",") for line in paragraph if _indent(line) == _INDENT_OF_NAMES]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
