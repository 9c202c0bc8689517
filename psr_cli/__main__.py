"""`python -m psr_cli` is `psr`."""

import sys

from psr_cli.main import main

sys.exit(main())
