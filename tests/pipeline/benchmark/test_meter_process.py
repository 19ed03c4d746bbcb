import functools

import pytest

from pipeline.benchmark.peers.meter_process import MeterProcess
from pipeline.benchmark.timing import meter


@pytest.mark.slow
def test_a_rate_is_measured_in_another_process():
    process = MeterProcess(functools.partial(meter, functools.partial(int, 1)))
    try:
        assert process.failure is None
        assert process.rate(0.01) > 0
        assert process.rate(0.01) > 0
    finally:
        process.close()
