"""Values of settings as anybody may see them: secrets, and passwords in addresses, replaced."""

import re
from typing import Final

from pydantic import SecretStr

_MASK: Final = "***"
_USER_INFO: Final = re.compile(r"(?<=://)([^/@:]*):.*@")


def _password(ends: str) -> re.Pattern[str]:
    """The password of a `key=value`, up to one of these characters unless it is quoted."""
    return re.compile(
        rf"(password\s*=\s*)('(?:[^'\\]|\\.)*'|(?:[^{ends}\\]|\\.)+)", re.IGNORECASE | re.DOTALL
    )


_PASSWORD_MEMBER: Final = _password(r"\s&")
_PASSWORD_PAIR: Final = _password(r"\s")
"""Where no URL is: there an `&` is a character like others."""
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:(?P<user_info>.*)@)?(?P<rest>[^@]*)", re.IGNORECASE | re.DOTALL
)
_USER: Final = re.compile(r"[^/?#@:]*")
_PAIRS: Final = re.compile(r"\s*\w+\s*=", re.ASCII)
_HOSTS: Final = re.compile(
    r"[\w.-]+(?::[0-9]+)?(?:\s*,\s*[\w.-]+(?::[0-9]+)?)*|\[[0-9a-fA-F:.]+\](?::[0-9]+)?"
)


def masked_address(address: str) -> str:
    """The address of a server with its password, if any, replaced: URLs, `key=value` strings, hosts with ports.

    Of anything else nobody knows which part is the password, so all of it is replaced.
    """
    if (url := _URL.fullmatch(address)) is not None:
        rest = _PASSWORD_MEMBER.sub(rf"\1{_MASK}", url["rest"])
        if (user_info := url["user_info"]) is None:
            return url["scheme"] + rest
        if _USER.fullmatch(user_info) is not None:
            return f"{url['scheme']}{user_info}@{rest}"
        user, colon, _ = user_info.partition(":")
        known = user if colon and _USER.fullmatch(user) is not None else None
        return f"{url['scheme']}{_MASK if known is None else f'{known}:{_MASK}'}@{rest}"
    if _PAIRS.match(address) is not None:
        return _PASSWORD_PAIR.sub(rf"\1{_MASK}", address)
    return address if _HOSTS.fullmatch(address) is not None else _MASK


def masked_text(text: str) -> str:
    """A text, such as that of an error, in which the passwords of addresses are replaced."""
    return _PASSWORD_MEMBER.sub(rf"\1{_MASK}", _USER_INFO.sub(rf"\1:{_MASK}@", text))


def shown(value: object, *, whole: bool) -> str | int | float | None:
    """A value for anybody; `whole` says that all of a secret is one, not only the password in an address."""
    if isinstance(value, SecretStr):
        return _MASK if whole else masked_address(value.get_secret_value())
    if value is None or isinstance(value, int | float):
        return value
    return masked_text(str(value))
