"""The wheel holds every file of the rooms: a new data suffix or a missing ``__init__.py`` shows here."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOMS = ("client", "common", "server", "simulations")
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
NOT_SHIPPED = {"__pycache__"}


def files_of_the_rooms(repository: Path) -> set[str]:
    found = {f"fedward/{path.name}" for path in (repository / "fedward").iterdir() if path.is_file()}
    for room in ROOMS:
        for path in (repository / room).rglob("*"):
            if path.is_file() and not NOT_SHIPPED & set(path.parts):
                found.add(f"fedward/{path.relative_to(repository).as_posix()}")
    return found


def build(repository: Path, work: Path) -> Path:
    """A wheel from a copy of the sources, so that nothing is left in the tree."""
    tree = work / "tree"
    tree.mkdir()
    for name in SOURCES:
        shutil.copy(repository / name, tree / name)
    for name in (*ROOMS, "fedward"):
        shutil.copytree(repository / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(work), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = work.glob("*.whl")
    return wheel


@pytest.mark.slow
@pytest.mark.skipif(find_spec("setuptools") is None, reason="setuptools is not installed here")
@pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed here")
def test_wheel_holds_every_file_of_the_rooms_and_runs(repository: Path, tmp_path: Path) -> None:
    wheel = build(repository, tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
        assert inside == files_of_the_rooms(repository)
        archive.extractall(tmp_path / "installed")
    code = "import fedward.cli, fedward.client.site, fedward.server.rounds; print(fedward.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "installed", capture_output=True, text=True, timeout=60, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "installed")


def test_every_folder_with_code_is_a_package(repository: Path) -> None:
    folders = {path.parent for room in ROOMS for path in (repository / room).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_only_links_lead_from_the_package_to_the_rooms(repository: Path) -> None:
    links = {path.name: path.readlink() for path in (repository / "fedward").iterdir() if path.is_symlink()}
    assert links == {room: Path("..") / room for room in ROOMS}
