"""What the documents tell people to type exists, and what they link to is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from tiersplit_cli.main import build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
APP = typer.main.get_command(build_app())
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def code_of(path: Path) -> str:
    """Everything that stands between backticks, fenced or not."""
    text = path.read_text()
    fenced = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*fenced, *inline])


def calls_of(path: Path) -> list[list[str]]:
    """The words after each `tiersplit` at the start of a command."""
    joined = code_of(path).replace("\\\n", " ")
    starts = r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?tiersplit ([a-z].*)$"
    return [line.split() for line in re.findall(starts, joined, flags=re.MULTILINE)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_a_document_names_exists(path: Path) -> None:
    calls = re.findall(r"^(?:\$ )?make ((?:[a-z-]+ ?)+)", code_of(path), flags=re.MULTILINE)
    assert not {word for call in calls for word in call.split()} - TARGETS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_and_option_that_a_document_names_exists(path: Path) -> None:
    for words in calls_of(path):
        command: Any = APP
        rest = [word for word in words if word not in {"&", "|", "…"}]
        while hasattr(command, "commands") and rest:
            name = rest.pop(0)
            assert name in command.commands, f"{path.name}: tiersplit {' '.join(words)}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        used = {word.split("=")[0] for word in rest if re.match(r"^--?[a-z]", word)}
        assert not used - known, f"{path.name}: tiersplit {' '.join(words)}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert not [link for link in local if not (path.parent / link).exists()]
