"""OpenCV's own threads, for code that already runs OpenCV in several threads."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """Makes every call of OpenCV use one thread inside the block, and restores the former number at its end.

    Code that calls OpenCV from a pool of threads would otherwise start more threads than there are cores. The
    number is a setting of the whole process, so blocks in several threads must not overlap.
    """
    former = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(former)
