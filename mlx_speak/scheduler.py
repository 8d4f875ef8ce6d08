"""The one thread that touches MLX, stepping whichever generator is nearest its deadline.

MLX's streams belong to threads, and one GPU gains nothing from two of them. So every model is a
generator that yields after a small step, and this thread decides whose step is next. Results
leave it as NumPy arrays and text.
"""

from __future__ import annotations

import atexit
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL = 0.02  # seconds between looks at tasks that all asked to wait


class Task(Generic[T]):
    """A generator under way on the scheduler's thread."""

    def __init__(
        self,
        steps: Iterable[T],
        each: Callable[[T], None],
        done: Callable[[Exception | None], None],
        slack: Callable[[], float],
    ):
        self._steps = steps
        self._iterator: Iterator[T] | None = None
        self._each = each
        self._done = done
        self.slack = slack
        self.cancelled = False
        self.seconds = 0.0
        """Time spent in the generator so far, without the turns of other tasks."""

    def cancel(self) -> None:
        """Take no further step; `done` is not called."""
        self.cancelled = True

    def step(self) -> bool:
        """Advance by one; False once nothing is left to do."""
        began = time.perf_counter()
        try:
            if self._iterator is None:
                self._iterator = iter(self._steps)
            value = next(self._iterator)
            self.seconds += time.perf_counter() - began
            if not self.cancelled:
                self._each(value)
            return True
        except StopIteration:
            self.seconds += time.perf_counter() - began
            self._finish(None)
        except Exception as error:
            self._finish(error)
        return False

    def fail(self, error: Exception) -> None:
        """End with this error at the next step."""

        def raising() -> Iterator[T]:
            raise error
            yield

        self.close()
        self._iterator = raising()

    def close(self) -> None:
        """Release what the generator holds, on the thread that made it."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    def _finish(self, error: Exception | None) -> None:
        if not self.cancelled:
            self._done(error)


class Scheduler:
    """Runs tasks on one daemon thread, the one with the least slack first.

    A task's slack is the time in seconds that its next step can still wait, as its owner sees
    it; infinity means not now. Ties go to the task submitted first.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str = "mlx"):
        self._name = name
        self._tasks: list[Task] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self,
        steps: Iterable[T],
        *,
        each: Callable[[T], None] = lambda value: None,
        done: Callable[[Exception | None], None] = lambda error: None,
        slack: Callable[[], float] = lambda: 0.0,
    ) -> Task[T]:
        """Step through `steps` on the MLX thread.

        Args:
            steps: a generator, or any iterable, first touched on the MLX thread.
            each: called there with every value; an exception from it ends the task.
            done: called there once, with None or the exception that ended the task.
            slack: asked before every step.

        Raises:
            RuntimeError: the scheduler is closed.
        """
        task = Task(steps, each, done, slack)
        with self._changed:
            if self._closed:
                raise RuntimeError("this scheduler is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                # A daemon thread inside MLX while the interpreter is torn down can crash it.
                atexit.register(self.close)
            self._tasks.append(task)
            self._changed.notify()
        return task

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the MLX thread and return what it returns, or raise what it raises.

        Raises:
            RuntimeError: the scheduler is closed, or was during the call.
        """
        if threading.current_thread() is self._thread:
            return function()
        results: list[T] = []
        errors: list[Exception | None] = []
        finished = threading.Event()

        def done(error: Exception | None) -> None:
            errors.append(error)
            finished.set()

        self.submit(
            (function() for _ in range(1)), each=results.append, done=done, slack=lambda: -math.inf
        )
        while not finished.wait(0.1):  # a bare wait() could not be interrupted on every platform
            if self._closed:
                raise RuntimeError("the scheduler was closed during the call")
        if errors[0] is not None:
            raise errors[0]
        return results[0]

    def close(self, timeout: float = 10.0) -> None:
        """Cancel every task and wait for the step under way, at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            for task in self._tasks:
                task.cancel()
            self._changed.notify()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while (task := self._next()) is not None:
            if not task.cancelled and task.step():
                continue
            task.close()
            with self._changed:
                self._tasks.remove(task)
        if "mlx.core" in sys.modules:
            # Streams left to the end of their thread make MLX 0.32 abort if the process ends then.
            sys.modules["mlx.core"].clear_streams()

    def _next(self) -> Task | None:
        """The most urgent task, a cancelled one to be closed, or None when all is over."""
        while True:
            with self._changed:
                while not self._tasks:
                    if self._closed:
                        return None
                    self._changed.wait()
                tasks = list(self._tasks)
            # Slack is asked without our lock: its owner takes locks that it holds when submitting.
            task, slack = _most_urgent(tasks)
            if slack < math.inf:
                return task
            with self._changed:
                self._changed.wait(_POLL)


def _most_urgent(tasks: list[Task]) -> tuple[Task, float]:
    slacks = []
    for task in tasks:
        if task.cancelled:
            return task, -math.inf
        try:
            slacks.append(task.slack())
        except Exception as error:
            task.fail(error)
            return task, -math.inf
    first = min(range(len(slacks)), key=slacks.__getitem__)
    return tasks[first], slacks[first]


class Pace:
    """How long things take, learned as they run: a running mean of seconds per unit.

    The newest of about five observations weighs most, so that a machine that slows down under
    load is noticed within a sentence or two.
    """

    def __init__(self, guess: float):
        self.seconds_per_unit = guess
        self._seen = False

    def learn(self, units: float, seconds: float) -> None:
        if units <= 0:
            return
        rate = seconds / units
        self.seconds_per_unit += (rate - self.seconds_per_unit) * (0.35 if self._seen else 1.0)
        self._seen = True

    def expect(self, units: float) -> float:
        return units * self.seconds_per_unit


_shared: Scheduler | None = None
_shared_lock = threading.Lock()


def shared_scheduler() -> Scheduler:
    """The scheduler every pipeline of this process uses, so that one thread owns MLX."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared._closed:
            _shared = Scheduler()
        return _shared
