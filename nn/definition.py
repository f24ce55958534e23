"""Networks as data: the JSON form of the 2016 system (mil-tokyo/sukiyaki2, example/mnist/lenet.json).

A list of {"name", "type", "inputs", "outputs", "params", "phase"}: each layer takes the blobs that it names
as inputs and makes those that it names as outputs, in any order. A definition that the 2016 system trained
loads unchanged. Layers that read data (`blob_data`, `mnist_data`) are checked and passed over, since a job
says what its data is (nn.data.blob reads what `blob_data` names). Of `data_augmentation`, one to train and
one to test become one layer, which knows the difference. `branch` only gives a blob more names, and the
layers that judge (a loss and `accuracy`) say what the network's output is.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn import losses
from nn.errors import DefinitionError, NetworkError
from nn.graph import Graph, Node, ordered, trace
from nn.layer import Layer
from nn.layer_types import Params, form_named, form_of, type_names
from nn.layers import Sequential

Definition = list[dict[str, Any]]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_shape(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) and size > 0 for size in value)


_DATA_TYPES: dict[str, dict[str, tuple[Callable[[object], bool], str]]] = {  # what their params have to be
    "blob_data": {
        "file_prefix": (_is_text, "a path without its suffix"),
        "data_shape": (_is_shape, "[height, width, channels]"),
        "data_klass": (lambda value: value in ("uint8", "single"), "uint8 or single"),
    },
    "mnist_data": {"data": (_is_text, "a path"), "label": (_is_text, "a path")},
}
_OF_ONE_PHASE = "data_augmentation"  # may be there twice, to train and to test


def _judges(type_name: str) -> bool:
    return type_name == "accuracy" or type_name in losses.names()


def _computes(type_name: str) -> bool:
    return type_name not in _DATA_TYPES and not _judges(type_name)


# Writing


def to_definition(network: Layer) -> Definition:
    """The definition of a network of known layers, however they are nested, with its loss and its accuracy.

    Raises `DefinitionError`, which names the layer that cannot be written.
    """
    nodes, output = trace(network, lambda layer: form_of(layer) is not None)
    definition = [_written(node) for node in nodes]
    definition += [
        _entry("loss", network.loss, [output, "label"], dict(network.loss_options)),
        {**_entry("accuracy", "accuracy", [output, "label"], {}), "phase": ["test"]},
    ]
    return [*_branched(definition, judged=output)]


def _entry(name: str, type_name: str, inputs: Iterable[str], params: Params) -> dict[str, Any]:
    return {"name": name, "type": type_name, "inputs": [*inputs], "outputs": [name], "params": params}


def _written(node: Node) -> dict[str, Any]:
    form = form_of(node.layer)
    assert form is not None  # trace() looked into the others
    try:
        params: Params = json.loads(json.dumps(form.write(node.layer)))
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"Layer {node.name!r} cannot be written as JSON: {error}.") from error
    if form.type_name == "plus":
        params = {"n_input": len(node.inputs)}
    return _entry(node.name, form.type_name, node.inputs, params)


def _branched(definition: Definition, judged: str) -> Iterator[dict[str, Any]]:
    """With a `branch` after each blob that several layers take, as the 2016 system wants it."""
    takers: dict[str, list[dict[str, Any]]] = {}
    for entry in definition:
        if not _judges(entry["type"]):
            for blob in entry["inputs"]:
                takers.setdefault(blob, []).append(entry)
    branches = {blob: entries for blob, entries in takers.items() if len(entries) > 1 and blob != judged}
    if "data" in branches:
        yield _branch("data", branches["data"])
    for entry in definition:
        yield entry
        if entry["outputs"][0] in branches:
            yield _branch(entry["outputs"][0], branches[entry["outputs"][0]])


def _branch(blob: str, takers: list[dict[str, Any]]) -> dict[str, Any]:
    """The branch of a blob; the layers that take it take one of its outputs each."""
    names = [f"{blob}_{number}" for number in range(len(takers))]
    for name, taker in zip(names, takers, strict=True):
        taker["inputs"][taker["inputs"].index(blob)] = name
    return _entry(f"{blob}_branch", "branch", [blob], {"n_output": len(names)}) | {"outputs": names}


# Reading


@dataclass(frozen=True)
class _Entry:
    """One line of a definition, with its fields checked."""

    name: str
    type_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Params
    phase: tuple[str, ...]  # empty: both


def load_definition(source: Sequence[dict[str, Any]] | str | Path) -> Layer:
    """The network of a definition, given as a list or as the path of a JSON file; not yet initialized.

    A Sequential where each layer takes what the one before it makes, else a Graph. Raises `DefinitionError`,
    which names the layer that cannot be made, or whose blobs lead nowhere.
    """
    raw = _parsed(Path(source)) if isinstance(source, (str, Path)) else source
    if not isinstance(raw, Sequence) or not all(isinstance(entry, dict) for entry in raw):
        raise DefinitionError(f"A definition is a list of objects, got {type(raw).__name__}.")
    entries = [*_of_both_phases([_checked(position, entry) for position, entry in enumerate(raw)])]
    names = [entry.name for entry in entries]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DefinitionError(f"There are two layers named {double!r}; give each a name of its own.")
    judging = [entry for entry in entries if _judges(entry.type_name)]
    nodes = _nodes(entries)
    if not nodes:
        raise DefinitionError("The definition has no layer that computes anything.")
    network = _joined(nodes, _input_of(nodes, entries), judging)
    loss = next((entry for entry in judging if entry.type_name != "accuracy"), None)
    if loss is not None:
        network.loss, network.loss_options = loss.type_name, _options(loss)
    return network


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(
            f"{path} cannot be read: {error.strerror or error}. Check the path and its rights."
        ) from error
    except ValueError as error:
        raise DefinitionError(f"{path} is not JSON: {error}.") from error


def _checked(position: int, entry: dict[str, Any]) -> _Entry:
    name, type_name = _text(entry, "name", position), _text(entry, "type", position)
    inputs, outputs = (_blobs(entry, key, name) for key in ("inputs", "outputs"))
    computes = _computes(type_name)
    if computes and not inputs:
        raise DefinitionError(f"Layer {name!r} takes no blob; expected at least one input.")
    if computes and type_name != "branch" and len(outputs) != 1:
        raise DefinitionError(f"Layer {name!r} makes {list(outputs)}; expected one output.")
    phase = _blobs(entry, "phase", name) if "phase" in entry else ()
    if computes and phase and type_name != _OF_ONE_PHASE:
        raise DefinitionError(
            f"Layer {name!r} is for the phase {entry['phase']} only; a layer must be in both."
        )
    if _judges(type_name) and len(inputs) != 2:
        raise DefinitionError(f"Layer {name!r} takes {list(inputs)}; expected 2 inputs, output and labels.")
    params = entry.get("params", {})
    if not isinstance(params, dict):
        raise DefinitionError(f"Layer {name!r} has params {params!r}; expected an object.")
    for key, (is_right, expected) in _DATA_TYPES.get(type_name, {}).items():
        if key in params and not is_right(params[key]):
            raise DefinitionError(f"Layer {name!r} has the {key} {params[key]!r}; expected {expected}.")
    return _Entry(name, type_name, inputs, outputs, params, phase)


def _of_both_phases(entries: Sequence[_Entry]) -> Iterator[_Entry]:
    """With one layer in place of two that augment data, one to train and one to test.

    That of training is left: in evaluation it does what the other one does. Raises `DefinitionError` where it
    would not.
    """
    training = {e.outputs: e for e in entries if e.type_name == _OF_ONE_PHASE and e.phase == ("train",)}
    for entry in entries:
        other = training.get(entry.outputs)
        if entry.type_name != _OF_ONE_PHASE or entry.phase != ("test",) or other is None:
            yield entry
        elif entry.inputs != other.inputs or _not_random(entry.params) != _not_random(other.params):
            raise DefinitionError(
                f"Layer {entry.name!r} tests with another input, shape, scale or mean than {other.name!r} "
                "trains with; they must be the same."
            )


def _not_random(params: Params) -> Params:
    return {key: value for key, value in params.items() if key not in ("random_crop", "random_flip")}


def _text(entry: dict[str, Any], key: str, position: int) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise DefinitionError(
            f"Entry {position} of the definition ({entry.get('name', 'nameless')}) has no {key!r}."
        )
    return value


def _blobs(entry: dict[str, Any], key: str, name: str) -> tuple[str, ...]:
    value = entry.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DefinitionError(f"Layer {name!r} has {key} {value!r}; expected a list of blobs' names.")
    return tuple(value)


def _nodes(entries: Sequence[_Entry]) -> list[Node]:
    """The layers that compute, with the names that branches give replaced by the blobs they stand for."""
    meant = {name: each.inputs[0] for each in entries if each.type_name == "branch" for name in each.outputs}

    def blob(name: str) -> str:
        seen = set()
        while name in meant and name not in seen:
            seen.add(name)
            name = meant[name]
        return name

    computing = [e for e in entries if _computes(e.type_name) and e.type_name != "branch"]
    return [Node(e.name, _made(e), tuple(map(blob, e.inputs)), e.outputs[0]) for e in computing]


def _made(entry: _Entry) -> Layer:
    form = form_named(entry.type_name)
    if form is None:
        raise DefinitionError(
            f"Layer {entry.name!r} is of the unknown type {entry.type_name!r}. "
            f"Known are: {', '.join(type_names())}. "
            "A type of your own is made known by --use and the file that registers it."
        )
    try:
        layer = form.read(**entry.params)
        inspect.signature(layer.forward).bind(*entry.inputs)
    except (TypeError, ValueError, NetworkError) as error:
        raise DefinitionError(
            f"Layer {entry.name!r} of type {entry.type_name!r} cannot be made: {str(error).rstrip('.')}."
        ) from error
    layer.name = entry.name
    return layer


def _options(loss: _Entry) -> Params:
    try:
        losses.by_name(loss.type_name, **loss.params)
    except NetworkError as error:
        raise DefinitionError(f"Layer {loss.name!r}: {error}") from error
    return loss.params


def _input_of(nodes: Sequence[Node], entries: Sequence[_Entry]) -> str:
    """The blob that the network takes: what a data layer makes, else the one that no layer makes."""
    made = {node.output for node in nodes}
    free = list(dict.fromkeys(name for node in nodes for name in node.inputs if name not in made))
    data = {name for entry in entries if entry.type_name in _DATA_TYPES for name in entry.outputs}
    found = [name for name in free if name in data or not data] or free
    if len(found) > 1 and "data" in found:
        return "data"
    if not found:
        raise DefinitionError(f"Layer {nodes[0].name!r} takes what others make of it: no layer takes data.")
    return found[0]


def _joined(nodes: list[Node], input: str, judging: Sequence[_Entry]) -> Layer:
    judged = {entry.inputs[0] for entry in judging}
    if len(judged) > 1:
        raise DefinitionError(f"The loss and the accuracy judge different blobs: {sorted(judged)}.")
    try:
        chain = ordered(nodes, input)
        output = judged.pop() if judged else chain[-1].output
        taken = {name for node in chain for name in node.inputs}
        loose = next((n for n in chain if n.output not in taken and n.output != output), None)
        if loose is not None:
            raise DefinitionError(
                f"Layer {loose.name!r} makes the blob {loose.output!r}, which nothing takes."
            )
        follows = [input, *(node.output for node in chain)]
        if all(node.inputs == (before,) for node, before in zip(chain, follows, strict=False)):
            return Sequential(**{node.name: node.layer for node in chain})
        return Graph(nodes, input, output)
    except NetworkError as error:
        raise error if isinstance(error, DefinitionError) else DefinitionError(str(error)) from error
