"""python -m tests.faults: see the package."""
import sys

from tests import faults

sys.exit(faults.main(sys.argv[1:]))
