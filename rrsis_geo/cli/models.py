"""``rrsis-geo models``, ``convert``, ``export`` and ``fit-presence``: what is done with bundles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rrsis_geo import console
from rrsis_geo.cli.app import app
from rrsis_geo.cli.options import (
    DataOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    LayoutOption,
    OutputOverwriteOption,
    QuietOption,
    ThreadsOption,
    VerboseOption,
)
from rrsis_geo.errors import ModelError
from rrsis_geo.model.names import DEFAULT_BUNDLE
from rrsis_geo.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rrsis_geo.model.convert import ConvertReport

models_app = typer.Typer(
    invoke_without_command=True, help="List the installed model bundles, or fetch a published one."
)
app.add_typer(models_app, name="models")


@models_app.callback()
def models(
    context: typer.Context, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """List the installed model bundles."""
    if context.invoked_subcommand is not None:
        return
    console.setup_logging(verbose=verbose)
    from rrsis_geo.model.catalog import bundle_folders, list_bundles

    bundles = [summary.to_dict() for summary in list_bundles()]
    if as_json:
        console.print_json(bundles)
    elif not bundles:
        raise ModelError(f"no model bundle in any of: {', '.join(map(str, bundle_folders()))}")
    else:
        console.print_table(
            ("model", "network", "size", "presence", "description", "folder"),
            [
                (
                    model["name"],
                    model["net"],
                    format_bytes(model["size_bytes"]),
                    model["presence"],
                    model["problem"] or model["about"],
                    model["path"],
                )
                for model in bundles
            ],
        )


@models_app.command(epilog="Example: rrsis-geo models fetch remotesam")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A published model: remotesam.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Download a published model from its authors and convert it to a bundle."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.model.zoo import fetch_model

    _print_report(fetch_model(name), as_json=as_json)


@app.command(epilog="Example: rrsis-geo convert model_best_RMSIN.pth -o models/rmsin")
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="File of the authors of a network (.pth).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bundle.")],
    family: Annotated[
        Literal["lavt", "rmsin", "fianet", "btdnet", "crobim"] | None,
        typer.Option(
            help="Network of the checkpoint. Default: found by the names in it. Of btdnet and "
            "crobim, no checkpoint was published, and none can be converted."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", help="Side of the images. Default: of the checkpoint, or 480."
        ),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option("--gsd", metavar="METRES", help="Ground pixel that it works best at."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Word pieces of an expression. Default: 20; for FIANet 22."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="Folder of the vocab.txt of its BERT. Default: bert-base-uncased."),
    ] = None,
    precision: Annotated[
        Literal["int8", "fp16", "fp32"], typer.Option(help="Precision of the stored weights.")
    ] = "fp32",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Convert a published CHECKPOINT to a model bundle. No code of the file runs."""
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.model.convert import ConvertOptions, convert_checkpoint

    options = ConvertOptions(
        family=family,
        size_px=size,
        max_tokens=max_tokens,
        gsd_m=gsd,
        vocabulary=vocabulary,
        precision=precision,
    )
    _print_report(convert_checkpoint(checkpoint, out, options), as_json=as_json)


@app.command(epilog="Example: rrsis-geo export btdnet-lite -o btdnet-lite.onnx")
def export(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Model bundle: a name, a folder or hf://owner/name."),
    ] = DEFAULT_BUNDLE,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="File to write. Default: NAME.onnx in this folder."
        ),
    ] = None,
    overwrite: OutputOverwriteOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write MODEL as ONNX, for programs that run without PyTorch.

    The file has the settings and the vocabulary in its metadata. docs/export.md
    describes its inputs and outputs.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.export.export import default_file, export_bundle

    report = export_bundle(model, out or default_file(model), overwrite=overwrite)
    if as_json:
        console.print_json(report.to_dict())
        return
    console.print_facts(
        str(report.path),
        [
            ("model", report.model),
            ("size", format_bytes(report.size_bytes)),
            *(("input", f"{name} {_shape(shape)}") for name, shape in report.inputs.items()),
            *(("output", f"{name} {_shape(shape)}") for name, shape in report.outputs.items()),
        ],
    )


@app.command(
    epilog="Example: rrsis-geo fit-presence remotesam --data windows/ --layout triplets "
    "--split train"
)
def fit_presence(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Model bundle: a name, a folder or hf://owner/name."),
    ],
    data: DataOption,
    layout: LayoutOption,
    split: Annotated[
        str, typer.Option(help="Split to learn from.", rich_help_panel="Data")
    ] = "train",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Use only the first N samples.", rich_help_panel="Data"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for a copy of the model with the threshold. Default: the threshold is "
            "written into MODEL itself.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Learn the presence threshold of MODEL from windows with and without a target.

    Windows whose presence is below the threshold give nothing. Samples without a
    target have an empty mask. `segment --presence X` replaces the threshold.
    """
    console.setup_logging(quiet=quiet, verbose=verbose)
    from rrsis_geo.evaluate import presence
    from rrsis_geo.evaluate.options import EvaluateOptions

    options = EvaluateOptions(model=model, limit=limit, device=device, dtype=dtype, threads=threads)
    with console.progress(quiet=quiet) as progress:
        report = presence.fit_presence(data, layout, split, options, out, progress=progress)
    if as_json:
        console.print_json(report.to_dict())
        return
    console.print_facts(
        report.model,
        [
            ("presence", f"threshold {report.threshold:.6g}"),
            ("with a target", f"{report.kept:.0%} of {report.n_present} samples are kept"),
            ("without", f"{report.dropped:.0%} of {report.n_absent} samples are dropped"),
        ],
    )


def _shape(sizes: "Sequence[int | str]") -> str:
    return f"({', '.join(map(str, sizes))})"


def _print_report(report: "ConvertReport", *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "model": str(report.path),
        "network": report.net,
        "parameters": report.parameters,
        "size_px": report.size_px,
        "left_out": report.left_out_kinds,
    }
    if as_json:
        console.print_json(facts)
        return
    left_out = ", ".join(f"{n} {kind}" for kind, n in report.left_out_kinds.items())
    console.print_facts(
        str(report.path),
        [
            ("network", report.net),
            ("parameters", f"{report.parameters / 1e6:.2f} million"),
            ("images", f"{report.size_px} px"),
            ("left out", left_out or "nothing"),
        ],
    )
