"""Networks: tensors in, tensors out. No files, no rasters."""

from collections.abc import Mapping
from typing import Any

from rrsis_geo.config import build
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import ReferringNet, SegOutput
from rrsis_geo.nets.btdnet import BTDNet
from rrsis_geo.nets.crobim import CroBIM
from rrsis_geo.nets.lavt_family.fianet import FIANet
from rrsis_geo.nets.lavt_family.lavt import LAVT
from rrsis_geo.nets.lavt_family.rmsin import RMSIN

__all__ = ["NETS", "PRESETS", "ReferringNet", "SegOutput", "build_net", "build_preset"]

NETS: dict[str, type[ReferringNet]] = {
    net.name: net for net in (BTDNet, LAVT, RMSIN, FIANet, CroBIM)
}
"""Name of a network -> its class. A new network is added here and nowhere else."""

PRESETS: dict[str, Any] = {
    preset: config for net in NETS.values() for preset, config in net.presets.items()
}
"""Name of a preset -> the settings of its network."""


def build_net(name: str, config: Mapping[str, Any]) -> ReferringNet:
    """Build a network with fresh weights.

    Args:
        name: a key of ``NETS``.
        config: settings as read from JSON or TOML. Removed settings may be ``False``.

    Raises:
        ConfigError: the network does not exist, or a setting is invalid or was removed.
    """
    if name not in NETS:
        raise ConfigError(f'no network "{name}"; choose one of: {", ".join(sorted(NETS))}')
    net_class = NETS[name]
    source = f"settings of {name}"
    for setting, advice in net_class.removed_settings.items():
        if config.get(setting, False) is not False:
            raise ConfigError(f'{source}: "{setting}" was removed: {advice}')
    kept = {key: value for key, value in config.items() if key not in net_class.removed_settings}
    return net_class(build(net_class.config_class, kept, source=source))


def build_preset(preset: str) -> ReferringNet:
    """Build the network of a key of ``PRESETS`` with fresh weights.

    Raises:
        ConfigError: the preset does not exist.
    """
    for net_class in NETS.values():
        if preset in net_class.presets:
            return net_class(net_class.presets[preset])
    raise ConfigError(f'no preset "{preset}"; choose one of: {", ".join(sorted(PRESETS))}')
