"""One stage: head, middle or tail; ONNX Runtime behind gRPC, no torch."""
