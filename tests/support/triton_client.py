"""Runs in a process of its own (tritonclient and our own messages cannot share one): stock client calls, as JSON.

Usage: triton_client.py HOST:PORT MODEL, cases on stdin: [{"inputs": [[name, datatype, shape, values]], …}].
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

DATATYPES = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "UINT8": np.uint8}


def ask(client, model, case):
    inputs = []
    for name, datatype, shape, values in case["inputs"]:
        given = triton.InferInput(name, shape, datatype)
        array = np.array(values, dtype=DATATYPES[datatype])
        given.set_data_from_numpy(array.reshape(shape))
        inputs.append(given)
    outputs = [triton.InferRequestedOutput(name) for name in case.get("outputs", [])] or None
    result = client.infer(
        case.get("model", model),
        inputs,
        outputs=outputs,
        request_id=case.get("id", ""),
        model_version=case.get("version", ""),
        client_timeout=case.get("timeout_s"),
    )
    response = result.get_response()
    parameters = {name: getattr(v, v.WhichOneof("parameter_choice")) for name, v in response.parameters.items()}
    arrays = {out.name: result.as_numpy(out.name).tolist() for out in response.outputs}
    return {"id": response.id, "model": response.model_name, "outputs": arrays, "parameters": parameters}


def typed(client, model, case):
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, datatype, shape, field, values in case["typed"]:
        given = request.inputs.add(name=name, datatype=datatype, shape=shape)
        getattr(given.contents, field).extend(values)
    request.raw_input_contents.extend(bytes(raw) for raw in case.get("raw", []))
    response = client._client_stub.ModelInfer(request)  # the stock stub: typed contents have no method of their own
    return {
        "outputs": {o.name: list(o.shape) for o in response.outputs},
        "raw": [r.hex() for r in response.raw_output_contents],
    }


def main() -> None:
    client = triton.InferenceServerClient(sys.argv[1])
    model = sys.argv[2]
    answers = []
    for case in json.load(sys.stdin):
        try:
            if "call" in case:
                answers.append({"answer": str(getattr(client, case["call"])(*case.get("arguments", [])))})
            else:
                answers.append(typed(client, model, case) if "typed" in case else ask(client, model, case))
        except InferenceServerException as error:
            answers.append({"status": error.status(), "message": error.message()})
        except Exception as error:
            status = error.code() if hasattr(error, "code") else type(error).__name__
            answers.append({"status": str(status), "message": str(error)})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
