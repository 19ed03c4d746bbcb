"""From a finished run to answers over gRPC and REST.

- `export` is the command, and the function, that publishes a run. Its room is `exporting`; `signatures`
  defines what the exported model computes.
- `local` is the command that serves exported models on this machine. Its room is `server`.
- `client` and `load` are rooms and commands: the one sends images to a server, the other measures a server
  under load.
- `config` holds configuration files for TensorFlow Serving.
- `names` and `version_folders` lie below all of these: names that they spell alike, and the versions of a
  model.
"""
