"""A target cache as the options of a training ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...checks.dataset_options import check_dataset
from ...checks.findings import Findings
from ...config import (
    DatasetConfig,
    TeacherConfig,
    TeacherOptions,
    model_of,
    parse_fusion,
    parse_scale,
    parse_teachers,
    require,
    required_cache_path,
)
from ...data.cache.inputs import CachedImage
from ...data.cache.key import CacheKey, CacheSettings
from ...data.cache.manifest import cache_key
from ...data.whole_images import build_paired_dataset, list_images
from ...distillers.training_config import training_config
from ...errors import DataError
from ...utils.choices import CacheContents


@dataclass(frozen=True)
class CacheRequest:
    """A cache to be made: what it holds, and what it is computed from.

    Attributes:
        path: Path of the cache.
        scale: Factor.
        contents: What the cache holds.
        teachers: Teachers by name.
        fusion: Fusion network; None for a cache of the outputs of the teachers.
        dataset: Pairs of training images.
        images: The same images, as a manifest lists them.
    """

    path: str
    scale: int
    contents: CacheContents
    teachers: Mapping[str, TeacherConfig]
    fusion: TeacherOptions | None
    dataset: Any  # BasicSR's PairedImageDataset
    images: list[CachedImage]

    @classmethod
    def of(cls, opt: dict[str, Any], contents: CacheContents | None) -> 'CacheRequest':
        """Read the options of a training.

        Args:
            opt: All options.
            contents: What the cache holds; None for what the options need.

        Raises:
            MTKDError: Options or images are invalid.
        """
        train = require(opt, 'datasets', 'train')
        findings = Findings()
        check_dataset(DatasetConfig('train', train), 'teachers take', 3, findings)
        findings.raise_errors()
        scale = parse_scale(opt)
        if contents is None and model_of(opt.get('model_type')) is not None:
            contents = training_config(opt).cache_contents
        # Of a training without teachers what its blocks would make.
        contents = contents or ('target' if opt.get('fusion') else 'teachers')
        teachers = parse_teachers(opt)
        fusion = (parse_fusion(opt) or require(opt, 'fusion')) if contents == 'target' else None
        dataset = build_paired_dataset(train, 'datasets.train')
        if not dataset.paths:
            raise DataError(f"datasets.train.dataroot_gt: no images in '{train['dataroot_gt']}'")
        # BasicSR lists a folder in the order of its file system, which differs between machines.
        dataset.paths.sort(key=lambda pair: pair['gt_path'])
        images = list_images(dataset, train['dataroot_gt'], scale)
        path = required_cache_path(opt)
        return cls(path, scale, contents, teachers, fusion, dataset, images)

    def key(self, settings: CacheSettings) -> CacheKey:
        """Return the key of the cache for some settings."""
        return cache_key(
            self.contents, self.scale, self.teachers, self.fusion, self.images, settings
        )

    @property
    def complete(self) -> str:
        """Return the message about the complete cache."""
        return f"'{self.path}' is complete: {self.contents} of {len(self.images)} images"
