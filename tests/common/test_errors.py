import inspect
import re

import pytest

from fedward.common import errors
from fedward.common.errors import ConfigError, FedwardError, ProtocolError

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FedwardError)]


def drawn_tree() -> dict[str, str]:
    """Class name to the name of its parent, as the module's docstring draws them."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            parents[found[2]] = above[depth - 1] if depth else "Exception"
            above[depth:] = [found[2]]
    return parents


def test_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert drawn_tree() == {error.__name__: error.__base__.__name__ for error in CLASSES if error.__base__}


def test_exported_names_are_sorted_and_complete() -> None:
    assert errors.__all__ == sorted({error.__name__ for error in CLASSES}, key=str.casefold)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_error_has_a_hint_an_exit_code_and_a_docstring(error: type[FedwardError]) -> None:
    assert error.hint.endswith((".", "formats."))
    assert 1 <= error.exit_code <= 125
    assert inspect.getdoc(error)
    assert error.__name__.endswith("Error")


def test_hint_of_an_error_can_be_replaced() -> None:
    assert ConfigError("wrong").advice == ConfigError.hint
    assert ConfigError("wrong", hint="Do this.").advice == "Do this."


def test_message_is_the_text_of_the_error() -> None:
    error = ConfigError("wrong")
    assert (str(error), error.message) == ("wrong", "wrong")


def test_protocol_error_carries_code_and_rule() -> None:
    error = ProtocolError("ABSTAIN", "own log only", rule="noise")
    assert (error.code, error.rule, str(error)) == ("ABSTAIN", "noise", "own log only")
