"""Copies of the protocol's functions with one check left out, put in place for the time of a control.

An attack that is refused proves little: it may be refused for being clumsy. So each is played a second time against
parties that lack exactly the check in question, and must then succeed. The check is cut out of the function's own
source, by the refusal code that it raises; product code has no switch for it, and a check that is not there to be cut
is an error here.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest import mock

from fedward.common.errors import RunError


@dataclass(frozen=True, slots=True)
class Hole:
    """What is put in place of what, and how a report calls it."""

    name: str
    owner: object
    attribute: str
    replacement: Any


def without(owner: Any, attribute: str, *codes: str) -> Hole:  # noqa: ANN401 - a module or a class
    """A function of ``owner`` without its checks that raise one of ``codes``.

    A check is an ``if`` whose body ends in a ``raise`` and mentions the code.

    Raises:
        RunError: one of them is not there.
    """
    given = owner.__dict__[attribute]
    function = given.__func__ if isinstance(given, staticmethod) else given
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise RunError(f"{attribute} is not a plain function")
    definition.decorator_list = []
    cutter = _Cutter(codes)
    module = ast.Module(body=[cutter.visit(definition)], type_ignores=[])
    missing = set(codes) - cutter.found
    if missing:
        raise RunError(f"{attribute} has no check for {', '.join(sorted(missing))}")
    weakened = _compiled(ast.fix_missing_locations(module), function)
    where = getattr(owner, "__name__", "").rpartition(".")[2]
    replacement = staticmethod(weakened) if isinstance(given, staticmethod) else weakened
    return Hole(f"{where}.{attribute} without {', '.join(codes)}", owner, attribute, replacement)


def instead(owner: Any, attribute: str, replacement: Any, name: str) -> Hole:  # noqa: ANN401
    """Something of one's own, where a check is not an ``if``."""
    owner.__dict__[attribute]  # must be there
    return Hole(name, owner, attribute, replacement)


@contextmanager
def opened(holes: Sequence[Hole]) -> Iterator[None]:
    """All of them, for the time of a ``with`` block."""
    with ExitStack() as stack:
        for hole in holes:
            stack.enter_context(mock.patch.object(hole.owner, hole.attribute, hole.replacement))
        yield


class _Cutter(ast.NodeTransformer):
    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = set(codes)
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        mentioned = _words(node.body) & self._codes
        if not (isinstance(node.body[-1], ast.Raise) and mentioned):
            return node
        self.found |= mentioned
        return node.orelse or ast.Pass()


def _words(body: Sequence[ast.stmt]) -> set[str]:
    """Texts in the statements, and names; ``_bad_encoding(…)`` stands for the code it makes."""
    found: set[str] = set()
    for node in (inner for statement in body for inner in ast.walk(statement)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Name):
            found.add("BAD_ENCODING" if node.id == "_bad_encoding" else node.id)
    return found


def _compiled(module: ast.Module, function: Any) -> FunctionType:  # noqa: ANN401
    flags = __future__.annotations.compiler_flag
    code = compile(module, f"<{function.__name__} with a hole>", "exec", flags=flags, dont_inherit=True)
    inner = next(part for part in code.co_consts if inspect.iscode(part))
    # With the globals of the real one, so that a hole in what it calls is a hole for it too.
    weakened = FunctionType(inner, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    weakened.__kwdefaults__ = function.__kwdefaults__
    return weakened


__all__ = ["Hole", "instead", "opened", "without"]
