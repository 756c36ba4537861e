"""`python -m tiersplit_wire.ask HOST:PORT MODEL`: one request to a head, made up from the model's own metadata.

Prints the answer as JSON. Exit code 0 for an answer, 1 where none came in time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tiersplit_core.errors import OperationError, RequestError, TiersplitError
from tiersplit_wire.client import InferenceClient, Reply
from tiersplit_wire.connection import trusting
from tiersplit_wire.datatypes import zeros

PAUSE_S = 1.0
TRY_S = 10.0


def ask(client: InferenceClient, model: str, timeout_s: float = TRY_S) -> Reply:
    """Answer of the model to one row of zeros.

    Raises:
        TiersplitError: it could not be answered.
    """
    found = client.metadata(model, timeout_s)
    inputs = {tensor.name: zeros(tensor.datatype, _one_row(tensor.shape)) for tensor in found.inputs}
    return client.infer(model, inputs, timeout_s=timeout_s)


def ask_until(
    client: InferenceClient,
    model: str,
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Reply:
    """The same, asked again until it is answered.

    Raises:
        RequestError: the model refuses the request; asking again would not help.
        OperationError: no answer came within `wait_s` seconds.
    """
    ends = clock() + wait_s
    while True:
        try:
            return ask(client, model)
        except RequestError:
            raise
        except TiersplitError as error:
            if clock() + PAUSE_S > ends:
                raise OperationError(f"{model} did not answer within {wait_s:g} s; the last try: {error}") from error
        sleep(PAUSE_S)


def _one_row(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape without open sizes."""
    return tuple(max(1, size) for size in shape)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask; the exit code."""
    parser = argparse.ArgumentParser(prog="tiersplit_wire.ask", description=__doc__)
    parser.add_argument("address", metavar="HOST:PORT", help="of the head")
    parser.add_argument("model", help="the SplitDeployment's name")
    parser.add_argument("--wait-s", type=float, default=TRY_S, help="how long an answer is waited for")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="certificates that the head is trusted by; else plaintext"
    )
    options = parser.parse_args(arguments)
    try:
        credentials = trusting(options.ca.read_bytes()) if options.ca else None
        with InferenceClient(options.address, credentials) as client:
            reply = ask_until(client, options.model, options.wait_s)
    except (TiersplitError, OSError) as error:
        sys.stderr.write(f"ask: {error}\n")
        return 1
    outputs = {name: list(array.shape) for name, array in reply.outputs.items()}
    sys.stdout.write(json.dumps({"model": options.model, "outputs": outputs, **reply.parameters}, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
