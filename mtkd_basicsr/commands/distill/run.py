"""``mtkd distill``: its steps, one after the other."""

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from ...config import TrainingConfig, parse_teachers
from ...data.cache.format import state_of
from ...distillers import training_config
from ...errors import MTKDError, OptionError
from ...host.log_parser import seconds_of_step
from ...host.yaml_loader import read_options
from ...teachers import TeacherEnsemble
from ...utils.machine import usable_cores
from ...weights.networks import build
from .._arguments import device_of
from .._cores import Cores, cache_jobs
from .._jobs import Job, chosen_threads, run_jobs
from .._lock import locked
from .._records import Record
from .._validation import spelled
from ..export.api import export
from ..options import network_templates
from ..prepare_data.api import prepare_data
from ..prepare_data.held_out import recorded_count
from . import option_files, photographs
from .option_files import BATCHES, FUSION, STUDENT
from .report import report
from .settings import Progress, Settings, check_folder

# Iterations of the training that the others are predicted from, after torch has warmed up.
_TRIAL = 40
# Fewer teach a student nothing.
_LEAST_ITERATIONS = 200
# Share of the hours that the teachers may take.
_TEACHERS_SHARE = 0.6
# Low-resolution side that the teachers are timed on.
_TIMED_SIDE = 64
# Seconds of starting processes, exporting and drawing, after the training.
_END = 30.0
# Share of a training that its validations and checkpoints take, and the clock's error.
_MARGIN = 1.05


class Distillation:
    """The steps of ``mtkd distill`` in an output folder.

    Each is skipped if it has finished before.

    Args:
        settings: The arguments.
        out: The output folder.
    """

    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings = settings
        self.out = out
        self.progress = Progress(out, settings)
        self.teachers = option_files.teacher_names(settings.teachers)
        self.fused = len(self.teachers) > 1
        self.device = device_of('auto')
        self.batch = BATCHES[self.device.type]
        self.cores = Cores.of(usable_cores())
        self.threads = chosen_threads() or min(8, usable_cores())
        # A log and a record of each step.
        (out / 'runs').mkdir(exist_ok=True)

    def _options(self, name: str) -> Path:
        return self.out / 'options' / f'{name}.yml'

    def _config(self, name: str) -> TrainingConfig:
        return training_config(read_options(self._options(name)))

    def _log(self, step: str) -> Path:
        return self.out / 'runs' / f'{step}.log'

    def _run(self, step: str, title: str, jobs: Sequence[Job], threads: int) -> None:
        """Run the processes of a step, unless they have finished before."""
        record = Record(self.out / 'runs' / f'{step}.json', '')
        if record.is_finished():
            print(f'{title}: finished before', flush=True)
            return
        start = time.monotonic()
        with self.progress.timed():
            run_jobs(list(jobs), len(jobs), threads=threads)
        record.write(finished=True, seconds=time.monotonic() - start)

    def _cache(self, name: str, step: str, title: str, **more: object) -> None:
        arguments = {'options_file': str(self._options(name)), **more}
        jobs = cache_jobs(title, arguments, self.out, self._log(step), self.cores)
        self._run(step, title, jobs, max(1, self.threads // len(jobs)))

    def _train(self, name: str, title: str, iterations: int | None) -> None:
        arguments = {'options_file': str(self._options(name)), 'auto_resume': True}
        job = Job(title, 'train', arguments, self.out, self._log(name), iterations)
        self._run(name, title, [job], self.threads)

    def prepare(self) -> None:
        """Write the data sets of training and validation."""
        record = Record(self.out / 'runs' / 'data.json', '')
        if record.is_finished():
            print('Photographs: prepared before', flush=True)
            return
        with self.progress.timed():
            folder = Path(self.settings.folder)
            count = _check_photographs(self.settings, self.out)
            data = self.out / 'data'
            # A call that failed may have chosen some; then there may have been more photographs.
            apart = recorded_count(data) or photographs.kept_apart(count)
            prepare_data(
                folder,
                data,
                scales=(self.settings.scale,),
                validation=self.settings.validation or apart,
            )
        record.write(finished=True)

    def write_options(self, iterations: int) -> None:
        """Write the option files.

        Args:
            iterations: Those of the student, as far as they are known.
        """
        arguments = (self.settings, self.out, self.teachers, self.batch)
        if self.fused:
            self.progress.write_file(self._options(FUSION), option_files.fusion_file(*arguments))
        text = option_files.student_file(*arguments, iterations)
        self.progress.write_file(self._options(STUDENT), text)

    def check_hours(self) -> None:
        """Say what the teachers will take, from a small image.

        Raises:
            OptionError: They would take most of the hours.
        """
        config = self._config(STUDENT)
        if state_of(str(self.out / f'teachers_x{config.scale}.lmdb')) != 'none':
            return
        with self.progress.timed():
            torch.set_num_threads(self.threads)
            ensemble = TeacherEnsemble(config.teachers, config.scale, self.device)
            image = torch.rand(1, 3, _TIMED_SIDE, _TIMED_SIDE, device=self.device)
            for _ in range(2):  # kernels are loaded in the first
                start = time.perf_counter()
                with torch.no_grad():
                    ensemble(image).cpu()
                seconds = time.perf_counter() - start
            _, folder = option_files.data_folders(self.out, config.scale, 'train')
            count, pixels = photographs.size_of(folder)
        seconds *= pixels / _TIMED_SIDE**2
        print(f'Teachers: about {seconds / 60:.1f} minutes for {count} photographs', flush=True)
        if seconds > _TEACHERS_SHARE * self.progress.hours * 3600:
            least = math.ceil(seconds / 36 / _TEACHERS_SHARE) / 100  # rounded up
            raise OptionError(
                f'{spelled("hours")}: {self.progress.hours:g}, but the teachers need about '
                f'{seconds / 3600:.2f} hours for {count} photographs; expected at least '
                f'{least:.2f}, or fewer photographs'
            )

    def _seconds_of_a_step(self) -> float:
        """Train for some iterations in a folder of its own, which is deleted, and time them."""
        folder = self.out / 'runs' / 'trial'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        log = self._log('trial')
        overrides = [
            f'train:total_iter={_TRIAL}',
            f'logger:print_freq={_TRIAL // 4}',
            f'logger:save_checkpoint_freq={10 * _TRIAL}',
            f'val:val_freq={10 * _TRIAL}',
        ]
        arguments = {
            'options_file': str(self._options(STUDENT)),
            'overrides': overrides,
            'root': str(folder),
        }
        title = f'{_TRIAL} iterations to time'
        log.unlink(missing_ok=True)
        run_jobs([Job(title, 'train', arguments, self.out, log)], 1, threads=self.threads)
        shutil.rmtree(folder, ignore_errors=True)
        seconds = seconds_of_step(log.read_text(encoding='utf-8', errors='replace'))
        if seconds is None:
            raise MTKDError(f"'{log}' has no time of an iteration")
        return max(seconds, 0.001)

    def plan(self) -> int:
        """Decide on the number of iterations of the student, and write it into its option file.

        Returns:
            The number, that of an earlier call if the training has begun.
        """
        if (self.out / 'experiments' / STUDENT).exists():
            return self._config(STUDENT).total_iterations
        with self.progress.timed():
            seconds = self._seconds_of_a_step()
        left = self.progress.seconds_left - self._seconds_of_report() - _END
        count = max(_LEAST_ITERATIONS, int(left / seconds / _MARGIN) // 100 * 100)
        text = f'Student: {count:,d} iterations of {seconds:.3f} s'
        if count * seconds > max(left, 0):
            text += f', more than fit into {self.progress.hours:g} hours: fewer teach it nothing'
        print(text, flush=True)
        self.write_options(count)
        # A user may have written another number into the file.
        return self._config(STUDENT).total_iterations

    def _seconds_of_report(self) -> float:
        """Return about what the teachers take for the photographs that were kept apart."""
        scale = self.settings.scale
        _, train = option_files.data_folders(self.out, scale, 'train')
        _, val = option_files.data_folders(self.out, scale, 'val')
        seconds = Record(self.out / 'runs' / 'teachers.json', '').read().get('seconds', 0.0)
        return 2 * seconds * photographs.size_of(val)[1] / photographs.size_of(train)[1]

    def run(self) -> Path:
        """Run all steps."""
        print(f'Output folder: {self.out}', flush=True)
        if not self._options(STUDENT).exists():
            self.write_options(_LEAST_ITERATIONS)
        self.prepare()
        self.check_hours()
        if self.fused:
            self._cache(FUSION, 'teachers', 'outputs of the teachers')
            self._train(FUSION, 'mix of the teachers', None)
            stage_1 = str(self.out / f'teachers_x{self.settings.scale}.lmdb')
            self._cache(STUDENT, 'target', 'target of the student', outputs_from=stage_1)
        else:
            self._cache(STUDENT, 'teachers', 'output of the teacher')
        iterations = self.plan()
        self._train(STUDENT, 'student', iterations)
        return self._finish()

    def _finish(self) -> Path:
        """Measure the student, export it, and print where everything is."""
        table = self.out / 'results.md'
        picture = self.out / 'results.png'
        exported = self.out / f'{self.settings.student}_x{self.settings.scale}.safetensors'
        released = exported.with_suffix('.pth')
        record = Record(self.out / 'runs' / 'report.json', '')
        files = (table, picture, exported, released)
        if not record.is_finished() or not all(file.exists() for file in files):
            with self.progress.timed():
                torch.set_num_threads(self.threads)
                config = self._config(STUDENT)
                report(config, self.out, self.settings.student, self.device, table, picture)
                weights = option_files.weights_of(self.out, STUDENT)
                export(weights, format='pth', out=released, overwrite=True)
                export(weights, format='safetensors', out=exported, overwrite=True)
            record.write(finished=True)
        print(f'\n{table.read_text(encoding="utf-8")}')
        print(f'Table:    {table}')
        print(f'Picture:  {picture}')
        print(f'Student:  {exported}, for mtkd upscale')
        print(f'          {released}, for other programs')
        print(f'Options:  {self.out / "options"}')
        print(f'Time of all calls: {self.progress.seconds / 60:.1f} minutes')
        return exported


def _check_photographs(settings: Settings, out: Path) -> int:
    """Check that all photographs fit, and return their number."""
    side = BATCHES[device_of('auto').type].lq_size * settings.scale
    return photographs.check(Path(settings.folder), side, settings.scale, out)


def _check_all(settings: Settings, out: Path) -> None:
    """Check photographs, student and teachers before anything is written."""
    count = _check_photographs(settings, out)
    if settings.validation is not None and settings.validation >= count:
        raise OptionError(
            f'{spelled("validation")}: {settings.validation}; expected fewer than the {count} '
            'photographs'
        )
    # A student may need a package.
    build(yaml.safe_load(network_templates.student(settings.student, settings.scale)), '--student')
    names = option_files.teacher_names(settings.teachers)
    teachers = parse_teachers({'teachers': {name: {'weights': names[name]} for name in names}})
    TeacherEnsemble(teachers, settings.scale)


def run(settings: Settings, out: Path) -> Path:
    """Run all steps; see :func:`mtkd_basicsr.commands.distill`."""
    check_folder(out, settings)
    if not out.exists() or not any(out.iterdir()):
        _check_all(settings, out)
    distillation = Distillation(settings, out)
    text = f"{spelled('out')}: another process is working in '{out}'"
    with locked(out / 'runs' / 'lock', text):
        return distillation.run()
