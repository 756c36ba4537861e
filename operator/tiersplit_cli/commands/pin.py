"""`tiersplit pin`: let one plan serve, whatever the policy thinks."""

from typing import Annotated

import typer

from tiersplit_cli.output import Format, OutputOption, emit
from tiersplit_core.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pin")(pin)


def pin(
    digest: Annotated[str | None, typer.Argument(help="The plan's digest, or its first digits.")] = None,
    clear: Annotated[bool, typer.Option("--clear", "--release", help="Let the policy choose again.")] = False,
    name: Annotated[str | None, typer.Option(help="The deployment; not needed where one runs.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Pin a plan of a running deployment, or release it."""
    from tiersplit_local.control import ask  # noqa: PLC0415 - --help needs none of this

    if (digest is None) != clear:
        raise InputError("write a plan's digest, or --clear", "DIGEST")
    value = ask(name, {"pin": digest})
    emit(value, output, lambda: f"pinned: {value['pinned'] or 'none'}")
