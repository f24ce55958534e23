"""Attention: each place of a sequence takes from the others what it asks for.

What backward would need of the weights between all pairs of places is computed again there, for some queries
at a time, so that no array grows with the square of the length.
"""

import math
from collections.abc import Iterator

import tensor
from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers.activation import softmax
from nn.layers.dropout import dropped
from nn.layers.linear import Linear
from tensor import Array

QUERIES_AT_ONCE = 128


class MultiHeadAttention(Layer):
    """y = proj(softmax(Q · Kᵀ / √d + mask) · V for each head), with Q, K, V side by side in qkv(x).

    d is channels / heads. With `causal` each place sees itself and those before it; `dropout` is the ratio of
    weights between places that are dropped in training. Memory: O(N · T · channels) is kept for the way back,
    and N · heads · 128 · T numbers live at a time. x, y: float32 [N, T, channels].

    qkv: Linear of weight [3 · channels, channels], as in PyTorch queries first, then keys, then values;
    proj: Linear of weight [channels, channels]. Sources: A. Vaswani and others: "Attention Is All You Need",
    2017; M. Rabe, C. Staats: "Self-attention Does Not Need O(n²) Memory", 2021.
    """

    def __init__(
        self, channels: int, heads: int, causal: bool = False, dropout: float = 0.0, bias: bool = True
    ) -> None:
        if heads < 1 or channels < 1 or channels % heads:
            raise NetworkError(f"Expected channels that `heads` divides; got {self!r}.")
        self.channels = channels
        self.qkv = Linear(channels, 3 * channels, bias)
        self.attention = SelfAttention(heads, causal, dropout)
        self.proj = Linear(channels, channels, bias)

    def forward(self, x: Array) -> Array:
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise self.shape_error(f"[N, T, {self.channels}]", x.shape)
        return self.proj(self.attention(self.qkv(x)))


class SelfAttention(Layer):
    """y = softmax(Q · Kᵀ / √d + mask) · V for each head; no parameters.

    x: float32 [N, T, 3 · channels], queries, keys and values side by side, each of them head by head; y:
    float32 [N, T, channels]. Arguments as of `MultiHeadAttention`.
    """

    def __init__(self, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        if heads < 1 or not 0 <= dropout < 1:
            raise NetworkError(f"Expected heads ≥ 1 and 0 ≤ dropout < 1; got {self!r}.")
        self.heads, self.causal, self.dropout = heads, causal, dropout

    def forward(self, x: Array) -> Array:
        if x.ndim != 3 or x.shape[-1] % (3 * self.heads):
            raise self.shape_error(f"[N, T, 3 · {self.heads} · d]", x.shape)
        with tensor.not_recording_calls():  # so that nothing of it is kept
            q, k, v = self._heads(x, 3)
            y = tensor.empty(q.shape, dtype=x.dtype, device=x.device)
            for rows, seen in self._blocks(q.shape[2]):
                weights = self._weights(q[:, :, rows], k[:, :, seen], rows)
                y[:, :, rows] = self._dropped(weights, rows) @ v[:, :, seen]
            return _side_by_side(y[None])

    def backward(self, gradient: Array, output: Array, x: Array) -> Array:
        (q, k, v), (y,), (dy,) = self._heads(x, 3), self._heads(output, 1), self._heads(gradient, 1)
        whole = tensor.zeros((3, *q.shape), dtype=tensor.dtypes.computed(x.dtype), device=x.device)
        dq, dk, dv = whole[0], whole[1], whole[2]
        scale = 1 / math.sqrt(q.shape[-1])
        total = tensor.sum(dy * y, axis=-1, keepdims=True)  # Σ weights · their gradients, of each query
        for rows, seen in self._blocks(q.shape[2]):
            weights = self._weights(q[:, :, rows], k[:, :, seen], rows)
            dv[:, :, seen] += self._dropped(weights, rows).mT @ dy[:, :, rows]
            dweights = self._dropped(dy[:, :, rows] @ v[:, :, seen].mT, rows)
            dscores = _through_softmax(weights, dweights, total[:, :, rows], scale)
            dq[:, :, rows] = dscores @ k[:, :, seen]
            dk[:, :, seen] += dscores.mT @ q[:, :, rows]
        return _side_by_side(whole)

    def _heads(self, x: Array, parts: int) -> Array:
        """[N, T, parts · channels] as [parts, N, heads, T, d], in memory too: then stacks are one launch."""
        N, T, size = x.shape
        split = x.reshape((N, T, parts, self.heads, size // (parts * self.heads)))
        return tensor.permute_dims(split, (2, 0, 3, 1, 4)).copy()

    def _blocks(self, length: int) -> Iterator[tuple[slice, slice]]:
        """Some queries at a time, and the keys that they see."""
        for begin in range(0, length, QUERIES_AT_ONCE):
            end = min(begin + QUERIES_AT_ONCE, length)
            yield slice(begin, end), slice(0, end if self.causal else length)

    def _weights(self, q: Array, k: Array, rows: slice) -> Array:
        """How much each query takes of each key: [N, heads, queries, keys], each row of sum 1."""
        with tensor.float32_results():
            scores, scale = q @ k.mT, 1 / math.sqrt(q.shape[-1])
        if not self.causal:
            return softmax(scores * scale)
        queries = tensor.arange(rows.start, rows.stop, device=q.device)[:, None]
        is_seen = tensor.arange(k.shape[2], device=q.device) <= queries
        return softmax(_masked(scores, is_seen, scale))

    def _dropped(self, weights: Array, rows: slice) -> Array:
        return dropped(self, weights, self.dropout, part=rows.start)


@tensor.fuse
def _masked(scores: Array, is_seen: Array, scale: float) -> Array:
    return tensor.where(is_seen, scores * scale, -math.inf)


@tensor.fuse
def _through_softmax(weights: Array, dweights: Array, total: Array, scale: float) -> Array:
    """The gradient of the scores before the softmax."""
    return weights * (dweights - total) * scale


def _side_by_side(parts: Array) -> Array:
    """[parts, N, heads, T, d] as [N, T, parts · channels]."""
    count, N, heads, T, size = parts.shape
    return tensor.permute_dims(parts, (1, 3, 0, 2, 4)).reshape((N, T, count * heads * size))
