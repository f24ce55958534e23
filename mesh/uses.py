"""Files with layers of one's own: hashed, so that peers can compare them, and loaded from their owner's disk.

Nothing here comes from the wire: each peer's owner names the file, and peers compare SHA-256 only.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from mesh.errors import UsageError

_PREFIX = "_mesh_uses_"  # a private name: a user's `layers.py` never shadows another module


def load_uses(paths: Iterable[Path]) -> tuple[tuple[str, str], ...]:
    """Load the files, so that their `@nn.register` take effect; (file name, SHA-256 in hexadecimal) of each.

    A file that was loaded before, with the same content, is not run again. Raises UsageError for a file
    that is missing or that fails while it is loaded.
    """
    return tuple((path.name, hashlib.sha256(_content(path)).hexdigest()) for path in map(_loaded, paths))


def load_file(path: Path) -> ModuleType:
    """The Python file at `path` as a module under a private name; run once for each content and place."""
    place = hashlib.sha256(str(path.resolve()).encode() + b"\0" + _content(path)).hexdigest()
    name = f"{_PREFIX}{place[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickles of the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(
            f"{path} fails while it is loaded: {_where(error, path)}. Correct the file."
        ) from error
    return module


def _loaded(path: Path) -> Path:
    load_file(path)
    return path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}. Check the path that --use or the job names."
        ) from error


def _where(error: Exception, path: Path) -> str:
    """The error with the line of the user's file that it passed through last."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    place = f" in line {line}" if line else ""
    return f"{type(error).__name__}{place}: {getattr(error, 'msg', error)}"
