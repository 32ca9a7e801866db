"""Fill the templates of this folder, and write pages that need no other files."""

import base64
import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file
from rrsis_geo.units import format_area

if TYPE_CHECKING:
    import jinja2
    from PIL import Image

_JPEG_QUALITY = 85


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a template.

    Args:
        template: file name in this folder.
        values: by the names that the template uses. Texts are escaped.
    """
    return _environment().get_template(template).render(values)


def write_page(
    path: Path, template: str, values: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write a page; see `render`.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    text = render(template, values)
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err


def jpeg_url(jpeg: bytes) -> str:
    """A JPEG file as an address that contains it."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def picture_url(picture: "Image.Image") -> str:
    """A picture as an address that contains it: PNG with a palette, JPEG otherwise."""
    file = io.BytesIO()
    if picture.mode == "P":
        picture.save(file, "PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    picture.convert("RGB").save(file, "JPEG", quality=_JPEG_QUALITY)
    return jpeg_url(file.getvalue())


def thumbnail_url(path: Path, max_px: int) -> str | None:
    """A picture file, with a longer side of at most `max_px`; None if there is none (any more)."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.thumbnail((max_px, max_px))
            return picture_url(picture)
    except OSError:
        return None


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2  # few commands write pages

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rrsis_geo", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["area"] = format_area
    return environment
