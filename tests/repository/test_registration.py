import subprocess
import sys

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY, Registry

import mtkd_basicsr
from mtkd_basicsr.errors import MTKDError
from mtkd_basicsr.utils.registry import register

REGISTERED = (
    (MODEL_REGISTRY, ('MTKDFusionModel', 'MTKDModel', 'KDModel')),
    (ARCH_REGISTRY, ('DCTSwin',)),
    (LOSS_REGISTRY, ('WaveletLoss',)),
)


def test_import_registers():
    for registry, names in REGISTERED:
        for name in names:
            assert registry.get(name) is getattr(mtkd_basicsr, name)


def test_a_second_import_does_no_harm():
    code = (
        'import sys, mtkd_basicsr\n'
        'for name in [n for n in sys.modules if n.startswith("mtkd_basicsr")]: del '
        'sys.modules[name]\n'
        'import mtkd_basicsr as again\n'
        'from basicsr.utils.registry import MODEL_REGISTRY\n'
        'assert MODEL_REGISTRY.get("MTKDModel") is again.MTKDModel'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
    # The check above must be one that BasicSR's own registration fails.
    with pytest.raises(AssertionError, match='already registered'):
        MODEL_REGISTRY.register(mtkd_basicsr.MTKDModel)


def test_a_name_of_somebody_else_is_not_taken():
    registry = Registry('test')
    theirs = type('WaveletLoss', (), {'__module__': 'their_package'})
    registry.register(theirs)
    with pytest.raises(MTKDError, match="'WaveletLoss' belongs to their_package"):
        register(registry)(mtkd_basicsr.WaveletLoss)
    assert registry.get('WaveletLoss') is theirs
