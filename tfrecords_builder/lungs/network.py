"""The network of the lung finder: a small U-Net (Ronneberger et al., MICCAI 2015), and its ONNX file."""

from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tfrecords_builder.lungs.finder import SIDE

CHANNELS = (8, 16, 32, 48)
"""Channels of the levels; max-pooling halves the side between two of them."""

PRODUCER = "tfrecords_builder.lungs.train"
"""What the file names as its producer."""

_OPSET = 13  # of ONNX; OpenCV reads it
_IR_VERSION = 8


def build_network(seed: int) -> keras.Model:
    """Builds the network with freshly initialized weights.

    Args:
        seed: seed for the weights.

    Returns:
        A model from images float32 (batch, SIDE, SIDE, 1), of mean 0 and standard deviation 1, to logits of
        lung, float32 (batch, SIDE, SIDE, 1).
    """
    keras.utils.set_random_seed(seed)
    images = keras.Input((SIDE, SIDE, 1), name="images")
    x, skipped = images, []
    for level, channels in enumerate(CHANNELS):
        if level:
            skipped.append(x)
            x = keras.layers.MaxPooling2D()(x)
        x = _convolve(_convolve(x, channels), channels)
    for channels, skip in zip(CHANNELS[-2::-1], reversed(skipped), strict=True):
        x = keras.layers.UpSampling2D()(_convolve(x, channels))
        x = _convolve(keras.layers.Concatenate()([x, skip]), channels)
    return keras.Model(images, keras.layers.Conv2D(1, 1, name="logits")(x), name="lung_finder")


def _convolve(x: Any, channels: int) -> Any:
    x = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    return keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))


def to_onnx(network: keras.Model) -> bytes:
    """Writes the network as an ONNX file, which OpenCV reads without Keras or TensorFlow."""
    nodes, weights = [], []
    for layer in network.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = [tensor._keras_history.operation.name for tensor in sources]
        operation, attributes, arrays = _operation(layer)
        for number, array in enumerate(arrays):
            name = f"{layer.name}/{number}"
            weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
            inputs.append(name)
        if operation == "Resize":
            inputs.insert(1, "")  # the region of interest, which it does not use
        nodes.append(helper.make_node(operation, inputs, [layer.name], name=layer.name, **attributes))
    shape = [1, 1, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        weights,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, producer_name=PRODUCER, opset_imports=opset, ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _operation(layer: keras.layers.Layer) -> tuple[str, dict[str, Any], list[Any]]:
    """The ONNX operation of a layer, its attributes and its arrays; ONNX has channels before rows."""
    if isinstance(layer, keras.layers.Conv2D):
        kernel, *bias = layer.get_weights()
        side = kernel.shape[0]
        attributes = {"kernel_shape": [side, side], "pads": [side // 2] * 4}
        return "Conv", attributes, [kernel.transpose(3, 2, 0, 1), *bias]
    if isinstance(layer, keras.layers.BatchNormalization):
        return "BatchNormalization", {"epsilon": layer.epsilon}, layer.get_weights()
    if isinstance(layer, keras.layers.MaxPooling2D):
        return "MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, []
    if isinstance(layer, keras.layers.UpSampling2D):
        return (
            "Resize",
            {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
            [np.array([1, 1, 2, 2])],
        )
    if isinstance(layer, keras.layers.Concatenate):
        return "Concat", {"axis": 1}, []
    return "Relu", {}, []
