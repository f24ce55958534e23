"""Networks to ONNX: `nn.export_onnx(network, "network.onnx", (224, 224, 3))`."""

from collections.abc import Sequence
from pathlib import Path

import tensor
from nn.errors import DefinitionError, NetworkError, SaveError
from nn.interchange.onnx_layers import WRITERS
from nn.interchange.onnx_library import onnx_library
from nn.interchange.onnx_writer import Writer
from nn.interchange.traced import INPUT, traced
from nn.layer import Layer
from nn.saving import write_whole

_LARGEST = (1 << 31) - (1 << 20)  # bytes of parameters; a file of protobuf holds less than 2 GiB


def export_onnx(network: Layer, path: str | Path, input_shape: Sequence[int]) -> None:
    """Write what `network` computes in evaluation to `path`, for inputs of `input_shape` (without the batch)
    here.

    Images go in and come out as [N, C, H, W], as other programs expect them, with any N; where the first
    layer is an Embedding the input is int64. The opset is 20; layers keep their names, and parameters theirs.
    Needs the package onnx (the extra `onnx`). Raises `NetworkError`, which names a layer that cannot be
    written, `SaveError`, and what the network raises at a wrong shape.
    """
    onnx = onnx_library()
    if network.state.dtype != tensor.float32:
        raise NetworkError(
            f"ONNX files are written in float32, and this network is in {network.state.dtype}: write its "
            "weights with nn.save_weights, read them with nn.load_weights into one in float32, and export it."
        )
    if 4 * network.state.size > _LARGEST:
        raise NetworkError(
            f"ONNX files hold 2 GiB at most; this network has {4 * network.state.size:,} bytes."
        )
    try:
        found = traced(network, input_shape, lambda layer: type(layer) in WRITERS, _remedy())
    except DefinitionError as error:
        raise NetworkError(f"The network cannot be written as ONNX: {error}") from error
    writer, blobs = Writer(), {INPUT: "input"}
    for node in found.nodes:
        writer.name = node.name
        inputs, shapes = [blobs[each] for each in node.inputs], [found.shapes[each] for each in node.inputs]
        blobs[node.output] = WRITERS[type(node.layer)](writer, node.layer, inputs, shapes)
    taken = ("input", found.shapes[INPUT], found.takes_integers)
    model = writer.model(taken, (blobs[found.output], found.shapes[found.output]))
    try:
        onnx.checker.check_model(model, full_check=True)
        write_whole(Path(path), model.SerializeToString())
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise SaveError(f"{path} was not written: the graph would not be sound ONNX: {error}") from error


def _remedy() -> str:
    known = ", ".join(sorted(each.__name__ for each in WRITERS))
    return f"ONNX has no form of here, and no layers within that have. Known are: {known}"
