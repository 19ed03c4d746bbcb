"""Finds the files that the paths of a table mean."""

import collections
import functools
import os
import posixpath

from tfrecords_builder.errors import UserError
from tfrecords_builder.source.images import image_path
from tfrecords_builder.source.passed_over import PassedOver
from tfrecords_builder.source.walk import files_below, path_below

_PATHS_SHOWN = 3  # in an error message


class ImagePaths:
    """The files that paths mean. A path starts from a folder, or is absolute."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._real_path = functools.cache(os.path.realpath)
        self._sources: dict[str, str] = {}  # by path as written
        self._missing: list[str] = []

    def find(self, written: str) -> str:
        """Finds the file that a path means.

        If there is no such file, the path may also be the end of the path of one file below the folder, as
        `a.png` is of `images_001/images/a.png`. Backslashes count as `/`, unless a file is named so.

        Returns:
            The path relative to the folder, or the absolute path of a file outside of it: the same one for
            every way to write it. A path without a file is returned too.

        Raises:
            UserError: if several files below the folder end like this.
        """
        if written not in self._sources:
            self._sources[written] = self._find(written)
        return self._sources[written]

    def _find(self, written: str) -> str:
        for path in dict.fromkeys((written, written.replace("\\", "/"))):
            source = self._normalize(path)
            if os.path.isfile(image_path(self._folder, source)):  # noqa: PTH113 - no error for long names
                return source
            if not posixpath.isabs(source) and (found := self._find_below(written, source)):
                return found
        self._missing.append(written)
        return self._normalize(written)

    def refuse_if_all_missing(self, table: str) -> None:
        """Refuses a table none of whose files exists.

        Raises:
            UserError: naming the first file.
        """
        if len(self._missing) == len(self._sources):
            raise UserError(
                f"none of the {len(self._missing)} images of {table!r} exists, the first is "
                f"{image_path(self._folder, self._missing[0])!r}: give the folder of the images with "
                "--table.images, and their suffix with --table.suffix if the table lacks it"
            )

    def _normalize(self, path: str) -> str:
        """Writes a path in one way: relative to the folder if it is below it, without `//` and `./`."""
        leads_up = ".." in path.split("/")  # after a link, `..` leads elsewhere than its text says
        if not leads_up:
            path = posixpath.normpath(path)
        if not posixpath.isabs(path):
            return path
        parent, name = posixpath.split(path)
        below = None if leads_up else path_below(parent, os.path.abspath(self._folder))  # noqa: PTH100
        if below is None:
            below = path_below(self._real_path(parent), self._real_path(self._folder))
        return path if below is None else posixpath.join(below, name)

    def _find_below(self, written: str, path: str) -> str | None:
        paths = [p for p in self._paths_by_name.get(posixpath.basename(path), ()) if p.endswith(f"/{path}")]
        if len(paths) > 1:
            raise UserError(
                f"there is no {written!r} in {self._folder!r}, and several files below it end so: "
                f"{', '.join(map(repr, paths[:_PATHS_SHOWN]))}; write more of the path in the table, or "
                "choose the folder with --table.images"
            )
        return paths[0] if paths else None

    @functools.cached_property
    def _paths_by_name(self) -> dict[str, list[str]]:
        """The paths of all files below the folder, by their names."""
        paths: dict[str, list[str]] = collections.defaultdict(list)
        if os.path.isdir(self._folder):  # noqa: PTH112
            for file in files_below(self._folder, PassedOver()):
                paths[posixpath.basename(file.path)].append(file.path)
        return paths
