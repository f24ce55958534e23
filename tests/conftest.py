"""The options of the tests, what is left out without them, and what a test asks for that counts memory."""

import gc

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where tests/tensor/conftest.py cannot: options must be known before its folder is looked at."""
    parser.addoption(
        "--deep",
        action="store_true",
        help="the long form: long trainings, the largest arrays on every device, every dtype on every OpenCL",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `deep` to the long form."""
    if not config.getoption("--deep"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("deep")])
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


@pytest.fixture
def no_garbage() -> None:
    """For tests that count memory: what earlier tests left in cycles would be freed in between."""
    gc.collect()
