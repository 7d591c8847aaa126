"""Random bytes by the page."""

import os
import threading

from runtime.randomness import PAGE_BYTES, random_bytes


def test_bytes_have_the_length_asked_for_across_pages():
    assert [16] * PAGE_BYTES == [len(random_bytes(16)) for _ in range(PAGE_BYTES)]
    assert 3 * PAGE_BYTES == len(random_bytes(3 * PAGE_BYTES))


def test_no_bytes_are_given_out_twice():
    assert 10_000 == len({random_bytes(16) for _ in range(10_000)})


def test_threads_share_no_bytes():
    given = []

    def take():
        given.extend([random_bytes(16) for _ in range(1_000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4_000 == len(set(given))


def test_a_forked_process_does_not_repeat_what_its_parent_gives_out():
    random_bytes(16)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.write(into, random_bytes(16))
        os._exit(0)
    os.waitpid(child, 0)

    assert random_bytes(16) != os.read(out, 16)
