"""Networks: tensors in, tensors out."""

from collections.abc import Mapping
from typing import Any

from rrsis_geo.config import build
from rrsis_geo.errors import ConfigError
from rrsis_geo.nets.base import ReferringNet, SegOutput
from rrsis_geo.nets.btdnet import PRESETS, BTDNet, BTDNetConfig

__all__ = ["NETS", "PRESETS", "ReferringNet", "SegOutput", "build_net"]

NETS: dict[str, tuple[type[BTDNet], type[BTDNetConfig]]] = {"btdnet": (BTDNet, BTDNetConfig)}
"""Network name -> its class and the class of its settings."""


def build_net(name: str, config: Mapping[str, Any]) -> ReferringNet:
    """A network with fresh weights.

    Args:
        name: a key of ``NETS``.
        config: settings as JSON or TOML hold them.

    Raises:
        ConfigError: no such network, or settings it refuses.
    """
    if name not in NETS:
        raise ConfigError(f'no network "{name}"; there are: {", ".join(sorted(NETS))}')
    net_class, config_class = NETS[name]
    return net_class(build(config_class, config, source=f"settings of {name}"))
