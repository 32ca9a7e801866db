"""An image network, split into four stages so that a fusion step can run between them."""

import logging
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.nets.trunks import efficientnet_lite

logger = logging.getLogger(__name__)

REDUCTIONS = (4, 8, 16, 32)


class Trunk(nn.Module):
    """Four stages of an image network, with strides 4, 8, 16 and 32.

    Any timm network whose feature extractor is a chain of modules can be used: Swin, SwinV2,
    ConvNeXt, FastViT, ResNet, EfficientNet, MobileNet. In timm's Swin the patch merging is the
    first layer of the next stage, so a stage ends where the papers fuse image and text. Swin blocks
    pad their maps before they roll them, and keep the window and the shift on maps that are smaller
    than a window, as the authors' do (``rrsis_geo.nets.trunks.swin``). EfficientNet-Lite0 is built
    without timm, but loads timm's weights.

    Args:
        name: timm model name.
        image_px: side of the input. Only networks with a fixed input size need it (SwinV2).
        drop_path: stochastic depth rate.
        frozen_norm: keep the running statistics of batch normalisation fixed in training, for
            batches that are too small to estimate them.

    Raises:
        ConfigError: timm does not have the network, or it is not a chain of four such stages.
    """

    def __init__(
        self, name: str, *, image_px: int = 512, drop_path: float = 0.0, frozen_norm: bool = False
    ) -> None:
        super().__init__()
        self.name, self.image_px, self.frozen_norm = name, image_px, frozen_norm
        self.channels_last = False
        self.stages: nn.ModuleList
        self.channels: tuple[int, ...]
        if name == efficientnet_lite.NAME:
            self.stages = efficientnet_lite.build_stages(drop_path=drop_path)
            self.channels = efficientnet_lite.CHANNELS
            return
        network = _create(name, image_px=image_px, drop_path=drop_path)
        self.stages, self.channels = _split_stages(network, name)
        # timm's Swin uses channels last between its stages
        self.channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")

    def stage(self, index: int, pixels: Tensor) -> Tensor:
        """Run stage ``index`` (0 to 3) on the image or the previous stage, [B, C, H, W]."""
        if self.channels_last and index > 0:
            pixels = pixels.permute(0, 2, 3, 1)
        pixels = self.stages[index](pixels)
        return pixels.permute(0, 3, 1, 2) if self.channels_last else pixels

    def train(self, mode: bool = True) -> "Trunk":
        """Set training mode. Frozen batch normalisation stays in eval mode."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def load_pretrained(self, source: str | Path = "timm") -> None:
        """Load pretrained weights.

        Args:
            source: "timm" to download timm's weights for this network, or a local file with the
                state dict of the whole network (.pth, .safetensors), also under the key "model".
                Keys are the names of timm, or for a Swin those of its authors; otherwise order and
                shapes must be timm's.

        Raises:
            ModelError: the file does not exist or belongs to another network.
        """
        if str(source) == "timm":
            network = _create(self.name, image_px=self.image_px, pretrained=True)
        else:
            with tempfile.TemporaryDirectory() as folder:
                file = _rename_to_timm(Path(source), self.name, Path(folder))
                network = _create(self.name, image_px=self.image_px, pretrained=file)
        self.stages.load_state_dict(_split_stages(network, self.name)[0].state_dict())


def _create(
    name: str, *, image_px: int, drop_path: float = 0.0, pretrained: bool | Path = False
) -> nn.Module:
    import timm  # here because it takes seconds, and the shipped model does not need it

    options: dict[str, object] = {"drop_path_rate": drop_path}  # timm's default varies
    if _is_swin(name):
        options |= {"always_partition": True, "strict_img_size": False}
    if isinstance(pretrained, Path):
        # timm resizes the position tables of a Swin to another window size when it loads a file
        options["pretrained_cfg_overlay"] = {"file": str(pretrained)}
    if not timm.is_model(name):
        close = timm.list_models(f"*{name[:12]}*")[:5]
        raise ConfigError(
            f'timm has no network "{name}"' + (f"; similar names: {close}" if close else "")
        )
    cfg = timm.get_pretrained_cfg(name)
    if cfg is not None and cfg.fixed_input_size:
        options["img_size"] = image_px
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=bool(pretrained), features_only=True, **options
        )
    except (RuntimeError, TypeError) as err:
        raise ConfigError(f'"{name}" cannot be split into stages: {err}') from err
    if _is_swin(name) or _is_swin(name, version=2):
        from rrsis_geo.nets.trunks.swin import pad_before_roll

        pad_before_roll(network)
    return network


def _is_swin(name: str, *, version: int = 1) -> bool:
    from timm.models import is_model_in_modules

    module = "swin_transformer" if version == 1 else f"swin_transformer_v{version}"
    return bool(is_model_in_modules(name.partition(".")[0], (module,)))


def _split_stages(network: nn.Module, name: str) -> tuple[nn.ModuleList, tuple[int, ...]]:
    """Split the modules of a feature extractor after its maps of strides 4, 8, 16 and 32."""
    stage_ends = {
        info["module"].replace(".", "_"): info
        for info in network.feature_info.get_dicts()  # type: ignore[operator, union-attr]
        if info["reduction"] in REDUCTIONS
    }
    if [info["reduction"] for info in stage_ends.values()] != list(REDUCTIONS):
        raise ConfigError(f'"{name}" does not have four stages with strides 4, 8, 16 and 32')
    stages, channels = nn.ModuleList(), []
    current: OrderedDict[str, nn.Module] = OrderedDict()
    for child_name, module in _list_modules(network):
        current[child_name] = module
        if child_name in stage_ends:
            stages.append(nn.Sequential(current))
            channels.append(int(stage_ends[child_name]["num_chs"]))
            current = OrderedDict()
    if len(stages) != len(REDUCTIONS):
        raise ConfigError(f'"{name}" is not a chain of modules; choose another trunk')
    return stages, tuple(channels)


def _list_modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules of the extractor in the order they run, with the items of a "blocks" container."""
    chain: list[tuple[str, nn.Module]] = []
    for child_name, module in network.named_children():
        if child_name == "blocks" and isinstance(module, nn.Sequential):
            chain += [(f"blocks_{i}", block) for i, block in enumerate(module)]
        else:
            chain.append((child_name, module))
    return chain


def _rename_to_timm(path: Path, name: str, folder: Path) -> Path:
    """Path of weights with timm's names: ``path`` itself, or a renamed copy in ``folder``."""
    import timm

    state = _read_state(path)
    network = timm.create_model(name, pretrained=False)
    head = f"{network.pretrained_cfg.get('classifier')}."
    timm_state = {k: v for k, v in network.state_dict().items() if not k.startswith(head)}
    if timm_state.keys() <= state.keys():
        return path
    if _is_swin(name):  # the authors' file: other names, and buffers that timm computes
        from rrsis_geo.nets.trunks.swin import checkpoint_filter_fn

        state = checkpoint_filter_fn(state, network)
    if not timm_state.keys() <= state.keys():
        timm_state = network.state_dict()
        if [v.shape for v in state.values()] != [v.shape for v in timm_state.values()]:
            raise ModelError(f"{path}: is not a state dict of {name}")
        logger.info("%s: unknown key names; tensors are assigned in order", path.name)
        state = dict(zip(timm_state, state.values(), strict=True))
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / "weights.safetensors"
    )
    return folder / "weights.safetensors"


def _read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of weights."""
    if not path.is_file():
        raise ModelError(f"{path}: file of trunk weights does not exist")
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("model", state)
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}
