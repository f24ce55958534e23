"""An input of a wrong shape: the error names the layer by its path, what it expects and what came."""

from collections.abc import Callable
from typing import Any

import pytest

import nn
import tensor
from nn.errors import LayerShapeError
from tensor import Array

Shape = tuple[int, ...]

# Of any shape.
ELEMENTWISE = {"GELU", "LeakyReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh"}

# What each expects, and shapes that do not fit: in channels, in rank, in size.
CASES: dict[str, tuple[Callable[[], nn.Layer], str, list[Shape]]] = {
    "AvgPool2d": (lambda: nn.AvgPool2d(3), "[N, ≥3, ≥3, C]", [(2, 2, 5, 1), (2, 5), (2, 5, 5)]),
    "BatchNorm": (lambda: nn.BatchNorm(3), "[N, ..., 3]", [(2, 4), (3,), (2, 3, 3, 2)]),
    "ColorJitter": (lambda: nn.ColorJitter(0.1, 0.1, 0.1), "[N, H, W, ", [(2, 4, 4, 2), (4, 4, 3)]),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 5, padding=1), "[N, ≥3, ≥3, 3]", [(2, 9, 9, 1), (9, 9, 3)]),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 4, 3, groups=4), "[N, ≥3, ≥3, 4]", [(2, 9, 9, 1)]),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 4, 2), "[N, ≥1, ≥1, 3]", [(2, 5, 5, 4), (5, 5, 3)]),
    "DataAugmentation": (
        lambda: nn.DataAugmentation((4, 4)),
        "[N, ",
        [(2, 3, 4, 3), (4, 4, 3)],
    ),
    "Dropout": (lambda: nn.Dropout(0.5), "[N, ...]", [()]),
    "Flatten": (lambda: nn.Flatten(), "[N, ...]", [()]),
    "GlobalAvgPool2d": (lambda: nn.GlobalAvgPool2d(), "[N, H, W, C]", [(2, 4), (2, 4, 4)]),
    "GlobalMaxPool2d": (lambda: nn.GlobalMaxPool2d(), "[N, ≥1, ≥1, C]", [(2, 4), (2, 0, 4, 1)]),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), "[N, ..., 4]", [(2, 5, 6), (4,)]),
    "LayerNorm": (lambda: nn.LayerNorm((5, 3)), "[..., 5, 3]", [(2, 3), (3,), (2, 3, 5)]),
    "Linear": (lambda: nn.Linear((2, 3), 4), "[N, 2, 3]", [(5, 6), (2, 3), (5, 3, 2)]),
    "MaxPool2d": (lambda: nn.MaxPool2d(3), "[N, ≥3, ≥3, C]", [(2, 2, 5, 1), (2, 5), (2, 5, 5)]),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(4, 2), "[N, T, 4]", [(2, 4), (2, 5, 6)]),
    "Normalize": (lambda: nn.Normalize((0.5,) * 3, (0.5,) * 3), "[..., 3]", [(2, 4), (2, 5, 5, 1)]),
    "PositionalEmbedding": (lambda: nn.PositionalEmbedding(3, 2), "[N, ≤3, 2]", [(1, 4, 2), (1, 3, 3)]),
    "RMSNorm": (lambda: nn.RMSNorm(3), "[..., 3]", [(2, 4), ()]),
    "RandomCrop": (lambda: nn.RandomCrop(6), "[N, ", [(2, 5, 9, 3), (9, 9, 3)]),
    "RandomHorizontalFlip": (lambda: nn.RandomHorizontalFlip(), "[N, H, W, C]", [(9, 9, 3)]),
    "RandomResizedCrop": (lambda: nn.RandomResizedCrop(6), "[N, H, W, C]", [(9, 9, 3)]),
    "Reshape": (lambda: nn.Reshape((2, 3)), "[N, …] of 6 elements a sample", [(4, 5), ()]),
    "SelfAttention": (lambda: nn.SelfAttention(2), "[N, T, 3 · 2 · d]", [(1, 2, 9), (2, 12)]),
    "Softmax": (lambda: nn.Softmax(2), "with an axis 2", [(3, 4)]),
    "Upsample": (lambda: nn.Upsample(2), "[N, ≥1, ≥1, C]", [(4, 5), (2, 0, 4, 1)]),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), "[N, H, W, C]", [(4, 5)]),
}


def raised(layer: nn.Layer, *inputs: Array) -> str:
    """What a layer within a network says."""
    network = nn.Sequential(outer=nn.Sequential(inner=layer)).initialize("numpy")
    network.randomness.set_step(0, range(2))
    with pytest.raises(LayerShapeError) as error:
        layer(*inputs)
    return str(error.value)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_says_what_it_expected_and_got(name: str) -> None:
    make, expected, shapes = CASES[name]
    for shape in shapes:
        sentence = raised(make(), tensor.zeros(shape, device="numpy"))
        assert f"{name.split()[0]} 'outer.inner' expected an input of shape " in sentence
        assert expected in sentence
        assert sentence.endswith(f", got {list(shape)}.")


def test_no_layer_is_left_out() -> None:
    layers = {name for name in nn.layers.__all__ if issubclass(getattr(nn, name), nn.Layer)}
    others = {"Add", "Concat", "Embedding", "Sequential"}  # of several inputs, of integers, of others
    assert layers == ELEMENTWISE | {name.split()[0] for name in CASES} | others


@pytest.mark.parametrize(
    ("layer", "shapes", "sentence"),
    [
        (nn.Add(), [(2, 3), (2, 4)], "Add 'outer.inner' expected an input of shape [2, 3], got [2, 4]."),
        (
            nn.Concat(),
            [(2, 3), (4, 3)],
            "Concat 'outer.inner' expected an input of shape [2, 3] but for axis 1, got [4, 3].",
        ),
        (
            nn.Concat(),
            [(2, 3), (2, 3, 1)],
            "Concat 'outer.inner' expected an input of shape [2, 3] but for axis 1, got [2, 3, 1].",
        ),
        (
            nn.Concat(3),
            [(2, 3), (2, 3)],
            "Concat 'outer.inner' expected an input of shape with an axis 3, got [2, 3].",
        ),
    ],
)
def test_inputs_that_do_not_fit_each_other(layer: nn.Layer, shapes: list[Shape], sentence: str) -> None:
    assert raised(layer, *[tensor.zeros(shape, device="numpy") for shape in shapes]) == sentence


def test_a_layer_of_ones_own_is_named_too() -> None:
    class Scale(nn.Layer):
        def __init__(self) -> None:
            self.weight = nn.Parameter((3,))

        def forward(self, x: Any) -> Array:
            return x * self.weight  # type: ignore[no-any-return]  # x is an array

    sentence = raised(Scale(), tensor.zeros((2, 4), device="numpy"))
    assert sentence.startswith("Scale 'outer.inner': multiply")
    assert "(2, 4)" in sentence or "[2, 4]" in sentence
