"""Values of settings as anybody may see them: secrets, and passwords in addresses, replaced."""

import re
from typing import Final

from pydantic import SecretStr

_MASK: Final = "***"
_USER_INFO: Final = re.compile(r"(?<=://)([^/@:]*):.*@")
_PASSWORD_MEMBER: Final = re.compile(r"(password=)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def masked_address(address: str) -> str:
    """The address of a server with its password, if any, replaced: URLs and `key=value` strings."""
    return _PASSWORD_MEMBER.sub(rf"\1{_MASK}", _USER_INFO.sub(rf"\1:{_MASK}@", address))


def shown(value: object, *, whole: bool) -> str | int | float | None:
    """A value for anybody; `whole` says that all of a secret is one, not only the password in an address."""
    if isinstance(value, SecretStr):
        return _MASK if whole else masked_address(value.get_secret_value())
    if value is None or isinstance(value, int | float):
        return value
    return masked_address(str(value))
