"""The options of the tests, and what a test asks for that counts memory."""

import gc

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where tests/tensor/conftest.py cannot: options must be known before its folder is looked at."""
    parser.addoption(
        "--every-dtype",
        action="store_true",
        help="test kernels of every dtype on every implementation of OpenCL, and not only on the first one",
    )


@pytest.fixture
def no_garbage() -> None:
    """For tests that count memory: what earlier tests left in cycles would be freed in between."""
    gc.collect()
