"""Networks and weights in the files of other programs."""

from nn.interchange.onnx_export import export_onnx
from nn.interchange.onnx_import import import_onnx
from nn.interchange.weights import load_weights, save_weights

__all__ = ["export_onnx", "import_onnx", "load_weights", "save_weights"]
