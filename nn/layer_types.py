"""The types of layers that definitions know, and how each is read from "params" and written to them.

Layers of one's own are added with `nn.register("type_name")`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nn.errors import DefinitionError
from nn.layer import Layer
from nn.layers import (
    GELU,
    Add,
    AvgPool2d,
    BatchNorm,
    ColorJitter,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DataAugmentation,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    MultiHeadAttention,
    Normalize,
    PositionalEmbedding,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ReLU,
    ReLU6,
    Reshape,
    RMSNorm,
    SelfAttention,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample,
    ZeroPad2d,
)

Params = dict[str, Any]
LayerType = TypeVar("LayerType", bound=type[Layer])


@dataclass(frozen=True)
class LayerForm:
    """How a layer of one type is read from "params", and written to them."""

    type_name: str
    read: Callable[..., Layer]
    write: Callable[[Any], Params]


_by_type: dict[str, LayerForm] = {}
_by_class: dict[type[Layer], LayerForm] = {}


def register(type_name: str) -> Callable[[LayerType], LayerType]:
    """Make the decorated `Layer` class known as `type_name`; "params" go to its constructor."""

    def remember(layer_class: LayerType) -> LayerType:
        present = _by_type.get(type_name)
        if present is not None and present.read.__qualname__ != layer_class.__qualname__:
            raise DefinitionError(
                f"The layer type {type_name!r} is taken already; register {layer_class.__name__} as another."
            )
        _add(layer_class, LayerForm(type_name, layer_class, lambda layer: dict(layer.arguments)))
        return layer_class

    return remember


def _add(layer_class: type[Layer], form: LayerForm) -> None:
    _by_class[layer_class] = form
    _by_type.setdefault(form.type_name, form)
    if form.read is layer_class:
        _by_type[form.type_name] = form


def form_of(layer: Layer) -> LayerForm | None:
    """How layers of this class are written; None for a class that definitions do not know."""
    return _by_class.get(type(layer))


def form_named(type_name: str) -> LayerForm | None:
    """How layers of this type are read; None for an unknown one."""
    return _by_type.get(type_name)


def type_names() -> list[str]:
    """All types that `form_named` knows, in alphabetical order."""
    return sorted(_by_type)


# The types of the 2016 system; "flatten", "dilation" and "ceil_mode" are ours


def _convolution_2d(
    in_size: int,
    out_size: int,
    ksize: Any,
    stride: Any = 1,
    pad: Any = 0,
    bias: bool = True,
    init: str = "lecun",
    dilation: Any = 1,
    group: int = 1,
) -> Conv2d:
    return Conv2d(in_size, out_size, ksize, stride, pad, bias, init, dilation, group)


def _convolution_2d_params(layer: Conv2d) -> Params:
    return {
        "in_size": layer.in_channels,
        "out_size": layer.out_channels,
        "ksize": layer.kernel_size,
        "stride": layer.stride,
        "pad": layer.padding,
        "bias": layer.has_bias,
        **({} if layer.groups == 1 else {"group": layer.groups}),
        **({} if layer.dilation == (1, 1) else {"dilation": layer.dilation}),
        **_init(layer),
    }


def _init(layer: Conv2d | Linear) -> Params:
    """How the weight begins, where that is not as in 2016."""
    return {} if layer.init == "lecun" else {"init": layer.init}


_POOLS: dict[str, tuple[type[MaxPool2d | AvgPool2d], bool]] = {
    "max": (MaxPool2d, True),  # with the ceil_mode of 2016
    "average": (AvgPool2d, False),
}


def _pooling_2d(
    type: str, ksize: Any, stride: Any = None, pad: Any = 0, ceil_mode: bool | None = None, **more: bool
) -> Layer:
    if type not in _POOLS:
        raise ValueError(f"its pooling is {type!r}, expected {' or '.join(_POOLS)}")
    pool, usual = _POOLS[type]
    return pool(ksize, stride, pad, usual if ceil_mode is None else ceil_mode, **more)


def _pooling_2d_params(layer: MaxPool2d | AvgPool2d) -> Params:
    kind = next(kind for kind, (pool, _) in _POOLS.items() if isinstance(layer, pool))
    params: Params = {"type": kind, "ksize": layer.size, "stride": layer.stride, "pad": layer.padding}
    if layer.ceil_mode != _POOLS[kind][1]:
        params["ceil_mode"] = layer.ceil_mode
    if isinstance(layer, AvgPool2d) and not layer.count_include_pad:
        params["count_include_pad"] = False
    return params


def _linear(
    out_size: int, in_size: Any = None, in_shape: Any = None, bias: bool = True, init: str = "lecun"
) -> Linear:
    if (in_size is None) == (in_shape is None):
        raise ValueError("expected either in_size or in_shape")
    return Linear(in_size if in_shape is None else in_shape, out_size, bias, init)


def _linear_params(layer: Linear) -> Params:
    return {
        "in_shape": layer.in_shape,
        "out_size": layer.out_features,
        "bias": layer.has_bias,
        **_init(layer),
    }


_add(Conv2d, LayerForm("convolution_2d", _convolution_2d, _convolution_2d_params))
_add(MaxPool2d, LayerForm("pooling_2d", _pooling_2d, _pooling_2d_params))
_add(AvgPool2d, LayerForm("pooling_2d", _pooling_2d, _pooling_2d_params))
_add(Linear, LayerForm("linear", _linear, _linear_params))
_add(ReLU, LayerForm("relu", ReLU, lambda layer: {}))


def _plain(type_name: str, layer_class: type[Layer]) -> None:
    """A type whose "params" are the constructor's arguments."""
    _add(layer_class, LayerForm(type_name, layer_class, lambda layer: dict(layer.arguments)))


def _batch_normalization(
    in_size: int, eps: float = 1e-5, target_dim: int = -1, rate: float = 0.1
) -> BatchNorm:
    """`target_dim` said where the channels are; here they are always the last axis."""
    return BatchNorm(in_size, eps, rate)


def _data_augmentation(input_klass: str = "single", **params: Any) -> DataAugmentation:
    """`input_klass` said whether floats or bytes come; here they are floats."""
    if input_klass not in ("single", "uint8"):
        raise ValueError(f"its input_klass is {input_klass!r}, expected single or uint8")
    return DataAugmentation(**params)


_add(
    DataAugmentation,
    LayerForm("data_augmentation", _data_augmentation, lambda layer: dict(layer.arguments)),
)
_add(
    BatchNorm,
    LayerForm(
        "batch_normalization",
        _batch_normalization,
        lambda layer: {
            "in_size": layer.channels,
            "eps": layer.eps,
            **({} if layer.rate == 0.1 else {"rate": layer.rate}),
        },
    ),
)
for _name, _class in (
    ("global_average", GlobalAvgPool2d),
    ("global_max", GlobalMaxPool2d),
    ("upsample", Upsample),
    ("zero_pad", ZeroPad2d),
    ("reshape", Reshape),
    ("layer_normalization", LayerNorm),
    ("rms_normalization", RMSNorm),
    ("group_normalization", GroupNorm),
    ("convolution_transpose_2d", ConvTranspose2d),
    ("relu6", ReLU6),
    ("leaky_relu", LeakyReLU),
    ("sigmoid", Sigmoid),
    ("tanh", Tanh),
    ("silu", SiLU),
    ("gelu", GELU),
    ("softmax", Softmax),
    ("embedding", Embedding),
    ("positional_embedding", PositionalEmbedding),
    ("multi_head_attention", MultiHeadAttention),
    ("self_attention", SelfAttention),
    ("random_crop", RandomCrop),
    ("random_resized_crop", RandomResizedCrop),
    ("random_horizontal_flip", RandomHorizontalFlip),
    ("color_jitter", ColorJitter),
    ("normalize", Normalize),
):
    _plain(_name, _class)
_add(Add, LayerForm("plus", lambda n_input=2: Add(), lambda layer: {}))
_add(Concat, LayerForm("concat", Concat, lambda layer: {"axis": layer.axis}))
_add(Flatten, LayerForm("flatten", Flatten, lambda layer: {}))
_add(
    Dropout,
    LayerForm(
        "dropout", lambda dropout_ratio: Dropout(dropout_ratio), lambda layer: {"dropout_ratio": layer.ratio}
    ),
)
