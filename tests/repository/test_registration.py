import ast
import subprocess
import sys
from pathlib import Path

import pytest
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

import mtkd_basicsr
from mtkd_basicsr.commands import _registration
from mtkd_basicsr.errors import MTKDError
from mtkd_basicsr.utils.registry import register

REGISTRIES = (ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY)
# BasicSR's own datasets, whose errors name no file.
REPLACED = ('PairedImageDataset', 'SingleImageDataset')
PACKAGE = Path(mtkd_basicsr.__file__).parent


def registered():
    """Our classes in BasicSR's registries, by name."""
    return {
        name: value
        for registry in REGISTRIES
        for name, value in registry
        if value.__module__.split('.')[0] == 'mtkd_basicsr' and name not in REPLACED
    }


def decorated():
    """Names of the classes in our files that are decorated with ``register`` of a registry."""
    return {
        node.name
        for path in PACKAGE.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.ClassDef)
        and any('REGISTRY' in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def test_importing_the_package_registers_every_class_that_is_meant_to_be():
    assert set(registered()) == decorated()
    assert len(registered()) >= 8


def test_what_is_registered_is_what_the_package_exports():
    exported = {name: getattr(mtkd_basicsr, name) for name in mtkd_basicsr.__all__}
    assert exported == registered()
    assert set(_registration.__all__) == set(mtkd_basicsr.__all__)


def test_datasets_that_name_files_take_the_place_of_basicsrs():
    for name in REPLACED:
        ours = DATASET_REGISTRY.get(name)
        assert ours.__module__ == 'mtkd_basicsr.data.paired_images'
        assert ours.__bases__[-1].__module__.startswith('basicsr.data.')
        assert ours.__name__ == ours.__bases__[-1].__name__


def test_a_second_import_registers_again():
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


def test_a_name_that_another_package_registered_is_not_taken():
    registry = Registry('test')
    theirs = type('WaveletLoss', (), {'__module__': 'their_package'})
    registry.register(theirs)
    with pytest.raises(MTKDError, match="'WaveletLoss' belongs to their_package"):
        register(registry)(mtkd_basicsr.WaveletLoss)
    assert registry.get('WaveletLoss') is theirs
