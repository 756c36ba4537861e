"""From a PyTorch or ONNX model to a bundle; the only room with torch, which ONNX files do not need."""
