"""EfficientNet-Lite0 without timm: names, values and stochastic depth are timm's."""

import timm
import torch
from torch import nn

from rrsis_geo.nets.trunks import efficientnet_lite


def test_names_and_outputs_are_those_of_timm() -> None:
    theirs = timm.create_model(efficientnet_lite.NAME, features_only=True, drop_path_rate=0.2)
    stages = efficientnet_lite.build_stages(drop_path=0.2)
    names = [name.partition(".")[2] for name in stages.state_dict()]
    assert names == [name.replace("blocks.", "blocks_") for name in theirs.state_dict()]
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    values = dict(zip(stages.state_dict(), theirs.state_dict().values(), strict=True))
    stages.load_state_dict(values)
    image = torch.randn(2, 3, 96, 64)
    for training in (False, True):
        stages.train(training)
        theirs.train(training)
        torch.manual_seed(1)  # of the dropped paths
        maps = [image]
        for stage in stages:
            maps.append(stage(maps[-1]))
        torch.manual_seed(1)
        # the norms are part of the convolutions outside of training
        tolerance = 0 if training else 1e-5
        for mine, expected in zip(maps[1:], theirs(image)[-4:], strict=True):
            largest = float(expected.abs().max())
            torch.testing.assert_close(mine, expected, atol=tolerance * largest, rtol=0)


def test_fresh_weights_have_the_spread_of_timm() -> None:
    theirs = timm.create_model(efficientnet_lite.NAME, features_only=True).state_dict()
    mine = efficientnet_lite.build_stages().state_dict()
    for (name, weight), expected in zip(mine.items(), theirs.values(), strict=True):
        if weight.numel() > 5000:
            assert abs(float(weight.std() / expected.std()) - 1) < 0.1, name
        elif weight.ndim == 1:
            assert torch.equal(weight, expected), name
