"""Templates of the sections that many option files share."""

import textwrap

HEADER = """
mtkd_basicsr: !!python/name:mtkd_basicsr.__version__  # registers the plug-in; \
the log shows its version

# general settings
name: {name}
model_type: {model}
scale: {scale}
num_gpu: auto  # set num_gpu: 0 for cpu mode
manual_seed: 0

"""

DATA = """# dataset and data loader settings
datasets:
  train:
    name: DIV2K
    type: DistillImageDataset
    target_cache: {cache}
    dataroot_gt: datasets/DIV2K/GTmod12  # whole images
    dataroot_lq: datasets/DIV2K/LRbicx{scale}
    # (without a cache: sub-images, which are decoded faster)
    # dataroot_gt: datasets/DIV2K_sub/GTmod12_sub
    # dataroot_lq: datasets/DIV2K_sub/LRbicx{scale}_sub
    # (for lmdb)
    # dataroot_gt: datasets/DIV2K_sub/GTmod12_sub.lmdb
    # dataroot_lq: datasets/DIV2K_sub/LRbicx{scale}_sub.lmdb
    filename_tmpl: '{{}}'
    io_backend:
      type: disk
      # (for lmdb)
      # type: lmdb

    gt_size: {gt_size}
    use_hflip: true
    use_rot: true

    # data loader
    num_worker_per_gpu: 6
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 100
    pin_memory: true  # copies to a GPU do not wait; of no effect on a CPU
    prefetch_mode: ~

  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: datasets/Set5/GTmod12
    dataroot_lq: datasets/Set5/LRbicx{scale}
    io_backend:
      type: disk

"""

TEST_SET = """  test_{number}:
    name: {name}
    type: PairedImageDataset
    dataroot_gt: datasets/{name}/GTmod12
    dataroot_lq: datasets/{name}/LRbicx{scale}
    io_backend:
      type: disk

"""

PATH = """# path
path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

"""

SCHEDULE = """# training settings
train:
{start}  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float {rate}
    weight_decay: 0
    betas: [0.9, 0.999]

  scheduler:
    type: MultiStepLR
    milestones: [250000, 400000, 450000, 475000]
    gamma: 0.5

  total_iter: 500000
  warmup_iter: -1  # no warm up

  # losses
"""

METRICS = """  metrics:
    psnr:
      type: calculate_psnr
      crop_border: {scale}
      test_y_channel: true
    ssim:
      type: calculate_ssim
      crop_border: {scale}
      test_y_channel: true
"""

VALIDATION = (
    """
# validation settings
val:
  val_freq: !!float 5e3
  save_img: false
  tile: ~           # a number of low-resolution pixels, for images that do not fit into memory
  tile_overlap: 16

"""
    + METRICS
)

LOGGING = """
# logging settings
logger:
  print_freq: 100
  save_checkpoint_freq: !!float 5e3
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

# dist training settings
dist_params:
  backend: nccl
  port: 29500
"""


def block(key: str, text: str, depth: int = 0, comment: str = '') -> str:
    """Return a YAML mapping under a key, indented by two spaces per level of ``depth``."""
    return textwrap.indent(f'{key}:{comment}\n' + textwrap.indent(text, '  '), '  ' * depth)


def loss(key: str, comment: str, type_: str, weight: float | str, *more: str) -> str:
    """Return the block of a loss in ``train``."""
    lines = [f'type: {type_}', *more, f'loss_weight: {weight}', 'reduction: mean']
    return block(key, '\n'.join(lines) + '\n', 1, f'  # {comment}')
