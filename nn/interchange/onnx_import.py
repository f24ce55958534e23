"""ONNX to networks: `nn.import_onnx("network.onnx")`.

The graph is walked backwards from its output: each blob is made by a layer that nn.interchange.onnx_operators
knows by one node or several, whose inputs are then looked at in the same way. On the way forward the layers
are made.
"""

from pathlib import Path

import numpy

from nn.errors import NetworkError
from nn.graph import Graph
from nn.interchange.onnx_file import OnnxFile
from nn.interchange.onnx_operators import Read, found_at
from nn.interchange.onnx_patterns import Match
from nn.interchange.onnx_reading import Call, Form, Reading, Value, data_blobs
from tensor import Device
from tensor.errors import MeshError

_UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)  # of arrays of a wrong shape


def import_onnx(path: str | Path, device: str | Device | None = None) -> Graph:
    """The network of an ONNX file, with its weights, on `device`.

    It takes and gives images as [N, H, W, C], as all networks here, where those of the file are [N, C, H, W].
    The layers are named as the file's weights, else its nodes. Known are the operators of our own layers, as
    `nn.export_onnx` and PyTorch's exporters write them. Needs the package onnx (the extra `onnx`). Raises
    `SaveError` (exit code 5) for a file that is missing or damaged, and `NetworkError`, which names the node,
    for one that says what our layers cannot.
    """
    reading = Reading(OnnxFile(Path(path)))
    _read_all(reading)
    return _network(reading, device)


def _read_all(reading: Reading) -> None:
    """Give every blob that the output needs its value."""
    file, calls = reading.file, dict[str, tuple[Read, Match]]()
    needed = [file.output]  # a stack of its own: graphs are deeper than Python's
    while needed:
        blob = needed[-1]
        if blob in reading.values:
            needed.pop()
            continue
        is_new = blob not in calls
        if is_new:
            calls[blob] = found_at(blob, file)
        read, found = calls[blob]
        missing = [each for each in data_blobs(file, found) if each not in reading.values]
        if missing and not is_new:
            raise NetworkError(f"{file.path}: the blob {blob!r} is computed from itself.")
        needed += missing
        if not missing:
            reading.values[blob] = _value(read, Call(reading, blob, found))


def _value(read: Read, call: Call) -> Value:
    try:
        return read(call)
    except _UNFIT as error:
        raise error if isinstance(error, MeshError) else call.error(str(error)) from error


def _network(reading: Reading, device: str | Device | None) -> Graph:
    file, value = reading.file, reading.values[reading.file.output]
    call = Call(reading, file.output, Match({"0": file.output}))
    if value.form is Form.POOLED:
        value = call.image()
    elif value.form is Form.FLAT:
        value = call.plain()
    network = Graph(reading.nodes, file.input, value.blob).initialize(device)
    arrays = network.parameters() | network.buffers()
    for name, array in reading.weights.items():
        if arrays[name].shape != array.shape:
            raise NetworkError(
                f"{file.path}: {name!r} is {list(array.shape)}; expected {list(arrays[name].shape)}."
            )
        arrays[name][...] = array.astype(numpy.float32)
    return network
