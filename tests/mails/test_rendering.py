"""What a mail looks like, and what can never be made of one."""

import re
from email import message_from_bytes, policy
from importlib import resources
from string import Template

import pytest

from commands.mail import rendering
from commands.mail.rendering import Letterhead, MalformedAddress, RenderingError
from domain.mail.templates import TEMPLATES
from tests.examples import NOW

LETTERHEAD = Letterhead(
    address="no-reply@shop.example", name="The shop", links="https://shop.example/account/"
)
VALUES = {"at": "2010-12-01 08:26 UTC", "provider": "https://id.example", "token": "a/token+"}
VALUES |= {"order": "536365", "total": "15.30 GBP", "why": "not all of it is in stock"}
TO, KEY = "somebody@example.org", "0b54b3c4:mail:mail-m-1:send:1"
FILES = {file.name: file.read_text() for file in (resources.files("commands.mail") / "templates").iterdir()}


def made(name="verify-address", *, letterhead=LETTERHEAD, to=TO, values=VALUES):
    rendered = rendering.render(name, 1, letterhead=letterhead, values=values)
    return rendering.message(rendered, letterhead=letterhead, to=to, key=KEY, at=NOW).as_bytes()


def test_a_mail_is_plain_text_with_the_headers_of_one_that_nobody_is_to_answer():
    mail = message_from_bytes(made(), policy=policy.default)

    assert {
        "From": "The shop <no-reply@shop.example>",
        "To": TO,
        "Subject": "Is this your address?",
        "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
        "Message-ID": rendering.message_id(KEY, domain="shop.example"),
        "Auto-Submitted": "auto-generated",
    } == {name: str(mail[name]) for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted")}
    assert "text/plain" == mail.get_content_type()
    link = "https://shop.example/account/verify-address#token=a%2Ftoken%2B"
    assert link in mail.get_content().splitlines()


def test_the_same_request_makes_the_same_mail_down_to_the_last_byte():
    assert made() == made()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_version_of_a_template_is_a_file_and_the_newest_is_filled_with_what_it_declares(template):
    for version in range(1, template.version + 1):
        assert f"{template.name}.v{version}.template" in FILES

    names = Template(FILES[f"{template.name}.v{template.version}.template"]).get_identifiers()
    assert {*template.parameters, *template.secrets} == {*names} - {"shop", "links"}


def test_every_file_is_a_version_of_a_template_and_loads_nothing():
    known = {f"{each.name}.v{number}" for each in TEMPLATES for number in range(1, each.version + 1)}

    assert known == {name.removesuffix(rendering.SUFFIX) for name in FILES}
    for text in FILES.values():
        assert re.search(r"<|http", text) is None
        assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x00", "\u2028", "\x85"])
def test_no_value_makes_a_header_or_a_line(break_):
    evil = f"a{break_}Bcc: victim@example.org{break_}{break_}<img src=//evil>"
    values = {**VALUES, "at": evil, "provider": evil, "token": evil}

    mail = message_from_bytes(made("identity-linked", values=values), policy=policy.default)

    assert "Bcc" not in mail
    assert not any(line.startswith(("Bcc", "<img")) for line in mail.get_content().splitlines())


@pytest.mark.parametrize(
    "to",
    [
        "",
        "nobody",
        "a@b@c.example",
        "a b@c.example",
        "a@c.example\r\nBcc: victim@example.org",
        "a@c.example>\r\nRCPT TO:<victim@example.org",
        "<a@c.example>",
        "a,victim@c.example",
        "a..b@c.example",
        ".a@c.example",
        "ä@c.example",
        "a@ü.example",
        "a@c..example",
        "a@[127.0.0.1]",
        f"{'a' * 65}@c.example",
        f"a@{'c' * 300}.example",
    ],
)
def test_what_is_no_address_gets_no_mail(to):
    with pytest.raises(MalformedAddress) as raised:
        made(to=to)

    assert "victim" not in str(raised.value)


@pytest.mark.parametrize("to", ["a+b@c.example", "a.b_c-d@c-d.example", "o'hara@c.example", "a@c"])
def test_an_address_is_written_as_it_stands(to):
    assert to == str(message_from_bytes(made(to=to), policy=policy.default)["To"])


def test_a_name_with_special_letters_stays_a_name():
    odd = Letterhead(address="no-reply@shop.example", name='Börse, "Süd" <x@y>', links="https://shop.example")

    mail = message_from_bytes(made(letterhead=odd), policy=policy.default)

    assert [("no-reply@shop.example", 'Börse, "Süd" <x@y>')] == [
        (each.addr_spec, each.display_name) for each in mail["From"].addresses
    ]


@pytest.mark.parametrize("name", ["nothing", "../templates/verify-address", "Verify-Address", ""])
def test_a_template_that_is_none_makes_no_mail(name):
    with pytest.raises(RenderingError, match="there is no template"):
        made(name)


def test_a_mail_that_lacks_a_value_is_not_made_and_shows_none():
    with pytest.raises(RenderingError, match="lacks a value for 'token'"):
        made(values={"at": "x"})
