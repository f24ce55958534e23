"""Networks and weights in the files of other programs."""

from nn.interchange.weights import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]
