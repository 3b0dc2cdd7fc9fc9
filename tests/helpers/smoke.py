"""One step of stage 1 with what pip has installed: ``python tests/helpers/smoke.py``.

``.ci/run`` does it with each Python that it finds.
"""

import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Prepare the photographs of the demo, and train its fusion network on three teachers for one
    step.
    """
    from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY

    import mtkd_basicsr
    from mtkd_basicsr.data import sample_photographs
    from mtkd_basicsr.utils.resources import option_file

    assert 'DCTSwin' in ARCH_REGISTRY
    assert 'MTKDModel' in MODEL_REGISTRY
    with tempfile.TemporaryDirectory() as folder:
        sample_photographs.prepare(Path(folder) / 'datasets', 4)
        command = [
            sys.executable,
            '-m',
            'mtkd_basicsr',
            'train',
            '-opt',
            option_file('demo', 'fusion.yml'),
            '--force_yml',
            'train:total_iter=1',
            'logger:print_freq=1',
            'datasets:train:target_cache=~',
        ]
        printed = subprocess.run(
            command,
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert printed.returncode == 0, printed.stdout[-3000:]
    assert 'l_pix: ' in printed.stdout, printed.stdout[-3000:]
    version = '.'.join(map(str, sys.version_info[:3]))
    print(
        f'smoke test passed: Python {version}, mtkd_basicsr {mtkd_basicsr.__version__} from '
        f'{mtkd_basicsr.__file__}'
    )


if __name__ == '__main__':
    main()
