"""The keys of a plan file, which describes a comparison."""

# `config.parsing` checks values against the annotations, which therefore are plain types without
# parameters.
# mypy: disable-error-code="type-arg"

from dataclasses import dataclass, field

# Keys of entries of ``methods`` alone, which are not options of a training.
OF_METHODS = ('students', 'self_ensemble', 'outputs_from')


@dataclass(frozen=True)
class PlanOptions:
    """A plan file.

    Attributes:
        name: Name of the comparison. Results go to ``compare/NAME`` unless ``--out`` is given.
        scales: Upscaling factors, for example ``[2, 4]``.
        seeds: Random seeds. Each student is trained with each method once per seed.
        lq_size: Size of training patches in low-resolution pixels; ``{gt_size}`` is this times
            the scale.
        options: Options common to all trainings: blocks of a BasicSR option file.
            ``train.total_iter`` is the budget.
        students: Mapping of names to option blocks, which override ``options``.
        methods: Mapping of names to option blocks, which override those of the student.
            ``self_ensemble: true`` averages the cached outputs over eight flips and rotations;
            ``outputs_from: PATH`` computes its fused targets from the outputs of the teachers in
            that cache, which another run of the plan needs, as ``mtkd cache --from`` does;
            ``students: [EDSR]`` restricts the method to these students. With ``model_type:
            MTKDFusionModel`` the student is a fusion network. ``{student}`` is the name of the
            student, in methods and students.
        test: Mapping of names to test sets, each with ``dataroot_gt`` and ``dataroot_lq``.
        prepare: Trainings that others depend on (teachers, fusion network), run once per scale.
        when: Options for some of the trainings, see below; a student, a method and an entry of
            ``prepare`` can have this key too.
        baseline: Method to which the others are compared.
        photographs: Write the photographs of the demo into the folder of the results.
        base: Another plan, by a path relative to the folder of this one. Missing keys are taken
            from that plan, and ``options`` override its options. Results go into its folder, and
            finished runs there are not repeated. A student, a method, an entry of ``prepare`` or a
            test set can also have a ``base``: the name of the entry of the other plan that it
            overrides.
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
        options: Option blocks, which override the others.
        student: Apply only to this student.
        scale: Apply only to this upscaling factor.
        run: Apply only to this entry of ``prepare``.
    """

    options: dict
    student: str | None = None
    scale: int | None = None
    run: str | None = None
