"""The trainings of the demo, each ``mtkd train`` in its own process with a progress bar, and the caches before them."""

import hashlib

from ..data.manifest import sha256
from ..jobs import Job, Record, archive, mtkd_command, run_jobs
from ..options import parse_teachers
from ..resources import option_file
from ..yaml_files import read_options

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


class _Run:
    """One training."""

    def __init__(self, name, out, upstream, quick):
        self.name, self.out = name, out
        self.options, self.iterations, self.forced = _settings(name, quick)
        self.record = Record(out / 'runs' / f'{name}.json', _fingerprint(self.options, self.forced, upstream))
        self.log = out / 'runs' / f'{name}.log'

    def prepare(self):
        """True if there is something to do. A folder of other settings gives way, under another name."""
        if self.record.is_begun():
            return not self.record.is_finished()
        archive(self.out / 'experiments' / f'demo_{self.name}')
        self.record.write(finished=False)
        return True

    def job(self):
        """What has to be run."""
        forced = ['--force_yml', *self.forced] if self.forced else []
        command = mtkd_command('train', '-opt', self.options, '--auto_resume', *forced)
        return Job(f'the training of {self.name}', command, self.out, self.log, self.iterations)


def fingerprint_of_teachers():
    """Of the weights of the teachers, which come with the package."""
    return ''.join(sha256(teacher.weights)[:16] for teacher in parse_teachers(read_options(option_file('demo', 'mtkd.yml'))).values())


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
    record = Record(out / 'runs' / f'cache_{name}.json', _fingerprint(options, ['cache'], upstream))
    if record.is_finished():
        print(f'cache for {name}: finished before', flush=True)
        return
    command = mtkd_command('cache', '-opt', options, '--overwrite')
    run_jobs([Job(f'the cache for {name}', command, out, out / 'runs' / f'cache_{name}.log')], 1,
             lambda job, seconds: record.write(True, seconds))


def seconds_of(out, name):
    """How long a finished step took, None if it was not done."""
    return Record(out / 'runs' / f'{name}.json', '').read().get('seconds')


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
    jobs = {run.job().name: run for run in todo}
    run_jobs([run.job() for run in todo], cores, lambda job, seconds: jobs[job.name].record.write(True, seconds))
    return hashlib.sha256(''.join(run.record.fingerprint for run in every).encode() + upstream.encode()).hexdigest()[:16]
