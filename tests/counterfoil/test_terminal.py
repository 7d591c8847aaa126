import json

from counterfoil import terminal


def test_what_a_terminal_would_act_on_is_shown_as_an_escape():
    assert "a\\u001b[31m\\u009b31m\\u0000 b\n" == terminal.shown("a\x1b[31m\x9b31m\0 b\n")


def test_json_means_the_same_afterwards():
    document = {"note": "Ω \x7f\x85\x9f"}

    assert document == json.loads(terminal.shown(json.dumps(document, ensure_ascii=False)))
