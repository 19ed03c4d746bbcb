"""What the REST API answers at each of its URLs (docs/serving-contract.md, section 1).

The JSON of requests is read in `json_request`, the JSON of replies is written in `json_reply`.
"""

import re
import time
import urllib.parse
from typing import Any

from serving.names import DEFAULT_SIGNATURE
from serving.server import example_apis, json_reply, json_request
from serving.server.metrics import Metrics
from serving.server.model_info import model_metadata, model_status
from serving.server.models import Models
from serving.server.servable import Servable
from serving.server.status import invalid_argument
from serving.version_folders import LARGEST_VERSION

# TensorFlow Serving matches these two patterns with the path and its query string. The routers of web
# frameworks would redirect, answer HEAD, and answer with HTTP 405, none of which TensorFlow Serving does.
_VERSION_OR_LABEL = r"(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_POST = re.compile(rf"(?i)/v1/models/([^/:]+){_VERSION_OR_LABEL}:(classify|regress|predict)", re.ASCII)
_GET = re.compile(rf"(?i)/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata))?", re.ASCII)


class RestRoutes:
    """Answers the requests of the REST API.

    Args:
        models: the models of the server.
        metrics: counts and times the requests.
    """

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics

    def reply(self, method: str, path: str, body: bytes) -> bytes:
        """The JSON that answers a request.

        Args:
            method: method of HTTP.
            path: path of the URL with its query string, as it was sent.
            body: body of the request, not compressed.

        Raises:
            StatusError: if the request fails; INVALID_ARGUMENT if no pattern matches.
        """
        if method == "POST" and (found := _POST.fullmatch(path)):
            name, version, label, verb = found.groups()
            if verb in {"predict", "classify", "regress"}:  # the pattern matches PREDICT too
                return self._post(_decoded(name), version, label, verb, body)
        if method == "GET" and (found := _GET.fullmatch(path)):
            return self._get(*found.groups())
        raise invalid_argument(f"Malformed request: {method} {path}")

    def _post(self, name: str, version: str | None, label: str | None, verb: str, body: bytes) -> bytes:
        with self._metrics.request(name, "Predict", "REST"):
            number = _version_number(version)
            request = json_request.parse(body)
            signature_name = json_request.signature_name(request) or DEFAULT_SIGNATURE
            if verb != "predict":
                json_request.check_examples(request)
            with self._models.lend(name, number, _decoded_or_none(label)) as servable:
                if verb == "classify":
                    raise example_apis.refuse_classify(servable, signature_name)
                if verb == "regress":
                    raise example_apis.refuse_regress(servable, signature_name)
                return self._predict(servable, signature_name, request)

    def _predict(self, servable: Servable, signature_name: str, request: dict[str, Any]) -> bytes:
        signature = servable.predict_signature(signature_name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{signature_name}" not found in signature def')
        inputs = json_request.input_arrays(request, signature)
        began = time.perf_counter()
        outputs = servable.run(signature_name, inputs)
        self._metrics.record_runtime(servable.name, "Predict", time.perf_counter() - began)
        return json_reply.predict_reply(outputs, rows=json_request.is_row_format(request))

    def _get(self, name: str | None, version: str | None, label: str | None, what: str | None) -> bytes:
        if not name:
            raise invalid_argument("Missing model name in request.")
        name, number = _decoded(name), _version_number(version)
        if what != "metadata":  # the pattern matches METADATA too, which asks for the status
            return json_reply.status_reply(model_status(self._models, name, number))
        with self._models.lend(name, number, _decoded_or_none(label)) as servable:
            return json_reply.metadata_reply(model_metadata(servable))


def _decoded(text: str) -> str:
    return urllib.parse.unquote(text)


def _decoded_or_none(text: str | None) -> str | None:
    return None if text is None else _decoded(text)


def _version_number(text: str | None) -> int | None:
    if text is None:
        return None
    # The length is compared first, because Python refuses to convert thousands of digits.
    if len(text.lstrip("0")) > len(str(LARGEST_VERSION)) or int(text) > LARGEST_VERSION:
        raise invalid_argument(f"Failed to convert version: {text} to numeric.")
    return int(text)
