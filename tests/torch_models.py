"""Models in PyTorch under torchvision's and timm's names, to compare files of weights with.

torchvision cannot be installed beside every PyTorch, and what files depend on is little: which modules there
are, and what they are called. Sources: torchvision/models/{alexnet,vgg,resnet,mobilenetv2}.py and
timm/models/{vgg, efficientnet}.py.
"""

from typing import Any

from nn.models.mobilenet import STAGES
from nn.models.vgg import _BLOCKS


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
    for block in _BLOCKS[11]:
        for width in block:
            layers += [t.Conv2d(channels, width, 3, padding=1), t.ReLU()]
            channels = width
        layers.append(t.MaxPool2d(2))
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


def resnet18(torch: Any, classes: int) -> Any:
    """torchvision's, which is timm's too."""
    t = torch.nn

    class Block(t.Module):  # type: ignore[name-defined, misc]
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = t.Conv2d(channels, width, 3, stride, 1, bias=False), t.BatchNorm2d(width)
            self.conv2, self.bn2 = t.Conv2d(width, width, 3, 1, 1, bias=False), t.BatchNorm2d(width)
            self.downsample = None
            if stride > 1:
                shortcut = t.Conv2d(channels, width, 1, stride, bias=False), t.BatchNorm2d(width)
                self.downsample = t.Sequential(*shortcut)

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + (self.downsample(x) if self.downsample else x))

    widths = (64, 64, 128, 256, 512)
    stages = {
        f"layer{n}": t.Sequential(
            Block(widths[n - 1], widths[n], 1 + (n > 1)), Block(widths[n], widths[n], 1)
        )
        for n in range(1, 5)
    }
    stem = {"conv1": t.Conv2d(3, 64, 7, 2, 3, bias=False), "bn1": t.BatchNorm2d(64), "relu": t.ReLU()}
    head = {"avgpool": t.AdaptiveAvgPool2d(1), "flatten": t.Flatten(), "fc": t.Linear(512, classes)}
    return _sequential(torch, **stem, maxpool=t.MaxPool2d(3, 2, 1), **stages, **head)


def mobilenet_v2(torch: Any, classes: int, names: str) -> Any:
    """torchvision's mobilenet_v2, or timm's mobilenetv2_100."""
    t = torch.nn

    def conv(channels: int, width: int, size: int = 1, stride: int = 1, groups: int = 1) -> Any:
        return t.Conv2d(channels, width, size, stride, size // 2, groups=groups, bias=False)

    class Residual(t.Module):  # type: ignore[name-defined, misc]
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
    for expansion, width, count, stride in STAGES:
        stages.append([])
        for number in range(count):
            stages[-1].append(Residual(channels, width, stride if number == 0 else 1, expansion))
            channels = width
    if names == "torchvision":
        first = t.Sequential(conv(3, 32, 3, 2), t.BatchNorm2d(32), t.ReLU6())
        last = t.Sequential(conv(320, 1280), t.BatchNorm2d(1280), t.ReLU6())
        features = t.Sequential(first, *(block for stage in stages for block in stage), last)
        pooled = {"pool": t.AdaptiveAvgPool2d(1), "flatten": t.Flatten()}
        classifier = t.Sequential(t.Dropout(0.2), t.Linear(1280, classes))
        return _sequential(torch, features=features, **pooled, classifier=classifier)
    return _sequential(
        torch,
        **{"conv_stem": conv(3, 32, 3, 2), "bn1": t.BatchNorm2d(32), "act1": t.ReLU6()},
        blocks=t.Sequential(*(t.Sequential(*stage) for stage in stages)),
        **{"conv_head": conv(320, 1280), "bn2": t.BatchNorm2d(1280), "act2": t.ReLU6()},
        **{
            "global_pool": t.AdaptiveAvgPool2d(1),
            "flatten": t.Flatten(),
            "classifier": t.Linear(1280, classes),
        },
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
