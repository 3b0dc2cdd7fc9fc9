"""Spatial attention maps of features, and the distance between two of them."""

FORMS = ('mean_l1', 'paper', 'authors')


def attention_map(feature):
    r"""Sum of squares over the channels, divided by its L2 norm over the pixels.

    .. math::
        Q(F) = \frac{\sum_c F_c^2}{\| \sum_c F_c^2 \|_2}

    Zagoruyko, Komodakis: *Paying More Attention to Attention*, ICLR 2017,
    https://arxiv.org/abs/1612.03928.

    Args:
        feature (Tensor): (b, c, h, w).

    Returns:
        Tensor: (b, h · w), float32, not negative, of norm 1.
    """
    power = feature.float().square().sum(1).flatten(1)
    return power / power.norm(dim=1, keepdim=True).clamp_min(1e-12)


def attention_distance(student, teacher, form='mean_l1'):
    r"""Distance between the attention maps of two features.

    Args:
        student (Tensor): (b, c, h, w).
        teacher (Tensor): (b, c', h, w). The numbers of channels may differ.
        form (str): With D = Q(student) - Q(teacher): ``'mean_l1'`` the mean of \|D\|, as codes
            for super-resolution have it; ``'paper'`` the L2 norm of D, mean over the batch;
            ``'authors'`` the mean of D², as their code has it.

    Returns:
        Tensor: Scalar. A map has values of about 1 / sqrt(h · w): the three differ by orders of
            magnitude.
    """
    difference = attention_map(student) - attention_map(teacher)
    if form == 'mean_l1':
        return difference.abs().mean()
    if form == 'authors':
        return difference.square().mean()
    # The gradient of a norm at zero is not defined; PyTorch's is zero there.
    return difference.norm(dim=1).mean()
