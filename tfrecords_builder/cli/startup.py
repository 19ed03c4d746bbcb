"""Loads TensorFlow without its start-up notes, which it writes before any setting can silence them."""

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices, keeping what its C++ code says meanwhile off stderr.

    Raises:
        ImportError: if TensorFlow cannot be imported; then what it said is on stderr too.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            tf.get_logger().setLevel("ERROR")  # what it tells of saving and tracing is for its developers
        except ImportError:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
