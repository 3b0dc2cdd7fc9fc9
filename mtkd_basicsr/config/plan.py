"""The plan of a comparison, as its file has it."""

# `config.parsing` compares values with the annotations of the fields: plain types, without
# parameters.
# mypy: disable-error-code="type-arg"

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PlanOptions:
    """A plan file.

    Attributes:
        name: Of the comparison; results go to ``compare/NAME`` unless ``--out`` says otherwise.
        scales: Factors, for example ``[2, 4]``.
        seeds: One training of each student with each method for each of them.
        lq_size: Size of training patches in low-resolution pixels; ``{gt_size}`` is this times
            the scale.
        options: What all trainings have: blocks of a BasicSR option file. ``train.total_iter``
            is the budget.
        students: Names, each with option blocks that are laid over ``options``.
        methods: Names, each with option blocks that are laid over those of the student;
            ``self_ensemble: true`` averages what is in its cache over eight flips and rotations,
            ``students: [EDSR]`` leaves the other students out. With ``model_type: MTKDFusionModel``
            the student is a fusion network.
        test: Names of test sets, each with ``dataroot_gt`` and ``dataroot_lq``.
        prepare: Trainings that others build on (teachers, fusion network), once for each scale.
        when: Options for some of the trainings, see below; a student, a method and an entry of
            ``prepare`` can have it too.
        baseline: The method that gains are over.
        photographs: Writes the photographs of the demo into the folder of the results.
        base: Another plan, a file beside this one: keys that are not here are taken from it,
            ``options`` are laid over its. Results go into its folder, and what is finished there is
            not repeated. A student, a method, an entry of ``prepare`` or a test set can have a
            ``base`` too, the name of the one of the other plan that it is laid over.
        mtkd_basicsr: The line that registers the plug-in, as in every option file.
    """

    name: str
    scales: list
    seeds: list
    lq_size: int
    options: dict
    students: dict
    methods: dict
    test: dict
    prepare: dict = field(default_factory=dict)
    when: list = field(default_factory=list)
    baseline: str = 'scratch'
    photographs: bool = False
    base: str | None = None
    mtkd_basicsr: str | None = None


@dataclass(frozen=True)
class Condition:
    """An entry of ``when``: options for some of the trainings.

    Attributes:
        options: Option blocks, laid over the others.
        student: Only for this student.
        scale: Only for this factor.
        run: Only for this entry of ``prepare``.
    """

    options: dict
    student: str | None = None
    scale: int | None = None
    run: str | None = None
