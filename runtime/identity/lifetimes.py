"""How long tokens are good for, apart from what signs them: whatever waits for their end needs no cryptography."""

from typing import Final

LIFETIME_S: Final = 600
"""How long an access token is good for: as long as a revocation that nobody heard of lasts."""

GUEST_LIFETIME_S: Final = 24 * 3600
"""How long a guest's token is good for: there is nothing by which it could be renewed."""

LEEWAY_S: Final = 30
"""By how much the clocks of two machines may differ."""
