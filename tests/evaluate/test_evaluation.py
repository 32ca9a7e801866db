"""Scores of a model on datasets in each layout, compared with a second implementation."""

import csv
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_net
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import jaccard_score
from torch import Tensor
from torch.nn import functional

from rrsis_geo.data.benchmarks.layouts import load_split
from rrsis_geo.data.benchmarks.triplets import TripletWriter
from rrsis_geo.data.sample import Sample
from rrsis_geo.errors import ConfigError, InputError, OutputError
from rrsis_geo.evaluate import evaluation
from rrsis_geo.evaluate.evaluation import (
    evaluate_bundle,
)
from rrsis_geo.evaluate.examples import choose_samples
from rrsis_geo.evaluate.options import EvaluateOptions
from rrsis_geo.evaluate.score_files import ScoreOutputs
from rrsis_geo.evaluate.scoring import SampleScore, find_names
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import PixelCounts
from rrsis_geo.model.bundle import Bundle
from rrsis_geo.model.inputs import to_input
from rrsis_geo.nets.base import SegOutput

MakeBenchmark = Callable[..., Path]
SPEC = ImageSpec(size_px=64)
FP32 = EvaluateOptions(dtype="fp32", device="cpu")


class ColourNet(tiny_net.TinyNet):
    """Marks coloured pixels; the expression changes the threshold."""

    def segment(self, image: Tensor, words: tiny_net.TinyWords) -> SegOutput:
        bias_B = 2 + torch.tanh(words.sentence.mean(-1).expand(len(image)))
        logits_BHW = 2 * (image.amax(1) - image.amin(1)) - bias_B[:, None, None]
        return SegOutput(logits_BHW, logits_BHW.amax((1, 2)), {})


@pytest.fixture(autouse=True)
def bundle(monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The bundle that every evaluation loads, whatever the name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ColourNet(tiny_net.TinyConfig()).eval()
    bundle = Bundle("tiny", Path("tiny"), net, tiny_net.make_tokenizer(), SPEC, {}, "0" * 64)
    monkeypatch.setattr(evaluation, "load_bundle", lambda name: bundle)
    return bundle


def predict_alone(
    bundle: Bundle, samples: list[Sample], size_px: int
) -> Iterator[NDArray[np.float32]]:
    """Logits of the network for each sample alone, [size_px, size_px]."""
    for sample in samples:
        square = Image.fromarray(sample.image).resize((size_px, size_px), Image.Resampling.BILINEAR)
        with torch.inference_mode():
            tokens = bundle.tokenizer.encode([sample.expression])
            yield bundle.net(to_input(np.array(square), SPEC), tokens).logits[0].numpy()


def count_by_protocol(
    bundle: Bundle, samples: list[Sample], size_px: int = 64
) -> list[tuple[int, int]]:
    """Intersection and union of each sample by the published protocol, in pixels."""
    counts = []
    for sample, logits in zip(samples, predict_alone(bundle, samples, size_px), strict=True):
        grey = Image.fromarray(sample.mask.astype(np.uint8) * 255)
        target = np.asarray(grey.resize((size_px, size_px), Image.Resampling.NEAREST)) == 255
        predicted = logits > 0
        counts.append((int((predicted & target).sum()), int((predicted | target).sum())))
    return counts


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("layout", "quirks"),
    [
        ("refsegrs", {}),
        ("refsegrs", {"first_release": True}),
        ("rrsisd", {"odd_sizes": True}),
        ("risbench", {}),
        ("triplets", {}),
    ],
)
def test_scores_follow_the_published_protocol(
    make_benchmark: MakeBenchmark,
    tmp_path: Path,
    bundle: Bundle,
    layout: str,
    quirks: dict[str, Any],
) -> None:
    root = make_benchmark(layout, splits={"test": 5}, **quirks)
    out = tmp_path / "scores"
    report = evaluate_bundle(root, layout, "test", FP32, ScoreOutputs(folder=out))
    counts = count_by_protocol(bundle, list(load_split(layout, root, "test")))  # type: ignore[call-overload]
    ious = [i / u if u else 0.0 for i, u in counts]
    assert 0 < sum(ious) < 5
    assert report.scores.n == 5
    assert report.scores.miou == pytest.approx(sum(ious) / 5)
    assert report.scores.oiou == pytest.approx(
        sum(i for i, _ in counts) / sum(u for _, u in counts)
    )
    for at, share in report.scores.precision.items():
        assert share == pytest.approx(sum(iou >= at for iou in ious) / 5)
    rows = read_csv(out / "samples.csv")
    assert [(int(r["intersection_px"]), int(r["union_px"])) for r in rows] == counts
    assert report.native is None


def test_no_cell_is_a_formula(tmp_path: Path, make_benchmark: MakeBenchmark) -> None:
    """A spreadsheet would run what a dataset from elsewhere says."""
    root = make_benchmark("triplets", splits={"test": 1})
    line = json.loads((root / "test.jsonl").read_text())
    texts = ["=the(1)", "+the car", "-the car", "@the car", "\tthe car", "the car = it"]
    lines = [json.dumps({**line, "expression": text, "category": text}) for text in texts]
    (root / "test.jsonl").write_text("\n".join(lines))
    out = tmp_path / "scores"
    evaluate_bundle(root, "triplets", "test", FP32, ScoreOutputs(folder=out))
    safe = [*(f"'{text}" for text in texts[:-1]), texts[-1]]
    rows = read_csv(out / "samples.csv")
    assert [row["expression"] for row in rows] == safe
    assert [row["category"] for row in rows] == safe
    assert {*safe} < {row["name"] for row in read_csv(out / "scores.csv")}


def test_native_scores_use_the_size_of_the_mask(
    make_benchmark: MakeBenchmark, tmp_path: Path, bundle: Bundle
) -> None:
    root = make_benchmark("rrsisd", splits={"test": 3}, odd_sizes=True)
    options = EvaluateOptions(native=True, dtype="fp32", device="cpu")
    outputs = ScoreOutputs(folder=tmp_path / "scores", masks=tmp_path / "masks")
    report = evaluate_bundle(root, "rrsisd", "test", options, outputs)
    samples = list(load_split("rrsisd", root, "test"))  # type: ignore[call-overload]
    assert [sample.mask.shape for sample in samples] == [(800, 800), (48, 48), (48, 48)]
    assert samples[0].image.shape == (800, 787, 3)
    ious = []
    rows = read_csv(tmp_path / "scores" / "samples.csv")
    for sample, logits, row in zip(samples, predict_alone(bundle, samples, 64), rows, strict=True):
        whole = functional.interpolate(
            torch.from_numpy(logits)[None, None],
            sample.mask.shape,
            mode="bilinear",
            align_corners=False,
        )
        predicted = whole[0, 0].numpy() > 0
        ious.append(jaccard_score(sample.mask.ravel(), predicted.ravel(), zero_division=0.0))
        assert float(row["native_iou"]) == pytest.approx(ious[-1])
        with Image.open(tmp_path / "masks" / row["mask"]) as saved:
            assert saved.mode == "1"
            np.testing.assert_array_equal(np.asarray(saved), predicted)
    assert report.native is not None
    assert report.native.miou == pytest.approx(np.mean(ious))
    assert report.native.miou != report.scores.miou
    assert {row["size"] for row in read_csv(tmp_path / "scores" / "scores.csv")} == {
        "resized",
        "native",
    }


@pytest.mark.parametrize("size_px", [32, 96])
def test_scores_use_the_requested_size(
    make_benchmark: MakeBenchmark, bundle: Bundle, size_px: int
) -> None:
    root = make_benchmark("refsegrs", splits={"test": 3})
    options = EvaluateOptions(size_px=size_px, dtype="fp32", device="cpu")
    report = evaluate_bundle(root, "refsegrs", "test", options)
    counts = count_by_protocol(bundle, list(load_split("refsegrs", root, "test")), size_px)  # type: ignore[call-overload]
    assert report.size_px == size_px
    assert report.scores.miou == pytest.approx(np.mean([i / u for i, u in counts]))


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 7}, {"workers": 1}])
def test_batches_and_workers_do_not_change_scores(
    make_benchmark: MakeBenchmark, options: dict[str, int]
) -> None:
    root = make_benchmark("triplets", splits={"test": 5}, absent=True)
    usual = evaluate_bundle(root, "triplets", "test", FP32)
    other = EvaluateOptions(dtype="fp32", device="cpu", **options)
    assert evaluate_bundle(root, "triplets", "test", other).scores == usual.scores


def write_triplets(root: Path, *samples: Sample) -> Path:
    with TripletWriter(root, "test") as writer:
        for sample in samples:
            writer.add(sample)
    return root


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_absent_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty mask has IoU 0 by the protocol, and 1 in gIoU."""
    nothing, something = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    something[:32] = True
    root = write_triplets(
        tmp_path / "data",
        Sample(noise(64, 64), "the truck", nothing, kind="absent"),
        Sample(noise(64, 64), "the road", something, kind="category"),
    )
    set_logits(monkeypatch, lambda image: np.full(image.shape[:2], -1.0))
    report = evaluate_bundle(root, "triplets", "test", FP32)
    assert (report.scores.n, report.scores.n_absent) == (2, 1)
    assert (report.scores.miou, report.scores.n_acc, report.scores.giou) == (0.0, 1.0, 0.5)
    assert report.scores.t_acc == 0.0
    assert report.scores.by_kind["absent"].n_acc == 1.0
    set_logits(monkeypatch, lambda image: np.full(image.shape[:2], 1.0))
    report = evaluate_bundle(root, "triplets", "test", FP32)
    assert (report.scores.miou, report.scores.n_acc, report.scores.giou) == (0.25, 0.0, 0.25)
    assert (report.scores.false_area_ppm, report.scores.t_acc) == (1e6, 1.0)


def test_a_logit_of_zero_is_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argmax of the papers takes the first of two equal values, the background."""
    root = write_triplets(
        tmp_path / "data", Sample(noise(64, 64), "the road", np.ones((64, 64), bool))
    )
    set_logits(monkeypatch, lambda image: np.zeros(image.shape[:2]))
    assert evaluate_bundle(root, "triplets", "test", FP32).scores.miou == 0.0


def test_a_target_lost_by_resizing_is_not_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((640, 640), bool)
    mask[0, 0] = True  # nearest neighbour keeps the middle pixel of every ten
    root = write_triplets(tmp_path / "data", Sample(noise(640, 640), "the truck", mask))
    set_logits(monkeypatch, lambda image: np.full(image.shape[:2], -1.0))
    report = evaluate_bundle(root, "triplets", "test", FP32)
    assert report.lost_targets == 1
    assert (report.scores.n_absent, report.scores.giou, report.scores.n_acc) == (0, 0.0, None)


def set_logits(
    monkeypatch: pytest.MonkeyPatch, logits_of: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> None:
    """Replace the model by a function from an image to its logits, [S, S]."""

    def predict_pairs(self: object, images: NDArray[np.uint8], expressions: list[str]) -> Any:
        return Output(np.stack([logits_of(image) for image in images]).astype(np.float32))

    monkeypatch.setattr(evaluation.Predictor, "predict_pairs", predict_pairs)


class Output:
    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits
        self.presence = None


# --- categories


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("A vehicle on the road", ("road", "vehicle")),
        ("The Vehicles in the street", ("vehicle",)),  # no tree in "street"
        ("two buses beside the road marking", ("road", "road marking", "bus")),
        ("the carpark", ()),
    ],
)
def test_category_names_are_whole_words(expression: str, names: tuple[str, ...]) -> None:
    known = ("road", "vehicle", "car", "road marking", "tree", "bus")
    assert sorted(find_names(expression, known)) == sorted(names)


def test_categories_by_label_and_by_text(make_benchmark: MakeBenchmark, bundle: Bundle) -> None:
    root = make_benchmark("rrsisd", splits={"test": 6})
    samples = list(load_split("rrsisd", root, "test"))  # type: ignore[call-overload]
    ious = [i / u if u else 0.0 for i, u in count_by_protocol(bundle, samples)]
    labels = sorted({sample.category for sample in samples})
    for source, is_default in (("label", True), ("text", False)):
        options = EvaluateOptions(category_by=source, dtype="fp32", device="cpu")  # type: ignore[arg-type]
        report = evaluate_bundle(root, "rrsisd", "test", options)
        assert report.category_by == source
        assert list(report.scores.by_category) == labels  # the expressions contain the labels
        means = [
            np.mean([iou for iou, s in zip(ious, samples, strict=True) if s.category == label])
            for label in labels
        ]
        assert [part.miou for part in report.scores.by_category.values()] == pytest.approx(means)
        assert report.scores.category_miou == pytest.approx(np.mean(means))
        if is_default:
            assert evaluate_bundle(root, "rrsisd", "test", FP32).scores == report.scores


def test_benchmarks_without_labels_use_category_names_in_the_text(
    make_benchmark: MakeBenchmark,
) -> None:
    root = make_benchmark("refsegrs", splits={"test": 8})
    report = evaluate_bundle(root, "refsegrs", "test", FP32)
    assert report.category_by == "text"
    assert set(report.scores.by_category) <= {"vehicle"}  # the test images show no other of the 14
    with pytest.raises(ConfigError, match='cannot score by "label", there are no category labels'):
        evaluate_bundle(root, "refsegrs", "test", EvaluateOptions(category_by="label"))


def test_triplets_without_categories(tmp_path: Path) -> None:
    mask = np.ones((64, 64), bool)
    root = write_triplets(tmp_path / "data", Sample(noise(64, 64), "the truck", mask))
    report = evaluate_bundle(root, "triplets", "test", FP32)
    assert (report.category_by, report.scores.by_category) == ("", {})
    with pytest.raises(
        ConfigError, match='cannot score by "text", there are no known category names'
    ):
        evaluate_bundle(root, "triplets", "test", EvaluateOptions(category_by="text"))


# --- comparison


def test_comparison(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    options = EvaluateOptions(compare=True, size_px=480, device="cpu")
    report = evaluate_bundle(root, "refsegrs", "test", options)
    assert "LGCE" in {row.method for row in report.published}
    assert {(row.dataset, row.split) for row in report.published} == {("RefSegRS", "test")}
    cautions = " / ".join(report.cautions)
    assert "the local split has 4 samples, the published split 1817" in cautions
    assert "different scores for the same method (RMSIN: mIoU 42.63 to 62.58)" in cautions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 64}, "not comparable .*: samples are scored at 64 px and not at 480 or 512"),
        ({"size_px": 512, "limit": 2}, "not comparable .*: only 2 of 4 samples are scored$"),
        ({"limit": 2}, "only 2 of 4 samples are scored, and samples are scored at 64 px"),
    ],
)
def test_another_protocol_is_not_compared_with_published_results(
    make_benchmark: MakeBenchmark, options: dict[str, int], message: str
) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    with pytest.raises(ConfigError, match=message):
        evaluate_bundle(root, "refsegrs", "test", EvaluateOptions(compare=True, **options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "val"}, "its split is val and not test$"),
        (
            {"samples": 9, "size_px": 480},
            "number of samples is 9 and not 4, its size .* is 480 and",
        ),
        ({"resize": "padded"}, "its way to resize is padded and not square$"),
        ({"threshold": 0.4}, "its threshold is 0.4 and not 0.5$"),
        ({"language": "resolved"}, "its language is resolved and not network$"),
        ({"layout": "rrsisd"}, "its dataset is rrsisd and not refsegrs$"),
    ],
)
def test_reports_of_another_protocol_are_refused(
    make_benchmark: MakeBenchmark, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    report = evaluate_bundle(root, "refsegrs", "test", FP32, ScoreOutputs(folder=tmp_path))
    path = tmp_path / "scores.json"
    options = EvaluateOptions(against=(path,), device="cpu")
    (other,) = evaluate_bundle(root, "refsegrs", "test", options).others
    assert (other.model, other.scores) == ("tiny", report.scores)
    content = json.loads(path.read_text())
    content["protocol"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        evaluate_bundle(root, "refsegrs", "test", options)
    del content["protocol"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"scores\.json: not a report of evaluate with its proto"):
        evaluate_bundle(root, "refsegrs", "test", options)


def test_scores_are_computed_in_fp32(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", splits={"test": 1})
    report = evaluate_bundle(root, "refsegrs", "test", EvaluateOptions(device="cpu"))
    assert report.dtype == "float32"


def test_intervals_are_drawn_over_the_images(make_benchmark: MakeBenchmark) -> None:
    """Two sentences about one image are one draw, so twice the samples tell no more."""
    root = make_benchmark("rrsisd", splits={"test": 8})
    options = EvaluateOptions(bootstrap=200, device="cpu", native=True)
    once = evaluate_bundle(root, "rrsisd", "test", options)
    path = root / "rrsisd" / "refs(unc).p"
    refs = pickle.loads(path.read_bytes())
    for ref in refs:
        ref["sentences"] *= 2
    path.write_bytes(pickle.dumps(refs))
    twice = evaluate_bundle(root, "rrsisd", "test", options)
    assert twice.scores.n == 2 * once.scores.n
    for name, ends in once.scores.intervals.items():
        assert twice.scores.intervals[name] == pytest.approx(ends)
    assert twice.native is not None
    assert set(twice.native.intervals) == {
        *("oiou", "miou", "miou_present", "pr50", "pr60", "pr70", "pr80", "pr90", "giou", "t_acc"),
    }
    low, high = once.scores.intervals["miou"]
    assert low < once.scores.miou < high


def test_comparison_without_published_results(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets")
    with pytest.raises(ConfigError, match="nothing is published for the layout triplets"):
        evaluate_bundle(root, "triplets", "test", EvaluateOptions(compare=True))
    with pytest.raises(ConfigError, match="no paper reports the train split of RISBench"):
        evaluate_bundle(root, "risbench", "train", EvaluateOptions(compare=True))


# --- instances


def test_instances(tmp_path: Path) -> None:
    write_instances(tmp_path)
    options = EvaluateOptions(limit=6, dtype="fp32", device="cpu")
    outputs = ScoreOutputs(folder=tmp_path / "a")
    report = evaluate_bundle(tmp_path, "instances", "val", options, outputs)
    assert report.scores.n == 6
    categories = set(report.scores.by_category)
    assert categories <= {"bus", "tree", "vehicle"}  # a bus may be called a vehicle
    again = ScoreOutputs(folder=tmp_path / "b")
    file = tmp_path / "instances_val.json"
    assert evaluate_bundle(file, "instances", "val", options, again).scores == report.scores
    rows = read_csv(tmp_path / "a" / "samples.csv")
    assert rows == read_csv(tmp_path / "b" / "samples.csv")
    assert len({row["id"] for row in rows}) == 6
    with pytest.raises(InputError, match=r"instances_test\.json: no such file"):
        evaluate_bundle(tmp_path, "instances", "test", options)


def write_instances(folder: Path) -> None:
    (folder / "images").mkdir()
    Image.fromarray(noise(96, 96)).save(folder / "images" / "a.png")
    square = [[10.0, 10, 40, 10, 40, 40, 10, 40]]
    corner = [[60.0, 60, 90, 60, 90, 90, 60, 90]]
    instances = {
        "images": [{"id": 1, "file_name": "a.png", "height": 96, "width": 96}],
        "categories": [{"id": 1, "name": "bus"}, {"id": 2, "name": "tree"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "segmentation": square},
            {"image_id": 1, "category_id": 2, "segmentation": corner},
        ],
    }
    (folder / "instances_val.json").write_text(json.dumps(instances))


# --- files and errors


def test_files(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("triplets", splits={"test": 4}, absent=True)
    outputs = ScoreOutputs(
        folder=tmp_path / "out" / "scores",
        masks=tmp_path / "masks",
        gallery=tmp_path / "page.html",
    )
    steps: list[tuple[str, int, int]] = []
    options = EvaluateOptions(batch_size=3, dtype="fp32", device="cpu")
    report = evaluate_bundle(
        root, "triplets", "test", options, outputs, progress=lambda *step: steps.append(step)
    )
    assert steps == [("samples", 3, 4), ("samples", 4, 4)]
    written = json.loads((tmp_path / "out/scores/scores.json").read_text())
    assert written == json.loads(json.dumps(report.to_dict()))
    rows = read_csv(tmp_path / "out/scores/samples.csv")
    assert [row["id"] for row in rows] == [f"test-{line}" for line in (1, 2, 3, 4)]
    assert [row["absent"] for row in rows] == ["0", "0", "0", "1"]
    assert all(0 <= float(row["presence"]) <= 1 for row in rows)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [
        f"test-{line}.png" for line in (1, 2, 3, 4)
    ]
    for row in rows:
        with Image.open(tmp_path / "masks" / row["mask"]) as mask:
            assert mask.size == (64, 64)
            assert np.asarray(mask).sum() == int(row["predicted_px"])
    groups = read_csv(tmp_path / "out/scores/scores.csv")
    assert {row["group"] for row in groups} == {"all", "kind", "category"}
    assert float(groups[0]["miou"]) == pytest.approx(report.scores.miou)
    assert "<title>tiny on triplets test</title>" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    "outputs",
    [
        {"folder": "scores.json/.."},
        {"masks": "a.png/.."},
        {"gallery": "page.html"},
    ],
    ids=["scores", "masks", "gallery"],
)
def test_existing_files_are_replaced_only_with_overwrite(
    make_benchmark: MakeBenchmark, tmp_path: Path, outputs: dict[str, str]
) -> None:
    root = make_benchmark("triplets")
    (name,) = outputs.values()
    file = tmp_path / "there" / name.removesuffix("/..")
    file.parent.mkdir()
    file.write_text("kept")
    place = file.parent if name.endswith("/..") else file
    kind = next(iter(outputs))
    with pytest.raises(OutputError, match="--overwrite"):
        evaluate_bundle(root, "triplets", "test", FP32, ScoreOutputs(**{kind: place}))
    assert file.read_text() == "kept"
    evaluate_bundle(root, "triplets", "test", FP32, ScoreOutputs(**{kind: place}, overwrite=True))
    if kind != "masks":
        assert file.read_text() != "kept"


def test_gallery_must_be_an_html_file(make_benchmark: MakeBenchmark, tmp_path: Path) -> None:
    root = make_benchmark("triplets")
    outputs = ScoreOutputs(gallery=tmp_path / "page.png")
    with pytest.raises(OutputError, match=r"name it \.html"):
        evaluate_bundle(root, "triplets", "test", FP32, outputs)


def test_an_interrupted_run_leaves_no_files(
    make_benchmark: MakeBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_benchmark("triplets", splits={"test": 4})
    calls: list[int] = []

    def interrupt(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros(image.shape[:2])

    set_logits(monkeypatch, interrupt)
    options = EvaluateOptions(batch_size=1, device="cpu")
    outputs = ScoreOutputs(folder=tmp_path / "scores", masks=tmp_path / "masks")
    with pytest.raises(KeyboardInterrupt):
        evaluate_bundle(root, "triplets", "test", options, outputs)
    assert not [*(tmp_path / "scores").iterdir(), *(tmp_path / "masks").iterdir()]


def test_a_missing_file_is_reported_before_the_model_runs(
    make_benchmark: MakeBenchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_benchmark("refsegrs", splits={"test": 4})
    (root / "masks" / "3.tif").unlink()
    monkeypatch.setattr(evaluation, "Predictor", None)
    with pytest.raises(InputError, match=r"3\.tif is missing"):
        evaluate_bundle(root, "refsegrs", "test", FP32)


def test_a_damaged_file_is_reported(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("refsegrs", splits={"test": 2})
    (root / "images" / "2.tif").write_bytes(b"II*\0 and so on")
    with pytest.raises(InputError, match=r"2\.tif"):
        evaluate_bundle(root, "refsegrs", "test", FP32)


def test_unknown_layout_and_split(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("triplets")
    with pytest.raises(ConfigError, match='unknown layout "refseg"; choose one of refsegrs'):
        evaluate_bundle(root, "refseg", "test", FP32)
    with pytest.raises(ConfigError, match='no split "tset"; did you mean "test"'):
        evaluate_bundle(root, "triplets", "tset", FP32)


@pytest.mark.parametrize(
    "setting",
    [{"size_px": 100}, {"size_px": 0}, {"limit": 0}, {"batch_size": 0}, {"workers": -1}],
    ids=str,
)
def test_invalid_options_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"must be"):
        EvaluateOptions(**setting)  # type: ignore[arg-type]


# --- examples for the gallery


def sample(iou: float, *, absent: bool = False, predicted: int = 0) -> SampleScore:
    counts = PixelCounts(round(100 * iou), 100, predicted, 0 if absent else 100, 1000)
    return SampleScore("", "", "", (), absent, counts, None, None)


def test_the_worst_the_median_and_the_best_are_chosen() -> None:
    samples = [sample(iou / 100) for iou in range(100)]
    sections = choose_samples(samples[::-1])
    assert sections["Worst"] == [99, 98, 97, 96, 95, 94, 93, 92]
    assert sections["Best"] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert 49 in sections["Median"]
    assert len(sections["Median"]) == 8


def test_correctly_empty_masks_are_among_the_best() -> None:
    samples = [sample(0.5), sample(0, absent=True), sample(0, absent=True, predicted=9)]
    assert choose_samples(samples) == {"Worst": [2], "Median": [0], "Best": [1]}


@pytest.mark.parametrize("n", range(1, 30))
def test_no_sample_is_chosen_twice(n: int) -> None:
    sections = choose_samples([sample(0.5)] * n)
    indices = [index for section in sections.values() for index in section]
    assert len(indices) == len(set(indices)) >= min(n, 3)


def test_the_report_is_valid_json(make_benchmark: MakeBenchmark) -> None:
    root = make_benchmark("rrsisd")
    options = EvaluateOptions(compare=True, size_px=480, native=True, bootstrap=9, device="cpu")
    report = evaluate_bundle(root, "rrsisd", "val", options)
    fields = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert fields["published"][0]["dataset"] == "RRSIS-D"
    assert fields["native"]["n"] == fields["scores"]["n"] == 2


# --- rules


@pytest.fixture
def ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Triplets about two ships, and a network that marks both for every sentence about ships."""
    large, small = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    large[4:24, 4:24] = small[40:50, 40:50] = True
    texts = {
        "the largest ship": large,
        "the ship": large | small,
        "the largest": large,
        "the ships within 5 m of the ship": large | small,
        "the ship in the lower half": small,
        "the ship left of the castle": small,
    }
    samples = [Sample(noise(64, 64), text, mask, kind="k") for text, mask in texts.items()]
    both = np.where(large | small, 9.0, -9.0)

    def predict_pairs(self: object, images: NDArray[np.uint8], expressions: list[str]) -> Any:
        step = 64 // images.shape[1]
        found = both[::step, ::step]
        marks = [found if "ship" in text else 0 * found - 9 for text in expressions]
        return Output(np.stack(marks).astype(np.float32))

    monkeypatch.setattr(evaluation.Predictor, "predict_pairs", predict_pairs)
    monkeypatch.setattr(evaluation.Predictor, "cut_words", lambda self, phrase: "")
    return write_triplets(tmp_path / "ships", *samples)


RESOLVED = EvaluateOptions(language="resolved", dtype="fp32", device="cpu")


def test_rules_have_scores_beside_those_of_the_network(ships: Path, tmp_path: Path) -> None:
    """The large ship has 400 pixels, the small one 100."""
    outputs = ScoreOutputs(
        folder=tmp_path / "out", masks=tmp_path / "masks", gallery=tmp_path / "page.html"
    )
    report = evaluate_bundle(ships, "triplets", "test", RESOLVED, outputs)
    alone = [0.8, 1.0, 0.0, 1.0, 0.2, 0.2]
    ruled = [1.0, 1.0, 0.0, 1.0, 1.0, 0.2]
    assert report.scores.miou == pytest.approx(np.mean(alone))
    assert report.with_rules is not None
    assert report.with_rules.scores.miou == pytest.approx(np.mean(ruled))
    assert report.with_rules.scores.by_kind["k"].miou == pytest.approx(np.mean(ruled))
    assert report.with_rules.answered_by == {
        "rules": 2,
        "no rule": 1,
        "not understood": 1,
        "no metres": 1,
        "no landmark": 1,
    }
    rows = read_csv(tmp_path / "out" / "samples.csv")
    assert [float(row["iou"]) for row in rows] == pytest.approx(alone)
    assert [float(row["rules_iou"]) for row in rows] == pytest.approx(ruled)
    assert rows[0]["answered_by"] == "rules"
    assert rows[0]["reading"].endswith("ships ; the largest")
    groups = read_csv(tmp_path / "out" / "scores.csv")
    assert [row["answer"] for row in groups] == ["network"] * 2 + ["rules"] * 2
    saved = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert saved["with_rules"]["answered_by"] == report.with_rules.answered_by
    with Image.open(tmp_path / "masks" / rows[4]["mask"]) as mask:
        assert np.asarray(mask).sum() == 100
    page = (tmp_path / "page.html").read_text()
    assert "mIoU of the network alone" in page
    assert "the largest" in page


def test_rules_at_the_size_of_the_mask(ships: Path) -> None:
    options = dataclasses.replace(RESOLVED, native=True, size_px=32, limit=1)
    report = evaluate_bundle(ships, "triplets", "test", options)
    assert report.with_rules is not None
    assert report.with_rules.native is not None
    assert report.native is not None
    assert report.native.miou == pytest.approx(0.8)
    assert report.with_rules.native.miou == 1.0


@pytest.mark.parametrize("asked", [None, "network"])
def test_the_published_protocol_has_no_rules(
    ships: Path, tmp_path: Path, bundle: Bundle, asked: Any
) -> None:
    """Bundles say themselves whether rules are for them; the scores of others stay as they were."""
    own: Any = "network" if asked is None else "resolved"
    object.__setattr__(bundle, "language", own)
    options = EvaluateOptions(language=asked, dtype="fp32", device="cpu")
    report = evaluate_bundle(
        ships, "triplets", "test", options, ScoreOutputs(folder=tmp_path / "out")
    )
    assert report.with_rules is None
    assert list(read_csv(tmp_path / "out" / "samples.csv")[0]) == [
        *("id", "expression", "kind", "category", "absent"),
        *("iou", "intersection_px", "union_px", "predicted_px", "target_px"),
        *("presence", "mask"),
    ]
    assert "answer" not in read_csv(tmp_path / "out" / "scores.csv")[0]
    object.__setattr__(bundle, "language", "resolved")
    resolved = evaluate_bundle(ships, "triplets", "test", FP32)
    assert resolved.with_rules is not None
    assert resolved.scores == report.scores
