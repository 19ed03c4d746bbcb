"""docs/serving-contract.md, section 11: configuration files, reloads, batching and metrics."""

import re
import shutil
import threading
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server.assembly import running_server
from serving.server.batching import Batching
from serving.server.servable import Servable
from serving.server.settings import ServerSettings
from tests.serving.contract.wire import call, failure, predict_request, raw_rest, rest, states
from tfrecords_builder.errors import UserError


def entry(name, base_path, platform="tensorflow") -> str:
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "{platform}" }}'


def reloading(*entries):
    from google.protobuf import text_format

    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", request.config)
    return request


@pytest.fixture
def base(models):
    return f"{models}/pneumonia"


@pytest.fixture
def started(models):
    config = ServerSettings(models, grpc_port=0, rest_port=0, file_system_poll_wait_seconds=0.05)
    with running_server(config) as ports:
        yield ports


def test_the_configuration_file_is_read_again(base, tmp_path, wait_until):
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {entry('one', base)} }}")
    config = ServerSettings(
        model_config_file=str(file),
        model_config_file_poll_wait_seconds=0.05,
        file_system_poll_wait_seconds=0.05,
        grpc_port=0,
        rest_port=0,
    )
    with running_server(config) as ports:
        assert states(ports.rest, "one") == {1: "AVAILABLE"}
        file.write_text("model_config_list {")  # bad, and logged
        file.write_text(f"model_config_list {{ {entry('one', base)} {entry('two', base)} }}")
        wait_until(lambda: states(ports.rest, "two") == {1: "AVAILABLE"})


def test_a_bad_file_at_the_start_ends_the_process(tmp_path, base):
    file = tmp_path / "models.config"
    file.write_text(f"model_config_list {{ {entry('one', 'relative/path')} }}")
    config = ServerSettings(model_config_file=str(file), grpc_port=0, rest_port=0)
    with pytest.raises(UserError, match="absolute path"), running_server(config):
        pass


def test_a_reload_replaces_the_list_and_waits_for_new_models(started, base, encoded_images, wait_until):
    response = call(started.grpc, reloading(entry("new", base)))

    assert response.status.error_code == 0
    answer = call(started.grpc, predict_request(encoded_images[:1], name="new"))
    assert answer.model_spec.name == "new"
    wait_until(lambda: failure(started.grpc, predict_request(encoded_images[:1]))[0] == "NOT_FOUND")
    assert states(started.rest) == {1: "END"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("m", "a/b")], "Expected model m to have an absolute path or URI; got base_path()=a/b"),
        ([entry("m", "/a"), entry("m", "/b")], "Illegal to list model m multiple times in config list"),
        (
            [entry("m", "/a", "")],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        ([entry("m", "/a", "other")], "Model m requests unsupported platform other"),
        (
            ['config { name: "m" base_path: "/a" model_type: OTHER }'],
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            [entry("pneumonia", "/a", "other")],
            "Illegal to change a model's platform. For model pneumonia platform was tensorflow and new "
            "platform requested is other",
        ),
    ],
    ids=[
        "relative path",
        "duplicate name",
        "no platform",
        "other platform",
        "other type",
        "changed platform",
    ],
)
def test_a_reload_that_is_refused_changes_nothing(local_server, entries, message):
    code, details = failure(local_server.grpc, reloading(*entries))

    assert (code, details) == ("INVALID_ARGUMENT", message)
    assert states(local_server.rest) == {1: "AVAILABLE"}


def test_a_reload_without_a_list(local_server):
    request = model_management_pb2.ReloadConfigRequest(config=model_server_config_pb2.ModelServerConfig())

    assert failure(local_server.grpc, request) == (
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest."
        " Only ModelConfigList is currently supported",
    )


def test_a_reload_whose_new_model_cannot_be_loaded(models, base, tmp_path, encoded_images):
    (tmp_path / "broken/1").mkdir(parents=True)
    config = ServerSettings(models, grpc_port=0, rest_port=0, max_num_load_retries=0)
    with running_server(config) as ports:
        code, details = failure(
            ports.grpc, reloading(entry("pneumonia", base), entry("b", tmp_path / "broken"))
        )
        assert (code, details.startswith("1 model(s) did not become available")) == ("UNKNOWN", True)
        assert call(ports.grpc, predict_request(encoded_images[:1])).model_spec.version.value == 1


BATCHING = """
max_batch_size { value: 32 }
batch_timeout_micros { value: 500000 }
max_enqueued_batches { value: 2 }
num_batch_threads { value: 1 }
"""


@pytest.fixture(scope="module")
def batching_server(models, tmp_path_factory):
    file = tmp_path_factory.mktemp("batching") / "batching.config"
    file.write_text(BATCHING)
    config = ServerSettings(
        models, grpc_port=0, rest_port=0, enable_batching=True, batching_parameters_file=str(file)
    )
    with running_server(config) as ports:
        yield ports


def threads_named(prefix: str) -> int:
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum(name.startswith(prefix) for name in names)


def together(functions) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_concurrent_requests_are_joined_and_get_their_own_answers(
    batching_server, signatures, encoded_images
):
    import tensorflow as tf

    expected = signatures["serving_default"](image_bytes=tf.constant(encoded_images))["probability"].numpy()
    answers = {}

    def ask(position):
        response = call(batching_server.grpc, predict_request(encoded_images[position : position + 2]))
        answers[position] = list(response.outputs["probability"].float_val)

    together([lambda position=position: ask(position) for position in range(0, 12, 2)])

    for position, probabilities in answers.items():
        assert probabilities == pytest.approx(expected[position : position + 2], abs=1e-5)
    assert len(answers) == 6


def test_signatures_share_the_threads_but_no_batch(batching_server, encoded_images):
    outputs = {}

    def ask(signature):
        response = call(batching_server.grpc, predict_request(encoded_images[:2], signature))
        outputs[signature] = sorted(response.outputs)

    together([lambda name=name: ask(name) for name in ("serving_default", "gradcam")])

    assert outputs == {
        "serving_default": [
            "familiarity",
            "label",
            "lung_area",
            "probability",
            "threshold",
            "valid",
            "warning",
        ],
        "gradcam": [
            "evidence",
            "familiarity",
            "heatmap",
            "label",
            "lung_area",
            "lungs",
            "overlay_bytes",
            "probability",
            "region",
            "threshold",
            "valid",
            "warning",
        ],
    }


def test_batching_threads_do_not_grow_with_the_signatures(models):
    batching = Batching(num_batch_threads=7)
    before = threads_named("batch_threads")
    servable = Servable("pneumonia", 1, f"{models}/pneumonia/1", batching)
    added = threads_named("batch_threads") - before
    servable.close()

    assert len(servable.signature_defs) > 1
    assert added == batching.num_batch_threads


def test_a_request_that_cannot_be_joined_fails_alone(batching_server, encoded_images):
    import tensorflow as tf

    results = {}

    def ask(name, request):
        try:
            results[name] = list(call(batching_server.grpc, request).outputs["valid"].bool_val)
        except grpc.RpcError as error:
            results[name] = error.code().name

    wrong = predict_request(image_bytes=tf.make_tensor_proto([encoded_images[:2]]))
    together(
        [
            lambda: ask("good", predict_request(encoded_images[:1])),
            lambda: ask("matrix", wrong),
            lambda: ask("invalid", predict_request([b"no image"])),
            lambda: ask("good too", predict_request(encoded_images[1:2])),
        ]
    )

    assert results == {
        "good": [True],
        "good too": [True],
        "invalid": [False],
        "matrix": "INVALID_ARGUMENT",
    }


def test_a_request_larger_than_a_batch_is_refused(batching_server, encoded_images):
    code, details = failure(batching_server.grpc, predict_request((encoded_images * 3)[:33]))

    assert (code, "larger than maximum input batch size 32" in details) == ("INVALID_ARGUMENT", True)


def test_a_full_queue_is_unavailable(batching_server, encoded_images):
    codes = []

    def over_grpc():
        try:
            call(batching_server.grpc, predict_request((encoded_images * 3)[:32], "gradcam"))
        except grpc.RpcError as error:
            codes.append(error.code().name)

    together([over_grpc for _ in range(60)])

    assert set(codes) == {"UNAVAILABLE"}


def test_batching_is_off_unless_asked_for(local_server, encoded_images):
    assert len(call(local_server.grpc, predict_request(encoded_images[:9])).outputs["valid"].bool_val) == 9


def test_metrics_are_off_by_default(local_server):
    assert raw_rest(local_server.rest, "GET", "/monitoring/prometheus/metrics")[0] == 404


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { enable: true path: "/m" }', "/m"),
    ],
)
def test_metrics_have_the_path_and_names_of_tensorflow_serving(
    models, tmp_path, encoded_images, content, path
):
    file = tmp_path / "monitoring.config"
    file.write_text(content)
    config = ServerSettings(models, grpc_port=0, rest_port=0, monitoring_config_file=str(file))
    with running_server(config) as ports:
        call(ports.grpc, predict_request(encoded_images[:1]))
        rest(ports.rest, "POST", "/v1/models/pneumonia:predict", {"instances": ["x"]})
        failure(ports.grpc, predict_request([b"x"], name='un"known'))
        status, headers, body = raw_rest(ports.rest, "GET", path)

    assert (status, headers["content-type"]) == (200, "text/plain")
    page = body.decode()
    assert '\n:tensorflow:serving:request_count{model_name="pneumonia",status="OK"} 2\n' in page
    assert 'request_count{model_name="un\\"known",status="NOT_FOUND"} 1\n' in page
    for entrypoint in ("GRPC", "REST"):
        labels = f'model_name="pneumonia",API="Predict",entrypoint="{entrypoint}"'
        assert f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 1\n' in page
        assert f":tensorflow:serving:request_latency_count{{{labels}}} 1\n" in page
    assert ':tensorflow:serving:runtime_latency_count{model_name="pneumonia"' in page
    line = re.compile(r'(# TYPE \S+ (counter|histogram)|[a-zA-Z_:]+\{([a-zA-Z_]+="([^"\\]|\\.)*",?)*\} \S+)')
    assert all(line.fullmatch(one) for one in page.splitlines())


def test_requests_over_the_limit_are_refused(models, encoded_images):
    config = ServerSettings(models, grpc_port=0, rest_port=0, max_concurrent_requests=1)
    codes, statuses = [], []

    def over_grpc(port):
        try:
            call(port, predict_request(encoded_images * 8, "gradcam"))
        except grpc.RpcError as error:
            codes.append(error.code().name)

    def over_rest(port):
        from tests.serving.contract.wire import b64

        body = {"signature_name": "gradcam", "inputs": [b64(image) for image in encoded_images * 8]}
        statuses.append(rest(port, "POST", "/v1/models/pneumonia:predict", body)[0])

    with running_server(config) as ports:
        together([lambda: over_grpc(ports.grpc)] * 8 + [lambda: over_rest(ports.rest)] * 8)
    assert set(codes) == {"RESOURCE_EXHAUSTED"}
    assert set(statuses) == {200, 429}


def test_a_rest_request_that_takes_too_long_is_answered_with_504(models, encoded_images):
    from tests.serving.contract.wire import b64

    config = ServerSettings(models, grpc_port=0, rest_port=0, rest_api_timeout_in_ms=1)
    with running_server(config) as ports:
        body = {"signature_name": "gradcam", "inputs": [b64(image) for image in encoded_images * 4]}
        status, reply = rest(ports.rest, "POST", "/v1/models/pneumonia:predict", body)

    assert (status, reply["error"]) == (504, "Timed out waiting for notification")


def test_all_models_of_a_folder_are_served(models, base, tmp_path, encoded_images):
    shutil.copytree(base, tmp_path / "models/a")
    shutil.copytree(base, tmp_path / "models/b")
    with running_server(ServerSettings(str(tmp_path / "models"), grpc_port=0, rest_port=0)) as ports:
        for name in ("a", "b"):
            answer = call(ports.grpc, predict_request(encoded_images[:1], name=name))
            assert answer.model_spec.name == name
