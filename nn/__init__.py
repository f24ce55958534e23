"""Neural networks over `tensor`: layers, losses, optimizers, models and data."""

from nn import data, initialization, losses, models
from nn.autograd import value_and_grad
from nn.definition import load_definition, to_definition
from nn.derivatives import derivative
from nn.errors import (
    DataError,
    DefinitionError,
    GradientError,
    LayerShapeError,
    NetworkError,
    NotInitializedError,
    SaveError,
)
from nn.gradient_check import check_gradient
from nn.graph import Graph, Node
from nn.layer import Buffer, Entry, Layer, Parameter
from nn.layer_types import register
from nn.layers import (
    GELU,
    Add,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from nn.losses import softmax_cross_entropy
from nn.metrics import accuracy, perplexity, top_k_accuracy
from nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, load_optimizer, register_optimizer
from nn.saving import Saved, load, save
from nn.schedules import Schedule

__all__ = [
    "GELU",
    "SGD",
    "Adam",
    "AdamW",
    "Add",
    "AvgPool2d",
    "BatchNorm",
    "Buffer",
    "Concat",
    "Conv2d",
    "DataError",
    "DefinitionError",
    "Dropout",
    "Entry",
    "Flatten",
    "GlobalAvgPool2d",
    "GradientError",
    "Graph",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "LayerShapeError",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "NetworkError",
    "Node",
    "NotInitializedError",
    "Optimizer",
    "Parameter",
    "RMSNorm",
    "RMSprop",
    "ReLU",
    "SaveError",
    "Saved",
    "Schedule",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "accuracy",
    "check_gradient",
    "data",
    "derivative",
    "initialization",
    "load",
    "load_definition",
    "load_optimizer",
    "losses",
    "models",
    "perplexity",
    "register",
    "register_optimizer",
    "save",
    "softmax_cross_entropy",
    "to_definition",
    "top_k_accuracy",
    "value_and_grad",
]
