"""A small language model over characters, after GPT-2 (A. Radford and others: "Language Models are
Unsupervised Multitask Learners", 2019)."""

from nn.errors import NetworkError
from nn.layer import Layer
from nn.layers import (
    GELU,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    PositionalEmbedding,
    Sequential,
)
from tensor import Array


class Block(Layer):
    """x + attention(norm(x)), and to that + fc2(GELU(fc1(norm(it)))), four times as wide between.

    x, y: float32 [N, T, channels]; each place sees itself and those before it.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        self.norm1 = LayerNorm(channels)
        self.attention = MultiHeadAttention(channels, heads, causal=True, dropout=dropout)
        self.drop1 = Dropout(dropout)
        self.norm2 = LayerNorm(channels)
        self.fc1, self.gelu = Linear(channels, 4 * channels), GELU("tanh")
        self.fc2 = Linear(4 * channels, channels)
        self.drop2 = Dropout(dropout)

    def forward(self, x: Array) -> Array:
        x = x + self.drop1(self.attention(self.norm1(x)))
        return x + self.drop2(self.fc2(self.gelu(self.fc1(self.norm2(x)))))


def chargpt(
    vocabulary: int = 65,
    context: int = 64,
    depth: int = 4,
    heads: int = 4,
    channels: int = 128,
    dropout: float = 0.0,
) -> Sequential:
    """Token and place embeddings, `depth` pre-norm blocks, a norm, and a head of its own (not the embedding's
    weight again); 818,176 parameters.

    Takes integers [N, T] within [0, vocabulary) with T ≤ context, gives the logits of what follows each of
    them, float32 [N, T, vocabulary]. Its loss is softmax_cross_entropy with labels [N, T]; `nn.generate`
    writes with it.
    """
    if min(vocabulary, context, depth, heads, channels) < 1 or channels % heads:
        raise NetworkError(
            "chargpt expected sizes of at least 1, and channels that `heads` divides; "
            f"got {(vocabulary, context, depth, heads, channels)}."
        )
    blocks = {f"block{number}": Block(channels, heads, dropout) for number in range(depth)}
    return Sequential(
        token=Embedding(vocabulary, channels, std=0.02),
        position=PositionalEmbedding(context, channels),
        drop=Dropout(dropout),
        **blocks,
        norm=LayerNorm(channels),
        head=Linear(channels, vocabulary, bias=False),
    )
