"""Running a student: one protocol over PyTorch, ExecuTorch, ONNX Runtime and Core ML."""
