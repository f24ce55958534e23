"""The jobs that `mesh start` knows, and how a file of one's own becomes one."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nn
from mesh import codec
from mesh.errors import UsageError
from mesh.job import LENGTH, Job
from mesh.uses import load_file, load_uses
from nn.errors import DefinitionError, NetworkError


@dataclass(frozen=True)
class Options:
    """What the command line overrides of a job; None leaves the job's own value."""

    data: str | None = None
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    momentum: float | None = None
    codec: str | None = None
    seed: int | None = None
    length: int | None = None
    precision: str | None = None


def _sgd(steps: int, weight_decay: float = 0.0) -> nn.Optimizer:
    return nn.SGD(lr=0.05, momentum=0.9, weight_decay=weight_decay)


def _adamw(steps: int) -> nn.Optimizer:
    schedule = nn.Schedule("cosine", steps=steps, warmup=min(100, steps // 10), end=0.1)
    return nn.AdamW(lr=2e-3, beta2=0.99, weight_decay=0.1, schedule=schedule)


@dataclass(frozen=True)
class Recipe:
    """A model by name with the data set and the settings that train it well.

    `steps` are for texts, and `epochs` for images. `optimizer` is told how many steps there will be.
    """

    model: str
    data: str
    epochs: int = 0
    steps: int = 0
    optimizer: Callable[[int], nn.Optimizer] = _sgd
    batch: int = 120
    evaluate_every: int = 0


RECIPES = {
    "digits": Recipe("lenet", "digits", epochs=80, evaluate_every=100),  # 1,000 steps: half a minute
    "lenet": Recipe("lenet", "mnist", epochs=20),
    "resnet18": Recipe(
        "resnet18", "digits", epochs=20, optimizer=partial(_sgd, weight_decay=5e-4), evaluate_every=50
    ),
    "chargpt": Recipe(
        "chargpt",
        "tinyshakespeare",
        steps=1500,
        optimizer=_adamw,
        batch=16,
        evaluate_every=250,
    ),
}


def make_job(name: str, options: Options | None = None, uses: Iterable[Path] = ()) -> Job:
    """The job `name`: one of RECIPES, the path of a network in JSON, or `file.py:name`, a Job or a network.

    `uses` are files with layers of one's own; they are loaded first. Raises UsageError for what does not
    exist, with what does, and DataError where the data set of a recipe is not to be had.
    """
    options = options or Options()
    _check_data(options.data)
    _check_known("codec", options.codec, codec.names())
    loaded = load_uses(uses)
    return replace(_overridden(_found(name, options), options), uses=loaded)


def used_files(name: str, uses: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """`uses`, and the file of a job `file.py:name` if it defines layers: other peers need those too."""
    files = tuple(map(Path, uses))
    place = _place_in_file(name)
    if place is None:
        return files
    module = load_file(place[0])
    layers = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, nn.Layer) and value.__module__ == module.__name__
    ]
    known = {file.resolve() for file in files}
    return (*files, place[0]) if layers and place[0].resolve() not in known else files


def _place_in_file(name: str) -> tuple[Path, str] | None:
    """(file, attribute) of `file.py:attribute`."""
    path, colon, attribute = name.rpartition(":")
    return (Path(path), attribute) if colon and path.endswith(".py") else None


def _found(name: str, options: Options) -> Job:
    if name in RECIPES:
        return _from_recipe(RECIPES[name], options)
    if name.endswith(".json"):
        return _from_definition(Path(name), options)
    place = _place_in_file(name)
    if place is not None:
        return _from_file(*place, options)
    raise UsageError(
        f"There is no job {name!r}.{_nearest(name, RECIPES)} Known are {', '.join(RECIPES)}; "
        "or give a network in JSON (network.json), or a job in a Python file (file.py:name)."
    )


def _from_recipe(recipe: Recipe, options: Options) -> Job:
    """The recipe's model made to fit the data; its epochs counted in steps."""
    data, batch = options.data or recipe.data, options.batch or recipe.batch
    if nn.data.is_text(data) != (recipe.steps > 0):
        kinds = ("a text", "images") if recipe.steps else ("images", "a text")
        raise UsageError(f"{recipe.model} is trained on {kinds[0]}, and {data} is {kinds[1]}: change --data.")
    if recipe.steps:
        text = nn.data.load_text(data)
        sizes: dict[str, Any] = {"vocabulary": len(text.characters), "context": options.length or LENGTH}
        steps = recipe.steps
    else:
        dataset = nn.data.load(data)
        sizes = {"input_shape": dataset.input_shape, "classes": dataset.classes}
        steps = max(1, recipe.epochs * len(dataset.train_images) // batch)
    return Job(
        network=nn.models.by_name(recipe.model, **sizes),
        data=data,
        optimizer=recipe.optimizer(options.steps or steps),
        batch=batch,
        steps=steps,
        evaluate_every=recipe.evaluate_every,
    )


def _from_definition(path: Path, options: Options) -> Job:
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Known jobs are {', '.join(RECIPES)}.")
    try:
        network = nn.load_definition(path)
    except DefinitionError as error:
        raise UsageError(f"{path} is not a network: {error}") from error
    if options.data is None and nn.data.names_blobs(path):
        return Job(network=network, data=str(path))
    return Job(network=network, data=_named_data(str(path), options))


def _from_file(path: Path, attribute: str, options: Options) -> Job:
    """The Job or the network that the user's own file calls `attribute`."""
    module = load_file(path)
    made: Any = getattr(module, attribute, None)
    if not isinstance(made, Job | nn.Layer):
        known = [each for each, value in vars(module).items() if isinstance(value, Job | nn.Layer)]
        raise UsageError(
            f"{path} has no job or network named {attribute!r}.{_nearest(attribute, known)} "
            f"It has: {', '.join(known) or 'none'}."
        )
    return made if isinstance(made, Job) else _job_of(made, path, attribute, options)


def _job_of(network: nn.Layer, path: Path, attribute: str, options: Options) -> Job:
    try:
        return Job(network=network, data=_named_data(f"{path}:{attribute}", options))
    except DefinitionError as error:
        raise UsageError(f"{attribute} in {path} cannot be sent to other peers: {error}") from error


def _named_data(source: str, options: Options) -> str:
    if options.data is None:
        raise UsageError(f"{source} is a network without data: add --data with one of {_known_data()}.")
    return options.data


def _known_data() -> str:
    names = ", ".join((*nn.data.names(), *nn.data.text_names()))
    return f"{names}, or a folder of images, an archive (*.npz) or a text (*.txt) of yours"


def _check_data(name: str | None) -> None:
    names = (*nn.data.names(), *nn.data.text_names())
    if name is not None and name not in names and not nn.data.is_text(name) and not nn.data.is_path(name):
        raise UsageError(f"There is no data set {name!r}.{_nearest(name, names)} Known are {_known_data()}.")


def _overridden(job: Job, options: Options) -> Job:
    chosen = {
        name: value
        for name in ("data", "steps", "batch", "codec", "seed", "length", "precision")
        if (value := getattr(options, name)) is not None
    }
    rates = {name: value for name in ("lr", "momentum") if (value := getattr(options, name)) is not None}
    known = nn.load_optimizer(job.optimizer).definition()["params"]
    unknown = next((name for name in rates if name not in known), None)
    if unknown is not None:
        raise UsageError(f"The job's optimizer, {job.optimizer['type']}, has no {unknown}: drop --{unknown}.")
    if rates:
        chosen["optimizer"] = {**job.optimizer, "params": {**job.optimizer["params"], **rates}}
    try:
        made = replace(job, **chosen)
    except NetworkError as error:
        raise UsageError(str(error)) from error
    if options.length is not None and not nn.data.is_text(made.data):
        raise UsageError(
            f"--length is for texts, and {made.data} is images: drop --length, or give a text with --data."
        )
    return made


def _check_known(kind: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and name not in known:
        raise UsageError(f"There is no {kind} {name!r}.{_nearest(name, known)} Known are {', '.join(known)}.")


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {matches[0]}?" if matches else ""
