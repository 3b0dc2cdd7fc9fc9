"""``mtkd check``: what is wrong with an option file, before an hour is spent on it."""

import argparse
import sys

from ...checks.cost import check_disk, check_steps
from ...checks.findings import ERROR, WARNING, Findings
from ...checks.images import check_images
from ...checks.networks import check_networks
from ...checks.static import check_fast, device_of
from ...host.option_schema import structure_errors
from .._option_files import parse_like_basicsr, read_forced


def check(args: argparse.Namespace) -> None:
    """Look at everything that an option file for training names, and report all findings.

    Keys, files, sizes of images, weights, PSNR of teachers and fusion network on a few validation
    images, the protocol of the metrics, disk space, and an estimate of time and memory from two
    real steps. The exit status is 1 where training would fail.

    Args:
        args: What :func:`add_arguments` has parsed.

    Raises:
        OptionError: no such file, or it cannot be read.
        SystemExit: there are errors.
    """
    findings = Findings()
    opt = read_forced(args)
    if not structure_errors(opt):
        opt = parse_like_basicsr('check', args)
    config = check_fast(opt, findings)
    if config is not None:
        device = device_of(config)
        pixels = check_images(config, findings)
        check_networks(config, device, findings)
        check_disk(config, pixels, findings)
        if not args.no_steps and not findings.failed:
            check_steps(config, device, findings)
    print(findings)
    count = sum(f.level == ERROR for f in findings)
    print(
        f'\n{count} {"error" if count == 1 else "errors"}, '
        f'{sum(f.level == WARNING for f in findings)} warnings'
    )
    if findings.failed:
        sys.exit(1)
