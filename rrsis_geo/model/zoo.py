"""Published checkpoints that can be downloaded from the Hugging Face Hub and converted to bundles.

Nothing of them is shipped: each user downloads from the authors.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from rrsis_geo.errors import ConfigError, ModelError
from rrsis_geo.model import hub
from rrsis_geo.model.catalog import cache_folder
from rrsis_geo.model.convert import ConvertOptions, ConvertReport, convert_checkpoint
from rrsis_geo.model.manifest import compute_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A checkpoint on the Hub.

    Attributes:
        family: network of the checkpoint, see `rrsis_geo.model.convert.PAPERS`.
        repository: ``owner/name`` on the Hub.
        revision: commit of the repository.
        file: name of the checkpoint in it.
        size_bytes: size of the file.
        sha256: checksum of the file, "" if unknown.
        paper: paper that describes the weights.
        licence: licence of the weights and of their training data, as stated.
    """

    family: str
    repository: str
    revision: str
    file: str
    size_bytes: int
    sha256: str
    paper: str
    licence: str


MODELS = {
    "remotesam": PublishedModel(
        family="rmsin",
        repository="1e12Leon/RemoteSAM",
        revision="a6d09f44bac5b64be7f74980b15afb2a749b5e92",
        file="RemoteSAMv1.pth",
        size_bytes=2_566_704_235,
        sha256="f85dfa044a527f096b9e41eacfe298040d52e77fca642f46dfe1226745e137e7",
        paper="RemoteSAM, arXiv 2505.18022; network: RMSIN, arXiv 2312.12470",
        licence="weights: not stated; training data RemoteSAM-270K: CC-BY-NC-4.0",
    ),
}
"""Name for ``rrsis-geo models fetch`` -> the checkpoint."""


def fetch_model(name: str) -> ConvertReport:
    """Download a published checkpoint, and convert it to a bundle in the user's folder of models.

    Raises:
        ConfigError: no published model has this name.
        ModelError: the Hub cannot be reached, or the file is not the published one.
        OutputError: the bundle cannot be written.
    """
    if name not in MODELS:
        raise ConfigError(
            f'no published model "{name}"; choose one of: {", ".join(sorted(MODELS))}'
        )
    model = MODELS[name]
    address = f"{hub.SCHEME}{model.repository}@{model.revision}"
    path = hub.download(address, [model.file]) / model.file
    if not path.is_file():
        raise ModelError(f"{address}: has no file {model.file}")
    _check_file(path, model)
    facts = {
        "summary": f"{model.paper.partition(',')[0]}, converted from {model.repository}",
        "source": f"https://huggingface.co/{model.repository}, {model.file}, {model.revision}",
        "paper": model.paper,
        "licence": model.licence,
    }
    return convert_checkpoint(
        path, cache_folder() / name, ConvertOptions(family=model.family, facts=facts)
    )


def _check_file(path: Path, model: PublishedModel) -> None:
    logger.info("checking %s", path)
    if model.sha256 and compute_sha256(path) != model.sha256:
        raise ModelError(
            f"{path}: its sha256 differs from that of the published file, so it is damaged or was "
            "replaced; delete it and fetch it again"
        )
