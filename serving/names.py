"""The names that the export, the server, its client and the load generator must spell alike.

This module imports nothing, so that each of them can use it at no cost.
"""

MODEL_NAME = "pneumonia"
"""Name of the served model, and of its folder in MODELS."""

# Signatures of the SavedModel.
DEFAULT_SIGNATURE = "serving_default"
"""The signature that predicts. It answers requests that name no signature."""
GRADCAM_SIGNATURE = "gradcam"
"""The signature that predicts and explains its prediction with a heatmap."""
PIXELS_SIGNATURE = "pixels"
"""The signature that predicts from images that are already preprocessed."""

# Inputs of the signatures.
IMAGE_BYTES = "image_bytes"
"""Input of the default and the Grad-CAM signature: encoded image files, string (batch,)."""
IMAGE = "image"
"""Input of the pixels signature: preprocessed images, uint8 (batch, side, side, 1)."""

# Outputs of the signatures.
PROBABILITY = "probability"
"""Probability of pneumonia, float32 (batch,), 0 to 1, or INVALID_PROBABILITY."""
LABEL = "label"
"""Name of the class, string (batch,), or INVALID_LABEL."""
VALID = "valid"
"""Whether the image was decoded, bool (batch,)."""
LUNG_AREA = "lung_area"
"""Share of the image that the lungs take, float32 (batch,), 0 to 1, or UNKNOWN."""
FAMILIARITY = "familiarity"
"""Share of the validation images that are less typical of the training images, float32 (batch,), 0 to 1, or
UNKNOWN."""
WARNING = "warning"
"""Why the model should not be asked about the image, string (batch,); empty if nothing was noticed."""
THRESHOLD = "threshold"
"""Probability from which the label is PNEUMONIA, float32 (batch,): the operating point of the model."""
HEATMAP = "heatmap"
"""How much each pixel counts as evidence for the label, float32 (batch, side, side), 0 to 1."""
EVIDENCE = "evidence"
"""How strong the heatmap is before it is scaled, float32 (batch,), in units of the logit, or UNKNOWN."""
REGION = "region"
"""The part of the image that the model saw, float32 (batch, 4): top, left, bottom and right, each as a share
of the image's height or width. The heatmap and the lungs cover this part."""
LUNGS = "lungs"
"""How probably each place is in a lung, float32 (batch, height, width), 0 to 1. Models without lung attention
do not have this output."""
OVERLAY_BYTES = "overlay_bytes"
"""PNG file of the heatmap over the image, string (batch,)."""

INVALID_LABEL = "INVALID"
"""Label of an image that the server could not decode."""
INVALID_PROBABILITY = -1.0
"""Probability of an image that the server could not decode. NaN would make the REST reply invalid JSON."""

UNKNOWN = -1.0
"""LUNG_AREA and FAMILIARITY of an image that could not be decoded, and of a model that does not tell them."""

# Files of a version's folder.
EXTRA_ASSETS = "assets.extra"
"""Folder for files that TensorFlow Serving keeps with a SavedModel but does not load into the graph."""
WARMUP_FILE = "tf_serving_warmup_requests"
"""File in EXTRA_ASSETS: the requests that a server runs before a version answers."""

# Where a server listens unless told otherwise.
LOCAL_HOST = "127.0.0.1"
GRPC_PORT = 8500
REST_PORT = 8501
WEB_PORT = 8080
DEFAULT_ADDRESSES = {"grpc": f"{LOCAL_HOST}:{GRPC_PORT}", "rest": f"{LOCAL_HOST}:{REST_PORT}"}
"""HOST:PORT by the name of the API."""

# TensorFlow Serving's gRPC API.
UNLIMITED_MESSAGE = -1
"""Value of gRPC's message length options. Their default, 4 MiB, is less than a batch of heatmaps."""

# TensorFlow Serving's REST API: the path of the models, and the keys of its JSON.
REST_MODELS = "/v1/models"
SIGNATURE_NAME_KEY = "signature_name"
INSTANCES_KEY = "instances"
"""Inputs in row format: a list with an item for each image."""
INPUTS_KEY = "inputs"
"""Inputs in column format: a list for each input of the signature."""
PREDICTIONS_KEY = "predictions"
"""Outputs in row format."""
OUTPUTS_KEY = "outputs"
"""Outputs in column format."""
ERROR_KEY = "error"
BASE64_KEY = "b64"
"""Bytes are written as an object with this only key, which holds them in base64."""
BYTES_SUFFIX = "_bytes"
"""String outputs with names that end so are bytes, in base64 over REST. All other string outputs are text."""

UNKNOWN_VERSION_LABEL = "Unrecognized servable version label"
"""Start of TensorFlow Serving's error for a label that the model does not have; its status code says less."""
