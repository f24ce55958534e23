"""ONNX files of others: what onnxruntime computes from them, the networks that they become compute too."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

import nn
from nn.errors import SaveError
from tests import torch_models
from tests.nn.test_onnx_export import channels_first, kinds, of_onnxruntime, of_ours

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

GENERATOR = numpy.random.default_rng(9)


def floats(*shape: int) -> Any:
    return GENERATOR.standard_normal(shape).astype(numpy.float32)


def written(path: Path, text: str, arrays: dict[str, Any], opset: int = 20) -> Path:
    """A model from ONNX's text form, `agraph (float[N, 3] input) => (float[N, 4] y) { … }`, with arrays."""
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in arrays.items())
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def layers_of(path: Path, x: Any) -> list[str]:
    """The layers that a file becomes, which compute what onnxruntime does."""
    network = nn.import_onnx(path, "numpy")
    expected = of_onnxruntime(path, x, as_written=True)
    got = channels_first(of_ours(network, x))
    assert got.shape == expected.shape
    assert numpy.abs(got - expected).max() <= 1e-5 * max(1, numpy.abs(expected).max())
    return kinds(network)


# By operator or pattern: what follows "float[N, …] input", what is made, nodes, arrays, opset, layers
X, IMAGE = "float[N, 3]", "float[N, 3, 6, 8]"
FORMS: dict[str, tuple[str, str, str, dict[str, Any], int, list[str]]] = {
    "Linear": (
        *("float[N, 5, 3]", "float[N, 5, 4]", "m = MatMul (input, w) y = Add (b, m)"),
        *({"w": floats(3, 4), "b": floats(4)}, 13, ["Linear"]),
    ),
    "Gemm scaled": (
        *(X, "float[N, 4]", "y = Gemm <alpha = 0.5, beta = 2.0> (input, w, b)"),
        *({"w": floats(3, 4), "b": floats(1, 4)}, 13, ["Linear"]),
    ),
    "Clip by inputs": (
        *(X, X, "y = Clip (input, least, most)"),
        *({"least": numpy.float32(0), "most": numpy.float32(6)}, 17, ["ReLU6"]),
    ),
    "Clip by attributes": (X, X, "y = Clip <min = 0.0, max = 6.0> (input)", {}, 9, ["ReLU6"]),
    "Clip from below": (X, X, "y = Clip (input, least)", {"least": numpy.float32(0)}, 17, ["ReLU"]),
    "constants": (
        *(X, X, "a = Constant <value_float = 0.0> () c = Cast <to = 1> (six) y = Clip (input, a, c)"),
        *({"six": numpy.float64(6)}, 17, ["ReLU6"]),
    ),
    "GELU by erf": (
        *(X, X, "a = Div (input, r) b = Erf (a) c = Add (b, one) d = Mul (input, c) y = Mul (d, half)"),
        *({"r": numpy.float32(2**0.5), "one": numpy.float32(1), "half": numpy.float32(0.5)}, 17, ["GELU"]),
    ),
    "GELU by tanh": (
        *(X, X, "p = Pow (input, three) a = Mul (p, k) b = Add (input, a) c = Mul (s, b) d = Tanh (c)"),
        "e = Add (one, d) h = Mul (half, input) y = Mul (h, e)",
        {
            **{"three": numpy.float32(3), "k": numpy.float32(0.044715), "one": numpy.float32(1)},
            **{"s": numpy.float32((2 / numpy.pi) ** 0.5), "half": numpy.float32(0.5)},
        },
        *(17, ["GELU"]),
    ),
    "RMSNorm by reciprocal": (
        *(X, X, "p = Pow (input, two) m = ReduceMean <keepdims = 1> (p, axes) e = Add (m, eps)"),
        "s = Sqrt (e) r = Reciprocal (s) n = Mul (input, r) y = Mul (n, w)",
        {
            **{"two": numpy.float32(2), "axes": numpy.array([-1])},
            **{"eps": numpy.float32(1e-3), "w": floats(3)},
        },
        *(18, ["RMSNorm"]),
    ),
    "LayerNorm by parts": (
        *(X, X, "m = ReduceMean <axes = [-1]> (input) d = Sub (input, m) q = Pow (d, two)"),
        "v = ReduceMean <axes = [1]> (q) e = Add (v, eps) s = Sqrt (e) n = Div (d, s)",
        "h = Mul (n, w) y = Add (h, b)",
        {"two": numpy.float32(2), "eps": numpy.float32(1e-3), "w": floats(3), "b": floats(3)},
        *(13, ["LayerNorm"]),
    ),
    "LayerNorm without bias": (
        *(X, X, "y = LayerNormalization (input, w)", {"w": floats(3)}, 17, ["LayerNorm"]),
    ),
    "GroupNormalization": (
        *("float[N, 4, 2, 2]", "float[N, 4, 2, 2]", "y = GroupNormalization <num_groups = 2> (input, w, b)"),
        *({"w": floats(4), "b": floats(4)}, 21, ["GroupNorm"]),
    ),
    "means": (IMAGE, X, "y = ReduceMean <axes = [2, 3], keepdims = 0> (input)", {}, 13, ["GlobalAvgPool2d"]),
    "means kept": (
        *(IMAGE, X, "m = ReduceMean <axes = [-1, -2]> (input) y = Squeeze (m, axes)"),
        *({"axes": numpy.array([2, 3])}, 13, ["GlobalAvgPool2d"]),
    ),
    "a convolution of what is pooled": (
        *(IMAGE, "float[N, 2, 1, 1]", "m = GlobalAveragePool (input) y = Conv (m, w)"),
        *({"w": floats(2, 3, 1, 1)}, 17, ["GlobalAvgPool2d", "Reshape", "Conv2d"]),
    ),
    "flattened by Reshape": (
        *(IMAGE, "float[N, 4]", "r = Relu (input) f = Reshape (r, s) y = Gemm <transB = 1> (f, w)"),
        *({"s": numpy.array([-1, 144]), "w": floats(4, 144)}, 17, ["ReLU", "Linear"]),
    ),
    "flattened by the batch's size": (
        *(IMAGE, "float[N, 4]", "z = Shape (input) n = Gather (z, i) u = Unsqueeze (n, axes)"),
        "s = Concat <axis = 0> (u, rest) f = Reshape (input, s) r = Relu (f) y = MatMul (r, w)",
        {"i": numpy.array(0), "axes": numpy.array([0]), "rest": numpy.array([-1]), "w": floats(144, 4)},
        *(17, ["ReLU", "Linear"]),
    ),
    "columns of one pixel": (
        *("float[N, 3, 1, 1]", X, "f = Flatten (input) y = Softmax (f)", {}, 13, ["Flatten", "Softmax"]),
    ),
    "old Softmax": (X, X, "y = Softmax (input)", {}, 11, ["Softmax"]),
    "Conv with more padding after": (
        *(IMAGE, "float[N, 2, 3, 4]", 'y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (input, w)'),
        *({"w": floats(2, 3, 3, 3)}, 17, ["ZeroPad2d", "Conv2d"]),
    ),
    "Conv with more padding before": (
        *(IMAGE, "float[N, 2, 3, 4]", 'y = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (input, w)'),
        *({"w": floats(2, 3, 3, 3)}, 17, ["Conv2d"]),
    ),
    "Conv of large windows": (
        *("float[N, 3, 7, 8]", "float[N, 3, 3, 4]"),
        'y = Conv <auto_pad = "SAME_UPPER", strides = [3, 2], group = 3> (input, w)',
        *({"w": floats(3, 1, 4, 5)}, 17, ["ZeroPad2d", "Conv2d"]),
    ),
    "Conv, dilated, with padding on one side": (
        *(IMAGE, "float[N, 2, 5, 7]", "y = Conv <dilations = [2, 2], pads = [3, 0, 0, 3]> (input, w)"),
        *({"w": floats(2, 3, 3, 3)}, 17, ["ZeroPad2d", "Conv2d"]),
    ),
    "Pad before a convolution": (
        *(IMAGE, "float[N, 2, 3, 4]", "p = Pad (input, pads) y = Conv <strides = [2, 2]> (p, w)"),
        {"pads": numpy.array([0, 0, 0, 0, 0, 0, 1, 1]), "w": floats(2, 3, 3, 3)},
        *(17, ["ZeroPad2d", "Conv2d"]),
    ),
    "Pad by attributes": (
        *(IMAGE, "float[N, 3, 8, 8]", "y = Pad <pads = [0, 0, 2, 0, 0, 0, 0, 0], value = 0.0> (input)"),
        *({}, 10, ["ZeroPad2d"]),
    ),
    "Pad of named axes": (
        *(IMAGE, "float[N, 3, 9, 9]", "p = Pad (input, pads, , axes) y = Relu (p)"),
        *({"pads": numpy.array([1, 2, 0, 1]), "axes": numpy.array([-1, 2])}, 18, ["ZeroPad2d", "ReLU"]),
    ),
    "Pad on one side before a pooling": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        "p = Pad (input, pads) y = AveragePool <kernel_shape = [3, 3], strides = [2, 2]> (p)",
        *({"pads": numpy.array([0, 0, 1, 0, 0, 0, 0, 1])}, 17, ["ZeroPad2d", "AvgPool2d"]),
    ),
    "Pad by more than half a pooling's window": (
        *(IMAGE, "float[N, 3, 9, 11]", "p = Pad (input, pads) y = AveragePool <kernel_shape = [2, 2]> (p)"),
        *({"pads": numpy.array([0, 0, 2, 2, 0, 0, 2, 2])}, 17, ["ZeroPad2d", "AvgPool2d"]),
    ),
    "AveragePool that counts padding on one side": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1], "
        "count_include_pad = 1> (input)",
        *({}, 17, ["ZeroPad2d", "AvgPool2d"]),
    ),
    "AveragePool with more padding before": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        'y = AveragePool <auto_pad = "SAME_LOWER", kernel_shape = [3, 3], strides = [2, 2]> (input)',
        *({}, 17, ["AvgPool2d"]),
    ),
    "MaxPool with more padding before": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        'y = MaxPool <auto_pad = "SAME_LOWER", kernel_shape = [3, 3], strides = [2, 2]> (input)',
        *({}, 17, ["MaxPool2d"]),
    ),
    "MaxPool with more padding after": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        'y = MaxPool <auto_pad = "SAME_UPPER", kernel_shape = [3, 3], strides = [2, 2]> (input)',
        *({}, 17, ["MaxPool2d"]),
    ),
    "padding by name": (
        *(IMAGE, "float[N, 2, 6, 8]", 'y = Conv <auto_pad = "SAME_UPPER", kernel_shape = [3, 3]> (input, w)'),
        *({"w": floats(2, 3, 3, 3)}, 17, ["Conv2d"]),
    ),
    "padding at the end": (
        *(IMAGE, "float[N, 3, 3, 4]"),
        "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 0, 1, 1]> (input)",
        *({}, 17, ["MaxPool2d"]),
    ),
    "places": (
        *("float[N, 5, 3]", "float[N, 5, 3]", "y = Add (w, input)"),
        *({"w": floats(1, 5, 3)}, 17, ["PositionalEmbedding"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_other_exporters(name: str, tmp_path: Path) -> None:
    taken, made, *nodes, arrays, opset, layers = FORMS[name]
    text = f"agraph ({taken} input) => ({made} y) {{ {' '.join(nodes)} }}"
    path = written(tmp_path / "network.onnx", text.replace(") ", ")\n"), arrays, opset)
    sizes = [3 if size == "N" else int(size) for size in taken[6:-1].split(", ")]
    x = floats(*sizes)
    x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
    assert layers_of(path, x) == layers


def exported(module: Any, x: Any, path: Path, torch: Any, opset: int) -> None:
    """What PyTorch's exporter by tracing writes; the other one needs the package onnxscript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            torch_models.trained(torch, module),
            (torch.tensor(channels_first(x)),),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=["input"],
            dynamic_axes={"input": {0: "N"}},
        )


def modules(torch: Any) -> dict[str, tuple[Any, Sequence[int], list[str]]]:
    """By name: a module, the shape of our input, and the layers that it becomes."""
    t = torch.nn
    return {
        "images": (
            t.Sequential(
                *(t.Conv2d(3, 8, 3, padding=1), t.BatchNorm2d(8), t.ReLU6(), t.MaxPool2d(2, ceil_mode=True)),
                *(t.AvgPool2d(2), t.SiLU(), t.Flatten(), t.Dropout(), t.Linear(8 * 4, 5), t.Softmax(-1)),
            ),
            *((8, 8, 3), ["Conv2d", "ReLU6", "MaxPool2d", "AvgPool2d", "SiLU", "Linear", "Softmax"]),
        ),
        "sequences": (
            t.Sequential(
                t.Linear(6, 8), t.GELU("tanh"), t.LayerNorm(8), t.GELU(), t.LeakyReLU(0.1), t.Tanh()
            ),
            *((4, 6), ["Linear", "GELU", "LayerNorm", "GELU", "LeakyReLU", "Tanh"]),
        ),
        "growing": (
            t.Sequential(
                *(t.GroupNorm(2, 6), t.Upsample(scale_factor=2), t.Upsample(scale_factor=2, mode="bilinear")),
                t.ConvTranspose2d(6, 4, 3, stride=2, output_padding=1),
            ),
            *((4, 4, 6), ["GroupNorm", "Upsample", "Upsample", "ConvTranspose2d"]),
        ),
        "rows": (t.Sequential(t.Linear(6, 8), t.BatchNorm1d(8)), (6,), ["Linear", "BatchNorm"]),
    }


@pytest.mark.parametrize("name", ["images", "sequences", "growing", "rows"])
@pytest.mark.parametrize("opset", [17, 20])
def test_what_pytorch_exports(name: str, opset: int, tmp_path: Path, torch: Any) -> None:
    module, shape, layers = modules(torch)[name]
    x = floats(3, *shape)
    exported(module, x, tmp_path / "network.onnx", torch, opset)
    assert layers_of(tmp_path / "network.onnx", x) == layers


def test_models_that_pytorch_exports(tmp_path: Path, torch: Any) -> None:
    x = floats(2, 64, 64, 3)
    exported(torch_models.mobilenet_v2(torch, 7, "torchvision"), x, tmp_path / "network.onnx", torch, 17)
    assert set(layers_of(tmp_path / "network.onnx", x)) == {
        "Conv2d",
        "ReLU6",
        "Add",
        "GlobalAvgPool2d",
        "Linear",
    }


def test_layers_are_called_as_their_weights_and_it_trains_on(tmp_path: Path) -> None:
    network = nn.models.lenet((8, 8, 1)).initialize("numpy", seed=1)
    nn.export_onnx(network, tmp_path / "lenet.onnx", (8, 8, 1))
    again = nn.import_onnx(tmp_path / "lenet.onnx", "numpy")
    assert [node.name for node in again.nodes] == ["conv1", "pool1", "conv2", "pool2", "fc3", "relu3", "fc4"]
    assert again.parameters().keys() == network.parameters().keys()
    assert kinds(nn.load_definition(nn.to_definition(again))) == kinds(network)
    nn.save(tmp_path / "lenet.safetensors", again)
    read = nn.load(tmp_path / "lenet.safetensors", device="numpy").network
    x = floats(2, 8, 8, 1)
    numpy.testing.assert_array_equal(of_ours(read, x), of_ours(network, x))


def test_a_graph_deeper_than_pythons_stack(tmp_path: Path) -> None:
    nodes = "\n".join(f"b{n + 1} = Relu (b{n})" for n in range(1500))
    text = f"agraph (float[N, 3] b0) => (float[N, 3] b1500) {{ {nodes} }}"
    assert len(nn.import_onnx(written(tmp_path / "deep.onnx", text, {}), "numpy").nodes) == 1500


@pytest.mark.parametrize(
    ("taken", "made", "nodes", "arrays", "seen"),
    [
        (X, X, "y = Sin (input)", {}, r"'y' is a Sin, for which there is no layer here. Known are: Add,"),
        (X, "bool[N, 3]", "a, y = Dropout (input)", {}, "is a Dropout in its second output"),
        (X, X, "y = Add (input, b)", {"b": floats(3)}, r"'y' \(Add\) cannot be read: it adds an array \[3\]"),
        ("float[N, 4, 3]", "float[N, 3, 4]", "y = Transpose <perm = [0, 2, 1]> (input)", {}, "graph's out"),
        (X, "float[3, N]", "y = Transpose (input)", {}, r"in the order \[1, 0\], for which there"),
        (IMAGE, "float[N, 144]", "y = Flatten (input)", {}, "would have to be transposed first"),
        (
            *(X, X, "y, m, v = BatchNormalization <training_mode = 1> (input, w, w, w, w)"),
            *({"w": numpy.ones(3, numpy.float32)}, "it normalises by the batch"),
        ),
        (
            *(IMAGE, IMAGE, 'y = MaxPool <auto_pad = "SAME_UPPER", kernel_shape = [2, 2]> (input)'),
            *({}, r"its padding is \[0, 0\] before and \[1, 1\] after, which makes"),
        ),
        (
            *(IMAGE, "float[N, 144]", "f = Flatten (input) y = BatchNormalization (f, w, w, w, w)"),
            *({"w": numpy.ones(144, numpy.float32)}, "would have to be transposed first"),
        ),
        (IMAGE, "float[N, 3, 2, 72]", "y = Reshape (input, s)", {"s": numpy.array([0, 2, 72])}, "no.* sound"),
        (IMAGE, "float[N, 2, 72]", "y = Reshape (input, s)", {"s": numpy.array([0, 2, 72])}, "be transposed"),
        (X, "float[M, 1]", "y = Reshape (input, s)", {"s": numpy.array([-1, 1])}, "which mixes samples"),
        (X, X, "y = Clip (input, a)", {"a": floats(2)}, r"'y' \(Clip\) cannot be read: can only convert"),
        (X, X, "y = Clip (input, a)", {"a": numpy.float32(1)}, "it clips to 1.0 and None; expected 0 and 6"),
        (X, "float[1, N, 3]", "y = MatMul (input, w)", {"w": floats(1, 3, 3)}, r"is \[1, 3, 3\]; expected"),
        (
            *(IMAGE, "float[N, 2, 7, 10]", "y = ConvTranspose <pads = [0, 0, 1, 0]> (input, w)"),
            *({"w": floats(3, 2, 3, 3)}, r"its padding is \[0, 0\] before and \[1, 0\] after"),
        ),
        (
            *(IMAGE, "float[N, 3, 7, 8]", 'y = Pad <mode = "edge"> (input, p)'),
            *({"p": numpy.array([0, 0, 1, 0, 0, 0, 0, 0])}, "it pads with other values than zeros"),
        ),
        (
            *(IMAGE, "float[N, 3, 5, 8]", "y = Pad (input, p)"),
            *({"p": numpy.array([0, 0, -1, 0, 0, 0, 0, 0])}, "by numbers that are negative"),
        ),
        (
            *(IMAGE, "float[N, 5, 6, 9]", "y = Pad (input, p, v, axes)"),
            {"p": numpy.array([1, 1, 1, 0]), "v": numpy.float32(0), "axes": numpy.array([1, 3])},
            "other axes than rows and columns",
        ),
        ("float[N, 3, 8]", "float[N, 2, 6]", "y = Conv (input, w)", {"w": floats(2, 3, 3)}, "images'"),
        (
            *(IMAGE, "float[N, 3, 9, 8]", 'y = Resize <mode = "nearest"> (input, , s)'),
            *({"s": numpy.array([1, 1, 1.5, 1], numpy.float32)}, "expected whole factors"),
        ),
        (
            *("float[3, 3]", "float[3, 3]", "a = Relu (input) y = Gemm (a, input)", {}),
            "its input 1 is computed; expected an array of the file",
        ),
    ],
)  # fmt: skip
def test_what_no_layer_does_gets_a_sentence(
    taken: str, made: str, nodes: str, arrays: dict[str, Any], seen: str, tmp_path: Path
) -> None:
    text = f"agraph ({taken} input) => ({made} y) {{ {nodes} }}".replace(") ", ")\n")
    with pytest.raises((nn.NetworkError, SaveError), match=seen):
        nn.import_onnx(written(tmp_path / "network.onnx", text, arrays), "numpy")


def test_what_only_looks_like_a_layer_is_not_taken_for_one(tmp_path: Path) -> None:
    """A mean over the batch, padding with ones, a scale for columns and one below 0, another mask."""
    path = tmp_path / "network.onnx"
    for axis, works in ((-1, True), (0, False)):
        nodes = "p = Mul (input, input)\nm = ReduceMean (p, axes)\ne = Add (m, eps)\ns = Sqrt (e)"
        text = f"agraph ({X} input) => ({X} y) {{ {nodes}\nn = Div (input, s)\ny = Mul (n, w) }}"
        arrays = {"axes": numpy.array([axis]), "eps": numpy.float32(1e-5), "w": floats(3)}
        check(written(path, text, arrays, 18), works, "'y' is a Mul")
    for value, works in ((0, True), (1, False)):
        pool = "y = AveragePool <kernel_shape = [2, 2]> (p)"
        text = f"agraph ({IMAGE} input) => (float[N, 3, 7, 9] y) {{ p = Pad (input, pads, value)\n{pool} }}"
        arrays = {"pads": numpy.array([0, 0, 1, 1, 0, 0, 1, 1]), "value": numpy.float32(value)}
        check(written(path, text, arrays), works, "it pads with other values than zeros")
    for scale, works in ((numpy.ones((3, 1, 1)), True), (numpy.ones(8), False), (-numpy.ones(1), False)):
        text = f"agraph ({IMAGE} input) => ({IMAGE} y) {{ m = Mul (input, s)\ny = Add (m, s) }}"
        arrays = {"s": scale.astype(numpy.float32)}
        check(written(path, text, arrays), works, "one number for each channel|not all above 0")
    for seen, works in ((0, True), (1, False)):
        nn.export_onnx(nn.SelfAttention(2, causal=True).initialize("numpy"), path, (4, 12))
        model = onnx.load(path)
        mask = next(each for each in model.graph.initializer if each.name.endswith("mask"))
        values = numpy.triu(numpy.full((4, 4), -numpy.inf, numpy.float32), 1 + seen)
        mask.CopyFrom(onnx.numpy_helper.from_array(values, mask.name))
        onnx.save(model, path)
        check(path, works, "is a Reshape|Transpose|cannot be read")


def check(path: Path, works: bool, seen: str) -> None:
    if works:
        nn.import_onnx(path, "numpy")
    else:
        with pytest.raises(nn.NetworkError, match=seen):
            nn.import_onnx(path, "numpy")


def test_arrays_beside_the_file(tmp_path: Path) -> None:
    """As PyTorch's exporter by torch.export writes them."""
    network = nn.models.lenet((8, 8, 1)).initialize("numpy", seed=1)
    nn.export_onnx(network, tmp_path / "one.onnx", (8, 8, 1))
    path = tmp_path / "two.onnx"
    onnx.save(onnx.load(tmp_path / "one.onnx"), path, save_as_external_data=True, location="two.data")
    again = nn.import_onnx(path, "numpy")
    assert numpy.array_equal(numpy.asarray(again.vector), numpy.asarray(network.vector))
    (tmp_path / "two.data").write_bytes(b"short")
    with pytest.raises(SaveError, match=r"is not a sound ONNX file|is damaged"):
        nn.import_onnx(path, "numpy")


def test_graphs_of_other_forms_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    old = written(path, f"agraph ({X} input) => ({X} y) {{ y = Relu (input) }}", {}, 6)
    with pytest.raises(nn.NetworkError, match="is of opset 6; expected at least 7, of 2018"):
        nn.import_onnx(old)
    two = written(path, f"agraph ({X} a, {X} b) => ({X} y) {{ y = Add (a, b) }}", {})
    with pytest.raises(nn.NetworkError, match=r"takes \['a', 'b'\] and gives \['y'\]; expected one of each"):
        nn.import_onnx(two)
    number = written(path, "agraph (float input) => (float y) { y = Relu (input) }", {})
    with pytest.raises(nn.NetworkError, match="its input 'input' has no axis for the samples"):
        nn.import_onnx(number)


def test_damage_and_sizes_that_lie_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(SaveError, match="There is no file") as caught:
        nn.import_onnx(path)
    assert caught.value.exit_code == 5
    network = nn.Sequential(conv=nn.Conv2d(3, 4, 3), fc=nn.Linear((4, 4, 4), 5)).initialize("numpy")
    nn.export_onnx(network, path, (6, 6, 3))
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-7], b"x" * 300):
        path.write_bytes(damaged)
        with pytest.raises(SaveError, match="is not a sound ONNX file"):
            nn.import_onnx(path, "numpy")

    def lying(change: Any) -> None:
        model = onnx.load_from_string(whole)
        change({each.name: each for each in model.graph.initializer})
        path.write_bytes(model.SerializeToString())

    def huge(arrays: Any) -> None:
        arrays["conv.weight"].dims[0] = 1 << 40

    def negative(arrays: Any) -> None:
        arrays["conv.bias"].dims[0] = -4

    def other(arrays: Any) -> None:
        arrays["fc.weight"].CopyFrom(onnx.numpy_helper.from_array(floats(5, 63), "fc.weight"))

    def elsewhere(arrays: Any) -> None:
        arrays["fc.bias"].ClearField("raw_data")
        arrays["fc.bias"].data_location = onnx.TensorProto.EXTERNAL
        arrays["fc.bias"].external_data.add(key="location", value="../../secret")

    for change in (huge, negative, other, elsewhere):
        lying(change)
        with pytest.raises(SaveError, match=r"is not a sound ONNX file|is damaged"):
            nn.import_onnx(path, "numpy")


def test_every_byte_that_is_changed_is_refused_or_read(tmp_path: Path) -> None:
    """No damage gets through as anything but an error of ours."""
    path = tmp_path / "network.onnx"
    network = nn.Sequential(
        conv=nn.Conv2d(1, 1, 2), norm=nn.GroupNorm(1, 1), silu=nn.SiLU(), flat=nn.Flatten()
    )
    nn.export_onnx(network.initialize("numpy"), path, (3, 3, 1))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            nn.import_onnx(path, "numpy")
        except (nn.NetworkError, SaveError):
            refused += 1
    assert refused > len(whole) / 20
