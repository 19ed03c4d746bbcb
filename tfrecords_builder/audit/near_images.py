"""Groups images that have different bytes and look alike, by their perceptual hashes."""

import collections
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tfrecords_builder.audit.groups import Groups, ImageGroup, images_by_digest, sort_groups
from tfrecords_builder.audit.measurements import HASH_BITS, Measurements
from tfrecords_builder.audit.odd_images import is_blank

_HASHES_AT_ONCE = 1024  # bounds the memory: float32 values, times the number of images


def near_images(measured: Sequence[Measurements], near_distance: int) -> Groups:
    """Groups images that look alike and have different bytes.

    Images belong to one group if pairs with a distance of at most `near_distance` bits connect them, so two
    images of a group may be further apart. Blank images are left out: they all look alike.
    """
    by_digest = images_by_digest(measured)
    distinct = list({m.sha256: m for m in measured if not is_blank(m)}.values())
    hashes = np.frombuffer(b"".join(m.perceptual_hash for m in distinct), np.uint8)
    pairs = near_pairs(hashes.reshape(len(distinct), HASH_BITS // 8), near_distance)
    groups = []
    for members, distance in connected_groups(pairs, len(distinct)):
        images = tuple(image for member in members for image in by_digest[distinct[member].sha256])
        groups.append(ImageGroup(f"{distance} bits", images))
    return sort_groups(groups)


def near_pairs(hashes: NDArray[np.uint8], near_distance: int) -> NDArray[np.int64]:
    """Finds all pairs of hashes that differ in few bits.

    The product of two hashes, written with -1 and 1, counts the bits that are equal. This is faster than
    counting the bits of an exclusive or (measured: docs/performance.md).

    Args:
        hashes: uint8 array (images, HASH_BITS / 8) of packed bits.
        near_distance: largest number of bits that may differ.

    Returns:
        int64 array (pairs, 3): the row of one hash, the larger row of the other, and the number of bits that
        differ.
    """
    signs = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1  # (images, HASH_BITS)
    found = [np.zeros((0, 3), np.int64)]
    for first in range(0, len(signs), _HASHES_AT_ONCE):
        products = signs[first : first + _HASHES_AT_ONCE] @ signs[first:].T
        distances = (HASH_BITS - products) / 2  # exact: float32 holds whole numbers up to 2**24
        rows, columns = np.nonzero(np.triu(distances <= near_distance, k=1))
        found.append(np.stack([rows + first, columns + first, distances[rows, columns].astype(np.int64)], 1))
    return np.concatenate(found)


def connected_groups(pairs: NDArray[np.int64], count: int) -> list[tuple[list[int], int]]:
    """Returns the groups that pairs connect, each with its largest distance.

    Args:
        pairs: pairs of images, as `near_pairs` returns them.
        count: number of images.

    Returns:
        For each group, the rows of its images, and the largest distance of a pair in it.
    """
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = connected_components(graph, directed=False)[1] if count else np.zeros(0, np.int64)
    largest = np.zeros(count, np.int64)
    np.maximum.at(largest, labels[pairs[:, 0]], pairs[:, 2])
    members: dict[int, list[int]] = collections.defaultdict(list)
    for member in np.unique(pairs[:, :2]):
        members[int(labels[member])].append(int(member))
    return [(group, int(largest[label])) for label, group in members.items()]
