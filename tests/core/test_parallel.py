"""Work over processes: in order, whole, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import AsrkdError, DataError
from asrkd.core.parallel import MAX_PARTS, Task, add_up, fold_shards, map_shards, run_tasks, split_shards


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_shards_are_all_items_in_order(items: list[int], num_shards: int) -> None:
    shards = split_shards(items, num_shards)
    assert [item for shard in shards for item in shard] == items
    assert len(shards) == max(1, min(num_shards, len(items)))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_results_keep_their_order(jobs: int) -> None:
    def square(number: int) -> int:
        time.sleep(0.01 * (4 - number))  # the last is ready first
        return number * number

    assert map_shards(square, range(5), jobs) == [0, 1, 4, 9, 16]


def test_nothing_to_do() -> None:
    assert map_shards(str, [], 4) == []


def test_workers_are_other_processes_that_inherit_memory() -> None:
    table = {"a": 1, "b": 2}
    results = map_shards(lambda key: (table[key], os.getpid()), ["a", "b"], 2)
    assert [value for value, _ in results] == [1, 2]
    assert os.getpid() not in [pid for _, pid in results]


@pytest.mark.parametrize("num_shards", [1, MAX_PARTS, 3 * MAX_PARTS + 5])
def test_a_fold_is_the_same_over_any_number_of_jobs(num_shards: int) -> None:
    def joined(parts: Iterable[str]) -> str:
        return f"({' '.join(parts)})"

    results = [fold_shards(str, range(num_shards), joined, jobs) for jobs in (1, 3)]
    assert results[0] == results[1]
    assert results[0].replace("(", "").replace(")", "").split() == [str(number) for number in range(num_shards)]
    assert results[0].count("(") == 1 + min(num_shards, MAX_PARTS)


def test_a_fold_adds_up_in_place_and_never_holds_all_parts() -> None:
    alive = most = 0

    class Part:
        def __init__(self, value: int):
            nonlocal alive, most
            self.value = value
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

        def __iadd__(self, other: "Part") -> "Part":
            self.value += other.value
            return self

    assert fold_shards(Part, range(1000), add_up).value == sum(range(1000))
    assert most <= 5


@pytest.mark.parametrize("jobs", [1, 2])
def test_exceptions_pass_through(jobs: int) -> None:
    def fail(number: int) -> None:
        if number == 0:
            raise DataError("utterance 0 is damaged")
        time.sleep(0.01 if jobs == 1 else 30)

    start = time.monotonic()
    with pytest.raises(DataError, match=r"^utterance 0 is damaged$"):
        map_shards(fail, range(4), jobs)
    assert time.monotonic() - start < 10


def test_a_killed_worker_is_an_error_not_a_wait() -> None:
    def die(number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AsrkdError, match="alignment: a worker process was killed: out of memory"):
        map_shards(die, range(3), 2, "alignment")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from asrkd.core.parallel import map_shards
def work(number):
    (Path({str(tmp_path)!r}) / str(os.getpid())).touch()
    time.sleep(60)
map_shards(work, range(2), 2)
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(path.name) for path in tmp_path.iterdir()]
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in workers))


# ------------------------------------------------------------------------------------------------------- tasks


def outcomes(tasks: list[Task], jobs: int = 2) -> dict[str, str]:
    return {task.name: error for task, error in run_tasks(tasks, jobs)}


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_task_has_a_process_of_its_own_and_its_log(tmp_path: Path, jobs: int) -> None:
    def work(name: str) -> None:
        print(f"{name} here")
        (tmp_path / f"{name}.{os.getpid()}").touch()

    tasks = [Task(name, partial(work, name), tmp_path / "logs" / f"{name}.log") for name in "abcd"]
    assert outcomes(tasks, jobs) == dict.fromkeys("abcd", "")
    pids = {int(path.suffix[1:]) for path in tmp_path.glob("?.*")}
    assert len(pids - {os.getpid()}) == 4
    assert (tmp_path / "logs/c.log").read_text() == "c here\n"


def test_tasks_wait_for_those_before_them_and_the_first_that_may_start_does(tmp_path: Path) -> None:
    def work(name: str) -> None:
        with open(tmp_path / "order", "a") as file:
            file.write(name)

    def task(name: str, *after: str) -> Task:
        return Task(name, partial(work, name), tmp_path / "log", after)

    outcomes([task("a", "c"), task("b"), task("c"), task("d", "a", "b")], 1)
    assert (tmp_path / "order").read_text() == "bcad"


def test_a_failing_task_is_told_and_only_what_follows_it_is_left_out(tmp_path: Path) -> None:
    def fail() -> None:
        raise DataError("this\n  is broken")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def slip() -> None:
        raise ZeroDivisionError

    log = tmp_path / "log"
    tasks = [Task("fail", fail, log), Task("next", print, log, ["fail"]), Task("after that", print, log, ["next"])]
    tasks += [Task("die", die, log), Task("slip", slip, tmp_path / "slip"), Task("good", print, log)]
    assert outcomes(tasks) == {
        "fail": "this is broken",
        "next": "not run, since fail failed",
        "after that": "not run, since next failed",
        "die": "its process was killed (signal 9): out of memory? Try fewer jobs",
        "slip": f"a fault of the program: {tmp_path / 'slip'} says where",
        "good": "",
    }
    assert "ZeroDivisionError" in (tmp_path / "slip").read_text()


def test_tasks_end_with_whoever_runs_them(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(60)

    def end() -> None:
        wait_until(lambda: any(path.name.isdecimal() for path in tmp_path.iterdir()))

    running = run_tasks([Task("work", work, tmp_path / "log"), Task("end", end, tmp_path / "log")], 2)
    assert next(running)[0].name == "end"
    running.close()
    (worker,) = (int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal())
    wait_until(lambda: not is_alive(worker))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"  # dead, and waiting for whoever inherited it to look


def wait_until(condition: object) -> None:
    assert callable(condition)
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited 10 s in vain")
