"""From a PyTorch or ONNX model to a bundle: the only room with torch."""
