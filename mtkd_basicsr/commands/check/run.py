"""``mtkd check``: find the problems of an option file before training."""

import os

from ...checks.bill import check_costs
from ...checks.cost import check_disk
from ...checks.device import device_of
from ...checks.findings import Findings
from ...checks.image_contents import ALL, SOME
from ...checks.images import check_images
from ...checks.networks import check_networks
from ...checks.pretrained import check_resumed_network
from ...checks.result_names import check_saved_images
from ...checks.static import check_fast
from ...checks.validated_teachers import check_validation_outputs
from ...host.option_schema import replaced_folder_errors, structure_errors
from ...host.resume import given_state, without_replaced_weights
from .._option_files import OptionFile, parse_like_basicsr, read_with_overrides
from .._validation import Overrides, StrPath


def find(
    options_file: StrPath, steps: bool, all_images: bool, overrides: Overrides, safe: bool
) -> Findings:
    """Return the findings of an option file; see :func:`mtkd_basicsr.commands.check`."""
    file = OptionFile.of(options_file, overrides, safe)
    findings = Findings()
    opt = read_with_overrides('check', file)
    if not structure_errors(opt):
        given = opt['path']
        opt = parse_like_basicsr('check', file)
        for text in replaced_folder_errors(given, opt['path'], is_train=True):
            findings.error(text)
        opt = without_replaced_weights(opt, auto_resume=False)
    config = check_fast(opt, findings)
    if config is not None:
        with findings.collect_errors():
            check_resumed_network(config, given_state(opt, auto_resume=False))
        device = device_of(config)
        workers = (os.cpu_count() or 1) if all_images else 0
        errors = findings.count_errors()
        pixels = check_images(config, findings, ALL if all_images else SOME, workers)
        are_right = findings.count_errors() == errors
        check_saved_images(config, findings)
        check_networks(config, device, findings, are_right)
        with findings.collect_errors():
            check_validation_outputs(config)
        check_disk(config, pixels, findings)
        if steps and not findings.failed:
            check_costs(config, pixels, device, findings)
    return findings
