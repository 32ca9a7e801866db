"""Compare ONNX Runtime and OpenVINO with PyTorch on an exported model: time, and answers.

    rrsis-geo export btdnet-lite -o btdnet-lite.onnx
    pip install onnxruntime openvino
    python benchmarks/runtimes.py btdnet-lite.onnx --instances path/instances_val.json

Prints CPU seconds per window in one thread, so that other programs hardly matter. The runtimes take
turns. With ``--instances``, the masks of all runtimes are compared with those of PyTorch in float32
on validation samples: the mean IoU, that of all samples together, and the largest difference of
presence. Runtimes that are not installed are left out.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from markdown_table import print_header, print_row
from numpy.typing import NDArray
from scoring import SampleCounts, validation_sets

from rrsis_geo.data.sample import Sample
from rrsis_geo.log_odds import to_probability
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.inputs import to_input
from rrsis_geo.model.predictor import Predictor

EXPRESSION = "the truck on the road"


class Output(NamedTuple):
    """Logits [B, H, W] and presence [B]."""

    logits: NDArray[np.float32]
    presence: NDArray[np.float32]


Runtime = Callable[[NDArray[np.uint8], str], Output]
"""Answers images, uint8 [B, S, S, 3], for one expression."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("onnx", type=Path, help="the exported model")
    parser.add_argument("--model", default="btdnet-lite", help="bundle of the exported model")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--instances", type=Path, help="COCO file of validation images")
    parser.add_argument("--samples", type=int, default=300)
    args = parser.parse_args()
    torch.set_num_threads(1)
    runtimes = load_runtimes(args.onnx, args.model)
    size_px = load_bundle(args.model).image.size_px
    print_times(runtimes, args.batch, args.repeats, size_px)
    if args.instances:
        sets = validation_sets([args.instances], SampleCounts(args.samples, 0, 0), size_px)
        print_agreement(runtimes, [sample for part in sets.values() for sample in part])


def load_runtimes(path: Path, model: str) -> dict[str, Runtime]:
    """The runtimes by name. The first one is the reference."""
    runtimes: dict[str, Runtime] = {}
    for dtype in ("fp32", "bf16"):
        runtimes[f"PyTorch, {dtype}"] = torch_runtime(model, dtype)
    if importlib.util.find_spec("onnxruntime"):
        runtimes["ONNX Runtime, fp32"] = onnx_runtime(path, model)
    if importlib.util.find_spec("openvino"):
        for hint in ("f32", "bf16"):
            runtimes[f"OpenVINO, {hint}"] = openvino_runtime(path, model, hint)
    return runtimes


def torch_runtime(model: str, dtype: str) -> Runtime:
    predictor = Predictor(load_bundle(model), "cpu", dtype)

    def run(images: NDArray[np.uint8], expression: str) -> Output:
        output = predictor.predict(images, predictor.encode(expression))
        assert output.presence is not None
        return Output(output.logits, output.presence)

    return run


def onnx_runtime(path: Path, model: str) -> Runtime:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    prepare = input_maker(model, names)
    return lambda images, expression: Output(*session.run(None, prepare(images, expression)))


def openvino_runtime(path: Path, model: str, hint: str) -> Runtime:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    prepare = input_maker(model, [each.any_name for each in compiled.inputs])

    def run(images: NDArray[np.uint8], expression: str) -> Output:
        results = compiled(prepare(images, expression))
        return Output(results[0], results[1])

    return run


def input_maker(
    model: str, names: Sequence[str]
) -> Callable[[NDArray[np.uint8], str], Mapping[str, np.ndarray]]:
    """The function that makes the inputs of a graph by their names."""
    bundle = load_bundle(model)

    def make(images: NDArray[np.uint8], expression: str) -> Mapping[str, np.ndarray]:
        tokens = bundle.tokenizer.encode([expression] * len(images))._asdict()
        image = np.ascontiguousarray(to_input(images, bundle.image).numpy())
        return {name: image if name == "image" else tokens[name].numpy() for name in names}

    return make


def print_times(runtimes: Mapping[str, Runtime], batch: int, repeats: int, size_px: int) -> None:
    """A row for each runtime: CPU seconds per window, and the speed-up of the reference."""
    images = np.random.default_rng(0).integers(0, 256, (batch, size_px, size_px, 3), np.uint8)
    seconds: dict[str, list[float]] = {name: [] for name in runtimes}
    for turn in range(repeats + 1):
        for name, run in runtimes.items():
            start = time.process_time()
            run(images, EXPRESSION)
            if turn:  # the first turn warms up
                seconds[name].append((time.process_time() - start) / batch)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    reference = next(iter(medians.values()))
    print_header(f"batch {batch}", "CPU s a window", "speed")
    for name, median in medians.items():
        print_row(name, f"{median:.3f}", f"{reference / median:.2f}")


def print_agreement(runtimes: Mapping[str, Runtime], samples: Sequence[Sample]) -> None:
    """A row for each runtime: how far its answers are from those of the reference."""
    (_, reference), *others = runtimes.items()
    ious: dict[str, list[float]] = {name: [] for name, _ in others}
    areas = {name: np.zeros(2) for name, _ in others}
    differences: dict[str, list[float]] = {name: [] for name, _ in others}
    for sample in samples:
        expected = reference(sample.image[None], sample.expression)
        for name, run in others:
            found = run(sample.image[None], sample.expression)
            masks = [output.logits > 0 for output in (expected, found)]
            common, all_ = (masks[0] & masks[1]).sum(), (masks[0] | masks[1]).sum()
            ious[name].append(common / all_ if all_ else 1.0)
            areas[name] += common, all_
            shares = [to_probability(float(output.presence[0])) for output in (expected, found)]
            differences[name].append(abs(shares[0] - shares[1]))
    print()
    print_header(f"{len(samples)} samples", "mean IoU", "total IoU", "presence")
    for name, _ in others:
        common, all_ = areas[name]
        mean, largest = statistics.mean(ious[name]), max(differences[name])
        print_row(name, f"{mean:.4f}", f"{common / max(all_, 1):.4f}", f"{largest:.4f}")


if __name__ == "__main__":
    main()
