"""`tiersplit materialise`: cut the segments of a surface and put them into the bundle."""

from pathlib import Path
from typing import Annotated

import typer

from tiersplit_cli.files import read_json
from tiersplit_cli.output import Format, OutputOption, emit, working


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("materialise")(materialise)


def materialise(
    bundle: Annotated[Path, typer.Option("--bundle", "-b", help="The bundle that the segments are added to.")],
    surface: Annotated[Path, typer.Option("--surface", help="The surface as JSON.")],
    output: OutputOption = Format.TABLE,
) -> None:
    """Cut the segments of all plans of a surface; those that the bundle holds already stay."""
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415 - --help needs none of this
    from tiersplit_core.planning.segments import segments_of  # noqa: PLC0415
    from tiersplit_core.planning.surface_json import surface_from_json  # noqa: PLC0415
    from tiersplit_import import segments as cutting  # noqa: PLC0415

    plans = surface_from_json(read_json(surface)).plans
    wanted = segments_of(Bundle.open(bundle).graph, plans)
    with working(f"cutting {len(wanted)} segments"):
        made = cutting.materialise(bundle, wanted)
    value = {"bundle": str(bundle), "digest": made.digest, "segments": [spec.id for spec in wanted]}
    emit(value, output, lambda: f"{len(wanted)} segments in {bundle} ({made.digest})")
