"""The layers that come with `nn`, one file a family.

Where they say float32 they take and give float64 in a network of that, which is made by
`network.initialize(dtype="float64")`, and 16 bits in mixed precision; those that vary images are of float32
alone.
"""

from nn.layers.activation import GELU, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax, Tanh
from nn.layers.attention import MultiHeadAttention, SelfAttention
from nn.layers.augmentation import (
    ColorJitter,
    DataAugmentation,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
)
from nn.layers.convolution import Conv2d, ConvTranspose2d
from nn.layers.dropout import Dropout
from nn.layers.embedding import Embedding, PositionalEmbedding
from nn.layers.joining import Add, Concat
from nn.layers.linear import Linear
from nn.layers.normalization import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from nn.layers.padding import ZeroPad2d
from nn.layers.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from nn.layers.sequential import Sequential
from nn.layers.shape import Flatten, Reshape
from nn.layers.upsampling import Upsample

__all__ = [
    "GELU",
    "Add",
    "AvgPool2d",
    "BatchNorm",
    "ColorJitter",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "DataAugmentation",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "GroupNorm",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "MultiHeadAttention",
    "Normalize",
    "PositionalEmbedding",
    "RMSNorm",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "ReLU",
    "ReLU6",
    "Reshape",
    "SelfAttention",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample",
    "ZeroPad2d",
]
