"""How many batches are prepared while the training works on another one."""

PREFETCHED_BATCHES = 4
"""More were not faster. The number is fixed, as the buffer of tf.data.AUTOTUNE would double at every pause of
the training until the memory is full. Measured: docs/performance.md."""
