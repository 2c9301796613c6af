"""Small ONNX graphs of other frameworks, and the scripts that made them."""
