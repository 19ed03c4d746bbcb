"""Reads records into batches for training and evaluation; `pipeline.dataset` is the way in.

`reader` chooses one of three readers: `memory`, `mapped` or `streamed`. `shuffling` decides the order of the
records, `epochs` which epochs an iteration holds, `hosts` what each of several hosts reads. `arrays` loads a
whole split at once, `service` reads from the workers of a tf.data service.
"""
