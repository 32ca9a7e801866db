"""Validate a network as its bundle stores it, and save bundles."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rrsis_geo.config import to_dict
from rrsis_geo.metrics import Scores
from rrsis_geo.model.bundle import Bundle, save_bundle
from rrsis_geo.model.predictor import Predictor
from rrsis_geo.model.storage import fitting_state, stored_state
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.scoring import predict_batches, score_samples
from rrsis_geo.train.card import TrainedModel, collect_facts, render_card
from rrsis_geo.train.config import TrainConfig
from rrsis_geo.train.initial_net import InitialNet
from rrsis_geo.train.samples import RunData
from rrsis_geo.version import __version__


class Validator:
    """Scores a network on the validation samples of a run, and saves it as a bundle.

    What is scored is what is stored: the weights are rounded to the precision of the bundle, in a
    copy of the network, and read in fp32, as ``evaluate`` reads them.
    """

    def __init__(
        self, config: TrainConfig, data: RunData, start: InitialNet, device: torch.device
    ) -> None:
        """Copy the network of ``start``, whose forward methods must be its own."""
        self._config, self._data = config, data
        bundle = Bundle(
            name=config.name,
            path=Path(),
            net=deepcopy(start.net),
            tokenizer=start.tokenizer,
            image=start.image,
            about={},
            sha256="",
            language=start.language,
        )
        self._predictor = Predictor(bundle, str(device), "fp32")

    def score(self, net: ReferringNet) -> tuple[Scores, list[NDArray[np.bool_]]]:
        """Scores on the validation samples, and the masks of those that are drawn.

        Raises:
            ModelError: a weight is not finite.
        """
        stored = self._predictor.bundle.net
        tensors = stored_state(net, self._config.precision)
        stored.load_state_dict(fitting_state(stored, tensors), strict=False)
        batch_size = self._config.batch_size
        scores = score_samples(self._predictor, self._data.val, batch_size=batch_size)
        batches = predict_batches(self._predictor, self._data.preview, batch_size=1)
        return scores, [prediction.mask for batch in batches for _, prediction in batch]

    def save(self, net: ReferringNet, folder: Path, model: TrainedModel) -> None:
        """Write a bundle with its card.

        Args:
            net: the network that was scored.
            folder: folder of the bundle.
            model: what the weights are of, for the card.
        """
        config = self._config
        about = {
            "summary": config.summary,
            "categories": sorted(self._data.categories),
            "trained_with": to_dict(config),
            "steps": model.step,
            "val_scores": model.scores.to_dict(),
            "versions": {"rrsis-geo": __version__, "torch": torch.__version__},
        }
        bundle = replace(self._predictor.bundle, net=net, path=folder, about=about)
        card = render_card(collect_facts(config, self._data, bundle, model))
        save_bundle(bundle, precision=config.precision, card=card)
