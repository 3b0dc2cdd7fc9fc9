"""The trainings of the demo, each ``mtkd train`` in its own process with a progress bar, and the caches before them."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time

from tqdm import tqdm

from ..errors import MTKDError
from ..resources import option_file, read_options

_ITERATION = re.compile(r', iter:\s*([\d,]+)')
_QUICK = 20  # how many times fewer iterations


def _settings(name, quick):
    """Option file of a run, its number of iterations, and what is forced on the command line."""
    path = option_file('demo', f'{name}.yml')
    options = read_options(path)
    iterations = options['train']['total_iter']
    forced = []
    if quick:
        iterations = iterations // _QUICK
        # BasicSR reads ~ as nothing.
        forced = ['datasets:train:target_cache=~'] if 'target_cache' in options['datasets']['train'] else []
        forced += [f'train:total_iter={iterations}', f'train:scheduler:periods=[{iterations}]', 'logger:print_freq=5']
    return path, iterations, forced


def _fingerprint(path, forced, upstream):
    text = path.read_text(encoding='utf-8') + '\n'.join(forced) + upstream
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Record:
    """The small file that says how far a step of the demo is: with which settings, whether finished, how many seconds."""

    def __init__(self, path, fingerprint):
        self.path, self.fingerprint = path, fingerprint

    def read(self):
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}

    def write(self, finished, seconds=0.):
        content = {'fingerprint': self.fingerprint, 'finished': finished, 'seconds': round(seconds, 1)}
        temporary = self.path.with_suffix('.tmp')
        temporary.write_text(json.dumps(content))
        os.replace(temporary, self.path)

    def is_finished(self):
        content = self.read()
        return content.get('fingerprint') == self.fingerprint and content['finished']


class _Run:
    """One training."""

    def __init__(self, name, out, upstream, quick):
        self.name, self.out = name, out
        self.options, self.iterations, self.forced = _settings(name, quick)
        self.record = _Record(out / 'runs' / f'{name}.json', _fingerprint(self.options, self.forced, upstream))
        self.log = out / 'runs' / f'{name}.log'
        self.failed = False
        self.process = None

    def prepare(self):
        """True if there is something to do. A folder of other settings gives way, under another name."""
        if self.record.read().get('fingerprint') == self.record.fingerprint:
            return not self.record.is_finished()
        folder = self.out / 'experiments' / f'demo_{self.name}'
        if folder.exists():
            folder.rename(f"{folder}_archived_{time.strftime('%Y%m%d_%H%M%S')}")
        self.record.write(finished=False)
        return True

    def start(self, threads, position):
        command = [sys.executable, '-m', 'mtkd_basicsr', 'train', '-opt', str(self.options), '--auto_resume']
        command += ['--force_yml', *self.forced] if self.forced else []
        # Without PASSIVE threads that wait for each other keep a core busy, which another process may need.
        environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ, 'OMP_NUM_THREADS': str(threads), 'PYTHONUNBUFFERED': '1'}
        start = time.time()
        process = self.process = subprocess.Popen(command, cwd=self.out, env=environment, text=True,
                                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace')
        bar = tqdm(total=self.iterations, desc=f'{self.name:<14}', unit='it', position=position, mininterval=1.)
        try:
            with open(self.log, 'a', encoding='utf-8') as log:
                for line in process.stdout:
                    log.write(line)
                    match = _ITERATION.search(line)
                    if match:
                        bar.update(min(int(match.group(1).replace(',', '')), self.iterations) - bar.n)
            self.failed = process.wait() != 0
            if not self.failed:
                bar.update(self.iterations - bar.n)
                self.record.write(finished=True, seconds=time.time() - start)
        finally:
            bar.close()
            self.stop()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()


def make_cache(name, out, upstream):
    """Runs ``mtkd cache`` for the option file of a training, unless that was done before.

    Args:
        name (str): Option file in ``options/demo/``, without ending.
        out (Path): Folder of the demo.
        upstream (str): Fingerprint of what the teachers and the fusion network were trained with.

    Raises:
        MTKDError: it failed.
    """
    (out / 'runs').mkdir(exist_ok=True)
    options = option_file('demo', f'{name}.yml')
    record = _Record(out / 'runs' / f'cache_{name}.json', _fingerprint(options, ['cache'], upstream))
    if record.is_finished():
        print(f'cache for {name}: finished before', flush=True)
        return
    start = time.time()
    process = subprocess.Popen([sys.executable, '-m', 'mtkd_basicsr', 'cache', '-opt', str(options), '--overwrite'], cwd=out,
                               stdout=subprocess.DEVNULL)
    try:
        if process.wait():
            raise MTKDError(f'mtkd cache -opt {options} failed in {out}')
    finally:
        if process.poll() is None:
            process.kill()
    record.write(finished=True, seconds=time.time() - start)


def seconds_of(out, name):
    """How long a finished step took, None if it was not done."""
    return _Record(out / 'runs' / f'{name}.json', '').read().get('seconds')


def run_stage(names, out, upstream, quick, cores):
    """Runs trainings that do not depend on each other, as many at once as there are cores.

    Args:
        names (tuple[str]): Option files in ``options/demo/``, without ending.
        out (Path): Folder of the demo.
        upstream (str): Fingerprint of what these trainings build on: they are repeated when it changes.
        quick (bool): A twentieth of the iterations.
        cores (int): CPU cores to share.

    Returns:
        str: Fingerprint of all settings so far.

    Raises:
        MTKDError: a training failed.
    """
    (out / 'runs').mkdir(exist_ok=True)
    every = [_Run(name, out, upstream, quick) for name in names]
    todo = [run for run in every if run.prepare()]
    for run in every:
        if run not in todo:
            print(f'{run.name}: finished before', flush=True)
    workers = max(1, min(cores, len(todo)))
    queue, lock = list(todo), threading.Lock()

    def work(position):
        while True:
            with lock:
                if not queue or any(run.failed for run in todo):
                    return
                run = queue.pop(0)
            run.start(max(1, cores // workers), position)

    threads = [threading.Thread(target=work, args=(i, ), daemon=True) for i in range(workers)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:  # also when the demo itself is interrupted: nobody would read what the trainings print
        for run in todo:
            run.stop()
    for run in todo:
        if run.failed:
            tail = '\n'.join(run.log.read_text(encoding='utf-8', errors='replace').splitlines()[-5:])
            raise MTKDError(f'the training of {run.name} failed; its log is {run.log}, and ends with\n{tail}')
    return hashlib.sha256(''.join(run.record.fingerprint for run in every).encode() + upstream.encode()).hexdigest()[:16]
