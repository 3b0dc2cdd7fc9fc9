"""Whether the teachers have outputs for the validations of stage 1, which run the teachers."""

from ..config import TrainingConfig
from ..data.whole_images import WholeImagePairs
from ..teachers import TeacherEnsemble
from .dataset_options import backend_problem
from .paired import build_paired, has_folders


def check_validation_outputs(config: TrainingConfig) -> None:
    """Look for the outputs of teachers that do not run here for all validation images.

    Args:
        config: The option file; of another stage than the first nothing is checked.

    Raises:
        DataError: An output is missing or has another size.
    """
    read = {name: teacher for name, teacher in config.teachers.items() if not teacher.runs_here}
    if not read or not config.is_fusion_stage:
        return
    ensemble = TeacherEnsemble(read, config.scale, 'cpu', allow_precomputed=True)
    for entry in config.paired_datasets:
        if entry.phase == 'train' or not has_folders(entry) or backend_problem(entry) is not None:
            continue  # what is missing is reported elsewhere
        pairs = WholeImagePairs(build_paired(entry, config.scale), config.scale)
        images = []
        for index, path in enumerate(pairs.dataset.paths):
            images.append((path['gt_path'], *pairs.size(index)))
        ensemble.check_outputs(images, validation=True)


def check_validation_teachers(config: TrainingConfig) -> None:
    """Build the teachers of stage 1 with a cache, whose first use is in its first validation.

    Args:
        config: The option file; of another stage than the first nothing is checked.

    Raises:
        MTKDError: A teacher cannot be built or loaded, or lacks an output.
    """
    if not config.is_fusion_stage or config.measured_phase is None:
        return
    if config.target_cache is None:
        return  # the model has built them
    TeacherEnsemble(config.teachers, config.scale, 'cpu', allow_precomputed=True)
    check_validation_outputs(config)
