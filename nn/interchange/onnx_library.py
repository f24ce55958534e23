"""The package onnx, which is not needed for anything else."""

from typing import Any

from nn.errors import NetworkError


def onnx_library() -> Any:
    """The module `onnx`. Raises `NetworkError` where it is not installed."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise NetworkError(
            f"ONNX files need the package onnx ({error}). Install it: pip install onnx"
        ) from error
    return onnx
