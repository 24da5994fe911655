"""Learning rates and stopping on toy errors."""

import pytest

from asrkd.training.brain import Linear, NewBob, Schedule, epochs_left
from asrkd.training.checkpoint import Progress


def rates(schedule: Schedule, errors: list[float]) -> list[float]:
    return [schedule.next_rate(epoch, error) for epoch, error in enumerate(errors, 1)]


def test_linear_goes_from_first_to_last() -> None:
    # The first epoch runs at 1.0; what comes back is the rate of the epochs after it.
    assert rates(Linear(1.0, 0.2, 5), [0.5] * 5) == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2])
    assert rates(Linear(1.0, 0.2, 1), [0.5]) == [1.0]


def test_newbob_halves_when_the_error_stops_falling() -> None:
    errors = [0.5, 0.4, 0.3995, 0.3, 0.31, 0.31]
    # 0.4 -> 0.3995 is 0.125 % relative, too little; 0.31 is worse, and then the same.
    assert rates(NewBob(1.0), errors) == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25, 0.125])


def test_newbob_goes_on_from_its_state() -> None:
    errors = [0.5, 0.4, 0.3995, 0.3, 0.31, 0.31]
    first = NewBob(1.0)
    head = rates(first, errors[:3])
    second = NewBob(1.0)
    second.state = first.state
    assert head + [second.next_rate(epoch, error) for epoch, error in enumerate(errors[3:], 4)] == rates(
        NewBob(1.0), errors
    )


def test_stopping() -> None:
    progress = Progress()
    accuracies = iter([0.5, 0.6, 0.6, 0.6, 0.6, 0.9])
    ran = []
    for epoch in epochs_left(progress, 10, patience=3):
        ran.append(epoch)
        progress.epoch = epoch
        if (accuracy := next(accuracies)) > progress.best_accuracy:
            progress.best_accuracy, progress.best_epoch = accuracy, epoch
    assert ran == [1, 2, 3, 4, 5]
    assert list(epochs_left(Progress(epoch=4), 4, patience=9)) == []
    assert next(epochs_left(Progress(epoch=2, best_epoch=2), 4, patience=1)) == 3
