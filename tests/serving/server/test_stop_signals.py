import signal
import threading

import pytest

from serving.server.stop_signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_another_thread_receives_is_seen(number):
    ended = threading.Event()
    receiver = threading.Thread(target=ended.wait)
    receiver.start()
    handler = signal.getsignal(number)
    try:
        with stop_signals() as received:
            received.settimeout(10)  # seconds
            threading.Timer(0.1, signal.pthread_kill, (receiver.ident, number)).start()
            assert received.recv(1) == bytes([number])
    finally:
        ended.set()
        receiver.join()
    assert signal.getsignal(number) is handler
