"""The sum of a training, ``mtkd cache`` and validations, measured on a little of each."""

import logging
import os
import tempfile
import traceback
from collections.abc import Iterator

import torch

from ..config import DatasetConfig, TrainingConfig
from ..data.whole_images import WholeImagePairs
from ..host.api import BaseModel
from ..teachers import FusedTeachers, TeacherEnsemble
from . import timings
from .cost import (
    build_model_silently,
    checkpoints,
    forget_memory,
    gib,
    makes_cache,
    outputs,
    peak_memory,
)
from .dataset_options import network_channels
from .estimates import Bill, Estimate, Part, cache_bytes, duration, extrapolate, on_line
from .findings import Findings
from .paired import build_paired, has_folders
from .timings import (
    mean_pixels,
    seconds_of_a_step,
    seconds_of_decoding,
    seconds_of_fit,
    seconds_of_metrics,
    seconds_of_networks,
    seconds_of_writing,
    step_sizes,
)

_MEGA = 1e6
# Side of the images that the writing of a cache is timed with, about that of a sub-image.
_WRITTEN_SIDE = 480


def _cached_outputs(model: BaseModel, config: TrainingConfig) -> dict[str, int]:
    """Let a model take its targets from a batch, as out of the cache that is or will be there.

    Returns:
        Entry of the batch and its number of channels; empty where the teachers run.
    """
    if config.target_cache is None or not config.uses_teachers:
        return {}
    if config.is_fusion_stage:
        model.cached_names = model.cached_names or list(model.names)
        return {'teachers': 3 * len(model.cached_names)}
    provider = model.distiller.teachers
    provider.cached = provider.cached or slice(0, 3)
    return {'target': provider.cached.stop}


def measure_steps(
    model: BaseModel, config: TrainingConfig, device: torch.device
) -> tuple[Estimate[tuple[int, int]], float | None]:
    """Return the seconds of a step, and the peak memory in bytes if the system reports it."""
    train = config.train_dataset.options
    color = config.train_dataset.channels
    if not config.train_dataset.is_paired:  # those of a class of the user's may be anything
        color = network_channels(config)
    entries = {'gt': color, **_cached_outputs(model, config)}
    peaks: list[tuple[float, float]] = []

    def measure(size: tuple[int, int]) -> float:
        count, side = size
        images = {'lq': torch.rand(count, color, side // config.scale, side // config.scale)}
        for entry, channels in entries.items():
            images[entry] = torch.rand(count, channels, side, side)
        # The first batches of stage 1 are those that the mix is fitted to.
        seconds = seconds_of_a_step(model, images, device, config.mix_batches + 1)
        peaks.append((count * side**2, peak_memory(device) or 0))
        return seconds

    batch = train['batch_size_per_gpu']
    sizes = step_sizes(batch, train['gt_size'], config.scale, device)
    estimate = extrapolate(measure, sizes, timings.budget)
    whole = sizes[-1][0]
    # What does not grow with a batch is most of it: no share of a single measurement.
    peak = on_line(peaks, whole) if len(peaks) > 1 else peaks[0][1]
    return estimate, max(peak, peaks[-1][1]) or None


def _step_bill(
    model: BaseModel, config: TrainingConfig, device: torch.device, findings: Findings
) -> Bill:
    """Time steps, and report them."""
    total = config.total_iterations
    if config.only_fits:
        return Bill()
    estimate, peak = measure_steps(model, config, device)
    notes = ''
    if config.target_cache is not None and config.uses_teachers:
        notes += ', with the outputs of mtkd cache'
    if estimate.extrapolated:
        count, side = estimate.measured
        notes += f', extrapolated from steps of {count} patches of {side}×{side}'
    memory = '' if peak is None else f'; {gib(peak)} of memory on {device}'
    findings.ok(
        f'train.total_iter: {total:,d} iterations of {estimate.value:.2f} s each are '
        f'{duration(total * estimate.value)} without data loading and validation{notes}'
        f'{memory}'
    )
    _, size = checkpoints(config)
    steps = Part('steps', total, 'iterations', estimate.value, estimate.extrapolated)
    return Bill((steps,), (('checkpoints', size),))


def _teachers(config: TrainingConfig, device: torch.device) -> TeacherEnsemble | FusedTeachers:
    ensemble = TeacherEnsemble(config.teachers, config.scale, device)
    if config.fusion is None or config.cache_contents != 'target':
        return ensemble
    return FusedTeachers(ensemble, config.fusion, device)


def teacher_bill(
    config: TrainingConfig, pixels: float, images: int, device: torch.device, written: bool = True
) -> Bill:
    """Measure what ``mtkd cache`` takes, or stage 1 that fits without a cache.

    Args:
        config: The option file.
        pixels: Pixels of all ground truths.
        images: Number of images; a few of those of the training are decoded.
        device: Device of the teachers.
        written: Whether a cache is written.

    Returns:
        Decoding, teachers with the fusion network, and writing; teachers that do not run here take
        no time.
    """
    dataset = build_paired(config.train_dataset, config.scale)
    mega = pixels / _MEGA
    decoding = seconds_of_decoding(dataset, config.scale)
    parts = [Part('mtkd cache, decoding', mega, 'megapixels', decoding * _MEGA)]
    if all(teacher.runs_here for teacher in config.teachers.values()):
        size = pixels / images / config.scale**2
        estimate = seconds_of_networks(_teachers(config, device), size, device)
        name = 'teachers' if config.cache_contents == 'teachers' else 'teachers and fusion'
        seconds = estimate.value / (pixels / images) * _MEGA
        parts.append(
            Part(f'mtkd cache, {name}', mega, 'megapixels', seconds, estimate.extrapolated)
        )
    if not written:
        return Bill(tuple(parts))
    side = _WRITTEN_SIDE - _WRITTEN_SIDE % config.scale
    writing = seconds_of_writing(side, config.scale, outputs(config))
    parts.append(Part('mtkd cache, writing', mega, 'megapixels', writing * _MEGA))
    size = cache_bytes(pixels, images, config.scale, outputs(config))
    return Bill(tuple(parts), (('cache', size),))


def validations(config: TrainingConfig) -> int:
    """Return how often a training validates; at its end in any case."""
    freq = (config.options.get('val') or {}).get('val_freq')
    total = config.total_iterations
    if not freq:
        return 0
    return int(total // freq) + int(total % freq > 0 or total == 0)


def validation_parts(
    model: BaseModel, config: TrainingConfig, device: torch.device
) -> Iterator[Part]:
    """Time the network and the metrics on an image of each validation set."""
    if config.is_fusion_stage and not all(t.runs_here for t in config.teachers.values()):
        return
    net = model.get_bare_model(model.net_g).eval()
    for entry in config.datasets.values():
        if entry.is_validation and entry.is_paired and has_folders(entry):
            yield _validation_part(model, net, config, entry, device)


def _validation_part(
    model: BaseModel,
    net: torch.nn.Module,
    config: TrainingConfig,
    entry: DatasetConfig,
    device: torch.device,
) -> Part:
    dataset = build_paired(entry, config.scale)
    pixels = mean_pixels(WholeImagePairs(dataset, config.scale))
    estimate = seconds_of_networks(
        lambda lq: model.run_network(net, lq),
        pixels / config.scale**2,
        device,
        channels=entry.channels,
    )
    seconds = estimate.value + seconds_of_metrics(config, pixels)
    count = validations(config) * len(dataset)
    return Part(f'validation on {entry.phase}', count, 'images', seconds, estimate.extrapolated)


def check_costs(
    config: TrainingConfig, pixels: float, device: torch.device, findings: Findings
) -> Bill:
    """Measure each part of a training on a little of it; report time, memory and their sum.

    Args:
        config: The option file.
        pixels: Pixels of all ground truths of the training; 0 if unknown.
        device: The device of the training.
        findings: Results are added to it.

    Returns:
        The sum; of what was measured, if something fails.
    """
    logger = logging.getLogger('basicsr')
    saved = logger.disabled
    logger.disabled = True
    bill = Bill()
    try:
        with tempfile.TemporaryDirectory() as folder, findings.collect_errors():
            forget_memory(device)
            model = build_model_silently(config, device, folder)
            bill += _step_bill(model, config, device, findings)
            if pixels and (makes_cache(config) or config.only_fits):
                bill += _outputs_bill(config, pixels, device)
            bill += Bill(tuple(validation_parts(model, config, device)))
            for part in bill.parts:
                if part.name != 'steps':
                    findings.ok(str(part))
            findings.ok(f'all of it: {bill}')
    except Exception as error:  # BasicSR and torch raise many types
        place = traceback.extract_tb(error.__traceback__)[-1]
        findings.error(
            f'train: a step fails: {type(error).__name__}: {error} '
            f'({os.path.basename(place.filename)}, line {place.lineno})'
        )
    finally:
        logger.disabled = saved
    return bill


def _outputs_bill(config: TrainingConfig, pixels: float, device: torch.device) -> Bill:
    """Measure the outputs of the teachers for all images, and a fit of their mix."""
    bill = Bill()
    images = len(build_paired(config.train_dataset, config.scale))
    if makes_cache(config):
        bill += teacher_bill(config, pixels, images, device)
    elif config.target_cache is None:
        bill += teacher_bill(config, pixels, images, device, written=False)
    if config.only_fits:
        bill += fit_bill(config, pixels)
    return bill


def fit_bill(config: TrainingConfig, pixels: float) -> Bill:
    """Measure the sums of a fit of the mix; reading them from the cache is not in it."""
    seconds = seconds_of_fit(len(config.teachers)) * _MEGA
    return Bill((Part('fit of the mix', pixels / _MEGA, 'megapixels', seconds),))
