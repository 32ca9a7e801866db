"""Draw the pictures of a layer: its preview, and the picture on the report page.

Pictures are drawn while the polygons are written. They must not cost the polygons, so an error of
drawing is kept until the vector file is in place.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import shapely
from affine import Affine

from rrsis_geo.geo.layers.preview import PreviewPainter
from rrsis_geo.geo.objects.features import Features
from rrsis_geo.segment.plan.outputs import Outputs

DRAWING_ERRORS: Final = (MemoryError, OSError, ValueError, shapely.errors.GEOSException)
"""Errors that leave out a picture or a page. Others are raised: they are bugs, or a full disk."""
_JPEG_QUALITY: Final = 88


class PagePicture(NamedTuple):
    """The picture of a layer on the page.

    Attributes:
        jpeg: the file.
        size: (width, height) in pixels.
        from_world: world coordinates to pixels of the picture.
    """

    jpeg: bytes
    size: tuple[int, int]
    from_world: Affine


class LayerPictures:
    """Draws the objects of one layer, batch by batch.

    Attributes:
        page: the picture for the page; None if it is not an output, or could not be drawn.
        errors: by kind of output ("preview", "report"), why a picture is missing.
    """

    def __init__(
        self, outputs: Outputs, expression: str, new_painter: Callable[[], PreviewPainter]
    ) -> None:
        """Begin to draw.

        Args:
            outputs: the files of the layer.
            expression: title of the pictures.
            new_painter: gives a painter without objects.
        """
        self.page: PagePicture | None = None
        self.errors: dict[str, Exception] = {}
        self._outputs = outputs
        self._expression = expression
        self._kinds = [kind for kind in ("preview", "report") if kind in outputs.files()]
        self._painter: PreviewPainter | None = None
        with self._keep_error(*self._kinds):
            self._painter = new_painter()

    def add(self, features: Features) -> None:
        """Draw a batch of objects."""
        with self._keep_error(*self._kinds):
            if self._painter is not None:
                self._painter.add(features)

    def finish(self) -> None:
        """Write the preview and make the picture of the page, after the last batch."""
        painter, path = self._painter, self._outputs.preview
        if painter is not None and path is not None:
            with self._keep_error("preview"):
                painter.save(path, self._expression, overwrite=self._outputs.overwrite)
        if painter is not None and self._outputs.report is not None:
            with self._keep_error("report"):
                buffer = io.BytesIO()
                # without optimize=True, which fails if a picture compresses badly
                picture = painter.picture(self._expression)
                picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
                self.page = PagePicture(buffer.getvalue(), picture.size, painter.world_to_picture())
        self._painter = None

    @contextmanager
    def _keep_error(self, *kinds: str) -> Iterator[None]:
        """Keep an error of the block until the polygons are written."""
        try:
            yield
        except Exception as err:
            self.errors |= dict.fromkeys(kinds, err)
            self._painter = None


def raise_unexpected(errors: Iterator[Exception]) -> None:
    """Raise the first error that does not come from drawing itself.

    Raises:
        OutputError: a picture could not be written, for example to a full disk.
        Exception: a bug.
    """
    for error in errors:
        if not isinstance(error, DRAWING_ERRORS):
            raise error


def problem_text(error: Exception) -> str:
    """Why something could not be drawn, in words."""
    if isinstance(error, MemoryError):
        return "too little memory"
    return str(error) or type(error).__name__
