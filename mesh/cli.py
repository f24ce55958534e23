"""The command line. Only click is imported here; a command imports what it needs when it runs.

Results go to stdout, talk to stderr. Exit codes: 0 done · 1 the job failed · 2 usage · 3 unreachable · 4
refused · 5 no device or no data · 130 interrupted. A flag comes before the environment
(`MESH_START_STEPS`), and that before `./mesh.toml`.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial, reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from mesh import __version__
from mesh.defaults import DEFAULT_PORT

if TYPE_CHECKING:
    from mesh.choices import Choices
    from mesh.node import Node

INTERRUPTED = 130
CONFIG = Path("mesh.toml")


class MeshGroup(click.Group):
    """Turns every error of ours into one sentence on stderr and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            from tensor.errors import MeshError

            if not isinstance(error, MeshError):
                raise
            click.echo(f"mesh: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from error


def with_choices(default_run: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of `Choices`, which a command is given as `choices`, and --json.

    `default_run` is what its help says that --run is by default.
    """
    options = (
        click.option(
            "--run",
            metavar="FOLDER",
            type=click.Path(path_type=Path),
            help=f"Folder for events, metrics and checkpoints.  [default: {default_run}]",
        ),
        click.option("--device", metavar="NAME", help="Compute on this device; `mesh devices` lists them."),
        click.option(
            "--insecure", is_flag=True, help="Listen to other machines, unencrypted. Trusted networks only."
        ),
        click.option(
            "--use",
            multiple=True,
            metavar="FILE.py",
            type=click.Path(path_type=Path),
            help="Load layers of your own; every peer needs the same file. May be repeated.",
        ),
        click.option(
            "--checkpoint",
            metavar="N",
            type=click.IntRange(min=1),
            help="Save memory here: keep what enters N segments of the network, compute the rest again.",
        ),
        click.option("--json", is_flag=True, help="Events on stdout, one JSON object a line."),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def packed(*, use: tuple[Path, ...], **typed: Any) -> None:
            chosen = {name: typed.pop(name) for name in ("device", "insecure", "checkpoint", "run")}
            command(choices={**chosen, "uses": use}, **typed)

        return reduce(lambda made, option: option(made), reversed(options), packed)

    return decorate


@click.group(
    cls=MeshGroup,
    context_settings={
        "auto_envvar_prefix": "MESH",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="mesh", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Train one neural network on whatever machines are to hand.

    \b
    mesh start digits             train at once, alone
    mesh join HOST                add this machine to the job of another
    """
    ctx.default_map = _configuration(ctx)


@main.command()
@click.argument("job", default="digits")
@click.option(
    "--data",
    metavar="NAME",
    help="Data set: digits, mnist, mnist10k, cifar10, cifar100 or tinyshakespeare; or yours: a folder with a "
    "folder of images for each class, an archive of arrays (*.npz), or a text (*.txt).",
)
@click.option(
    "--steps", metavar="N", type=click.IntRange(min=1), help="Steps to train; each job has its own default."
)
@click.option("--batch", metavar="N", type=click.IntRange(min=1), help="Samples of one step, over all peers.")
@click.option("--lr", metavar="X", type=click.FloatRange(min=0, min_open=True), help="Learning rate.")
@click.option(
    "--momentum", metavar="X", type=click.FloatRange(min=0, max=1, max_open=True), help="Momentum of SGD."
)
@click.option(
    "--length",
    metavar="N",
    type=click.IntRange(min=1),
    help="Characters of a sample, where the data is a text.",
)
@click.option(
    "--precision",
    metavar="NAME",
    help="Compute gradients in float32 (the default), or in 16 bits: bfloat16 or float16.",
)
@click.option("--codec", metavar="NAME", help="dettmers8 (8 bits a value), adaptive8, fp16 or fp32.")
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0, max=(1 << 32) - 1),
    help="Seed of weights and order of samples.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(min=0, max=65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Where others join; 0: any free port.",
)
@with_choices(default_run="runs/JOB-TIME")
def start(job: str, port: int, choices: "Choices", json: bool, **overrides: Any) -> None:
    """Train a job; others may join at any time.

    JOB is digits (the default), lenet, resnet18, chargpt, a network in JSON (network.json, with --data unless
    it names its data), or a job or a network in a Python file of your own (file.py:name).
    """
    from mesh.catalog import Options, make_job, used_files
    from mesh.node import Node
    from mesh.run import default_folder

    choices["uses"] = files = used_files(job, choices["uses"])
    choices["run"] = choices["run"] or default_folder(job)
    made = make_job(job, Options(**overrides), files)
    _take_part(partial(Node.start, made, port=port), choices, json)


@main.command()
@click.argument("address", metavar="HOST[:PORT]")
@click.option("--thin", is_flag=True, help="Stay thin: 8-bit weights, no optimizer state, no vote.")
@with_choices(default_run="none")
def join(address: str, thin: bool, choices: "Choices", json: bool) -> None:
    """Take part in the job of another peer.

    Any peer of the job will do as HOST.
    """
    from mesh.address import parse_address

    host, port = parse_address(address)

    from mesh.node import Node

    _take_part(partial(Node.join, host, port, thin=thin), choices, json)


@main.command()
@click.argument("address", metavar="[HOST[:PORT]]", default="localhost")
@click.option("--json", is_flag=True, help="The facts as one JSON object.")
def status(address: str, json: bool) -> None:
    """Show what a peer knows of its job.

    HOST is this machine by default.
    """
    from mesh.address import parse_address

    host, port = parse_address(address)

    from mesh.node import status as ask
    from mesh.reports import show_status

    show_status(ask(host, port), json)


@main.command()
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--names",
    type=click.Choice(["torchvision", "timm", "mesh"]),
    default="torchvision",
    show_default=True,
    help="Whose names and layout weights have; mesh: our own.",
)
@click.option(
    "--input-shape",
    metavar="H,W,C",
    help="The shape of one sample.  [default: that of the run's data]",
)
@click.option(
    "--use",
    multiple=True,
    metavar="FILE.py",
    type=click.Path(path_type=Path),
    help="Load layers of your own. May be repeated.",
)
@click.option("--json", is_flag=True, help="What was written as one JSON object.")
def export(
    source: Path, output: Path, names: str, input_shape: str | None, use: tuple[Path, ...], json: bool
) -> None:
    """Write the network of a run for other programs.

    RUN is the folder of a run or a checkpoint. OUTPUT is what it becomes: network.onnx, weights.safetensors,
    weights.npz, or network.json, its definition without weights.
    """
    from mesh.export import export as write
    from mesh.export import show

    show(write(source, output, names, input_shape, use), json)


@main.command()
@click.option("--json", is_flag=True, help="One JSON object a device.")
def devices(json: bool) -> None:
    """List what can compute here.

    A star marks the device that is used without --device.
    """
    from mesh.reports import show_devices

    show_devices(json)


@main.group()
def bench() -> None:
    """Measure what this machine reaches, beside NumPy."""


@bench.command()
@click.option("--device", metavar="NAME", help="Compute on this device; `mesh devices` lists them.")
@click.option("--json", is_flag=True, help="One JSON object a task.")
def matrix(device: str | None, json: bool) -> None:
    """Time four matrix tasks.

    Adding two matrices of 1000×1000, the logarithm of one, and the products 1000×100 · 100×10 and 1000×1000 ·
    1000×1000: what the system of 2016 was measured with. The last one in tf32 too, where there are tensor
    cores.
    """
    from mesh.bench import show_matrix

    show_matrix(device, json)


def _take_part(make_node: "Callable[..., Node]", choices: "Choices", as_json: bool) -> None:
    """Run one peer to its end, with its folder, its screen and Ctrl-C; then say what came of it."""
    from contextlib import ExitStack

    from mesh.interrupts import Interrupts
    from mesh.reports import result_line, talk
    from mesh.run import RunFolder
    from mesh.training import Reporter, follow

    with ExitStack() as stack:
        reporters: list[Reporter] = []
        run = choices["run"]
        if run is not None:
            reporters.append(
                stack.enter_context(RunFolder(Path(run), lambda text: click.echo(f"mesh: {text}", err=True)))
            )
        node = make_node(**choices)
        interrupts = stack.enter_context(Interrupts(node.leave))
        reporters.append(talk(node.snapshot, as_json, stack))
        outcome = None
        try:
            outcome = follow(node, reporters)
        except Exception:
            if not interrupts.seen:  # else, whatever broke on the way out, the user wanted out
                raise
    if outcome is not None and not as_json:
        click.echo(result_line(outcome))
    if interrupts.seen:
        _end_interrupted()


def _end_interrupted() -> NoReturn:
    """End at once with the exit code of an interruption: the interpreter would take 0.2 s to take itself
    apart, wait for a compiler, or abort.
    """
    import os
    import sys

    with suppress(OSError):  # nobody may be reading any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def _configuration(ctx: click.Context) -> dict[str, Any]:
    """The defaults in ./mesh.toml: one table a command, one key an option."""
    if not CONFIG.is_file():
        return {}
    import tomllib

    try:
        tables = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{CONFIG} cannot be read: {error}.") from error
    for name, table in tables.items():
        command = main.commands.get(name)
        known = {parameter.name for parameter in command.params} if command else set()
        unknown = sorted(set(table) - known) if isinstance(table, dict) else [name]
        if command is None or unknown:
            what = f"the command {name!r}" if command is None else f"the option {unknown[0]!r} of {name}"
            raise click.UsageError(f"{CONFIG} sets {what}, which does not exist.")
    return tables
