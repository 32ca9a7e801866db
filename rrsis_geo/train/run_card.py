"""What the card of a trained bundle says of the run that made it."""

from rrsis_geo.config import to_dict
from rrsis_geo.images import ImageSpec
from rrsis_geo.metrics import Scores
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.train.card import CardFacts, trained_card
from rrsis_geo.train.config import TrainConfig, TrainingPlan
from rrsis_geo.train.samples import RunData


def run_card(
    config: TrainConfig,
    data: RunData,
    plan: TrainingPlan,
    net: ReferringNet,
    image: ImageSpec,
    *,
    step: int,
    scores: Scores,
) -> str:
    """The Markdown for the weights that a run had after a step, and the scores they got."""
    init = {name: str(value) for name, value in to_dict(config.init).items() if value is not None}
    return trained_card(
        CardFacts(
            title=config.name,
            summary=config.summary,
            net=net.name,
            parameters=sum(value.numel() for value in net.parameters()),
            image=_image(image),
            data=_data(config, data, scores),
            start=init,
            categories=tuple(sorted(data.categories)),
            step=step,
            steps=plan.steps,
            seed=config.seed,
            scores=scores,
            config=to_dict(config),
        )
    )


def _image(image: ImageSpec) -> str:
    """What the network sees."""
    words = f"{image.size_px} px"
    if image.gsd_range_m is not None:
        low, high = image.gsd_range_m
        return f"{words}, ground pixels of {low:g} to {high:g} m"
    return words if image.gsd_m is None else f"{words}, ground pixels of {image.gsd_m:g} m"


def _data(config: TrainConfig, data: RunData, scores: Scores) -> dict[str, str]:
    """What the network was trained and validated on."""
    absent = f", {scores.n_absent} of them with an absent target" if scores.n_absent else ""
    n_val = f"{scores.n} samples{absent}"
    if config.benchmark is not None:
        benchmark = config.benchmark
        turned = ", augmented" if benchmark.augment else ""
        return {
            "data set": f"{benchmark.root} ({benchmark.layout})",
            "training": f'split "{benchmark.train_split}", {data.epoch_samples} samples{turned}',
            "validation": f'split "{benchmark.val_split}", {n_val}',
        }
    assert config.data is not None
    stream = config.data
    share = 1.0 if stream.instances is None else stream.painted_share
    real = "none" if stream.instances is None else f"{stream.instances}, random crops"
    return {
        "real images": real,
        "painted scenes": f"{100 * share:.0f} % of the samples",
        "validation": n_val
        + ("" if stream.val_instances is None else f", real ones from {stream.val_instances}"),
    }
