"""`tiersplit link set`: reshape an emulated link of a running deployment."""

from typing import Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit
from tiersplit_core.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""
    links = typer.Typer(help="Emulated links of a running deployment.", no_args_is_help=True)
    links.command("set")(set_link)
    app.add_typer(links, name="link")


def set_link(
    link: Annotated[str, typer.Argument(help="edge:mdc; edge:cloud sets all links in between.")],
    bandwidth: Annotated[str | None, typer.Option(help="Bits per second, as in 3M; 0 is down; or `unlimited`.")] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, max=60000, help="Propagation latency one way.")] = None,
    name: Annotated[str | None, typer.Option(help="The deployment; not needed where one runs.")] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Set bandwidth and latency of a link, or of each link between two tiers."""
    from tiersplit_local.control import ask  # noqa: PLC0415 - --help needs none of this
    from tiersplit_local.status import link_text  # noqa: PLC0415

    source, _, target = link.partition(":")
    if not source or not target:
        raise InputError(f"{link!r} names no link; write it as in edge:cloud", "LINK")
    if bandwidth is None and latency_ms is None:
        raise InputError("write --bandwidth, --latency-ms or both", "link")
    wanted: dict[str, Any] = {"from": source, "to": target, "bandwidth": bandwidth}
    wanted["latency_s"] = None if latency_ms is None else latency_ms / 1000
    value = ask(name, {"link": wanted})
    emit(value, output, lambda: "\n".join(link_text(item) for item in value["links"]))
