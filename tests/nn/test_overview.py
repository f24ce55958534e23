"""`nn.summary`: sizes and work as PyTorch counts them, and a network that stays as it was."""

from typing import Any

import numpy
import pytest

import nn
import tensor
from tensor import Array, Device
from tests.torch_twin import Twin, without_dropout


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v2", "resnet18"])
def test_work_is_what_pytorch_counts(name: str, torch: Any) -> None:
    counter = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode(display=False)
    network = without_dropout(nn.models.by_name(name, input_shape=(64, 64, 3), classes=10))
    seen = nn.summary(network, (64, 64, 3))
    network.initialize("numpy")
    with counter, torch.no_grad():
        Twin(network, torch)(torch.zeros(1, 64, 64, 3))
    assert seen.operations == counter.get_total_flops()
    assert seen.parameters == network.vector.size


def test_rows_and_table(device: Device) -> None:
    network = nn.Sequential(
        conv=nn.Conv2d(3, 8, 3, padding=1), flat=nn.Flatten(), drop=nn.Dropout(0.5), fc=nn.Linear(128, 10)
    )
    expected = [
        ("conv", "Conv2d", (4, 4, 8), 224, 2 * 128 * 27, 512),
        ("flat", "Flatten", (128,), 0, 0, 0),
        ("drop", "Dropout", (128,), 0, 0, 0),
        ("fc", "Linear", (10,), 1290, 2 * 1280, 40),
    ]
    for each in (network, network.initialize(device)):
        seen = nn.summary(each, (4, 4, 3))
        rows = [
            (r.name, r.type_name, r.output_shape, r.parameters, r.operations, r.activation_bytes)
            for r in seen.layers
        ]
        assert rows == expected
    lines = str(seen).split("\n")
    assert len(lines) == 3 + len(expected) + 1
    assert len(set(map(len, lines))) == 1
    assert lines[2].split() == ["conv", "Conv2d", "4", "×", "4", "×", "8", "224", "6,912", "512"]
    assert lines[-1].split() == ["total", "1,514", "9,472", "552"]


def test_the_network_stays_as_it_was(device: Device) -> None:
    network = nn.Sequential(fc=nn.Linear(6, 2), drop=nn.Dropout(0.5))
    with pytest.raises(nn.LayerShapeError, match="'fc' expected"):
        nn.summary(network, (5,))
    assert not hasattr(network.children["fc"], "weight")
    network.initialize(device)
    before = numpy.asarray(network.vector).copy()
    network.children["drop"].evaluate()
    nn.summary(network, (6,))
    assert numpy.array_equal(numpy.asarray(network.vector), before)
    assert [layer.training for _, layer in network.layers()] == [True, True, False]
    assert all("forward" not in vars(layer) for _, layer in network.layers())


def test_products_and_parameters_of_ones_own_and_attention_are_seen() -> None:
    class Mixing(nn.Layer):
        def __init__(self) -> None:
            self.mix = nn.Parameter((4, 4))
            self.attention = nn.MultiHeadAttention(8, 2)

        def forward(self, x: Array) -> Array:
            return self.mix @ self.attention(x)

    seen = nn.summary(Mixing(), (4, 8))
    work = {row.type_name: row.operations for row in seen.layers}
    assert work == {"Linear": 2 * 4 * 8 * 8, "SelfAttention": 2 * 2 * 4 * 4 * 8, "Mixing": 2 * 4 * 4 * 8}
    assert seen.parameters == 16 + 8 * 24 + 24 + 8 * 8 + 8


def test_integers_go_into_an_embedding() -> None:
    seen = nn.summary(nn.Sequential(nn.Embedding(7, 5)), (3,), dtype=tensor.int64)
    assert [(row.output_shape, row.parameters) for row in seen.layers] == [((3, 5), 35)]
