"""Where the files of a data set are: in a data folder, else in the user's cache folder, else downloaded to
there."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs
import pooch

from nn.errors import DataError

DOWNLOAD_TIMEOUT_S = 30


def data_folders(name: str, root: str | Path | None) -> list[Path]:
    """Where to look for the data set `name`: under `root` or MESH_DATA, and under the cache, where downloads
    go."""
    chosen = root or os.environ.get("MESH_DATA")
    cache = platformdirs.user_cache_path("mesh") / "data"
    return [Path(folder) / name for folder in (chosen, cache) if folder]


def found(folders: Iterable[Path], names: Iterable[str]) -> Path | None:
    """The first of the files or folders `names` that is in one of `folders`."""
    wanted = [*names]
    paths = (folder / name for folder in folders for name in wanted)
    return next((path for path in paths if path.exists()), None)


def download(
    title: str,
    mirrors: Iterable[str],
    name: str,
    sha256: str,
    folders: list[Path],
    instead: str = "the digits, which need no download",
) -> Path:
    """The file `name` from the first mirror that gives it with this SHA-256, in the last folder.

    Raises `DataError`, which says where a file of one's own would be looked for, and what to use `instead`.
    """
    pooch.get_logger().setLevel(logging.WARNING)  # nothing is printed outside the command line
    reasons = []
    for mirror in mirrors:
        try:
            return Path(_retrieve(mirror + name, sha256, name, folders[-1]))
        except (
            OSError,
            ValueError,
        ) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
            reasons.append(f"{mirror} ({type(error).__name__}: {str(error).split('. ')[0][:160]})")
    searched = " or ".join(str(folder) for folder in folders)
    raise DataError(
        f"{title}'s {name} is not in {searched}, and could not be downloaded from {' or '.join(reasons)}. "
        f"Put the file in {folders[0]}, or set MESH_DATA to the folder that holds {folders[0].name}/, or use "
        f"{instead}."
    )


def _retrieve(url: str, sha256: str, name: str, folder: Path) -> str:
    downloader = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT_S)
    path: str = pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=downloader)
    return path
