"""The report page of a run and of its merge."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from predictor_stubs import RedPredictor, blobs

from rrsis_geo.segment.jobs.engines import RunOptions
from rrsis_geo.segment.jobs.job import job_path
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.outputs import Outputs
from rrsis_geo.segment.scene import merge_job, segment_scene


def test_a_run_and_its_merge_write_the_same_page(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    outputs = Outputs(tmp_path / "o.gpkg", report=tmp_path / "r.html")
    report = segment_scene(
        make_scene(200, 300, content=blobs()),
        "red discs in the northern half",
        outputs,
        SegmentOptions(overlap_px=16, min_area_m2=2, simplify_m=1),
        run=RunOptions(keep_job=True, command="rrsis-geo segment <scene>"),
        predictor=RedPredictor(),
    )
    text = outputs.files()["report"].read_text(encoding="utf-8")
    for part in (
        f"{report.n_objects} objects",
        "<pre>rrsis-geo segment &lt;scene&gt;</pre>",
        f"<th>windows</th><td>{report.windows} of 64 x 64 pixels, overlap 16</td>",
        "<th>threshold</th><td>0.5</td>",
        "<th>minimum area</th><td>2 m",
        "<th>simplified by</th><td>up to 1 m",
        "95% that the target is in a window",
        "Understood: red discs ; northern half",
        report.plan_hash,
    ):
        assert part in text, part
    merge_job(job_path(outputs.vector), overwrite=True, command="rrsis-geo merge o.gpkg.job")
    again = outputs.files()["report"].read_text(encoding="utf-8")
    assert "rrsis-geo merge o.gpkg.job" in again
    first, second = (page.partition("<img")[2].partition("<h2>Run")[0] for page in (text, again))
    assert first == second, "the same picture and the same table"


def test_rows_point_to_the_frames_of_their_objects(
    tmp_path: Path, make_scene: Callable[..., Path]
) -> None:
    """A red rectangle of 20 x 10 pixels in a scene of 300 x 200, drawn three times larger."""

    def content(row: Any, col: Any, band: int) -> Any:
        inside = (row >= 50) & (row < 60) & (col >= 100) & (col < 120)
        return np.where(inside, (220, 40, 40)[band - 1], 100)

    outputs = Outputs(tmp_path / "o.gpkg", report=tmp_path / "r.html")
    options = SegmentOptions(overlap_px=16)
    segment_scene(
        make_scene(200, 300, content=content), "discs", outputs, options, predictor=RedPredictor()
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    (view,) = re.findall(r'viewBox="0 0 (\d+) (\d+)"', text)
    bar = (int(view[1]) - 600) // 2
    assert view[0] == "900"
    frame = f'x="{300 - 6}" y="{bar + 150 - 6}" width="{60 + 12}" height="{30 + 12}"'
    assert f'<rect data-id="1" {frame}/>' in text
    assert '<tr data-id="1" tabindex="0">\n<td data-key="1">1</td>' in text
    assert '<td data-key="200">200</td>' in text  # pixels
    assert 'class="objects sortable"' in text
