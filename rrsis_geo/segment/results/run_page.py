"""The page of a run: what it tells beside the picture and the objects."""

from collections.abc import Iterator, Sequence

from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.plan.plan import Plan
from rrsis_geo.segment.results.layer import ObjectLayer
from rrsis_geo.segment.results.page import RunFacts, write_page
from rrsis_geo.segment.results.report import SegmentReport
from rrsis_geo.units import format_length


def write_run_page(
    report: SegmentReport,
    plan: Plan,
    layers: Sequence[ObjectLayer],
    outputs: Outputs,
    command: str,
) -> None:
    """Write the page of a run, if one is wanted.

    Args:
        report: of the run.
        plan: of the run.
        layers: of the expressions; they are written.
        outputs: of the run.
        command: that began it, "" where there was none.

    Raises:
        OutputError: it cannot be written.
    """
    if outputs.report is None:
        return
    facts = RunFacts(
        scene=plan.scene,
        results=report.results,
        model=plan.model.name,
        work=tuple(_work(report, plan)),
        seconds=report.seconds,
        warnings=report.warnings,
        command=command,
        outputs=report.outputs,
    )
    write_page(outputs.report, facts, layers, overwrite=outputs.overwrite)


def _work(report: SegmentReport, plan: Plan) -> Iterator[tuple[str, str]]:
    options, gsd_m = plan.options, plan.model_px.gsd_m
    if gsd_m is not None:
        yield "worked at", f"{format_length(gsd_m)} a pixel"
    side = plan.model.image.size_px
    skipped = f", {report.skipped:,} skipped that hold no data" if report.skipped else ""
    failed = f", {len(report.failed):,} failed: no object is known there" if report.failed else ""
    yield (
        "windows",
        f"{report.windows:,} of {side} pixels, {options.overlap_px} shared{skipped}{failed}",
    )
    yield "threshold", f"{options.threshold:g}"
    if options.min_area_m2:
        yield "smallest object", f"{options.min_area_m2:g} m\N{SUPERSCRIPT TWO}"
    if options.simplify_m:
        yield "outlines", f"straightened by up to {options.simplify_m:g} m"
    if report.presence_max is not None and len(report.results) == 1:
        yield "surest window", f"{report.presence_max:.0%} that the target is in it"
    yield "in the network", f"{report.network_seconds:,.1f} s"
    yield "plan", report.plan_hash
