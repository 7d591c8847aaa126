"""Values that a process holds of its document cache; the least recently read ones go when they grow too many."""

from collections import OrderedDict
from typing import Final

ENTRY_BYTES: Final = 200
"""What an entry takes in addition to its key and value."""


class ClientCache:
    """Values by key, of a limited number of bytes. Not shared between threads."""

    def __init__(self, bytes_max: int) -> None:
        """Hold up to `bytes_max` bytes of keys, values and what holding them takes; with 0, nothing."""
        self._bytes_max = bytes_max
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes held now."""
        return self._size_bytes

    def get(self, key: str) -> bytes | None:
        """The value of a key, which counts as read; None: it is not held."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Hold a value, in place of another one of the same key, unless it alone is too large."""
        self.drop(key)
        size = _size(key, value)
        if size > self._bytes_max:
            return
        self._values[key] = value
        self._size_bytes += size
        while self._size_bytes > self._bytes_max:
            self._size_bytes -= _size(*self._values.popitem(last=False))

    def drop(self, key: str) -> None:
        """Forget one key."""
        value = self._values.pop(key, None)
        if value is not None:
            self._size_bytes -= _size(key, value)

    def clear(self) -> None:
        """Forget all keys."""
        self._values.clear()
        self._size_bytes = 0


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_BYTES
