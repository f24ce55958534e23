"""The names that other libraries give to the parameters of the models that we share.

Our names are torchvision's. timm renames some: a table of (ours, theirs) patterns for each family of models.
Sources: timm/models/vgg.py, mobilenetv2 in timm/models/efficientnet.py and its _efficientnet_blocks.py, and
timm/models/resnet.py, which has torchvision's names.
"""

import re
from collections.abc import Collection

from nn.errors import NetworkError
from nn.models.mobilenet import STAGES

NAMES = ("torchvision", "timm", "mesh")

_Rules = tuple[tuple[str, str], ...]

_VGG: _Rules = (
    (r"classifier\.0\.", "pre_logits.fc1."),
    (r"classifier\.3\.", "pre_logits.fc2."),
    (r"classifier\.6\.", "head.fc."),
)


def _mobilenet() -> _Rules:
    """The blocks counted by stages, and the parts of a block by what they do, not by their place."""
    rules = [
        (r"features\.0\.0\.", "conv_stem."),
        (r"features\.0\.1\.", "bn1."),
        (r"classifier\.1\.", "classifier."),
    ]
    widened = (
        ("0.0", "conv_pw"),
        ("0.1", "bn1"),
        ("1.0", "conv_dw"),
        ("1.1", "bn2"),
        ("2", "conv_pwl"),
        ("3", "bn3"),
    )
    plain = (("0.0", "conv_dw"), ("0.1", "bn1"), ("1", "conv_pw"), ("2", "bn2"))
    place = 1
    for stage, (expansion, _, count, _) in enumerate(STAGES):
        for block in range(count):
            for ours, theirs in plain if expansion == 1 else widened:
                inner = re.escape(f"features.{place}.conv.{ours}.")
                rules.append((inner, f"blocks.{stage}.{block}.{theirs}."))
            place += 1
    return (*rules, (rf"features\.{place}\.0\.", "conv_head."), (rf"features\.{place}\.1\.", "bn2."))


# What only this family has, and its rules.
_TIMM: tuple[tuple[frozenset[str], _Rules], ...] = (
    (
        frozenset({"features.0.weight", "classifier.0.weight", "classifier.3.weight", "classifier.6.weight"}),
        _VGG,
    ),
    (
        frozenset({"features.1.conv.0.0.weight", "features.17.conv.3.weight", "classifier.1.weight"}),
        _mobilenet(),
    ),
    (frozenset({"layer1.0.conv1.weight", "layer4.0.bn1.weight", "fc.weight"}), ()),
)


def timm_names(ours: Collection[str]) -> dict[str, str] | None:
    """timm's name of each of our parameters; None for a network that timm does not have."""
    rules = next((rules for marks, rules in _TIMM if marks <= set(ours)), None)
    return None if rules is None else {name: _renamed(name, rules) for name in ours}


def names_in(naming: str, ours: Collection[str]) -> dict[str, str]:
    """The name of each of our parameters in `naming`, one of NAMES. Raises `NetworkError`."""
    if naming not in NAMES:
        raise NetworkError(f"There are no names {naming!r}. Known are: {', '.join(NAMES)}.")
    if naming != "timm":
        return {name: name for name in ours}
    found = timm_names(ours)
    if found is None:
        raise NetworkError(
            "timm has names for our vgg, resnet and mobilenet_v2, and this network is none of them: "
            'give the names "torchvision", which are its own.'
        )
    return found


def _renamed(name: str, rules: _Rules) -> str:
    for pattern, theirs in rules:
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", theirs, name)
    return name
