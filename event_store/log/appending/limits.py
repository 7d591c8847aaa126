"""The limits of appending, in one place, with their units."""

from typing import Final

BATCH_REQUESTS_MAX: Final = 256
"""Requests in one call of `append_batch`."""

BATCH_BYTES_MAX: Final = 1024 * 1024
"""Bytes of payload and metadata in one call; a larger request travels alone."""

BATCH_HALF_MIN: Final = 12
"""Requests that are worth a batch of their own while another is at the server: a batch costs as much as some twenty
requests, before the first of them."""

REQUEST_EVENTS_MAX: Final = 4_000
"""Events in one request."""

REQUEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of payload and metadata in one request."""

QUEUE_REQUESTS_MAX: Final = 4_096
"""Requests that may wait; one more is refused before any work."""

WAIT_S_MAX: Final = 0.1
"""How long a further request may be expected to wait for the batches before its own; beyond that it is refused before
any work. Two batches, one under way and one gathering, are all that speed asks for: more only takes memory."""

WAIT_OF_MANY_S_MAX: Final = 0.5
"""The same for requests of a batch: its caller prefers a longer wait to sending all of them again."""

BROKEN_CHAINS_MAX: Final = 1_024
"""Chains remembered as broken; chain ids are not used again, so the oldest can be forgotten."""

STREAM_CHARACTERS_MAX: Final = 200
TYPE_CHARACTERS_MAX: Final = 300
TAG_CHARACTERS_MAX: Final = 200
EVENT_TAGS_MAX: Final = 8

LOCK_TIMEOUT_MS: Final = 2_000
"""How long a batch waits for the head lock before it fails, stored nowhere."""

STATEMENT_TIMEOUT_MS: Final = 5_000
"""How long a batch may take in all before it fails, stored nowhere."""

RESEND_WINDOW_S: Final = 5.0
"""How long a batch whose answer was lost is sent again, under the same keys, before its outcome is called unknown."""

RESEND_PAUSE_S: Final = 0.05
"""Pause between two tries to reach the server, doubled each time up to the next limit."""

RESEND_PAUSE_MAX_S: Final = 0.5

RETRY_AFTER_S: Final = 1
"""How long a refused caller has to wait before it sends again, after a refusal for want of room or of a server."""

assert BATCH_REQUESTS_MAX <= QUEUE_REQUESTS_MAX
assert BATCH_BYTES_MAX <= REQUEST_BYTES_MAX
assert LOCK_TIMEOUT_MS < STATEMENT_TIMEOUT_MS
