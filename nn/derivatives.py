"""The derivative of every primitive, one rule per input, side by side.

A rule of y = f(a, b, parameter=…) is called as rule(gradient, y, a, b, parameter=…), where `gradient` is
dL/dy, and returns dL/da, or dL/db. It may return it in the shape that a was broadcast to; the walk sums it
back. `None` stands for an input without a derivative, such as a condition or labels. Others are added with
`nn.derivative("name")`.

Before each rule stands which of its parameters it reads values of, as its names are; of the others it has
shape, strides and dtype. What no rule reads need not be kept from forward to backward.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensor
from nn.errors import GradientError
from tensor import Array

Rule = Callable[..., Array]
Shape = tuple[int, ...]

OUTPUT = -1  # the output's place among a rule's arrays; inputs count from 0
_ALL_INPUTS = 64  # more than any primitive has that takes indices

_RULES: dict[tuple[str, int], Rule] = {}
_READ: dict[tuple[str, int], frozenset[int]] = {}  # the places that a rule reads, where not all
_RULES_OF_ANY: dict[
    str, Rule
] = {}  # of primitives with any number of inputs: called with the argument in front; they read no values
# Of primitives whose inputs' derivatives have much in common: called with `wanted`, whether each input's is
# asked for, they return all that are, by their arguments.
JointRule = Callable[..., dict[int, Array]]
_JOINT_RULES: dict[str, JointRule] = {}


def derivative(primitive: str, argument: int = 0, reads: str | None = None) -> Callable[[Rule], Rule]:
    """Register the decorated rule as the derivative of `primitive` with respect to its input `argument`.

    `reads` names the rule's parameters whose values it reads, such as "x" or "output x"; of the others it may
    ask for shape and dtype only, and a network needs no memory for them between forward and backward. By
    default it reads them all.

    @nn.derivative("swish", reads="x")
    def swish_backward(gradient, output, x): ...
    """

    def register(rule: Rule) -> Rule:
        _RULES[primitive, argument] = rule
        _READ.pop((primitive, argument), None)
        if reads is not None:
            _READ[primitive, argument] = _places(rule, reads)
        return rule

    return register


def _places(rule: Rule | JointRule, reads: str) -> frozenset[int]:
    """Where the arrays of these names stand: OUTPUT, or the number of an input."""
    places: dict[str, Sequence[int]] = {}
    for place, (name, parameter) in enumerate([*inspect.signature(rule).parameters.items()][1:], OUTPUT):
        places[name] = range(place, _ALL_INPUTS) if parameter.kind is parameter.VAR_POSITIONAL else [place]
    return frozenset(place for name in reads.split() for place in places[name])


def is_read(primitive: str, argument: int, place: int) -> bool:
    """Whether the rule for one input of a primitive reads the values of the array at `place`."""
    read = _READ.get((primitive, argument))
    return place in read if read is not None else primitive not in _RULES_OF_ANY


def rule_of(primitive: str, argument: int) -> Rule:
    """The rule for one input of a primitive; raises `GradientError` where there is none."""
    rule = _RULES.get((primitive, argument))
    if rule is None and primitive in _RULES_OF_ANY:
        rule = partial(_RULES_OF_ANY[primitive], argument)
    if rule is None:
        raise GradientError(
            f"The primitive {primitive!r} has no derivative with respect to its input {argument}. "
            f'Write one with @nn.derivative("{primitive}", {argument}), or keep parameters out of that input.'
        )
    return rule


def joint_rule_of(primitive: str) -> JointRule | None:
    """The rule for all inputs of a primitive at once, where there is one."""
    return _JOINT_RULES.get(primitive)


def sum_to(gradient: Array, shape: Shape) -> Array:
    """Undo broadcasting: the sum over all axes along which an array of `shape` was repeated."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    repeated = tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 != gradient.shape[axis + extra]
    )
    axes = (*range(extra), *repeated)
    return tensor.sum(gradient, axis=axes).reshape(shape) if axes else gradient.reshape(shape)


def _define(primitive: str, *ways: tuple[str, Rule] | None) -> None:
    for argument, way in enumerate(ways):
        if way is not None:
            derivative(primitive, argument, reads=way[0])(way[1])


# fmt: off
# Elementwise: g is the gradient, y the output
_define("add",      ("", lambda g, y, a, b: g),          ("", lambda g, y, a, b: g))
_define("subtract", ("", lambda g, y, a, b: g),          ("", lambda g, y, a, b: -g))
_define("multiply", ("b", lambda g, y, a, b: g * b),     ("a", lambda g, y, a, b: g * a))
_define("divide",   ("b", lambda g, y, a, b: g / b),     ("y b", lambda g, y, a, b: -g * y / b))
_define("pow",      ("a b", lambda g, y, a, b: g * b * tensor.pow(a, b - 1)),
                    ("y a", lambda g, y, a, b: g * y * tensor.log(a)))
_define("maximum",  ("a b", lambda g, y, a, b: _where(a >= b, g)),
                    ("a b", lambda g, y, a, b: _where(a < b, g)))
_define("minimum",  ("a b", lambda g, y, a, b: _where(a <= b, g)),
                    ("a b", lambda g, y, a, b: _where(a > b, g)))
_define("where",    None, ("c", lambda g, y, c, a, b: _where(c, g)),
                    ("c", lambda g, y, c, a, b: _where(tensor.logical_not(c), g)))
_define("negative", ("", lambda g, y, x: -g))
_define("abs",      ("x", lambda g, y, x: g * tensor.sign(x)))
_define("exp",      ("y", lambda g, y, x: g * y))
_define("log",      ("x", lambda g, y, x: g / x))
_define("sqrt",     ("y", lambda g, y, x: g / (y * 2)))
_define("tanh",     ("y", lambda g, y, x: g * (1 - y * y)))
_define("erf",      ("x", lambda g, y, x: g * tensor.exp(-x * x) * (2 / math.sqrt(math.pi))))
_define("square",   ("x", lambda g, y, x: g * x * 2))
_define("reciprocal", ("y", lambda g, y, x: -g * y * y))
_define("positive", ("", lambda g, y, x: g))
_define("expm1",    ("y", lambda g, y, x: g * (y + 1)))
_define("log1p",    ("x", lambda g, y, x: g / (x + 1)))
_define("log2",     ("x", lambda g, y, x: g / (x * math.log(2))))
_define("log10",    ("x", lambda g, y, x: g / (x * math.log(10))))
_define("logaddexp", ("y a", lambda g, y, a, b: g * tensor.exp(a - y)),
                     ("y b", lambda g, y, a, b: g * tensor.exp(b - y)))
_define("hypot",    ("y a", lambda g, y, a, b: g * a / y), ("y b", lambda g, y, a, b: g * b / y))
_define("sin",      ("x", lambda g, y, x: g * tensor.cos(x)))
_define("cos",      ("x", lambda g, y, x: -g * tensor.sin(x)))
_define("tan",      ("y", lambda g, y, x: g * (1 + y * y)))
_define("asin",     ("x", lambda g, y, x: g / tensor.sqrt(1 - x * x)))
_define("acos",     ("x", lambda g, y, x: -g / tensor.sqrt(1 - x * x)))
_define("atan",     ("x", lambda g, y, x: g / (1 + x * x)))
_define("atan2",    ("a b", lambda g, y, a, b: g * b / (a * a + b * b)),
                    ("a b", lambda g, y, a, b: -g * a / (a * a + b * b)))
_define("sinh",     ("x", lambda g, y, x: g * tensor.cosh(x)))
_define("cosh",     ("x", lambda g, y, x: g * tensor.sinh(x)))
_define("asinh",    ("x", lambda g, y, x: g / tensor.sqrt(x * x + 1)))
_define("acosh",    ("x", lambda g, y, x: g / tensor.sqrt(x * x - 1)))
_define("atanh",    ("x", lambda g, y, x: g / (1 - x * x)))
_define("relu",     ("y", lambda g, y, x: _where_positive(g, y)))
_define("relu6",    ("y", lambda g, y, x: _where((y > 0) & (y < 6), g)))
_define("astype",   ("", lambda g, y, x, **_: tensor.astype(g, x.dtype)))

# Views
_define("copy",         ("", lambda g, y, x: g))
_define("reshape",      ("", lambda g, y, x, **_: g.reshape(x.shape)))
_define("permute_dims", ("", lambda g, y, x, axes: tensor.permute_dims(g, _inverse(axes))))
_define("broadcast_to", ("", lambda g, y, x, **_: g))
_define("index",        ("", lambda g, y, x, key: _scatter(g, x, key)))
_define("diagonal",     ("", lambda g, y, x, offset: _onto_diagonal(g, x, offset)))
_define("gather",       ("indices", lambda g, y, x, *indices, axes, at, **_:
        tensor.gather_backward(g, x.shape, *indices, axes=axes, at=at)))

_RULES_OF_ANY["concat"] = lambda argument, g, y, *parts, axis: _part(g, argument, parts, axis)

_define("sort",         ("x", lambda g, y, x, axis, **order: _unsorted(g, x, axis, **order)))

# Reductions and products
_define("sum",    ("", lambda g, y, x, axis, keepdims, **_: _spread(g, x, axis, keepdims)))
_define("mean",   ("", lambda g, y, x, axis, keepdims: _spread(g * (y.size / x.size), x, axis, keepdims)))
_define("var",    ("x", lambda g, y, x, **parameters: _from_the_mean(g, x, **parameters)))
_define("cumulative_sum", ("", lambda g, y, x, **parameters: _summed_after(g, x, **parameters)))
_define("max",    ("y x", lambda g, y, x, axis, keepdims: _to_extreme(g, y, x, axis, keepdims)))
_define("min",    ("y x", lambda g, y, x, axis, keepdims: _to_extreme(g, y, x, axis, keepdims)))
_define("matmul",
        ("b", lambda g, y, a, b, precision: _to_left_factor(g, a, b, precision)),
        ("a", lambda g, y, a, b, precision: _to_right_factor(g, a, b, precision)))
_define("inv",    ("y", lambda g, y, x: -(y.mT @ g @ y.mT)))
_define("det",    ("y x", lambda g, y, x: (g * y)[..., None, None] * tensor.linalg.inv(x).mT))

# Networks
_define("conv2d",
        ("w", lambda g, y, x, w, **geometry: tensor.conv2d_backward_data(g, w, x.shape, **geometry)),
        ("x", lambda g, y, x, w, **geometry:
        tensor.conv2d_backward_weights(x, g, w.shape[1:3], **geometry)))
_define("conv2d_backward_data",
        ("w", lambda g, y, dy, w, input_shape, **geometry: tensor.conv2d(g, w, **geometry)),
        ("dy", lambda g, y, dy, w, input_shape, **geometry:
        tensor.conv2d_backward_weights(g, dy, w.shape[1:3], **geometry)))
_define("max_pool2d", ("y x", lambda g, y, x, **geometry: tensor.max_pool2d_backward(x, y, g, **geometry)))
_define("avg_pool2d", ("", lambda g, y, x, **geometry: tensor.avg_pool2d_backward(g, x.shape, **geometry)))
_define("softmax_cross_entropy",
        ("x labels", lambda g, y, x, labels: tensor.softmax_cross_entropy_backward(x, labels, g)))
# fmt: on


def _define_jointly(primitive: str, arguments: Sequence[int], reads: str, rule: JointRule) -> None:
    _JOINT_RULES[primitive] = rule
    for argument in arguments:
        _READ[primitive, argument] = _places(rule, reads)


def _batch_norm(
    g: Array,
    y: Array,
    x: Array,
    statistics: Array,
    weight: Array,
    bias: Array,
    *,
    wanted: Sequence[bool],
    **options: Any,
) -> dict[int, Array]:
    """`statistics` are functions of x, and what they do is in its gradient."""
    if wanted[1]:
        raise GradientError(
            "batch_norm's statistics have no derivative of their own: compute them inside "
            "tensor.not_recording_calls()."
        )
    sums = tensor.batch_norm_gradients(g, x, statistics, weight, bias, **options)
    gradients = {2: sums[0], 3: sums[1]}
    if wanted[0]:
        gradients[0] = tensor.batch_norm_backward(g, x, statistics, weight, bias, sums, **options)
    return gradients


_define_jointly("batch_norm", (0, 2, 3), "x statistics weight bias", _batch_norm)


def _where(condition: Array, gradient: Array) -> Array:
    return tensor.where(condition, gradient, 0.0)


@tensor.fuse
def _where_positive(gradient: Array, y: Array) -> Array:
    return tensor.where(y > 0, gradient, 0.0)


def _transposed(x: Array) -> Array:
    return tensor.permute_dims(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _to_left_factor(gradient: Array, a: Array, b: Array, precision: tensor.Precision) -> Array:
    gradient, _, right = _as_matrices(gradient, a, b)
    result = tensor.matmul(gradient, _transposed(right), precision=precision)
    return result[..., 0, :] if a.ndim == 1 else result


def _to_right_factor(gradient: Array, a: Array, b: Array, precision: tensor.Precision) -> Array:
    gradient, left, right = _as_matrices(gradient, a, b)
    if (
        right.strides[-2] == 1
    ):  # a weight's transposed view: made as the weight lies in memory, so that storing is a copy
        result = _transposed(tensor.matmul(_transposed(gradient), left, precision=precision))
    else:
        result = tensor.matmul(_transposed(left), gradient, precision=precision)
    return result[..., 0] if b.ndim == 1 else result


def _as_matrices(gradient: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Give vectors the axis of length 1 that a product treats them as having."""
    if b.ndim == 1:
        gradient, b = gradient[..., None], b[:, None]
    if a.ndim == 1:
        gradient, a = gradient[..., None, :], a[None, :]
    return gradient, a, b


def _inverse(axes: Sequence[int]) -> Shape:
    return tuple(sorted(range(len(axes)), key=lambda axis: axes[axis] % len(axes)))


def _scatter(gradient: Array, x: Array, key: Any) -> Array:
    whole = tensor.zeros(x.shape, dtype=gradient.dtype, device=gradient.device)
    whole[key] = gradient
    return whole


def _onto_diagonal(gradient: Array, x: Array, offset: int) -> Array:
    whole = tensor.zeros(x.shape, dtype=gradient.dtype, device=gradient.device)
    tensor.linalg.diagonal(whole, offset=offset)[...] = gradient
    return whole


def _unsorted(gradient: Array, x: Array, axis: int, **order: bool) -> Array:
    """Each element's gradient stands where sorting has put it."""
    places = tensor.argsort(tensor.argsort(x, axis=axis, **order), axis=axis)
    return tensor.take_along_axis(gradient, places, axis=axis)


def _part(gradient: Array, argument: int, parts: Sequence[Array], axis: int) -> Array:
    begin = sum(each.shape[axis] for each in parts[:argument])
    return gradient[(*(slice(None),) * axis, slice(begin, begin + parts[argument].shape[axis]))]


def _kept_shape(x: Array, axis: int | Sequence[int] | None) -> Shape:
    """The shape that a reduction of x over `axis` has when it keeps its axes."""
    if axis is None:
        return (1,) * x.ndim
    axes = {each % x.ndim for each in ([axis] if isinstance(axis, int) else axis)}
    return tuple(1 if index in axes else size for index, size in enumerate(x.shape))


def _spread(gradient: Array, x: Array, axis: int | Sequence[int] | None, keepdims: bool) -> Array:
    return tensor.broadcast_to(gradient.reshape(_kept_shape(x, axis)), x.shape)


def _from_the_mean(gradient: Array, x: Array, axis: Shape, keepdims: bool, correction: float) -> Array:
    """The mean's own gradient is that of the distances' sum, which is 0."""
    count = math.prod(x.shape[each] for each in axis) - correction
    distance = x - tensor.mean(x, axis=axis, keepdims=True)
    return distance * (gradient.reshape(_kept_shape(x, axis)) * (2 / count if count > 0 else math.nan))


def _summed_after(gradient: Array, x: Array, axis: int, include_initial: bool, **_: object) -> Array:
    """Each element counts in all sums from its own place on."""
    backwards = (*(slice(None),) * axis, slice(None, None, -1))
    own = gradient[(*(slice(None),) * axis, slice(1, None))] if include_initial else gradient
    total = tensor.cumulative_sum(own[backwards], axis=axis)
    return tensor.astype(total, x.dtype)[backwards]


def _to_extreme(
    gradient: Array, y: Array, x: Array, axis: int | Sequence[int] | None, keepdims: bool
) -> Array:
    """To the largest (or smallest) elements; equal ones share it evenly, as PyTorch's amax has it."""
    kept = _kept_shape(x, axis)
    chosen = tensor.astype(tensor.equal(x, y.reshape(kept)), tensor.dtypes.computed(x.dtype))
    return chosen * (gradient.reshape(kept) / sum_to(chosen, kept))
