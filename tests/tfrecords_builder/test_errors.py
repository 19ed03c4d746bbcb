import errno

import pytest
import tensorflow as tf

from tfrecords_builder.errors import describe_file_error, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/run/.model.keras.123.tmp"),
            "cannot read or write '/run/model.keras': No space left on device; free some space, then give "
            "the same command again",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/run"),
            "cannot read or write '/root/run': Permission denied; check who may read and write there, or "
            "choose another folder",
        ),
        (
            OSError(errno.ENOSPC, "Can't write data (file write failed: time = now\n, errno = 28)"),
            "cannot read or write stdout or a file: No space left on device; free some space, then give the "
            "same command again",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/file/run"),
            "cannot read or write '/file/run': Not a directory; a file is where a folder is expected: choose "
            "another folder",
        ),
    ],
)
def test_errors_of_local_files_are_one_line(error, line):
    assert describe_file_error(error) == line


@pytest.mark.parametrize(
    ("kind", "message", "line"),
    [
        (
            tf.errors.NotFoundError,
            "/no/file; No such file or directory",
            "/no/file; No such file or directory",
        ),
        (tf.errors.UnimplementedError, "File system scheme 'x' not implemented (file: 'x://y')", "'x://y'"),
        (
            tf.errors.ResourceExhaustedError,
            "{{function_node a}} /m/.part.7.tmp; No space left on device [Op:SaveV2]",
            "a file: /m/part; No space left on device; free some space",
        ),
    ],
)
def test_errors_of_tensorflow_about_files_are_one_line(kind, message, line):
    described = describe_file_error(kind(None, None, message))

    assert line in described
    assert "\n" not in described


def test_a_file_that_cannot_be_read_behind_a_url_is_described():
    with pytest.raises(tf.errors.OpError) as failure:
        tf.io.gfile.GFile("nosuchscheme://file").read()

    assert "nosuchscheme" in describe_file_error(failure.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        OSError("Unable to open file (truncated file)"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [2] vs. [3] [Op:AddV2]"),
        tf.errors.ResourceExhaustedError(None, None, "Graph execution error:\n\nOOM when allocating tensor"),
    ],
)
def test_other_errors_keep_their_traceback(error):
    assert describe_file_error(error) is None


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(MemoryError()) == "MemoryError"
