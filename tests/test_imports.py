"""Import rules: every ``import`` statement of every room, the lazy ones inside functions too."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ROOMS = ("common", "client", "server", "simulations")
MAY_SEE = {
    "common": {"common"},
    "client": {"client", "common"},
    "server": {"server", "common"},
    "simulations": {"simulations", "client", "server", "common"},
}
FLOWER_HOMES = ("client/relay.py", "server/app.py", "simulations/")
MACHINE_LEARNING = {"torch", "transformers", "opacus", "peft", "datasets"}
LIGHT = (
    "client/ledger_files.py",
    "client/policy.py",
    "client/policy_check.py",
    "client/sealed_files.py",
    "client/site_folder.py",
    "client/relay.py",
    "common/_keystream.py",
    "common/_validate.py",
    "common/agreement.py",
    "common/atomic.py",
    "common/config.py",
    "common/envelope/",
    "common/errors.py",
    "common/identity.py",
    "common/ledger/",
    "common/logs/",
    "common/lora/",
    "common/messages/",
    "common/privacy/",
    "common/secagg/",
    "common/vault/",
    "server/",
)
"""Files that must start without a machine-learning library."""


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"

    @property
    def room(self) -> str:
        """The room it is imported by."""
        return self.file.split("/", 1)[0]

    @property
    def top(self) -> str:
        """The imported package."""
        return self.module.split(".", 1)[0]


def imports_of(source: str, file: str) -> Iterator[Import]:
    tree = ast.parse(source)
    guarded = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        lazy = id(node) in guarded
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            # `from fedward import client` imports fedward.client
            yield from (Import(file, node.lineno, f"{base}.{alias.name}", lazy) for alias in node.names)


def all_imports() -> list[Import]:
    files = [path for room in ROOMS for path in sorted((REPOSITORY / room).rglob("*.py"))]
    assert len(files) > 20
    return [
        found
        for path in files
        for found in imports_of(path.read_text("utf-8"), path.relative_to(REPOSITORY).as_posix())
    ]


IMPORTS = all_imports()


def complaints(wrong: Iterator[Import]) -> list[str]:
    return [str(found) for found in wrong]


def breaks_rooms(found: Import) -> bool:
    parts = found.module.split(".")
    return parts[0] == "fedward" and len(parts) > 1 and parts[1] not in MAY_SEE[found.room] | {"__version__"}


def breaks_flower(found: Import) -> bool:
    return found.top in {"flwr", "ray"} and not found.file.startswith(FLOWER_HOMES)


def test_no_room_imports_one_that_it_may_not_see() -> None:
    assert complaints(found for found in IMPORTS if breaks_rooms(found)) == []


def test_rooms_are_imported_by_their_full_names() -> None:
    assert complaints(found for found in IMPORTS if found.top in ROOMS or found.module.startswith(".")) == []


def test_flower_is_imported_in_its_three_places_alone() -> None:
    assert complaints(found for found in IMPORTS if breaks_flower(found)) == []


def test_light_files_load_no_machine_learning_library() -> None:
    heavy = (found for found in IMPORTS if found.top in MACHINE_LEARNING and found.file.startswith(LIGHT))
    assert complaints(found for found in heavy if not found.lazy) == []


def test_tests_are_imported_by_no_room() -> None:
    assert complaints(found for found in IMPORTS if found.top == "tests") == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("common/x.py", "import fedward.client.site"),
        ("common/x.py", "from fedward import server"),
        ("common/x.py", "from fedward.simulations.driver import run"),
        ("client/x.py", "def late():\n    from fedward.server.rounds import RoundLoop"),
        ("server/x.py", "if TYPE_CHECKING:\n    import fedward.client.site as site"),
        ("server/x.py", "from fedward.cli import main"),
    ],
)
def test_rule_of_the_rooms_sees_every_kind_of_import(file: str, source: str) -> None:
    assert any(breaks_rooms(found) for found in imports_of(source, file))


@pytest.mark.parametrize(
    "source", ["import flwr", "from flwr.app import Array", "def late():\n    import flwr.app as x"]
)
def test_rule_of_flower_sees_every_kind_of_import(source: str) -> None:
    assert any(breaks_flower(found) for found in imports_of(source, "client/site.py"))
    assert not any(breaks_flower(found) for found in imports_of(source, "client/relay.py"))
