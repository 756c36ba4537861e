"""Commands that are imported when they are called, and values that Typer need not convert."""

import json
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tests.support.patience import START_S
from tiersplit_cli.main import build_app
from tiersplit_cli.output import Format
from tiersplit_cli.plain_values import plain_value, take_plain_values

NAMES = """
import json, sys
import typer
from tiersplit_cli.main import build_app
group = typer.main.get_command(build_app())
for name in sys.argv[1:]:
    group.get_command(typer.Context(group), name)
names = group.list_commands(typer.Context(group))
loaded = [module.split(".")[2] for module in sys.modules if module.startswith("tiersplit_cli.commands.")]
print(json.dumps({"names": names, "loaded": loaded}))
"""


def asked_for(*names: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", NAMES, *names], capture_output=True, text=True, timeout=START_S, check=True
    )
    return json.loads(done.stdout)


def test_names_alone_load_no_command() -> None:
    found = asked_for()
    assert found["names"] == sorted(found["names"])
    assert {"plan", "import", "link"} <= set(found["names"])
    assert not found["loaded"]


def test_asking_for_a_command_loads_its_module_alone() -> None:
    assert asked_for("plan")["loaded"] == ["plan"]


def test_a_name_that_is_no_command_loads_none_and_the_nearest_ones_are_named() -> None:
    assert not asked_for("plna")["loaded"]
    result = CliRunner().invoke(build_app(), ["plna"])
    assert result.exit_code == 2
    assert "'plan'" in result.stderr


def test_help_of_a_command_is_shown_and_the_command_is_not_run() -> None:
    result = CliRunner().invoke(build_app(), ["plan", "--help"])
    assert result.exit_code == 0
    assert "Plan where to divide a network." in result.stdout


class Number(Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("auto", str, "auto"),
        ("", str, ""),
        ("a/b.json", Path, Path("a/b.json")),
        (Path("a"), Path, Path("a")),
        ("json", Format, Format.JSON),
        (Format.YAML, Format, Format.YAML),
        (("1M", "2M"), list[str], ["1M", "2M"]),
        (("a", "b"), list[Path], [Path("a"), Path("b")]),
        (7.5, float, 7.5),
        (False, bool, False),
    ],
)
def test_a_plain_value_is_taken_as_it_is(value: object, annotation: object, expected: object) -> None:
    assert plain_value(value, annotation) == expected
    assert type(plain_value(value, annotation)) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [("3", int), ("0.5", float), ("xml", Format), ("JSON", Format), ("1", Number), (("1", "x"), list[int])],
)
def test_what_needs_a_check_is_left_to_typer(value: object, annotation: object) -> None:
    assert plain_value(value, annotation) is None


def command(
    first: str,
    path: Path = Path("default"),
    several: list[str] | None = None,
    count: Annotated[int, typer.Option(min=1)] = 1,
    flag: bool = False,
    output: Format = Format.TABLE,
) -> None:
    typer.echo(repr((first, path, several, count, flag, output)))


def outcome(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], *, plain: bool) -> tuple[object, str, str]:
    """The exit code and everything that `command` prints."""
    app = typer.Typer()
    app.command()(command)
    made = typer.main.get_command(app)
    if plain:
        take_plain_values(made)
    with pytest.raises(SystemExit) as ended:
        made(list(arguments), prog_name="command")
    return (ended.value.code, *capsys.readouterr())


@pytest.mark.parametrize(
    "arguments",
    [
        ("x",),
        (),
        ("x", "--path", "p", "--several", "a", "--several", "b", "--count", "3", "--flag", "--output", "yaml"),
        ("x", "--count", "0"),
        ("x", "--count", "many"),
        ("x", "--output", "xml"),
        ("x", "--no-flag", "--path", ""),
        ("x", "y"),
        ("--help",),
    ],
)
def test_a_command_gets_and_says_the_same_as_with_typer_alone(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert outcome(capsys, arguments, plain=True) == outcome(capsys, arguments, plain=False)
