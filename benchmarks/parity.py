"""Compare LAVT, RMSIN and FIANet with the outputs of their authors' code, stage by stage.

    python benchmarks/parity.py

The networks are small and run in float64 with weights that a rule makes; see
tests/nets/golden/README.md. The table has the largest relative difference of each stage.
"""

import re
import sys
from pathlib import Path

from markdown_table import print_header, print_row

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import golden_nets

CASES = [
    *("lavt_w7", "lavt_w7_heads", "lavt_w12_rect", "rmsin_w7", "remotesam_w12"),
    *("fianet_l1_w7", "fianet_l3_w12_rect"),
]
STAGES = {
    "trunk": r"backbone\.layers\.\d\.blocks.*",
    "fusion": r"backbone\.(layers\.\d\.(?!blocks).*|norm\d)",
    "cross scale": r"backbone\.(cim|tmem).*",
    "decoder": r"classifier.*",
    "logits": "logits",
}
"""Stage -> the authors' names of its modules."""


def main() -> None:
    print_header("case", *STAGES)
    for name in CASES:
        errors = golden_nets.compare_case(name)
        row = [f"`{name}`"]
        for pattern in STAGES.values():
            found = [e for module, e in errors.items() if re.fullmatch(pattern, module)]
            row.append(f"{max(found):.0e}".replace("0e+00", "0") if found else "")
        print_row(*row)


if __name__ == "__main__":
    main()
