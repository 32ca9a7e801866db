"""The network that a run starts from."""

from typing import Any, NamedTuple

from rrsis_geo.errors import ConfigError
from rrsis_geo.images import ImageSpec
from rrsis_geo.model.bundle import load_bundle
from rrsis_geo.model.names import Language
from rrsis_geo.nets import build_net
from rrsis_geo.nets.base import ReferringNet
from rrsis_geo.text.tokenizer import Tokenizer
from rrsis_geo.train.config import TrainConfig


class InitialNet(NamedTuple):
    """A network with its initial weights, its tokenizer, its image settings and its language."""

    net: ReferringNet
    tokenizer: Tokenizer
    image: ImageSpec
    language: Language


def load_initial_net(config: TrainConfig) -> InitialNet:
    """Load the network of ``init.bundle``, or build a network with pre-trained encoders.

    Raises:
        ConfigError: ``init.bundle`` has another network than ``config.net`` describes.
        ModelError: weights or vocabulary are missing or do not fit.
    """
    if config.init.bundle is not None:
        return _load_bundled_net(config, config.init.bundle)
    assert config.init.vocabulary is not None
    tokenizer = Tokenizer.load(
        config.init.vocabulary, max_tokens=config.max_tokens, text_rules=config.text_rules
    )
    net = _build_net(config)
    net.load_pretrained(trunk=config.init.trunk, text=config.init.text)
    return InitialNet(net, tokenizer, config.image or ImageSpec(), config.language or "network")


def _load_bundled_net(config: TrainConfig, bundle_name: str) -> InitialNet:
    bundle = load_bundle(bundle_name)
    image, language = config.image or bundle.image, config.language or bundle.language
    if not config.net:
        return InitialNet(bundle.net, bundle.tokenizer, image, language)
    net = _build_net(config)
    expected, stored = (
        {k: v for k, v in state.items() if not k.startswith(net.training_only)}
        for state in (net.state_dict(), bundle.net.state_dict())
    )
    wrong = [k for k in expected if k not in stored or stored[k].shape != expected[k].shape]
    if wrong or len(expected) != len(stored):
        raise ConfigError(
            f"init.bundle {bundle_name}: its network differs from [net]"
            + (f" ({wrong[0]})" if wrong else "")
        )
    net.load_state_dict(stored, strict=False)
    return InitialNet(net, bundle.tokenizer, image, language)


def _build_net(config: TrainConfig) -> ReferringNet:
    settings: dict[str, Any] = {key: value for key, value in config.net.items() if key != "name"}
    return build_net(str(config.net["name"]), settings)
