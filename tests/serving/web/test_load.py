"""The load generator against the web service."""

import pytest

from serving.load import __main__ as load
from serving.load.__main__ import LoadConfig


@pytest.mark.parametrize("signature", ["serving_default", "gradcam"])
def test_every_request_to_the_web_service_is_answered(start_web, capsys, signature):
    config = LoadConfig(
        address=start_web(),
        transport="web",
        signature=signature,
        clients=3,
        seconds=1.0,
        batch_size=2,
        sizes=("96x80:1", "120x100:1"),
    )

    assert load.main(config) == 0
    assert "images per second" in capsys.readouterr().out


def test_where_the_web_service_is_unless_it_is_said():
    assert LoadConfig(transport="web").server == "127.0.0.1:8080"
