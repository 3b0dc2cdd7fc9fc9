"""Names of the images that validations and tests save (``val.save_img``)."""

import copy
import os
from collections import defaultdict
from collections.abc import Iterable

from ..config import DatasetConfig, TrainingConfig
from ..data.whole_images import listing_errors
from ..errors import DataError
from ..host.api import SingleImageDataset
from ..utils.texts import is_unicode
from .dataset_options import WITHOUT_GROUND_TRUTH, backend_problem
from .findings import Findings, listed
from .paired import build_paired, has_folders


def _low_resolution_paths(entry: DatasetConfig, scale: int) -> list[str]:
    """Return the paths of the low-resolution images of a dataset; none if it has to be repaired.

    Raises:
        DataError: BasicSR cannot list the images.
    """
    if backend_problem(entry) is not None:
        return []  # which is reported with the other options
    if entry.is_paired:
        if not has_folders(entry):
            return []  # as is this
        return [str(path['lq_path']) for path in build_paired(entry, scale).paths]
    root = os.path.expanduser(str(entry.options.get('dataroot_lq')))
    if entry.type != WITHOUT_GROUND_TRUTH or not os.path.exists(root):
        return []
    with listing_errors(entry.key):
        # BasicSR writes into these options.
        dataset = SingleImageDataset(copy.deepcopy(dict(entry.options)))
    return [str(path) for path in dataset.paths]


def result_name(path: str) -> str:
    """Return the name that an image has in results: without folders and ending."""
    return os.path.splitext(os.path.basename(path))[0]


def of_one_name(paths: Iterable[str]) -> list[str]:
    """Return the images that have one name in results, as texts: ``'a.png and a.jpg'``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[result_name(path)].append(path)
    return [' and '.join(same[:2]) for same in found.values() if len(same) > 1]


def check_result_names(key: str, paths: Iterable[str], is_train: bool, findings: Findings) -> None:
    """Check that each image of a dataset gets a result of its own, which can be written.

    BasicSR names results by the low-resolution images, without folders and endings.

    Args:
        key: Option key of the dataset.
        paths: Paths of its low-resolution images.
        is_train: Whether it is validated on in a training.
        findings: Results are added to it.
    """
    paths = list(paths)
    unwritable = [ascii(path) for path in paths if not is_unicode(result_name(path))]
    same = of_one_name(paths)
    if same:
        text = (
            f'val.save_img: true, but results of {key} would replace each other, because names '
            f'differ only in folder or ending: {listed(same)}; rename the images, or use false'
        )
        if is_train:  # they are pictures to look at; the training does not need them
            findings.warning(text)
        else:
            findings.error(text, DataError)
    if unwritable:
        # OpenCV ends the process.
        findings.error(
            f'val.save_img: true, but {len(unwritable)} names of {key} are not in UTF-8, and '
            f'cannot be given to results: {listed(unwritable)}; rename the images, or use false',
            DataError,
        )


def _check_other_sets(
    key: str, paths: Iterable[str], seen: dict[str, str], findings: Findings
) -> None:
    """Warn about names of earlier validation sets: a training saves all in one folder.

    Args:
        key: Option key of the dataset.
        paths: Paths of its low-resolution images.
        seen: Option key of the first dataset with a name, by name; those of this one are added.
        findings: Results are added to it.
    """
    names = [result_name(path) for path in paths]
    same = [name for name in names if name in seen]
    if same:
        findings.warning(
            f'val.save_img: true, but results of {key} would replace those of {seen[same[0]]}, '
            f'because names are the same: {listed(same)}; rename the images, or use false'
        )
    for name in names:
        seen.setdefault(name, key)


def check_saved_images(config: TrainingConfig, findings: Findings) -> None:
    """Check the names of the results of all datasets that are validated or tested on.

    Args:
        config: Options of a training or a test.
        findings: Results are added to it.
    """
    if (config.options.get('val') or {}).get('save_img') is not True:
        return
    seen: dict[str, str] = {}
    for entry in config.datasets.values():
        if entry.phase != 'train':
            with findings.collect_errors():
                paths = _low_resolution_paths(entry, config.scale)
                check_result_names(entry.key, paths, config.is_train, findings)
                if config.is_train:
                    _check_other_sets(entry.key, paths, seen, findings)
