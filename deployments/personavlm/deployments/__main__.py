"""`python -m personavlm.deployments` is `personavlm`."""

import sys

from personavlm.platform.cli import main

sys.exit(main())
