"""Numbers that others published, measured again here: see ``docs/published.md``.

Each file is one command, ``python -m benchmarks.published.NAME``, from the root of the
repository. It prints its tables and writes its figures to ``results/NAME.json``; the
tables of ``docs/published.md`` are made from these files by
``python -m benchmarks.published.page``.
"""

import sys
from pathlib import Path

# the scripts of benchmarks/ import each other by their bare names
sys.path.append(str(Path(__file__).parents[1]))
