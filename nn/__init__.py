"""Neural networks over `tensor`: layers, losses, optimizers, models and data."""

from nn import data
