"""Entry point of ``python -m rrsis_geo``."""

from rrsis_geo.cli import main

if __name__ == "__main__":
    main()
