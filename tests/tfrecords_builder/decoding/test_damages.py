"""What is read in spite of damage, and what is refused: the same in the builder and in the graph."""

import time

import numpy as np
import pytest

from tests.tfrecords_builder.decoding.both_decoders import in_both, in_graph
from tests.tfrecords_builder.decoding.damaged_files import READ, REFUSED, SIDE, gif, gray_jpeg
from tfrecords_builder.decoding import UnreadableImage, decode, read_header

# What the header does not tell.
FOUND_BY_DECODING = {
    "jpeg with a table among its pixels",
    "jpeg with damaged tables",
    "png with a changed byte",
    "png whose pixels are damaged",
    "png with too few pixels",
    "gif cut off in its image",
    "gif with too few pixels",
    "gif in many small parts",
}


@pytest.mark.parametrize("kind", READ)
def test_both_read_it(kind):
    assert in_both(READ[kind]()).shape == (SIDE, SIDE)


@pytest.mark.parametrize("kind", REFUSED)
def test_both_refuse_it_and_the_builder_says_why(kind):
    make, message = REFUSED[kind]

    assert in_both(make()) == message


@pytest.mark.parametrize("kind", REFUSED)
def test_the_check_of_the_header_refuses_it_unless_only_decoding_can_tell(kind):
    make, message = REFUSED[kind]

    if kind in FOUND_BY_DECODING:
        read_header(make())
    else:
        with pytest.raises(UnreadableImage) as refusal:
            read_header(make())
        assert str(refusal.value) == message


@pytest.mark.parametrize("kind", READ)
def test_the_check_of_the_header_refuses_nothing_that_is_read(kind):
    header = read_header(READ[kind]())

    assert (header.width, header.height) == (SIDE, SIDE)


def test_bytes_after_the_end_and_further_images_change_nothing():
    for kind, whole in (
        ("jpeg with another image after it, as cameras write", gray_jpeg()),
        ("gif of 5000 images", gif()),
    ):
        np.testing.assert_array_equal(decode(READ[kind]()), decode(whole))


def test_files_that_ask_for_much_work_are_answered_soon():
    work = [
        READ["gif of 5000 images"],
        READ["gif with further images of 65535x65535 pixels"],
        READ["jpeg with 990 comments"],
        REFUSED["progressive jpeg of thousands of scans"][0],
        REFUSED["jpeg with 1000 comments"][0],
        REFUSED["gif in many small parts"][0],
    ]
    files = [make() for make in work]
    in_graph(files[0])  # traces the graph

    for encoded in files:
        begin = time.process_time()
        in_graph(encoded)
        assert time.process_time() - begin < 2
