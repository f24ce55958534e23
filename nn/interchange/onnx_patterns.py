"""Layers that are several nodes in ONNX, as trees of operators that are looked for from their last node.

("Mul", "x", ("Sigmoid", "x")) is a node Mul of a blob x and of Sigmoid of the same blob. "#name" is an array
that comes with the file, a number an array of just that number, and "Op:name" remembers the node. Add and Mul
take their inputs in either order; inputs that a tree does not mention may be anything.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy

from nn.interchange.onnx_file import OnnxFile

Tree = tuple[Any, ...] | str | float
_EITHER_ORDER = ("Add", "Mul")


@dataclass
class Match:
    """What the names of a tree stand for: blobs, and nodes."""

    blobs: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)


def match(tree: Tree, blob: str, file: OnnxFile, found: Match | None = None) -> Match | None:
    """What the tree's names stand for if `blob` is made in this way, else None."""
    found = found or Match()
    if isinstance(tree, float | int):
        array = file.array(blob)
        return (
            found if array is not None and array.size == 1 and numpy.isclose(array, tree, rtol=1e-3) else None
        )
    if isinstance(tree, str):
        if (tree.startswith("#") and file.array(blob) is None) or found.blobs.get(tree, blob) != blob:
            return None
        return Match({**found.blobs, tree: blob}, found.nodes)
    operator, _, label = tree[0].partition(":")
    node = file.makers.get(blob)
    if node is None or node.op_type != operator or node.domain not in ("", "ai.onnx"):
        return None
    if label:
        found = Match(found.blobs, {**found.nodes, label: node})
    orders = [tree[1:], tree[:0:-1]] if operator in _EITHER_ORDER else [tree[1:]]
    matches = (_match_all(order, list(node.input), file, found) for order in orders)
    return next((each for each in matches if each is not None), None)


def _match_all(trees: tuple[Tree, ...], blobs: list[str], file: OnnxFile, found: Match) -> Match | None:
    if len(blobs) < len(trees):
        return None
    result: Match | None = found
    for tree, blob in zip(trees, blobs, strict=False):
        if result is not None:
            result = match(tree, blob, file, result)
    return result


# The trees

LINEAR: tuple[Tree, ...] = (("Add", ("MatMul", "x", "#weight"), "#bias"),)
SILU: tuple[Tree, ...] = (("Mul", "x", ("Sigmoid", "x")),)
PADDED_POOL: tuple[Tree, ...] = (("AveragePool:pool", ("Pad:pad", "x", "#pads")),)
AFFINE: tuple[Tree, ...] = (("Add", ("Mul", "x", "#scale"), "#shift"),)

_ERF = [("Erf", ("Div", "x", 2**0.5)), ("Erf", ("Mul", "x", 0.5**0.5))]
_CUBES = [("Mul", ("Mul", "x", "x"), "x"), ("Pow", "x", 3.0)]
_TANH = [("Tanh", ("Mul", ("Add", "x", ("Mul", cube, 0.044715)), (2 / numpy.pi) ** 0.5)) for cube in _CUBES]


def _halved(part: Tree) -> list[Tree]:
    """x / 2 · (1 + part), in the three orders that it is multiplied in."""
    more = ("Add", part, 1.0)
    return [
        ("Mul", ("Mul", "x", more), 0.5),
        ("Mul", ("Mul", "x", 0.5), more),
        ("Mul", "x", ("Mul", more, 0.5)),
    ]


GELU_BY_ERF: tuple[Tree, ...] = tuple(tree for part in _ERF for tree in _halved(part))
GELU_BY_TANH: tuple[Tree, ...] = tuple(tree for part in _TANH for tree in _halved(part))

_SQUARES = [("Mul", "x", "x"), ("Pow", "x", 2.0)]
_ROOTS = [("Sqrt", ("Add", ("ReduceMean:mean", square), "#eps")) for square in _SQUARES]
RMS_NORM: tuple[Tree, ...] = tuple(
    ("Mul", normal, "#weight")
    for root in _ROOTS
    for normal in (("Div", "x", root), ("Mul", "x", ("Reciprocal", root)), ("Mul", "x", ("Div", 1.0, root)))
)

_DISTANCE = ("Sub", "x", ("ReduceMean:mean", "x"))
LAYER_NORM: tuple[Tree, ...] = tuple(
    (
        "Add",
        (
            "Mul",
            ("Div", _DISTANCE, ("Sqrt", ("Add", ("ReduceMean:variance", square), "#eps"))),
            "#weight",
        ),
        "#bias",
    )
    for square in (("Pow", _DISTANCE, 2.0), ("Mul", _DISTANCE, _DISTANCE))
)

GROUP_NORM: tuple[Tree, ...] = (
    (
        "Add",
        (
            "Mul",
            ("Reshape", ("InstanceNormalization:normal", ("Reshape", "x"), "#ones", "#zeros")),
            "#weight",
        ),
        "#bias",
    ),
)

_PARTS = ("Transpose:parts", ("Reshape", "x", "#split"))
_SCORES = (
    "Mul",
    ("MatMul", ("Gather", _PARTS, 0), ("Transpose:keys", ("Gather", _PARTS, 1))),
    "#scale",
)
SELF_ATTENTION: tuple[Tree, ...] = tuple(
    ("Reshape", ("Transpose:heads", ("MatMul", ("Softmax:softmax", scores), ("Gather", _PARTS, 2))))
    for scores in (_SCORES, ("Add", _SCORES, "#mask"))
)
