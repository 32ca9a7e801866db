"""A timm image network cut into its four stages, with room for a fusion step between them."""

import logging
import tempfile
from collections import OrderedDict
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError, ModelError

logger = logging.getLogger(__name__)

REDUCTIONS = (4, 8, 16, 32)


class Trunk(nn.Module):
    """Four stages of an image network, of strides 4, 8, 16 and 32.

    Any timm network whose feature extractor is a chain of modules will do: Swin, SwinV2, ConvNeXt,
    FastViT, ResNet, EfficientNet, MobileNet. In timm's Swin the patch merging opens the next
    stage, so what lies between two stages here is what the papers fuse language into.

    Args:
        name: timm model name.
        image_px: side of the input; only networks of a fixed input size care (Swin).
        drop_path: stochastic depth rate.
        frozen_norm: keep batch normalisation at its running statistics while training, for
            batches too small to estimate them.

    Raises:
        ConfigError: timm has no such network, or it has not four such stages in a chain.
    """

    def __init__(
        self, name: str, *, image_px: int = 512, drop_path: float = 0.0, frozen_norm: bool = False
    ) -> None:
        super().__init__()
        self.name, self.image_px, self.frozen_norm = name, image_px, frozen_norm
        network = _create(name, image_px=image_px, drop_path=drop_path)
        self.stages, self.channels = _cut(network, name)
        # timm's Swin keeps channels last between its stages
        self.channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")

    def stage(self, index: int, pixels: Tensor) -> Tensor:
        """Run stage ``index`` (0 to 3) on the image or what the stage before gave, [B, C, H, W]."""
        if self.channels_last and index > 0:
            pixels = pixels.permute(0, 2, 3, 1)
        pixels = self.stages[index](pixels)
        return pixels.permute(0, 3, 1, 2) if self.channels_last else pixels

    def train(self, mode: bool = True) -> "Trunk":
        """Set training mode; frozen normalisation stays as it is."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def load_pretrained(self, source: str | Path = "timm") -> None:
        """Take pretrained weights.

        Args:
            source: "timm" for the weights timm knows for this name (fetched by timm), else a local
                file of the whole network's state dict (.pth, .safetensors), under timm's names or,
                failing those, in the same order and of the same shapes.

        Raises:
            ModelError: the file is missing or holds another network.
        """
        if str(source) == "timm":
            network = _create(self.name, image_px=self.image_px, pretrained=True)
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = _under_timm_names(Path(source), self.name, Path(folder))
                network = _create(self.name, image_px=self.image_px, pretrained=file)
        self.stages.load_state_dict(_cut(network, self.name)[0].state_dict())


def _create(
    name: str, *, image_px: int, drop_path: float = 0.0, pretrained: bool | Path = False
) -> nn.Module:
    options: dict[str, object] = {"drop_path_rate": drop_path}  # timm's own default varies
    if isinstance(pretrained, Path):
        # timm's own loading fits a Swin's position tables to another window size
        options["pretrained_cfg_overlay"] = {"file": str(pretrained)}
    if not timm.is_model(name):
        close = timm.list_models(f"*{name[:12]}*")[:5]
        raise ConfigError(
            f'timm has no network "{name}"' + (f"; near it: {close}" if close else "")
        )
    cfg = timm.get_pretrained_cfg(name)
    if cfg is not None and cfg.fixed_input_size:
        options["img_size"] = image_px
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=bool(pretrained), features_only=True, **options
        )
    except (RuntimeError, TypeError) as err:
        raise ConfigError(f'"{name}" cannot be cut into stages: {err}') from err
    return network


def _cut(network: nn.Module, name: str) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Split an extractor's chain of modules where its stride-4, 8, 16 and 32 maps come out."""
    wanted = {
        info["module"].replace(".", "_"): info
        for info in network.feature_info.get_dicts()  # type: ignore[operator, union-attr]
        if info["reduction"] in REDUCTIONS
    }
    if [info["reduction"] for info in wanted.values()] != list(REDUCTIONS):
        raise ConfigError(f'"{name}" has no four stages of strides 4, 8, 16 and 32')
    stages, channels = nn.ModuleList(), []
    current: OrderedDict[str, nn.Module] = OrderedDict()
    for child_name, module in _chain(network):
        current[child_name] = module
        if child_name in wanted:
            stages.append(nn.Sequential(current))
            channels.append(int(wanted[child_name]["num_chs"]))
            current = OrderedDict()
    if len(stages) != len(REDUCTIONS):
        raise ConfigError(f'"{name}" is not a plain chain of modules; choose another trunk')
    return stages, tuple(channels)


def _chain(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of the extractor in the order they run; a "blocks" container is opened."""
    chain: list[tuple[str, nn.Module]] = []
    for child_name, module in network.named_children():
        if child_name == "blocks" and isinstance(module, nn.Sequential):
            chain += [(f"blocks_{i}", block) for i, block in enumerate(module)]
        else:
            chain.append((child_name, module))
    return chain


def _under_timm_names(path: Path, name: str, folder: Path) -> Path:
    """The file itself where it has timm's names; else a copy in ``folder`` that has."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file of trunk weights")
    if path.suffix == ".safetensors":
        given = load_file(path)
    else:
        given = torch.load(path, map_location="cpu", weights_only=True)
    own = timm.create_model(name, pretrained=False).state_dict()
    if own.keys() <= given.keys():
        return path
    if [v.shape for v in given.values()] != [v.shape for v in own.values()]:
        raise ModelError(f"{path}: these are not the weights of {name}")
    logger.info("%s: foreign names, tensors taken in order", path.name)
    named = {key: value.contiguous() for key, value in zip(own, given.values(), strict=True)}
    save_file(named, folder / "weights.safetensors")
    return folder / "weights.safetensors"
