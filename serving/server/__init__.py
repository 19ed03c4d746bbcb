"""The local server, which answers as TensorFlow Serving does (docs/serving-contract.md).

`assembly.running_server` is the way in. Where things are:

- REST: `rest_api` (HTTP), `rest_routes` (URLs), `json_request` and `json_reply` (the fields of the JSON).
- gRPC: `grpc_server` (port, encryption, how it stops), `grpc_services` (calls), `tensors` (tensors on the
  wire).
- Models: `models` (all models, and their threads), `version_keeper` (the versions of one model), `servable`
  (a loaded version), `batching` (requests that run as one batch), `model_info` (metadata and status).
- Configuration: `config_files` (files of TensorFlow Serving), `model_config` and `config_watcher` (which
  models).
- Both APIs: `status` (errors), `metrics`, `example_apis` (what Classify and Regress answer).
"""
