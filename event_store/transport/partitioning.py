"""Which partition a key belongs to: murmur2 modulo the partition count, as Kafka's default partitioner computes it."""

import functools
import struct
from typing import Final

PARTITIONS: Final = 12
"""Partitions of a new generation's event topic."""

_CACHED_KEYS: Final = 262_144


@functools.lru_cache(maxsize=_CACHED_KEYS)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, 0 to `partitions` - 1."""
    return (murmur2(key.encode()) & 0x7FFF_FFFF) % partitions


def murmur2(key: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed (Austin Appleby's MurmurHash2; `Utils.murmur2` in Apache Kafka)."""
    mask, multiplier = 0xFFFF_FFFF, 0x5BD1_E995
    length = len(key)
    hashed = 0x9747_B28C ^ length
    for each in struct.unpack_from(f"<{length // 4}I", key):
        word = each * multiplier & mask
        hashed = (hashed * multiplier ^ (word ^ word >> 24) * multiplier) & mask
    if rest := key[length & ~3 :]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15
