import grpc
import pytest

from serving.server.metrics import Metrics
from serving.server.status import StatusError


@pytest.mark.parametrize(
    ("failure", "status"),
    [(StatusError(grpc.StatusCode.NOT_FOUND, "no model"), "NOT_FOUND"), (RuntimeError("a bug"), "INTERNAL")],
)
def test_a_failed_request_is_counted_by_its_status_and_not_timed(failure, status):
    metrics = Metrics()

    with pytest.raises(type(failure)), metrics.request("pneumonia", "Predict", "GRPC"):
        raise failure

    page = metrics.page()
    assert f':tensorflow:serving:request_count{{model_name="pneumonia",status="{status}"}} 1' in page
    assert "request_latency_count" not in page


def test_an_answered_request_is_counted_and_timed():
    metrics = Metrics()

    with metrics.request("pneumonia", "Predict", "REST"):
        pass

    page = metrics.page()
    assert ':tensorflow:serving:request_count{model_name="pneumonia",status="OK"} 1' in page
    assert 'request_latency_count{model_name="pneumonia",API="Predict",entrypoint="REST"} 1' in page
