"""The public surface of `nn`: what is promised is there, and nothing is there that is not promised."""

import types

import nn

PROMISED = {
    *("Layer", "Parameter", "Buffer", "Entry", "Sequential", "Graph", "Node", "Add", "Concat"),
    *("BatchNorm", "GroupNorm", "LayerNorm", "RMSNorm"),
    *("LeakyReLU", "Sigmoid", "Tanh", "SiLU", "GELU", "Softmax"),
    *("GlobalAvgPool2d",),
    *("ColorJitter", "DataAugmentation", "Normalize"),
    *("RandomCrop", "RandomHorizontalFlip", "RandomResizedCrop"),
    *(
        "Conv2d",
        "ConvTranspose2d",
        "ReLU6",
        "GlobalMaxPool2d",
        "Reshape",
        "Upsample",
        "ZeroPad2d",
        "summary",
        "Summary",
        "LayerSummary",
        "MaxPool2d",
        "AvgPool2d",
        "Linear",
        "ReLU",
        "Flatten",
        "Dropout",
    ),
    *("Embedding", "PositionalEmbedding", "MultiHeadAttention", "SelfAttention", "generate"),
    *("value_and_grad", "derivative", "check_gradient", "softmax_cross_entropy", "accuracy"),
    *("first_non_finite", "NonFinite", "Checkpoint"),
    *("mixed_precision", "LossScale", "in_float32", "rounded_like"),
    *("top_k_accuracy", "perplexity"),
    *(
        "SGD",
        "Adam",
        "AdamW",
        "LAMB",
        "RMSprop",
        "Optimizer",
        "ExponentialAverage",
        "Schedule",
        "register_optimizer",
        "load_optimizer",
        "save",
        "load_weights",
        "export_onnx",
        "import_onnx",
        "save_weights",
        "load",
        "Saved",
        "to_definition",
        "load_definition",
        "register",
    ),
    *("data", "initialization", "losses", "models"),
    *("NetworkError", "NotInitializedError", "DefinitionError", "LayerShapeError", "GradientError"),
    *("DataError", "SaveError"),
}


def test_all_is_what_is_promised() -> None:
    assert set(nn.__all__) == PROMISED
    for name in nn.__all__:
        thing = getattr(nn, name)
        assert isinstance(thing, types.ModuleType) or (thing.__doc__ or "").strip()


def test_nothing_else_is_public() -> None:
    modules = {name for name, value in vars(nn).items() if isinstance(value, types.ModuleType)}
    public = {name for name in vars(nn) if not name.startswith("_")}
    assert public - modules <= PROMISED
