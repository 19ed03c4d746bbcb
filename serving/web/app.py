"""The endpoints of the web service."""

import asyncio
import importlib.metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serving.client.answers import Explanation, Prediction
from serving.client.client import Client
from serving.client.errors import DeadlineExceeded, ServerUnavailable, ServerUnreachable, ServingError
from serving.client.images import BLANK_IMAGE, LoadedImage, load
from serving.client.pictures import draw_over
from serving.web import replies
from serving.web.layers import draw_layers
from serving.web.settings import WebSettings
from serving.web.uploads import OPENAPI, Upload, read_uploads
from tfrecords_builder.decoding import decode

_PAGE = Path(__file__).parent / "page"
_DESCRIPTION = (
    "Asks a model server about chest X-rays: JPEG, PNG, BMP, GIF or DICOM files. Nothing is stored. "
    "[The same as a page](.)\n\n"
    "**This is a research tool, not a medical device.** Do not use it to diagnose, treat or triage anyone."
)
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": replies.Failure, "description": description}
    for status, description in {
        400: "The request holds no X-ray, or cannot be read.",
        401: "The token is missing or wrong.",
        408: "The request did not arrive in time.",
        413: "The request is too large, or has too many files.",
        502: "The model server failed.",
        503: "The model server cannot be reached, or is overloaded.",
        504: "The model server did not answer in time.",
    }.items()
}


def make_app(settings: WebSettings, client: Client) -> FastAPI:
    """Makes the application.

    Args:
        settings: the limits of a request.
        client: asks the model server.
    """
    app = FastAPIOffline(
        redoc_url=None,
        title="Pneumonia in chest X-rays",
        description=_DESCRIPTION,
        version=importlib.metadata.version("chest-xray-pipeline"),
    )
    app.exception_handler(HTTPException)(_refuse)
    app.exception_handler(ServingError)(_failed)
    _add_api(app, settings, client)
    _add_health(app, settings, client)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    return app


def _add_api(app: FastAPI, settings: WebSettings, client: Client) -> None:
    described: dict[str, Any] = {
        "openapi_extra": OPENAPI,
        "responses": _FAILURES,
        "tags": ["answers"],
    }

    @app.post("/v1/predict", **described)
    async def predict(request: Request) -> replies.Predictions:
        """Tells the probability of pneumonia of each X-ray. A file that is none does not hurt the others."""
        uploads = await read_uploads(request, settings.max_files)
        answers = await client.predict_async([upload.content for upload in uploads])
        return replies.Predictions(
            answers=[
                replies.Answer.of(upload.name, answer)
                for upload, answer in zip(uploads, answers, strict=True)
            ]
        )

    @app.post("/v1/explain", **described)
    async def explain(request: Request) -> replies.Explanations:
        """Does what `predict` does, and explains each answer with pictures to lay over one another."""
        uploads = await read_uploads(request, settings.max_files)
        return replies.Explanations(answers=await _explained(client, uploads))

    @app.post(
        "/v1/overlay",
        **described | {"responses": _FAILURES | {200: {"content": {"image/png": {}}}}},
        response_class=Response,
    )
    async def overlay(request: Request) -> Response:
        """Draws the heatmap over one X-ray at its own size, with the answer written above it: a PNG file."""
        (upload,) = await read_uploads(request, max_files=1)
        loaded = await asyncio.to_thread(load, upload.content)
        (answer,) = await _answers(client, [loaded])
        if not answer.valid or answer.region is None:
            raise HTTPException(400, f"there is no overlay: {answer.reason or 'the model is too old'}")
        picture = await asyncio.to_thread(lambda: draw_over(decode(loaded.encoded), answer))
        return Response(picture, media_type="image/png")


def _add_health(app: FastAPI, settings: WebSettings, client: Client) -> None:
    limits = replies.Limits(files=settings.max_files, bytes=settings.max_bytes)

    @app.get("/v1/allowed", responses={401: {"model": replies.Failure}}, tags=["health"])
    async def allowed() -> replies.Allowed:
        """Says whether the token is right."""
        return replies.Allowed(allowed=True)

    @app.get("/healthz", summary="Does this service run?", tags=["health"])
    async def healthz() -> dict[str, bool]:
        """Says that this service runs. It does not ask the model server."""
        return {"alive": True}

    @app.get(
        "/readyz",
        summary="Does the model server answer?",
        responses={503: {"model": replies.Readiness}},
        tags=["health"],
    )
    async def readyz(response: Response) -> replies.Readiness:
        """Says whether the model server answers, and which version of the model."""
        try:
            (answer,) = await client.predict_async([BLANK_IMAGE])
            reason = ""
        except ServingError as error:
            response.status_code = 503
            answer, reason = Prediction.invalid(str(error)), str(error)
        return replies.Readiness(
            ready=not reason,
            version=answer.version,
            threshold=answer.threshold,
            reason=reason,
            limits=limits,
        )


async def _explained(client: Client, uploads: list[Upload]) -> list[replies.ExplainedAnswer]:
    loaded = [await asyncio.to_thread(load, upload.content) for upload in uploads]
    answers = await _answers(client, loaded)
    explained = []
    for upload, image, answer in zip(uploads, loaded, answers, strict=True):
        layers = None
        if answer.valid and answer.region is not None:
            layers = await asyncio.to_thread(_draw_layers, image.encoded, answer)
        explained.append(replies.ExplainedAnswer.of(upload.name, answer, layers))
    return explained


def _draw_layers(encoded: bytes, answer: Explanation) -> replies.Layers:
    return draw_layers(decode(encoded), answer)


async def _answers(client: Client, images: list[LoadedImage[bytes]]) -> list[Explanation]:
    """Asks about the images that could be loaded; the others get the reason why not as their answer."""
    asked = iter(await client.explain_async([image.encoded for image in images if not image.problem]))
    return [Explanation.invalid(image.problem) if image.problem else next(asked) for image in images]


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ServerUnreachable | ServerUnavailable):
        return JSONResponse({"error": str(error)}, 503)
    return JSONResponse({"error": str(error)}, 504 if isinstance(error, DeadlineExceeded) else 502)
