"""docs/serving-contract.md, section 10: models, versions and labels."""

import shutil
import threading

import pytest
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.server import model_config
from serving.server.assembly import running_server
from serving.server.settings import ServerSettings
from tests.serving.contract.wire import call, failure, predict_request, rest, states
from tfrecords_builder.errors import UserError


@pytest.fixture
def base(models, tmp_path):
    """A model of its own with version 1."""
    shutil.copytree(models, tmp_path / "models")
    return tmp_path / "models" / "pneumonia"


def publish(base, number) -> None:
    """Another version, copied under a name that is no version and renamed."""
    shutil.copytree(base / "1", base / "unfinished")
    (base / "unfinished").rename(base / number)


def quick(base, **settings) -> ServerSettings:
    defaults = {"grpc_port": 0, "rest_port": 0, "file_system_poll_wait_seconds": 0.05}
    return ServerSettings(**{"models": str(base.parent)} | defaults | settings)


def with_config(base, policy="", labels="", **settings) -> ServerSettings:
    file = base.parent.parent / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "pneumonia" base_path: "{base}" '
        f'model_platform: "tensorflow" {policy} {labels} }} }}'
    )
    return quick(base, models=None, model_config_file=str(file), **settings)


def served(port, images, version=None, label=None) -> int:
    request = predict_request(images[:1])
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return call(port, request).model_spec.version.value


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("", {3}),
        ("latest {}", {3}),
        ("latest { num_versions: 2 }", {2, 3}),
        ("all {}", {1, 2, 3}),
        ("specific { versions: 1 versions: 3 versions: 9 }", {1, 3}),
    ],
)
def test_version_policies(policy, wanted):
    from google.protobuf import text_format

    config = model_server_config_pb2.ModelConfig()
    text_format.Parse(f"model_version_policy {{ {policy} }}", config)

    assert model_config.wanted_versions(config.model_version_policy, [3, 1, 2]) == wanted


def test_a_new_version_takes_over_and_the_old_one_ends(base, encoded_images, wait_until):
    with running_server(quick(base)) as ports:
        publish(base, "0002")
        wait_until(lambda: states(ports.rest) == {2: "AVAILABLE", 1: "END"})

        assert list(states(ports.rest)) == [2, 1]  # newest first
        assert served(ports.grpc, encoded_images) == 2
        request = predict_request(encoded_images[:1])
        request.model_spec.version.value = 1
        assert failure(ports.grpc, request)[0] == "NOT_FOUND"
        _, reply = rest(ports.rest, "GET", "/v1/models/pneumonia/versions/1")
        assert reply["model_version_status"][0]["status"]["error_code"] == "OK"


def test_requests_finish_on_the_version_that_they_began_on(base, encoded_images, wait_until):
    answers = []
    with running_server(quick(base)) as ports:
        long = predict_request(encoded_images * 100, "gradcam")
        thread = threading.Thread(target=lambda: answers.append(call(ports.grpc, long)))
        thread.start()
        publish(base, "2")
        wait_until(lambda: states(ports.rest).get(1) == "END")
        thread.join()
    assert answers[0].model_spec.version.value in (1, 2)
    assert len(answers[0].outputs["valid"].bool_val) == 100 * len(encoded_images)


def test_unversioned_requests_go_to_the_highest_version_that_answers(base, encoded_images, wait_until):
    publish(base, "2")
    config = with_config(base, "model_version_policy { all {} }", max_num_load_retries=0)
    with running_server(config) as ports:
        assert served(ports.grpc, encoded_images) == 2
        assert served(ports.grpc, encoded_images, version=1) == 1
        (base / "3").mkdir()
        wait_until(lambda: states(ports.rest).get(3) == "END")
        assert served(ports.grpc, encoded_images) == 2
        status, reply = rest(ports.rest, "GET", "/v1/models/pneumonia/versions/3")
        failed = reply["model_version_status"][0]["status"]
        assert (status, failed["error_code"]) == (200, "NOT_FOUND")
        assert "saved_model.pb" in failed["error_message"]


def test_a_failed_load_is_retried_and_is_loading_meanwhile(base, encoded_images, wait_until):
    config = quick(base, max_num_load_retries=1000, load_retry_interval_micros=10_000)
    with running_server(config) as ports:
        (base / "2").mkdir()
        wait_until(lambda: states(ports.rest).get(2) == "LOADING")
        assert served(ports.grpc, encoded_images) == 1
        shutil.copytree(base / "1", base / "2", dirs_exist_ok=True)
        wait_until(lambda: states(ports.rest) == {2: "AVAILABLE", 1: "END"})


def test_a_version_that_cannot_be_loaded_is_tried_again_after_it_was_withdrawn(base, wait_until):
    with running_server(quick(base, max_num_load_retries=0)) as ports:
        (base / "2").mkdir()
        wait_until(lambda: states(ports.rest).get(2) == "END")
        shutil.copytree(base / "1", base / "2", dirs_exist_ok=True)
        (base / "2").rename(base / "withdrawn")
        wait_until(lambda: states(ports.rest).get(1) == "AVAILABLE")
        import time

        time.sleep(0.3)  # several looks at the folder
        (base / "withdrawn").rename(base / "2")
        wait_until(lambda: states(ports.rest).get(2) == "AVAILABLE")


def test_a_base_path_that_is_gone_leaves_its_versions_and_an_empty_one_does_not(
    base, encoded_images, wait_until
):
    with running_server(quick(base)) as ports:
        base.rename(base.parent / "gone")
        import time

        time.sleep(0.3)
        assert served(ports.grpc, encoded_images) == 1
        base.mkdir()
        wait_until(lambda: states(ports.rest) == {1: "END"})
        assert failure(ports.grpc, predict_request(encoded_images[:1]))[0] == "NOT_FOUND"


def test_a_failed_load_at_the_start_ends_the_process(base):
    (base / "1/saved_model.pb").write_bytes(b"no model")
    with pytest.raises(UserError, match="version 1 of model 'pneumonia'"), running_server(quick(base)):
        pass


def test_an_empty_base_path_waits(base, encoded_images, wait_until):
    (base / "1").rename(base.parent / "1")
    with running_server(with_config(base)) as ports:
        assert failure(ports.grpc, predict_request(encoded_images[:1]))[0] == "NOT_FOUND"
        (base.parent / "1").rename(base / "1")
        wait_until(lambda: states(ports.rest) == {1: "AVAILABLE"})


STABLE = 'version_labels { key: "stable" value: 1 }'
CANARY = 'version_labels { key: "canary" value: 2 }'
REFUSED = (
    "Request to assign label to version 2 of model pneumonia, which is not currently available for inference"
)


def test_labels_in_the_first_configuration_need_the_flag(base, encoded_images):
    with (
        pytest.raises(UserError, match="not currently available"),
        running_server(with_config(base, labels=STABLE)),
    ):
        pass
    config = with_config(base, labels=STABLE, allow_version_labels_for_unavailable_models=True)
    with running_server(config) as ports:
        assert served(ports.grpc, encoded_images, label="stable") == 1
        path = "/v1/models/pneumonia/labels/stable"
        status, reply = rest(ports.rest, "POST", f"{path}:predict", {"instances": ["x"]})
        assert (status, len(reply["predictions"])) == (200, 1)
        assert rest(ports.rest, "GET", f"{path}/metadata")[0] == 200


def reload_request(base, labels, policy="model_version_policy { all {} }"):
    from google.protobuf import text_format

    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(
        f'model_config_list {{ config {{ name: "pneumonia" base_path: "{base}" '
        f'model_platform: "tensorflow" {policy} {labels} }} }}',
        request.config,
    )
    return request


def test_labels_only_name_versions_that_answer(base, encoded_images, wait_until):
    with running_server(with_config(base, "model_version_policy { all {} }")) as ports:
        assert call(ports.grpc, reload_request(base, STABLE)).status.error_code == 0
        assert failure(ports.grpc, reload_request(base, STABLE + CANARY)) == ("FAILED_PRECONDITION", REFUSED)
        assert served(ports.grpc, encoded_images, label="stable") == 1  # old labels go on

        publish(base, "2")
        wait_until(lambda: states(ports.rest).get(2) == "AVAILABLE")
        call(ports.grpc, reload_request(base, STABLE + CANARY))
        assert served(ports.grpc, encoded_images, label="canary") == 2
        assert served(ports.grpc, encoded_images, label="stable") == 1

        call(ports.grpc, reload_request(base, CANARY))
        request = predict_request(encoded_images[:1])
        request.model_spec.version_label = "stable"
        message = "Unrecognized servable version label: stable"
        assert failure(ports.grpc, request) == ("INVALID_ARGUMENT", message)


def test_the_flag_does_not_let_a_label_move_to_what_does_not_answer(base):
    config = with_config(base, labels=STABLE, allow_version_labels_for_unavailable_models=True)
    with running_server(config) as ports:
        call(ports.grpc, reload_request(base, STABLE + CANARY))  # new, so it may
        moved = 'version_labels { key: "stable" value: 2 }'
        assert failure(ports.grpc, reload_request(base, moved)) == ("FAILED_PRECONDITION", REFUSED)


def test_a_label_that_the_file_gives_too_early_holds_once_its_version_is_available(
    base, encoded_images, wait_until
):
    everything = "model_version_policy { all {} }"
    flags = {"allow_version_labels_for_unavailable_models": True, "model_config_file_poll_wait_seconds": 0.05}
    config = with_config(base, everything, STABLE, **flags)
    moved = 'version_labels { key: "stable" value: 2 }'  # a label that moves has to wait for its version
    with running_server(config) as ports:
        assert served(ports.grpc, encoded_images, label="stable") == 1
        with_config(base, everything, moved)  # writes the file again
        publish(base, "2")
        wait_until(lambda: served(ports.grpc, encoded_images, label="stable") == 2)
