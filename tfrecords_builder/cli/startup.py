"""Loads TensorFlow and Keras for a command, without the notes that TensorFlow writes to stderr as it starts.

TensorFlow's C++ code writes them before any setting can silence it. Only commands call these functions:
importing a package of this project never touches stderr.
"""

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices; what its C++ code writes meanwhile is thrown away.

    Raises:
        ImportError: if TensorFlow cannot be imported. Then its notes are shown on stderr.
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
            tf.get_logger().setLevel("ERROR")  # its warnings on saving and tracing are for its developers
        except ImportError:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def load_keras() -> None:
    """Loads TensorFlow and Keras. If Keras trains with another backend, that backend gets the GPUs alone."""
    load_tensorflow()
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        # TensorFlow reads the records then. It would take the GPU's memory away from the training.
        tf.config.set_visible_devices([], "GPU")
