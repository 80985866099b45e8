"""Generated files in the repository are what their sources give."""

import subprocess
import sys
from pathlib import Path

import pytest

MESSAGES = Path("common/messages")
SCHEMAS = ("fedward", "site_daemon")


@pytest.mark.parametrize("name", [f"{schema}_pb2.{end}" for schema in SCHEMAS for end in ("py", "pyi")])
def test_message_classes_are_those_of_the_schema(repository: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is in the extra dev")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", *(f"{schema}.proto" for schema in SCHEMAS)]
    done = subprocess.run(command, cwd=repository / MESSAGES, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (repository / MESSAGES / name).read_bytes() == (tmp_path / name).read_bytes()
