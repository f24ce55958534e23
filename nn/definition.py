"""Networks as data: the JSON form of the 2016 system (mil-tokyo/sukiyaki2, example/mnist/lenet.json).

A list of {"name", "type", "inputs", "outputs", "params", "phase"}: each layer takes the blobs that it names
as inputs and makes those that it names as outputs. A definition that the 2016 system trained loads unchanged,
as far as its layers exist here and follow one another; layers that read data (`blob_data`,
`data_augmentation`) are passed over, since a job names its data separately. Layers of one's own are added
with `nn.register("type_name")`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nn.errors import DefinitionError, NetworkError
from nn.layer import Layer
from nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential

Definition = list[dict[str, Any]]
Params = dict[str, Any]
LayerType = TypeVar("LayerType", bound=type[Layer])

_DATA_TYPES = ("blob_data", "data_augmentation")
_JUDGING_TYPES = ("softmax_cross_entropy", "accuracy")


@dataclass(frozen=True)
class _Form:
    """How a layer of one type is read from "params", and written to them."""

    type_name: str
    read: Callable[..., Layer]
    write: Callable[[Any], Params]


_by_type: dict[str, _Form] = {}
_by_class: dict[type[Layer], _Form] = {}


def register(type_name: str) -> Callable[[LayerType], LayerType]:
    """Make the decorated `Layer` class known as `type_name`; "params" go to its constructor."""

    def remember(layer_class: LayerType) -> LayerType:
        present = _by_type.get(type_name)
        if present is not None and present.read.__qualname__ != layer_class.__qualname__:
            raise DefinitionError(
                f"The layer type {type_name!r} is taken already; register {layer_class.__name__} as another."
            )
        _add(layer_class, _Form(type_name, layer_class, lambda layer: dict(layer.arguments)))
        return layer_class

    return remember


def _add(layer_class: type[Layer], form: _Form) -> None:
    _by_class[layer_class] = form
    _by_type.setdefault(form.type_name, form)
    if form.read is layer_class:
        _by_type[form.type_name] = form


# Writing


def to_definition(network: Layer) -> Definition:
    """The definition of a `Sequential` network of known layers, with its loss and its accuracy at the end.

    Raises `DefinitionError`, which names the layer that cannot be written.
    """
    if not isinstance(network, Sequential):
        raise DefinitionError(f"Only a Sequential network has a definition; {network.title} is none.")
    definition: Definition = []
    blob = "data"
    for name, layer in network.children.items():
        type_name, params = _written(name, layer)
        definition.append(_entry(name, type_name, [blob], params))
        blob = name
    definition.append(_entry("loss", "softmax_cross_entropy", [blob, "label"], {}))
    definition.append({**_entry("accuracy", "accuracy", [blob, "label"], {}), "phase": ["test"]})
    return definition


def _entry(name: str, type_name: str, inputs: list[str], params: Params) -> dict[str, Any]:
    return {"name": name, "type": type_name, "inputs": inputs, "outputs": [name], "params": params}


def _written(name: str, layer: Layer) -> tuple[str, Params]:
    form = _by_class.get(type(layer))
    if form is None:
        raise DefinitionError(
            f"Layer {name!r} is a {type(layer).__name__}, which definitions do not know: "
            f'put @nn.register("…") above the class.'
        )
    try:
        params: Params = json.loads(json.dumps(form.write(layer)))
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"Layer {name!r} cannot be written as JSON: {error}.") from error
    return form.type_name, params


# Reading


def load_definition(source: Sequence[dict[str, Any]] | str | Path) -> Sequential:
    """The network of a definition, given as a list or as the path of a JSON file; not yet initialized.

    Raises `DefinitionError`, which names the layer that cannot be made.
    """
    entries = _parsed(Path(source)) if isinstance(source, (str, Path)) else source
    if not isinstance(entries, Sequence) or not all(isinstance(entry, dict) for entry in entries):
        raise DefinitionError(f"A definition is a list of objects, got {type(entries).__name__}.")
    layers: dict[str, Layer] = {}
    blob: str | None = None
    for position, entry in enumerate(entries):
        name, type_name = _field(entry, "name", position), _field(entry, "type", position)
        if type_name in _DATA_TYPES:
            continue
        if name in layers:
            raise DefinitionError(f"There are two layers named {name!r}; give each a name of its own.")
        _check_chain(name, entry, blob, judging=type_name in _JUDGING_TYPES)
        if type_name not in _JUDGING_TYPES:
            layers[name] = _made(name, type_name, entry.get("params", {}))
            blob = entry["outputs"][0]
    if not layers:
        raise DefinitionError("The definition has no layer that computes anything.")
    return Sequential(**layers)


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(
            f"{path} cannot be read: {error.strerror or error}. Check the path and its rights."
        ) from error
    except ValueError as error:
        raise DefinitionError(f"{path} is not JSON: {error}.") from error


def _field(entry: dict[str, Any], key: str, position: int) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DefinitionError(
            f"Entry {position} of the definition ({entry.get('name', 'nameless')}) has no {key!r}."
        )
    return value


def _check_chain(name: str, entry: dict[str, Any], blob: str | None, judging: bool) -> None:
    """A layer takes what the one before it made, and makes one blob; a loss also takes labels."""
    inputs, outputs = entry.get("inputs"), entry.get("outputs")
    count = 2 if judging else 1
    if not isinstance(inputs, list) or len(inputs) != count or (blob is not None and inputs[0] != blob):
        raise DefinitionError(
            f"Layer {name!r} takes {inputs}; expected {count} input(s), the first of them "
            f"{blob or 'the data'!r}: networks that branch are not supported."
        )
    if not isinstance(outputs, list) or len(outputs) != 1:
        raise DefinitionError(f"Layer {name!r} makes {outputs}; expected one output.")
    if "phase" in entry and not judging:
        raise DefinitionError(
            f"Layer {name!r} is for the phase {entry['phase']} only; a layer must be in both."
        )


def _made(name: str, type_name: str, params: Params) -> Layer:
    form = _by_type.get(type_name)
    if form is None:
        raise DefinitionError(
            f"Layer {name!r} is of the unknown type {type_name!r}. Known are: {', '.join(sorted(_by_type))}. "
            "A type of your own is made known by --use and the file that registers it."
        )
    try:
        return form.read(**params)
    except (TypeError, ValueError, NetworkError) as error:
        raise DefinitionError(
            f"Layer {name!r} of type {type_name!r} cannot be made: {str(error).rstrip('.')}."
        ) from error


# The types of the 2016 system; "flatten" and "ceil_mode" are ours


def _convolution_2d(
    in_size: int, out_size: int, ksize: Any, stride: Any = 1, pad: Any = 0, bias: bool = True
) -> Conv2d:
    return Conv2d(in_size, out_size, ksize, stride, pad, bias)


def _convolution_2d_params(layer: Conv2d) -> Params:
    return {
        "in_size": layer.in_channels,
        "out_size": layer.out_channels,
        "ksize": layer.kernel_size,
        "stride": layer.stride,
        "pad": layer.padding,
        "bias": layer.has_bias,
    }


_POOLS: dict[str, tuple[type[MaxPool2d | AvgPool2d], bool]] = {
    "max": (MaxPool2d, True),  # with the ceil_mode of 2016
    "average": (AvgPool2d, False),
}


def _pooling_2d(
    type: str, ksize: Any, stride: Any = None, pad: Any = 0, ceil_mode: bool | None = None
) -> Layer:
    if type not in _POOLS:
        raise ValueError(f"its pooling is {type!r}, expected {' or '.join(_POOLS)}")
    pool, usual = _POOLS[type]
    return pool(ksize, stride, pad, usual if ceil_mode is None else ceil_mode)


def _pooling_2d_params(layer: MaxPool2d | AvgPool2d) -> Params:
    kind = next(kind for kind, (pool, _) in _POOLS.items() if isinstance(layer, pool))
    params: Params = {"type": kind, "ksize": layer.size, "stride": layer.stride, "pad": layer.padding}
    return params if layer.ceil_mode == _POOLS[kind][1] else {**params, "ceil_mode": layer.ceil_mode}


def _linear(out_size: int, in_size: Any = None, in_shape: Any = None, bias: bool = True) -> Linear:
    if (in_size is None) == (in_shape is None):
        raise ValueError("expected either in_size or in_shape")
    return Linear(in_size if in_shape is None else in_shape, out_size, bias)


def _linear_params(layer: Linear) -> Params:
    return {"in_shape": layer.in_shape, "out_size": layer.out_features, "bias": layer.has_bias}


_add(Conv2d, _Form("convolution_2d", _convolution_2d, _convolution_2d_params))
_add(MaxPool2d, _Form("pooling_2d", _pooling_2d, _pooling_2d_params))
_add(AvgPool2d, _Form("pooling_2d", _pooling_2d, _pooling_2d_params))
_add(Linear, _Form("linear", _linear, _linear_params))
_add(ReLU, _Form("relu", ReLU, lambda layer: {}))
_add(Flatten, _Form("flatten", Flatten, lambda layer: {}))
_add(
    Dropout,
    _Form(
        "dropout", lambda dropout_ratio: Dropout(dropout_ratio), lambda layer: {"dropout_ratio": layer.ratio}
    ),
)
