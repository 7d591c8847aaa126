"""Decoders that several threads ask for at once."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import msgspec

from runtime.decoders import json_decoder

WAIT_S = 60.0
NOT_YET_S = 0.05

begun, let_on = threading.Event(), threading.Event()


def held():
    """What msgspec asks for while it finds out about a struct."""
    begun.set()
    assert let_on.wait(WAIT_S)
    return int


def test_nobody_gets_a_decoder_of_a_struct_that_another_thread_still_finds_out_about():
    inner = msgspec.defstruct("Inner", [("value", "held()")], module=__name__)
    outer = msgspec.defstruct("Outer", [("inner", inner)])
    containing = msgspec.defstruct("Containing", [("outer", outer)])
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(json_decoder, outer)
        assert begun.wait(WAIT_S)
        second = threads.submit(json_decoder, containing)
        try:
            wait([second], NOT_YET_S)
            early = second.done()
        finally:
            let_on.set()

        assert not early, "it would end the process when it reads something"
        assert 7 == first.result().decode(b'{"inner":{"value":7}}').inner.value
        assert 8 == second.result().decode(b'{"outer":{"inner":{"value":8}}}').outer.inner.value
