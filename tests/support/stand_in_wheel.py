"""A small wheel in place of that of rrsis-geo, for tests of installing."""

import zipfile
from pathlib import Path

INFO = "rrsis_geo-0.1.0.dist-info"
FILES = {
    "stand_in.py": "def main():\n    print('stand-in')\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: rrsis-geo\nVersion: 0.1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nrrsis-geo = stand_in:main\n",
    f"{INFO}/RECORD": "",
}


def write_stand_in(folder: Path) -> Path:
    """Write a wheel whose program prints "stand-in"."""
    path = folder / "rrsis_geo-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return path
