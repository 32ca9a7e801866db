"""An HTML page with samples, their targets and the predicted masks.

The page is one self-contained file: images are embedded, and there is no script.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rrsis_geo.errors import OutputError
from rrsis_geo.files import atomic_file

TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE = (0, 191, 255), (255, 176, 0), (255, 0, 144)
"""Colours of true positives, false negatives and false positives; safe for colour-blind readers."""
OUTLINE: Final = (255, 255, 255)
_TINT_ALPHA: Final = 115
_EMPTY, _TRUE_POSITIVE, _FALSE_NEGATIVE, _FALSE_POSITIVE, _OUTLINE = range(5)
_JPEG_QUALITY: Final = 85


@dataclass(frozen=True, slots=True)
class Picture:
    """One sample on the page.

    Attributes:
        image: uint8 RGB [S, S, 3].
        truth: bool [S, S], mask of the target.
        predicted: bool [S, S], predicted mask.
        expression: the referring sentence.
        facts: short notes below the picture.
        id: name of the sample.
        aspect: width divided by height of the original sample.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    expression: str
    facts: tuple[str, ...]
    id: str
    aspect: float = 1.0


def write_gallery(
    path: Path,
    title: str,
    facts: Sequence[tuple[str, str]],
    sections: Mapping[str, Sequence[Picture]],
    *,
    overwrite: bool = False,
) -> None:
    """Write the page.

    Args:
        path: HTML file.
        title: heading of the page.
        facts: names and values below the title.
        sections: pictures by heading; sections without pictures are left out.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file cannot be written.
    """
    facts_html = "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>"
        for name, value in facts
    )
    sections_html = "".join(
        f"<section><h2>{html.escape(heading)}</h2>"
        f'<div class="grid">{"".join(map(_render_picture, pictures))}</div></section>'
        for heading, pictures in sections.items()
        if pictures
    )
    page = _PAGE.format(
        title=html.escape(title), style=_STYLE, facts=facts_html, sections=sections_html
    )
    with atomic_file(path, overwrite=overwrite) as part:
        try:
            part.write_text(page, encoding="utf-8")
        except OSError as err:
            raise OutputError(f"{path}: cannot be written ({err.strerror})") from err


def draw_overlay(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Image.Image:
    """Draw true positives, false negatives and false positives, and the outline of the target.

    Both masks are bool [H, W]. The result is a palette image, transparent where both are False.
    """
    index = np.full(truth.shape, _EMPTY, np.uint8)
    index[truth & predicted] = _TRUE_POSITIVE
    index[truth & ~predicted] = _FALSE_NEGATIVE
    index[~truth & predicted] = _FALSE_POSITIVE
    index[_inner_edge(truth)] = _OUTLINE
    picture = Image.fromarray(index)
    picture.putpalette([*(0, 0, 0), *TRUE_POSITIVE, *FALSE_NEGATIVE, *FALSE_POSITIVE, *OUTLINE])
    picture.info["transparency"] = bytes([0, _TINT_ALPHA, _TINT_ALPHA, _TINT_ALPHA, 255])
    return picture


def _inner_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with a neighbour outside the mask; the image border does not count."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _render_picture(picture: Picture) -> str:
    facts = " · ".join(map(html.escape, picture.facts))
    expression = html.escape(picture.expression)
    image = _data_url(Image.fromarray(picture.image), "JPEG", quality=_JPEG_QUALITY)
    masks = _data_url(draw_overlay(picture.truth, picture.predicted), "PNG", optimize=True)
    return (
        f'<figure tabindex="0"><div class="picture" style="aspect-ratio:{picture.aspect:.4f}">'
        f'<img src="{image}" alt="{expression}"><img class="masks" src="{masks}" alt=""></div>'
        f"<figcaption><p>{expression}</p><p>{facts}</p>"
        f'<p class="id">{html.escape(picture.id)}</p></figcaption></figure>\n'
    )


def _data_url(picture: Image.Image, image_format: str, **options: object) -> str:
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


_STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --text: #1a1d21; --dim: #5b6470;
  --line: #dfe3e8; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --card: #1e2227; --text: #e8ebef;
  --dim: #9aa4b0; --line: #30363d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 90rem; background: var(--ground);
  color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 .8rem; font-size: 1.4rem; }
h2 { margin: 1.6rem 0 .7rem; font-size: 1.1rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 1.6rem; margin: 0; }
dt, .id, figcaption p + p { color: var(--dim); font-size: .85em; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; margin: 1rem 0 0; }
.legend i { display: inline-block; width: .9em; height: .9em; margin-right: .4em;
  border: 1px solid var(--line); vertical-align: -.1em; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
figure { margin: 0; overflow: hidden; border: 1px solid var(--line); border-radius: 6px;
  background: var(--card); }
.picture { position: relative; }
.picture img { position: absolute; width: 100%; height: 100%; }
figure:hover .masks, figure:focus .masks, #hide:checked ~ section .masks { visibility: hidden; }
figcaption { padding: .6rem .8rem; }
figcaption p { margin: 0; overflow-wrap: anywhere; }
"""

_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{title}}</title>
<style>{{style}}</style>
</head>
<body>
<h1>{{title}}</h1>
<dl>{{facts}}</dl>
<p class="legend"><span><i style="background:rgb{TRUE_POSITIVE}"></i>true positive</span>
<span><i style="background:rgb{FALSE_NEGATIVE}"></i>false negative</span>
<span><i style="background:rgb{FALSE_POSITIVE}"></i>false positive</span>
<span><i style="background:rgb{OUTLINE}"></i>outline of the target</span>
<span>Hover over a picture to hide its masks.</span></p>
<input type="checkbox" id="hide"> <label for="hide">hide all masks</label>
{{sections}}
</body>
</html>
"""
