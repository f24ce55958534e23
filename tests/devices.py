"""The devices that tests run on which are not about kernels."""

import tensor


def best_devices() -> list[str]:
    """The best device of each kind, as `tensor.device` takes it: kernels are tested on the others too, in
    tests/tensor.
    """
    return list({each.kind: each.spec for each in reversed(tensor.devices())}.values())[::-1]
