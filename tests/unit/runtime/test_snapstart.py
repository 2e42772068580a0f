"""What a process does when it goes on from a snapshot. The hooks are tested with a real process."""

import random

from rill.runtime import snapstart


def test_restored_processes_draw_numbers_of_their_own() -> None:
    before = random.getstate()
    drawn = []
    for _ in range(2):
        random.setstate(before)
        snapstart.after_restore()
        drawn.append(random.getrandbits(64))
    assert drawn[0] != drawn[1]
