"""``mtkd demo``: the whole of MTKD on the photographs that come with scikit-image."""

import os
import time
from pathlib import Path

from ..arguments import make_folder
from . import photographs, results, runs

SCALE = 4
# The student from scratch learns beside the fusion network; the other one waits for what it needs.
STAGES = (('fusion', 'scratch'), ('mtkd', ))
CACHED = ('fusion', 'mtkd')


def add_arguments(parser):
    """Adds the arguments of the command to its parser."""
    parser.add_argument('--out', metavar='DIR', help='where everything goes (mtkd_demo, or mtkd_demo_quick)')
    parser.add_argument('--quick', action='store_true', help='about a minute: shows that it runs, not what it reaches')


def demo(args):
    """Trains the fusion of the three reference teachers, and a student with and without MTKD; writes a table and a picture.

    A second call goes on where the first one was stopped, and repeats nothing that is finished.

    Args:
        args (argparse.Namespace): ``out`` and ``quick``.

    Raises:
        MTKDError: a training failed; names its log.
    """
    start = time.time()
    out = Path(args.out or ('mtkd_demo_quick' if args.quick else 'mtkd_demo')).resolve()
    make_folder(out)
    photographs.prepare(out / 'datasets', SCALE)
    print(f'Everything goes to {out}', flush=True)
    fingerprint = runs.fingerprint_of_teachers()
    for stage in STAGES:
        # So few steps are done sooner without a cache.
        if stage[0] in CACHED and not args.quick:
            runs.make_cache(stage[0], out, fingerprint)
        fingerprint = runs.run_stage(stage, out, fingerprint, quick=args.quick, cores=os.cpu_count() or 1)
    table, picture = results.report(out, SCALE, quick=args.quick)
    print(f'\n{table.read_text(encoding="utf-8")}\nTable:   {table}\nPicture: {picture}\nWall time of this call: {time.time() - start:.0f} s')
