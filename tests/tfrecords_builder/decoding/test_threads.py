import cv2
import pytest

from tfrecords_builder.decoding.threads import single_threaded_opencv


@pytest.fixture(autouse=True)
def three_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_opencv_has_one_thread_inside_and_the_former_number_after():
    with single_threaded_opencv():
        assert cv2.getNumThreads() == 1

    assert cv2.getNumThreads() == 3


def test_the_former_number_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), single_threaded_opencv():
        raise ZeroDivisionError

    assert cv2.getNumThreads() == 3
