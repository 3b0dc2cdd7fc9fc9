"""What seconds of training were measured on, and which of them do not compare."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..results import Results

# The versions of Python and of this package, at the end of the description of a machine.
_VERSIONS = re.compile(r', Python [^,]*, mtkd_basicsr .*$')


def conditions(machines: Iterable[str], precisions: Iterable[str]) -> str:
    """Return what the seconds of some runs were measured on; equal for those that compare.

    Args:
        machines: Machine of each run, with its number of threads.
        precisions: What to add for each run; may be empty.
    """
    found = set()
    for machine, precision in zip(machines, precisions, strict=True):
        text = _VERSIONS.sub('', machine).replace('; ', ', ').replace(' 1 threads', ' 1 thread')
        found.add(f'{text}, {precision}' if precision else text)
    return ' and '.join(sorted(found))


@dataclass(frozen=True)
class Timing:
    """What the seconds of a comparison were measured on.

    Attributes:
        students: Student, scale and method -> conditions of its trainings.
        prepared: Name of a cache, or of a training that others build on -> its conditions.
    """

    students: dict[tuple[str, int, str], str]
    prepared: dict[str, str]

    @classmethod
    def of(cls, results: Results) -> 'Timing':
        """Return the conditions of all results; those without a machine are left out."""
        students = {}
        for student, scale, cells in results.groups():
            precisions = {}
            for method, cell in cells.items():
                precisions[method] = [found.get('student', '') for found in cell.precisions]
            several = len({text for texts in precisions.values() for text in texts}) > 1
            for method, cell in cells.items():
                texts = precisions[method] if several else [''] * len(cell.machines)
                if cell.machines:
                    students[student, scale, method] = conditions(cell.machines, texts)
        prepared = {
            name: conditions([machine], ['']) for name, machine in results.prepared_machines.items()
        }
        return cls(students, prepared)

    def _marks(self) -> dict[str, str]:
        """Return the marks by conditions: none for the most frequent, then (a), (b) and so on."""
        found = Counter(self.students.values()) or Counter(self.prepared.values())
        usual = max(found, key=lambda text: found[text], default='')
        marks = {usual: ''}
        for text in (*self.students.values(), *self.prepared.values()):
            if text not in marks:
                marks[text] = f' ({chr(ord("a") + len(marks) - 1)})'
        return marks

    def student(self, student: str, scale: int, method: str) -> str:
        """Return the mark after the seconds of a method; empty for the most frequent conditions."""
        return self._marks().get(self.students.get((student, scale, method), ''), '')

    def preparation(self, name: str) -> str:
        """Return the mark after the seconds of a cache or of a training that others build on."""
        return self._marks().get(self.prepared.get(name, ''), '')

    @property
    def note(self) -> str:
        """Return a line that explains the marks; empty if all seconds compare."""
        marks = self._marks()
        if len(marks) == 1:
            return ''
        usual, *others = marks
        texts = '; '.join(f'{marks[text].strip()} on {text}' for text in others)
        return (
            f'Seconds are on {usual}; {texts}. Compare only seconds with the same mark: machine, '
            'number of threads, torch and precision change them.'
        )
