"""Networks give what the authors' code gives for the same weights, at every stage.

The golden runs were in float64, and are stored in float32. ``benchmarks/parity.py`` prints the
figures.
"""

import golden_nets
import pytest

CASES = [
    *("lavt_w7", "lavt_w7_heads", "lavt_w12_rect", "rmsin_w7", "remotesam_w12"),
    *("fianet_l1_w7", "fianet_l3_w12_rect"),
]
TOLERANCE = 1e-6
"""Of the largest value. Float32 storage rounds to 6e-8 of each value."""


@pytest.mark.parametrize("name", CASES)
def test_every_stage_equals_the_authors_code(name):
    errors = golden_nets.compare_case(name)
    assert len(errors) >= 25
    assert {module: error for module, error in errors.items() if not error < TOLERANCE} == {}


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["lavt", "rmsin"])
def test_the_full_size_equals_the_authors_code(preset):
    assert golden_nets.compare_full_size(preset) < TOLERANCE
