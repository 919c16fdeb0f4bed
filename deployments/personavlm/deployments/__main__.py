"""`python -m personavlm.deployments` is `personavlm`."""

import sys

from personavlm.deployments.cli import main

sys.exit(main())
