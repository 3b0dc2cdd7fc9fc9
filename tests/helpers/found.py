"""What the quick checks say about options."""

from conftest import override

from mtkd_basicsr.checks.findings import ERROR, Findings
from mtkd_basicsr.checks.preflight import _check_test
from mtkd_basicsr.checks.static import check_fast
from mtkd_basicsr.distillers import training_config


class _Gone:
    """Stands for a key that is taken out; its name is the same in every process."""

    def __repr__(self):
        return 'GONE'


GONE = _Gone()


def changed(opt, changes):
    """Options with values at paths like ``train__kd``; ``GONE`` takes a key out."""
    for path, value in changes.items():
        *blocks, last = path.split('__')
        block = opt
        for key in blocks:
            block = block[key]
        if value is GONE:
            del block[last]
        else:
            override(opt, {path: value})
    return opt


def found_in_training(opt):
    """Errors and warnings of a training, without what is well."""
    findings = Findings()
    check_fast(opt, findings)
    return _split(findings)


def found_in_test(opt):
    """The same of a test."""
    findings = Findings()
    _check_test(training_config({**opt, 'is_train': False}, errors=findings), findings)
    return _split(findings)


def _split(findings):
    errors = [finding.text for finding in findings if finding.level == ERROR]
    warnings = [finding.text for finding in findings if finding.level == 'WARNING']
    return errors, warnings
