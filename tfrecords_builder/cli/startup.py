"""Loads TensorFlow and Keras for a command, without the notes that TensorFlow writes to stderr as it starts.

TensorFlow's C++ code writes them before any setting can silence it. Only commands call these functions:
importing a package of this project never touches stderr.
"""

import os
import sys
import tempfile
from pathlib import Path

from tfrecords_builder.errors import UserError, first_line

TRAINING_BACKENDS = ("tensorflow", "jax", "torch")

_BAD_SETTINGS = (AssertionError, AttributeError, TypeError, ValueError)
"""What TensorFlow and Keras raise on import for a keras.json that they cannot use."""


def set_native_defaults() -> None:
    """Sets what the C++ code of TensorFlow and gRPC reads from the environment, unless the user has set it.

    It logs nothing while it works, as what matters is raised as well. And TensorFlow computes with oneDNN on
    every CPU. By itself it does so only on CPUs with special instructions for neural networks; on another one
    a training step took twice as long (docs/performance.md).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def load_tensorflow() -> None:
    """Imports TensorFlow and looks for its devices; what its C++ code writes meanwhile is thrown away.

    Raises:
        ImportError: if TensorFlow cannot be imported. Then its notes are shown on stderr.
        UserError: if it cannot be imported with the user's settings of Keras.
    """
    if "tensorflow" in sys.modules:
        return
    set_native_defaults()
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
        except _BAD_SETTINGS as error:  # TensorFlow reads the user's settings of Keras, too
            raise _settings_refused(error) from None
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def load_keras() -> None:
    """Loads TensorFlow and Keras. If Keras trains with another backend, that backend gets the GPUs alone.

    The user's keras.json may choose the backend. Its numeric type and data format are not used: they would
    change what is trained.

    Raises:
        UserError: if Keras cannot be loaded with the user's settings, or not train with them.
    """
    load_tensorflow()
    try:
        import keras
    except (ImportError, *_BAD_SETTINGS) as error:
        raise _settings_refused(error) from None
    import tensorflow as tf

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)
    backend = keras.config.backend()
    if backend not in TRAINING_BACKENDS:
        raise UserError(
            f"the Keras backend {backend!r} cannot train, expected one of {', '.join(TRAINING_BACKENDS)}: "
            f"change KERAS_BACKEND, or the backend in {_keras_json()!r}"
        )
    if backend != "tensorflow":
        # TensorFlow reads the records then. It would take the GPU's memory away from the training.
        tf.config.set_visible_devices([], "GPU")


def load_keras_on_tensorflow() -> None:
    """Loads Keras with TensorFlow as its backend, which Grad-CAM and the export need, in any settings."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    load_keras()


def _settings_refused(error: Exception) -> UserError:
    return UserError(
        f"Keras cannot be loaded with the settings in {_keras_json()!r} and KERAS_BACKEND "
        f"({first_line(error)}): correct them"
    )


def _keras_json() -> str:
    """Where Keras looks for the user's settings."""
    return str(Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json")
