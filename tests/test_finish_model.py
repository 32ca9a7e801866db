"""benchmarks/finish_model.py averages the weights of bundles."""

import pytest
import torch
from repository import ROOT

OLD = {"trunk.weight": torch.tensor([1.0, 4.0])}
NEW = {"trunk.weight": torch.tensor([3.0, 1.0]), "refiner.bias": torch.tensor([7.0])}


@pytest.fixture(autouse=True)
def _benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_weights_are_averaged_over_the_bundles_that_have_them() -> None:
    from finish_model import average_weights

    average = average_weights([NEW, OLD, OLD])
    assert average["trunk.weight"].tolist() == pytest.approx([5 / 3, 3])
    assert average["refiner.bias"].tolist() == [7]


def test_parts_that_the_first_bundle_lacks_are_left_out() -> None:
    from finish_model import average_weights

    assert average_weights([OLD, NEW]).keys() == OLD.keys()
