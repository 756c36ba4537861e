"""`tiersplit infer`: send one request to a head and print the answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiersplit_cli.output import Format, OutputOption, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tiersplit_wire.client import InferenceClient, Reply

_SHOWN = 8


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @app.command()
    def infer(
        head: Annotated[str, typer.Option(help="HOST:PORT that `tiersplit run` printed.")],
        input_file: Annotated[
            Path, typer.Option("--input", help="An .npy of the one input, or an .npz by input name.")
        ],
        model: Annotated[str, typer.Option(help="The model's name; asked from the head when left out.")] = "",
        timeout_s: Annotated[float, typer.Option(min=0.001, help="Deadline in seconds.")] = 60.0,
        save: Annotated[Path | None, typer.Option(help="Write the outputs to this .npz.")] = None,
        output: OutputOption = Format.TABLE,
    ) -> None:
        """Send one request to a head and print the answer."""
        from tiersplit_wire.client import InferenceClient  # noqa: PLC0415 - other commands start without gRPC

        with InferenceClient(head) as client:
            name = model or client.server_name(min(timeout_s, 10.0))
            reply = client.infer(name, read_arrays(input_file, client, name), timeout_s=timeout_s)
        if save is not None:
            _save(save, reply.outputs)
        emit(as_json(name, reply), output, lambda: _table(reply))


def read_arrays(path: Path, client: "InferenceClient", model: str) -> "dict[str, NDArray[Any]]":
    """The arrays of an .npz by name, or the one array of an .npy under the model's only input's name.

    Raises:
        InputError: the file cannot be read, or an .npy is given for a model with several inputs.
    """
    import numpy as np  # noqa: PLC0415

    from tiersplit_core.errors import InputError  # noqa: PLC0415

    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"is no .npy or .npz file: {error}", str(path)) from error
    if not isinstance(found, np.ndarray):
        return {name: found[name] for name in found.files}
    names = [tensor.name for tensor in client.metadata(model).inputs]
    if len(names) != 1:
        raise InputError(f"the model has the inputs {', '.join(names)}; write an .npz with these names", str(path))
    return {names[0]: found}


def as_json(model: str, reply: "Reply") -> dict[str, Any]:
    """An answer as plain values."""
    outputs = {
        name: {"datatype": str(array.dtype), "shape": list(array.shape), "data": _plain(array)}
        for name, array in reply.outputs.items()
    }
    return {"model": model, "outputs": outputs, "parameters": dict(reply.parameters)}


def _plain(array: "NDArray[Any]") -> list[Any]:
    return [item.decode(errors="replace") if isinstance(item, bytes) else item for item in array.reshape(-1).tolist()]


def _table(reply: "Reply") -> object:
    from rich.table import Table  # noqa: PLC0415

    table = Table("output", "datatype", "shape", "first values")
    for name, array in reply.outputs.items():
        first = ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in _plain(array)[:_SHOWN])
        table.add_row(name, str(array.dtype), str(list(array.shape)), first)
    for name, value in sorted(reply.parameters.items()):
        table.add_row(f"[dim]{name}[/dim]", "", "", str(value))
    return table


def _save(path: Path, outputs: "Mapping[str, NDArray[Any]]") -> None:
    import os  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        np.savez(file, **dict(outputs))  # type: ignore[arg-type]  # names, not options
    partial.replace(path)
