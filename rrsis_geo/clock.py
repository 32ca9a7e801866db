"""When the program began: reports of commands count the imports too.

The command line imports this first. What Python itself takes before is not counted: some
hundredths of a second.
"""

import time
from typing import Final

PROGRAM_STARTED: Final = time.perf_counter()
