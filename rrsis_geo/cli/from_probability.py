"""What `segment --from-probability` takes and prints: the way around the network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from rrsis_geo import console
from rrsis_geo.errors import ConfigError
from rrsis_geo.units import format_area, format_duration

if TYPE_CHECKING:
    from rrsis_geo.segment.from_probability import PolygonReport

MEANINGFUL = frozenset(
    {
        *("scene", "expressions", "from_probability", "threshold", "min_area", "simplify"),
        *("out", "mask", "preview", "report", "stac_item", "overwrite", "as_json"),
        *("quiet", "verbose"),
    }
)
"""Parameters of `segment` that mean something where no network is run."""


def refuse_what_needs_network(context: typer.Context) -> None:
    """Refuse options that would change nothing.

    Raises:
        ConfigError: some were given; names them.
    """
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name is not None
        and parameter.name not in MEANINGFUL
        and getattr(context.get_parameter_source(parameter.name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: of no use with --from-probability, which reads no scene and runs "
            "no network; leave it out"
        )


def one_expression(expressions: Sequence[str]) -> str | None:
    """What a probability is said to show, None where nobody says it.

    Raises:
        ConfigError: more than one thing.
    """
    if len(expressions) > 1:
        raise ConfigError(
            f"--from-probability: a probability shows one expression, {len(expressions)} are "
            "given; give the EXPRESSION of this raster, or none"
        )
    return expressions[0] if expressions else None


def print_polygons(report: "PolygonReport", *, as_json: bool) -> None:
    """The result."""
    if as_json:
        console.print_json(report.to_dict())
        return
    objects = "object" if report.n_objects == 1 else "objects"
    console.print_facts(
        f'{report.n_objects} {objects} above {report.threshold:g} for "{report.expression}" '
        f"in {report.probability}",
        [
            ("area", format_area(report.area_m2)),
            ("time", format_duration(report.seconds)),
            *((name, str(path)) for name, path in report.outputs.items()),
        ],
    )
