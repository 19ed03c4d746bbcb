"""From a finished run to answers over gRPC and REST.

- `export` is the command, and the function, that publishes a run. Its work is done in the folder `exporting`.
  `signatures` defines what the exported model computes.
- `local` is the command that serves exported models on this machine. Its work is done in the folder `server`.
- `client` and `load` are folders and commands: `client` sends images to a server, `load` measures a server
  under load.
- `config` holds configuration files for TensorFlow Serving.
- All of these use `names`, the names that they must spell alike, and `version_folders`, which lists the
  versions of a model.
"""
