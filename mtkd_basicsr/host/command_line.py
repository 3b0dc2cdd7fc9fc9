"""What the command line of BasicSR's scripts says."""

import argparse
import sys


def command_line() -> argparse.Namespace:
    """Return ``opt``, the option file, and ``force_yml`` of this process; None and [] without."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('-opt')
    parser.add_argument('--force_yml', nargs='+', default=[])
    return parser.parse_known_args(sys.argv[1:])[0]
