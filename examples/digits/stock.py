"""Triton's stock gRPC client, unchanged: any client of the Open Inference Protocol can talk to a head."""

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from examples.digits.camera import Reply

DEADLINE_S = 10.0


class StockClient:
    """Sends pictures to one model of one head; close it when done."""

    def __init__(self, head: str, model: str) -> None:
        self._client = InferenceServerClient(head)
        self._model = model

    async def ask(self, request_id: str, picture: NDArray[np.uint8]) -> Reply:
        """The head's answer to one picture of 3×96×96 bytes."""
        tensor = InferInput("pixels", [1, *picture.shape], "UINT8")
        tensor.set_data_from_numpy(picture[None])
        result = await self._client.infer(self._model, [tensor], request_id=request_id, client_timeout=DEADLINE_S)
        response = result.get_response()
        logits = result.as_numpy(response.outputs[0].name)[0]
        return Reply(response.id, logits, response.parameters["plan"].string_param)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()
