"""Counts what a search of folders passed over, to say it in one line."""

import collections

_KINDS_SHOWN = 6


class PassedOver:
    """Numbers of files by kind, each with its first example."""

    def __init__(self) -> None:
        self._num_files: collections.Counter[str] = collections.Counter()
        self._examples: dict[str, str] = {}

    def add(self, kind: str, path: str, num_files: int = 1) -> None:
        """Counts files of one kind, of which `path` is an example."""
        if num_files:
            self._num_files[kind] += num_files
            self._examples.setdefault(kind, path)

    def __str__(self) -> str:
        """One line with all kinds, those of most files first; empty if nothing was passed over."""
        if not self._num_files:
            return ""
        ordered = sorted(self._num_files.items(), key=lambda entry: (-entry[1], entry[0]))
        kinds = [f"{kind}: {number} (first {self._examples[kind]!r})" for kind, number in ordered]
        if rest := ordered[_KINDS_SHOWN:]:
            kinds[_KINDS_SHOWN:] = [f"{len(rest)} more kinds: {sum(number for _, number in rest)}"]
        return f"files passed over: {self._num_files.total()}; {', '.join(kinds)}"
