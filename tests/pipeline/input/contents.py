"""What a dataset or a folder of records holds, in forms that tests can compare."""

from collections import Counter

from pipeline.input.arrays import load_arrays


def images_of(dataset) -> list[bytes]:
    """The pixels of every image of one iteration, in its order."""
    return [image.tobytes() for images, _ in dataset.as_numpy_iterator() for image in images]


def batches_of(dataset) -> list[bytes]:
    """The pixels of every batch of one iteration, in its order."""
    return [images.tobytes() for images, _ in dataset.as_numpy_iterator()]


def stored_images(records: str, split: str = "train") -> Counter:
    """How often each image is stored."""
    return Counter(image.tobytes() for image in load_arrays(records, split)[0])


def stored_positions(records: str, split: str = "train") -> dict[bytes, int]:
    """The position of each image in the order in which the split is stored."""
    return {image.tobytes(): n for n, image in enumerate(load_arrays(records, split)[0])}
