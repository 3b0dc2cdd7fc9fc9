"""Keys of other projects that build on BasicSR, and what does the same here.

The projects are Restormer, NAFNet, HAT, SwinIR, Real-ESRGAN, traiNNer and the GAN and video models
of BasicSR itself. Their option files have the structure of BasicSR's, and are where many files for
this package begin.
"""

_CLIP = 'use train.grad_clip: NORM, the largest norm of the gradient'
_BATCH = 'there is no accumulation of gradients; use a smaller batch_size_per_gpu'
_AMP = 'use train.amp: bf16, or auto'
_GAN = 'there is no discriminator here'
_LOSS = 'the losses here are train.pixel_opt, train.distill_opt and those of train.kd'
_EMA = 'use train.ema_decay: 0.999'
_VIDEO = 'it is for videos'
_DEGRADE = 'images are not degraded while training; prepare pairs with mtkd data'
_PROGRESSIVE = 'patches and batches have one size, gt_size and batch_size_per_gpu'
_MIXING = 'images are not mixed; train.kd with type DUKD augments images'
_FLIPS = 'use use_hflip and use_rot'
_TILE = 'use val.tile: N, and val.tile_overlap'
_SEED = 'use manual_seed, at the top of the file'

# What to do instead, by section and key.
FOREIGN_KEYS: dict[str, dict[str, str]] = {
    '': {
        'amp': _AMP,
        'amp_bf16': _AMP,
        'batch_size': 'use datasets.train.batch_size_per_gpu',
        'color': 'networks here take RGB images',
        'compression': 'there is no compression of checkpoints',
        'crop_border': 'use crop_border in each of val.metrics',
        'degradation': _DEGRADE,
        'deterministic': 'BasicSR has no such switch; a training here repeats with manual_seed',
        'fast_matmul': 'it is not done here; remove it',
        'fp16': _AMP,
        'gan_gt_usm': _GAN,
        'gpu_ids': 'choose GPUs with CUDA_VISIBLE_DEVICES, and their number with num_gpu',
        'gt_size': 'use datasets.train.gt_size',
        'high_order_degradation': _DEGRADE,
        'l1_gt_usm': _DEGRADE,
        'lq_size': 'use datasets.train.gt_size, which is scale times as large',
        'mean': 'networks here take images in [0, 1]',
        'num_gpus': 'use num_gpu',
        'percep_gt_usm': _LOSS,
        'progressive': _PROGRESSIVE,
        'rgb_range': 'use img_range in network_g and in the networks of the teachers',
        'std': 'networks here take images in [0, 1]',
        'tile': _TILE,
        'use_amp': _AMP,
        'use_channels_last': 'use train.channels_last',
        'use_compile': 'use train.compile',
        'use_tb_logger': 'use logger.use_tb_logger',
    },
    'train': {
        'accum_iter': _BATCH,
        'accumulate': _BATCH,
        'accumulate_grad_batches': _BATCH,
        'amp_bf16': _AMP,
        'artifacts_opt': _LOSS,
        'clip_grad': _CLIP,
        'clip_grad_norm': _CLIP,
        'contextual_opt': _LOSS,
        'dists_opt': _LOSS,
        'edge_opt': _LOSS,
        'ema': _EMA,
        'ema_power': _EMA,
        'eval': 'validations are in val',
        'fft_opt': _LOSS,
        'fix_flow': _VIDEO,
        'flow_lr_mul': _VIDEO,
        'fp16': _AMP,
        'frequency_opt': _LOSS,
        'gan_opt': _GAN,
        'gan_weight': _GAN,
        'gradient_clip': _CLIP,
        'gradient_clip_val': _CLIP,
        'gradient_clipping': _CLIP,
        'grad_clip_norm': _CLIP,
        'kd_opt': 'use train.kd and train.distill_opt',
        'ldl_opt': _LOSS,
        'losses': _LOSS,
        'lr': 'use train.optim_g.lr',
        'lr_G': 'use train.optim_g.lr',
        'lr_g': 'use train.optim_g.lr',
        'manual_seed': _SEED,
        'max_grad_norm': _CLIP,
        'mixing_augs': _MIXING,
        'mixup': _MIXING,
        'moa_augs': _MIXING,
        'net_d_init_iters': _GAN,
        'net_d_iters': _GAN,
        'net_g_ema': _EMA,
        'niter': 'use train.total_iter',
        'optim_d': _GAN,
        'perceptual_opt': _LOSS,
        'progressive': _PROGRESSIVE,
        'r1_reg_weight': _GAN,
        'seed': _SEED,
        'ssim_opt': _LOSS,
        'tsa_iter': _VIDEO,
        'use_amp': _AMP,
        'use_ema': _EMA,
        'use_fp16': _AMP,
        'use_grad_clip': _CLIP,
        'use_moa': _MIXING,
        'wavelet_guided': 'use train.distill_opt with type WaveletLoss',
    },
    'datasets': {
        'accum_iter': _BATCH,
        'batch_size': 'use batch_size_per_gpu',
        'blur_kernel_size': _DEGRADE,
        'geometric_augs': _FLIPS,
        'gt_sizes': _PROGRESSIVE,
        'gt_usm': _DEGRADE,
        'iters': _PROGRESSIVE,
        'lq_size': 'use gt_size, which is scale times as large',
        'meta_info': 'use meta_info_file',
        'mini_batch_sizes': _PROGRESSIVE,
        'mixing_augs': _MIXING,
        'n_workers': 'use num_worker_per_gpu',
        'patch_size': 'use gt_size, in pixels of the ground truth',
        'repeat': 'use dataset_enlarge_ratio',
        'rgb_range': 'use img_range in network_g and in the networks of the teachers',
        'use_flip': _FLIPS,
        'use_rotate': _FLIPS,
    },
    'path': {
        'param_key_d': _GAN,
        'pretrain_model_G': 'use path.pretrain_network_g',
        'pretrain_model_g': 'use path.pretrain_network_g',
        'pretrain_network_d': _GAN,
        'pretrain_network': 'use path.pretrain_network_g',
        'pretrained_netG': 'use path.pretrain_network_g',
        'pretrained_network_g': 'use path.pretrain_network_g',
        'resume': 'use path.resume_state, or mtkd train --auto_resume',
        'strict_load': 'use path.strict_load_g',
        'strict_load_d': _GAN,
    },
    'val': {
        'crop_size_h': _TILE,
        'crop_size_w': _TILE,
        'grids': _TILE,
        'max_minibatch': _TILE,
        'tile_pad': _TILE,
        'tile_size': _TILE,
        'use_pbar': 'use val.pbar',
    },
    'logger': {
        'save_latest_freq': 'use logger.save_checkpoint_freq',
        'tb_logger': 'use logger.use_tb_logger',
        'use_wandb': 'use logger.wandb.project and logger.use_tb_logger: true',
        'wandb_project': 'use logger.wandb.project and logger.use_tb_logger: true',
    },
}
