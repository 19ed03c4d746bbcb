import shutil
import subprocess
import sys

import pytest

from tests.test_architecture import commands
from tfrecords_builder import __version__
from tfrecords_builder.cli.console import COMMANDS, PROGRAM


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tfrecords_builder.cli.console import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_command_has_a_name():
    modules = {module.removesuffix(".__main__") for module in commands()}

    assert {module for module, _ in COMMANDS.values()} == modules


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_commands_are_listed(arguments):
    done = call(*arguments)

    assert done.returncode == 0
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert "not a medical device" in done.stdout


def test_the_version():
    assert call("--version").stdout.strip() == __version__


@pytest.mark.parametrize("name", ["build", "verify"])
def test_a_command_does_what_its_module_does(name):
    module = COMMANDS[name][0]
    of_module = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    )

    assert call(name, "--help").stdout == of_module.stdout
    assert call(name, "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("name", "remedy"), [("tran", "did you mean 'train'?"), ("xyz", "lists the commands")]
)
def test_an_unknown_command_takes_one_line(name, remedy):
    done = call(name)

    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{PROGRAM}: there is no command {name!r}: ")
    assert remedy in line


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_commands_and_options(shell):
    done = call("--completion", shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert "chest-xray" in done.stdout
    for word in ("operating-point", "--trial-epochs", "--max-megabytes"):
        assert word in done.stdout


def test_bash_completes():
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    script = call("--completion", "bash").stdout
    ask = "COMP_WORDS=(chest-xray tr); COMP_CWORD=1; _tyro_chest_xray; echo ${COMPREPLY[@]}"

    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)

    assert {"train", "train-lungs"} <= set(done.stdout.split())


@pytest.mark.parametrize("arguments", [(), ("fish",)])
def test_an_unknown_shell_takes_one_line(arguments):
    done = call("--completion", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "bash or zsh" in done.stderr
