"""The page in a real browser: it skips where none is installed."""

import csv
import io
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.serving.dicom_kinds import dicom_files
from tests.serving.web.conftest import running_web

TOKEN = "0123456789abcdef"


@pytest.fixture
def open_page(browser):
    """Opens pages; at the end of the test, no page may have complained in its console."""
    opened, complaints = [], []

    def open_url(url: str, width: int = 1200):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        opened.append(page)
        return page

    yield open_url
    for page in opened:
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def url(local_server):
    with running_web(address=f"127.0.0.1:{local_server.rest}") as started:
        yield started


@pytest.fixture
def xrays(images, tmp_path) -> list[str]:
    """Twelve image files of the kind that the model was trained with, enlarged."""
    paths = []
    for number, image in enumerate(images):
        large = cv2.resize(image[..., 0], (300, 240), interpolation=cv2.INTER_CUBIC)
        paths.append(str(tmp_path / f"xray{number}.png"))
        cv2.imwrite(paths[-1], large)
    return paths


def choose(page, files: list[str]) -> None:
    page.set_input_files("#files", files)
    page.locator("#progress", has_text=f"{len(files)} of {len(files)}").wait_for()


def rows(page) -> list[list[str]]:
    return [row.locator("td").all_inner_texts() for row in page.locator("#rows tr").all()]


def test_dropped_xrays_are_answered_explained_and_listed(open_page, url, xrays):
    page = open_page(url)
    page.locator("#server", has_text="version 1").wait_for()

    choose(page, xrays)

    expected = httpx.post(
        f"{url}/v1/predict", files=[("files", (Path(path).name, Path(path).read_bytes())) for path in xrays]
    ).json()["answers"]
    listed = rows(page)
    assert [row[0] for row in listed] == [Path(path).name for path in xrays]
    assert [row[1] for row in listed] == [answer["label"] for answer in expected]
    assert [row[2] for row in listed] == [f"{answer['probability']:.4f}" for answer in expected]
    page.get_by_role("button", name="xray3.png").click()
    assert page.locator("#shown-file").inner_text() == "xray3.png"
    assert f"{expected[3]['label']}: probability of pneumonia" in page.locator("#shown-answer").inner_text()
    assert "not a medical device" in page.get_by_role("note").inner_text()


def test_the_heat_lies_over_what_the_model_saw_and_fades_with_the_slider(open_page, url, xrays):
    page = open_page(url)
    choose(page, xrays[1:2])

    below, heat = (page.locator(name).bounding_box() for name in ("#below", "#heat"))
    page.locator("#opacity").fill("20")

    border = 0.1  # of the records of this test's model
    assert heat["x"] - below["x"] == pytest.approx(border * below["width"], abs=1)
    assert heat["y"] - below["y"] == pytest.approx(border * below["height"], abs=1)
    assert heat["width"] == pytest.approx((1 - 2 * border) * below["width"], abs=1)
    assert page.locator("#heat").evaluate("image => image.style.opacity") == "0.2"
    assert page.locator("#lungs").is_visible()
    page.get_by_label("Outline of the lungs").uncheck()
    assert not page.locator("#lungs").is_visible()


def test_what_is_no_xray_is_said_beside_the_others(open_page, url, xrays, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    page = open_page(url)

    choose(page, [str(notes), xrays[0]])

    first, second = rows(page)
    assert first[0] == "notes.txt"
    assert (first[1], first[2]) == ("INVALID", "")
    assert first[4].startswith("not a JPEG, PNG, BMP")
    assert "2 of 2 files done, 1 of them could not be read" in page.locator("#progress").inner_text()
    assert second[1] in ("NORMAL", "PNEUMONIA")


def test_an_unfamiliar_picture_gets_a_warning(open_page, url, tmp_path):
    stripes = tmp_path / "stripes.png"
    cv2.imwrite(str(stripes), np.tile(np.arange(240, dtype=np.uint8) % 40 * 6, (200, 1)))
    page = open_page(url)

    choose(page, [str(stripes)])

    assert "Warning: " in page.locator("#shown-warning").inner_text()
    assert rows(page)[0][4] in ("unlike the training images", "no lungs found")


def test_dicom_is_shown(open_page, url, tmp_path):
    scan = tmp_path / "scan.dcm"
    scan.write_bytes(dicom_files()["12 bits"])
    page = open_page(url)

    choose(page, [str(scan)])

    assert page.locator("#plain").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [90, 70]


def test_the_answers_can_be_downloaded_as_csv(open_page, url, xrays, tmp_path):
    formula = tmp_path / "=1+1,x.png"
    formula.write_bytes(Path(xrays[0]).read_bytes())
    page = open_page(url)
    choose(page, [*xrays[:2], str(formula)])

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()

    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["file"] for row in table] == ["xray0.png", "xray1.png", "'=1+1,x.png"]
    assert all(0 <= float(row["probability"]) <= 1 for row in table)
    assert all(row["version"] == "1" for row in table)


def test_twenty_files_on_a_phone(open_page, url, xrays):
    page = open_page(url, width=390)

    choose(page, [*xrays, *xrays[:8]])

    assert len(rows(page)) == 20
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, (
        "only the table scrolls sideways"
    )


def test_the_keyboard_is_enough(open_page, url, xrays):
    page = open_page(url)
    choose(page, xrays[:2])

    order = ["opacity", "outline", "download", "csv", "clear", "xray0.png"]
    reached = []
    page.locator("#files").focus()
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
    page.get_by_role("button", name="xray1.png").focus()
    page.keyboard.press("Enter")

    assert [name for name in reached if name in order] == order
    assert page.locator("#shown-file").inner_text() == "xray1.png"
    assert page.evaluate("() => document.activeElement.id") == "shown-file"


def test_everything_has_a_name_for_screen_readers(open_page, url, xrays):
    page = open_page(url)
    choose(page, xrays[:1])

    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("input, button, img:not(.layer), section")]
            .filter((one) => one.offsetParent !== null)
            .filter((one) => !(one.labels?.length || one.textContent.trim() || one.alt || one.ariaLabel))
            .map((one) => one.outerHTML)"""
    )

    assert unnamed == []
    assert page.get_by_role("slider", name="Heat").is_visible()
    assert page.get_by_role("img", name="X-ray xray0.png", exact=True).is_visible()


def test_a_token_is_asked_for(open_page, local_server, xrays):
    with running_web(TOKEN, address=f"127.0.0.1:{local_server.rest}") as url:
        page = open_page(url)
        page.get_by_label("Token of this service").wait_for()
        page.set_input_files("#files", xrays[:2])
        page.locator("#problem", has_text="This service needs a token.").wait_for()
        page.get_by_label("Token of this service").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        page.locator("#problem", has_text="This is not the token of this service.").wait_for()
        page.get_by_label("Token of this service").fill(TOKEN)
        page.get_by_role("button", name="Use it").click()

        page.locator("#progress", has_text="2 of 2").wait_for()  # what was waiting is sent

        assert len(rows(page)) == 2
        assert not page.locator("#access").is_visible()


def test_the_picture_that_is_saved_is_that_of_the_client(open_page, url, xrays):
    page = open_page(url)
    choose(page, xrays[:1])

    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()

    saved = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename == "xray0.png-heat.png"
    assert saved == httpx.post(f"{url}/v1/overlay", content=Path(xrays[0]).read_bytes()).content


def test_the_latest_files_are_shown(open_page, url, xrays):
    page = open_page(url)
    choose(page, xrays[:1])
    choose(page, xrays[4:5])

    assert page.locator("#shown-file").inner_text() == "xray4.png"


def test_the_model_server_goes_away_and_comes_back(open_page, models, xrays, unused_port):
    settings = ServerSettings(models, grpc_port=0, rest_port=unused_port)
    with running_web(address=f"127.0.0.1:{unused_port}", retries=0) as url:
        with running_server(settings):
            page = open_page(url)
            choose(page, xrays[:1])
        page.set_input_files("#files", xrays[1:3])
        page.locator("#problem", has_text="2 of 2 X-rays were not answered").wait_for()
        page.locator("#server", has_text="does not answer").wait_for()
        kept = len(rows(page))
        with running_server(settings):
            page.locator("#server", has_text="answers with version 1").wait_for()
            choose(page, xrays[1:3])
            assert not page.locator("#problem").is_visible()
            assert (kept, len(rows(page))) == (1, 3)
