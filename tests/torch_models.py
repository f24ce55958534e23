"""Models in PyTorch under torchvision's and timm's names, to compare our networks and files of weights with.

torchvision cannot be installed beside every PyTorch. Nothing here is taken from our models. Sources:
torchvision/models/{alexnet,vgg,resnet,mobilenetv2}.py and timm/models/{vgg, efficientnet}.py; of the others
the docstrings of nn.models, and A. Radford and others: "Language Models are Unsupervised Multitask Learners".
"""

import itertools
from typing import Any

POOL = "pool"
VGG: dict[int, tuple[int | str, ...]] = {
    11: (64, POOL, 128, POOL, *(256,) * 2, POOL, *(512,) * 2, POOL, *(512,) * 2, POOL),
    13: (*(64,) * 2, POOL, *(128,) * 2, POOL, *(256,) * 2, POOL, *(512,) * 2, POOL, *(512,) * 2, POOL),
    16: (*(64,) * 2, POOL, *(128,) * 2, POOL, *(256,) * 3, POOL, *(512,) * 3, POOL, *(512,) * 3, POOL),
    19: (*(64,) * 2, POOL, *(128,) * 2, POOL, *(256,) * 4, POOL, *(512,) * 4, POOL, *(512,) * 4, POOL),
}
# expansion, channels, blocks, stride of the first one: torchvision's inverted_residual_setting
MOBILENET = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def _sequential(torch: Any, **modules: Any) -> Any:
    """A Sequential with names."""
    whole = torch.nn.Sequential()
    for name, module in modules.items():
        whole.add_module(name, module)
    return whole


def alexnet(torch: Any, side: int, classes: int) -> Any:
    """torchvision's, for images that leave `side` pixels a side, which it would pool to 6."""
    t = torch.nn
    features = t.Sequential(
        *(t.Conv2d(3, 64, 11, 4, 2), t.ReLU(), t.MaxPool2d(3, 2)),
        *(t.Conv2d(64, 192, 5, padding=2), t.ReLU(), t.MaxPool2d(3, 2)),
        *(t.Conv2d(192, 384, 3, padding=1), t.ReLU(), t.Conv2d(384, 256, 3, padding=1), t.ReLU()),
        *(t.Conv2d(256, 256, 3, padding=1), t.ReLU(), t.MaxPool2d(3, 2)),
    )
    classifier = t.Sequential(
        *(t.Dropout(), t.Linear(256 * side * side, 4096), t.ReLU()),
        *(t.Dropout(), t.Linear(4096, 4096), t.ReLU(), t.Linear(4096, classes)),
    )
    return _sequential(torch, features=features, flatten=t.Flatten(), classifier=classifier)


def vgg11(torch: Any, side: int, classes: int, names: str) -> Any:
    """torchvision's or timm's, for images that leave `side` pixels a side, which they would pool to 7."""
    t = torch.nn
    layers, channels = [], 3
    for width in VGG[11]:
        if isinstance(width, str):
            layers.append(t.MaxPool2d(2))
        else:
            layers += [t.Conv2d(channels, width, 3, padding=1), t.ReLU()]
            channels = width
    features = t.Sequential(*layers)
    if names == "torchvision":
        classifier = t.Sequential(
            *(t.Linear(512 * side * side, 4096), t.ReLU(), t.Dropout()),
            *(t.Linear(4096, 4096), t.ReLU(), t.Dropout(), t.Linear(4096, classes)),
        )
        return _sequential(torch, features=features, flatten=t.Flatten(), classifier=classifier)
    logits = _sequential(
        torch, fc1=t.Conv2d(512, 4096, side), act1=t.ReLU(), fc2=t.Conv2d(4096, 4096, 1), act2=t.ReLU()
    )
    head = _sequential(torch, flatten=t.Flatten(), fc=t.Linear(4096, classes))
    return _sequential(torch, features=features, pre_logits=logits, head=head)


def resnet18(torch: Any, classes: int, small: bool = False) -> Any:
    """torchvision's, which is timm's too."""
    return _resnet(torch, (2, 2, 2, 2), False, classes, small)


def resnet50(torch: Any, classes: int) -> Any:
    """torchvision's, with the stride in the 3×3 convolution."""
    return _resnet(torch, (3, 4, 6, 3), True, classes, False)


def _resnet(torch: Any, counts: tuple[int, ...], narrows: bool, classes: int, small: bool) -> Any:
    """`narrows`: of blocks with three convolutions. `small`: with the paper's first layer for CIFAR."""
    t, more = torch.nn, 4 if narrows else 1

    def conv(channels: int, width: int, size: int, stride: int = 1) -> Any:
        return t.Conv2d(channels, width, size, stride, size // 2, bias=False)

    class Block(t.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            if narrows:
                sizes = (channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)
            else:
                sizes = (channels, width, 3, stride), (width, width, 3, 1)
            self.count = len(sizes)
            for number, (into, out, size, step) in enumerate(sizes, 1):
                setattr(self, f"conv{number}", conv(into, out, size, step))
                setattr(self, f"bn{number}", t.BatchNorm2d(out))
            self.downsample = None
            if stride > 1 or channels != more * width:
                shortcut = conv(channels, more * width, 1, stride), t.BatchNorm2d(more * width)
                self.downsample = t.Sequential(*shortcut)

        def forward(self, x: Any) -> Any:
            y = x
            for number in range(1, self.count + 1):
                y = torch.relu(y) if number > 1 else y
                y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            return torch.relu(y + (self.downsample(x) if self.downsample else x))

    stages, channels = {}, 64
    for stage, count in enumerate(counts):
        width, blocks = 64 << stage, []
        for number in range(count):
            blocks.append(Block(channels, width, 2 if stage and not number else 1))
            channels = more * width
        stages[f"layer{stage + 1}"] = t.Sequential(*blocks)
    stem = {
        "conv1": conv(3, 64, 3) if small else conv(3, 64, 7, 2),
        "bn1": t.BatchNorm2d(64),
        "relu": t.ReLU(),
    }
    if not small:
        stem["maxpool"] = t.MaxPool2d(3, 2, 1)
    head = {"avgpool": t.AdaptiveAvgPool2d(1), "flatten": t.Flatten(), "fc": t.Linear(channels, classes)}
    return _sequential(torch, **stem, **stages, **head)


def mobilenet_v2(torch: Any, classes: int, names: str, first_stride: int = 2) -> Any:
    """torchvision's mobilenet_v2, or timm's mobilenetv2_100."""
    t = torch.nn

    def conv(channels: int, width: int, size: int = 1, stride: int = 1, groups: int = 1) -> Any:
        return t.Conv2d(channels, width, size, stride, size // 2, groups=groups, bias=False)

    class Residual(t.Module):
        def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
            super().__init__()
            wide = channels * expansion
            depthwise = conv(wide, wide, 3, stride, wide)
            norms = [t.BatchNorm2d(wide), t.BatchNorm2d(wide), t.BatchNorm2d(width)]
            self.adds = stride == 1 and channels == width
            if names == "torchvision":
                first = [t.Sequential(conv(channels, wide), norms[0], t.ReLU6())] if expansion > 1 else []
                second = t.Sequential(depthwise, norms[1], t.ReLU6())
                self.conv = t.Sequential(*first, second, conv(wide, width), norms[2])
                self.inner = [self.conv]
            elif expansion == 1:
                self.conv_dw, self.bn1 = depthwise, norms[1]
                self.conv_pw, self.bn2 = conv(wide, width), norms[2]
                self.inner = [self.conv_dw, self.bn1, t.ReLU6(), self.conv_pw, self.bn2]
            else:
                self.conv_pw, self.bn1 = conv(channels, wide), norms[0]
                self.conv_dw, self.bn2 = depthwise, norms[1]
                self.conv_pwl, self.bn3 = conv(wide, width), norms[2]
                expand = [self.conv_pw, self.bn1, t.ReLU6()]
                self.inner = [*expand, self.conv_dw, self.bn2, t.ReLU6(), self.conv_pwl, self.bn3]

        def forward(self, x: Any) -> Any:
            y = x
            for module in self.inner:
                y = module(y)
            return x + y if self.adds else y

    stages, channels = [], 32
    for expansion, width, count, stride in MOBILENET:
        stages.append([])
        for number in range(count):
            stages[-1].append(Residual(channels, width, stride if number == 0 else 1, expansion))
            channels = width
    if names == "torchvision":
        first = t.Sequential(conv(3, 32, 3, first_stride), t.BatchNorm2d(32), t.ReLU6())
        last = t.Sequential(conv(320, 1280), t.BatchNorm2d(1280), t.ReLU6())
        features = t.Sequential(first, *(block for stage in stages for block in stage), last)
        pooled = {"pool": t.AdaptiveAvgPool2d(1), "flatten": t.Flatten()}
        classifier = t.Sequential(t.Dropout(0.2), t.Linear(1280, classes))
        return _sequential(torch, features=features, **pooled, classifier=classifier)
    return _sequential(
        torch,
        **{"conv_stem": conv(3, 32, 3, first_stride), "bn1": t.BatchNorm2d(32), "act1": t.ReLU6()},
        blocks=t.Sequential(*(t.Sequential(*stage) for stage in stages)),
        **{"conv_head": conv(320, 1280), "bn2": t.BatchNorm2d(1280), "act2": t.ReLU6()},
        **{
            "global_pool": t.AdaptiveAvgPool2d(1),
            "flatten": t.Flatten(),
            "classifier": t.Linear(1280, classes),
        },
    )


def mlp(torch: Any, sizes: tuple[int, ...]) -> Any:
    """Linear layers between `sizes`, with a ReLU after each but the last."""
    modules: dict[str, Any] = {"flatten": torch.nn.Flatten()}
    for number, (before, size) in enumerate(itertools.pairwise(sizes), 1):
        modules[f"fc{number}"] = torch.nn.Linear(before, size)
        modules[f"relu{number}"] = torch.nn.ReLU()
    modules.popitem()
    return _sequential(torch, **modules)


def lenet(torch: Any, padding: int, side: int) -> Any:
    """Caffe's for MNIST, for images that leave `side` pixels a side."""
    t = torch.nn
    return _sequential(
        torch,
        **{"conv1": t.Conv2d(1, 20, 5, padding=padding), "pool1": t.MaxPool2d(2, ceil_mode=True)},
        **{"conv2": t.Conv2d(20, 50, 5, padding=padding), "pool2": t.MaxPool2d(2, ceil_mode=True)},
        **{"flatten": t.Flatten(), "fc3": t.Linear(50 * side * side, 500)},
        **{"relu3": t.ReLU(), "fc4": t.Linear(500, 10)},
    )


def chargpt(torch: Any, vocabulary: int, context: int, depth: int, heads: int, channels: int) -> Any:
    """GPT-2's blocks, without dropout."""
    t = torch.nn

    class Place(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = t.Parameter(torch.randn(context, channels))

        def forward(self, x: Any) -> Any:
            return x + self.weight[: x.shape[1]]

    class Attention(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.proj = t.Linear(channels, 3 * channels), t.Linear(channels, channels)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
            seen = t.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.proj(seen.transpose(1, 2).reshape(x.shape))

    class Block(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = t.LayerNorm(channels), t.LayerNorm(channels)
            self.attention = Attention()
            self.fc1, self.fc2 = t.Linear(channels, 4 * channels), t.Linear(4 * channels, channels)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.fc2(t.functional.gelu(self.fc1(self.norm2(x)), approximate="tanh"))

    return _sequential(
        torch,
        **{"token": t.Embedding(vocabulary, channels), "position": Place()},
        **{f"block{number}": Block() for number in range(depth)},
        **{"norm": t.LayerNorm(channels), "head": t.Linear(channels, vocabulary, bias=False)},
    )


def trained(torch: Any, model: Any) -> Any:
    """The model in evaluation, with running statistics as if it had been trained."""
    generator = torch.Generator().manual_seed(5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model.eval()
