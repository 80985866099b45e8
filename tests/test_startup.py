import json
import subprocess
import sys

import pytest

from fedward import __version__, cli
from fedward.common.errors import FedwardError

LEARNING = ("torch", "flwr", "ray", "transformers", "opacus", "peft", "datasets", "dp_accounting", "scipy", "pyarrow")
HEAVY = (*LEARNING, "re2", "spacy", "onnxruntime")
LATER = ("server", "evaluate", "release", "serve", "monitor")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedward", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["fedward.cli", "fedward.client.policy", "fedward.client.site", "fedward.server.rounds"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module) & set(HEAVY) == set()


def test_relay_loads_no_machine_learning_library() -> None:
    assert loaded_by("fedward.client.relay") & (set(HEAVY) - {"flwr", "ray"}) == set()


def test_relay_loads_nothing_of_ours_but_limits_errors_the_logger_and_the_form_of_parts() -> None:
    allowed = {"errors", "messages", "messages.parts", "messages.site_daemon_pb2", "messages.wire"}
    allowed |= {"logs", "logs.events", "logs.fields", "logs.logger", "logs.origin"}
    ours = {
        name.removeprefix("fedward.common.")
        for name in loaded_by("fedward.client.relay.resident")
        if "fedward.common." in name
    }
    assert ours == allowed


def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(
        command in done.stdout for command in ("demo", "simulate", "scrub", "desensitize", "bench", "attack", *LATER)
    )


def test_version_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"fedward {__version__}\n")


def test_command_of_a_later_version_ends_with_a_hint_and_no_traceback() -> None:
    done = run("evaluate", "--anything", "else")
    assert done.returncode == 2
    assert "not in this version" in done.stderr
    assert "Hint:" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fedward", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("command", LATER)
def test_every_later_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(monkeypatch, command) == 2
    said = capsys.readouterr()
    assert f"`fedward {command}` is not in this version" in said.err
    assert said.out == ""


def test_table_of_later_commands_is_complete() -> None:
    assert set(cli._LATER) == set(LATER)


def test_error_as_json_is_the_last_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, "scrub", "--json") == 2
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(document) == {"error", "hint", "exit_code"}
    assert document["exit_code"] == 2


@pytest.mark.parametrize("words", [["--verbose", "evaluate"], ["evaluate", "--verbose"]])
def test_verbose_shows_the_error_itself(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fedward", *words])
    with pytest.raises(FedwardError, match="not in this version"):
        cli.main()


@pytest.mark.parametrize("words", [["nonsense"], ["demo", "--nonsense"], ["--nonsense"]])
def test_unknown_word_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    assert main(monkeypatch, *words) == 2


def test_no_word_shows_the_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main(monkeypatch)
    said = capsys.readouterr()
    assert "simulate" in said.out + said.err
