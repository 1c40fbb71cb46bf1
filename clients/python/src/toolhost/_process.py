"""The host's process: a blocked event loop does not stop its frames from being read, and writing never blocks.

A frame is written at once if the pipe takes it. What the pipe does not take goes to a backlog, which a second thread
writes, so a host that reads slowly never blocks an event loop.

A thread reads. It lends that to an asyncio loop that runs, because two threads that hand each result over contend for
the interpreter's lock, which takes longer than the call. While anything is open the thread looks every few
milliseconds whether the loop has left something unread, and then reads itself, so that a blocked loop delays no other.

Both threads are daemons: a hanging function does not keep the interpreter from exiting.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from typing import Callable, Sequence

from ._exceptions import HostClosed
from ._loops import AsyncioLoop

_READ = 1 << 18
_PIPE_SIZE = 1 << 20
_IS_POSIX = os.name == "posix"

HIGH_WATER = 8 << 20
"""Callers wait while the backlog is longer."""

END_TIMEOUT = 6.0
"""How long the process has to end once its stdin is closed: it cancels what runs in less."""

_EXIT_TIMEOUT = 2.0

_ENDING = ""
"""Why it is closed, while it ends and is not known yet."""

_TICK_MS = 10
"""How long a loop may leave frames unread."""

FORKED = (
    "this Host was opened before os.fork(), and its process belongs to the parent: "
    "open a Host in each process that uses one"
)


class Process:
    """A running `toolhost pipe`."""

    def __init__(
        self,
        command: Sequence[str],
        env: dict[str, str] | None,
        on_lines: Callable[[list[bytes], AsyncioLoop | None], None],
        on_end: Callable[[str], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=env,
            # Ctrl-C is the program's to handle: the host ends with it.
            start_new_session=_IS_POSIX,
        )
        stdin, stdout = self._popen.stdin, self._popen.stdout
        assert stdin is not None and stdout is not None
        # Closed by number, so that nothing else closes them.
        self._write_fd, self._read_fd = os.dup(stdin.fileno()), os.dup(stdout.fileno())
        stdin.close()
        stdout.close()
        if _IS_POSIX:
            os.set_blocking(self._write_fd, False)
            os.set_blocking(self._read_fd, False)
            _enlarge(self._write_fd)
            _enlarge(self._read_fd)
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self._backlog: collections.deque[bytes | memoryview] = collections.deque()
        self.backlog_size = 0
        self._on_drained: list[Callable[[], None]] = []
        self._writer: threading.Thread | None = None
        self._why_closed: str | None = None
        self._is_ended = threading.Event()
        self._when_ended: list[Callable[[], None]] = []
        self._on_lines = on_lines
        self._on_end = on_end
        self._is_busy = is_busy
        self._rest: list[bytes] = []
        self._is_at_end = False
        self._broken_by: Exception | None = None
        self._kill_at: float | None = None
        self._reading = threading.Lock()
        self._reads = 0
        self._lent_to: AsyncioLoop | None = None
        self._is_resting = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        _running.add(self)
        self._reader = threading.Thread(target=self._read, name="toolhost-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, data: bytes) -> None:
        """Sends whole frames, in order."""
        with self._lock:
            if self._why_closed is not None:
                if self._why_closed != _ENDING:
                    raise HostClosed(self._why_closed)
                return  # The reader says why, soon.
            if self._is_resting:
                self._is_resting = False
                self._wake()
            if self.backlog_size or not _IS_POSIX:
                self._keep(data)
                return
            try:
                written = os.write(self._write_fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                # It has ended; the reader says why.
                return
            if written < len(data):
                self._keep(memoryview(data)[written:])

    def _keep(self, data: bytes | memoryview) -> None:
        self._backlog.append(data)
        self.backlog_size += len(data)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="toolhost-writer", daemon=True)
            self._writer.start()
        self._more.notify()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Calls back once the backlog is short, or the process has ended; perhaps at once, perhaps on another thread."""
        with self._lock:
            if self._why_closed is None and self.backlog_size > HIGH_WATER:
                self._on_drained.append(callback)
                return
        callback()

    def _write(self) -> None:
        """The backlog's thread."""
        while True:
            with self._lock:
                while not self._backlog and self._why_closed is None:
                    self._more.wait()
                if self._why_closed is not None:
                    return
                piece = self._backlog[0]
            try:
                if _IS_POSIX:
                    poll = select.poll()
                    poll.register(self._write_fd, select.POLLOUT)
                    # The descriptor may be closed meanwhile.
                    poll.poll(1000)
                    with self._lock:
                        if self._why_closed is not None:
                            return
                        written = os.write(self._write_fd, piece)
                else:
                    # It may block, so no lock is held.
                    written = os.write(self._write_fd, piece)
            except BlockingIOError:
                continue
            except OSError:
                return  # It has ended; the reader says why.
            drained: list[Callable[[], None]] = []
            with self._lock:
                if self._why_closed is not None:
                    return
                self.backlog_size -= written
                if written < len(piece):
                    self._backlog[0] = memoryview(piece)[written:]
                else:
                    self._backlog.popleft()
                if self.backlog_size <= HIGH_WATER:
                    drained, self._on_drained = self._on_drained, []
            for callback in drained:
                callback()

    def lend(self, loop: AsyncioLoop) -> None:
        """Has a loop read, on the loop's thread, unless another does. The thread goes on where the loop does not."""
        with self._lock:
            before = self._lent_to
            is_taken = before is not None and before.loop.is_running()
            if is_taken or not loop.can_read or self._is_at_end or self._why_closed is not None:
                return
            self._lent_to = loop
        try:
            loop.loop.add_reader(self._read_fd, self._read_on_loop)
        except NotImplementedError:
            loop.can_read, self._lent_to = False, None
        self._wake()

    @property
    def lent_to(self) -> AsyncioLoop | None:
        return self._lent_to

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"x")
        except OSError:
            pass  # It is awake, or has ended.

    def _read_on_loop(self) -> None:
        loop = self._lent_to
        if not self._take(loop) and loop is not None:
            loop.loop.remove_reader(self._read_fd)
            self._wake()

    def _take(self, loop: AsyncioLoop | None) -> bool:
        """Takes what can be read now. Returns whether there may be more."""
        if not self._reading.acquire(blocking=False):
            return True
        try:
            while not self._is_at_end:
                try:
                    chunk = os.read(self._read_fd, _READ)
                except BlockingIOError:
                    return True
                except OSError:
                    chunk = b""  # Closed, after a fork.
                self._reads += 1
                if not chunk:
                    self._is_at_end = True
                    break
                head, newline, tail = chunk.rpartition(b"\n")
                if not newline:
                    self._rest.append(chunk)
                    continue
                if self._rest:
                    head = b"".join([*self._rest, head])
                self._rest = [tail] if tail else []
                try:
                    self._on_lines(head.split(b"\n"), loop)
                except Exception as error:
                    # Whoever waits must hear of it.
                    self._broken_by = error
                    self._is_at_end = True
                    break
                if len(chunk) < _READ:
                    return True
            return False
        finally:
            self._reading.release()

    def _read(self) -> None:
        """The thread."""
        if not _IS_POSIX:
            while self._take(None):
                pass
            self._ended()
            return
        frames, both = select.poll(), select.poll()
        frames.register(self._read_fd, select.POLLIN)
        both.register(self._read_fd, select.POLLIN)
        both.register(self._wake_read, select.POLLIN)
        wake = select.poll()
        wake.register(self._wake_read, select.POLLIN)
        while not self._is_at_end:
            loop = self._lent_to
            left = None if self._kill_at is None else (self._kill_at - time.monotonic()) * 1000
            if left is not None and left <= 0:
                self._popen.kill()
                left = END_TIMEOUT * 1000
            if loop is None or not loop.loop.is_running():
                woken = any(fd == self._wake_read for fd, _ in both.poll(left))
                self._take(None)
            else:
                reads = self._reads
                with self._lock:
                    self._is_resting = left is None and not self._is_busy()
                woken = bool(wake.poll(None if self._is_resting else _TICK_MS))
                # What the loop has not read since the last look is read here.
                if reads == self._reads and frames.poll(0):
                    self._take(None)
            if woken:
                os.read(self._wake_read, 4096)
        self._ended()

    def _ended(self) -> None:
        why = self._close_stdin(_ENDING)
        if self._broken_by is not None:
            self._popen.kill()
        try:
            status = self._popen.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            status = self._popen.wait()
        self._close_reading()
        _running.discard(self)
        with self._lock:
            if why is None and self._broken_by is not None:
                why = f"the host sent what cannot be read: {type(self._broken_by).__name__}: {self._broken_by}"
                self._why_closed = why
            elif why is None:
                why = f"the host's process (pid {self.pid}) ended unexpectedly: {_described(status)}"
                self._why_closed = why
            self._is_ended.set()
            callbacks, self._when_ended = self._when_ended, []
        self._on_end(why)
        for callback in callbacks:
            callback()

    def _close_reading(self) -> None:
        """A loop must forget a descriptor before the number is used again."""
        loop, fd = self._lent_to, self._read_fd
        self._lent_to = None

        def close() -> None:
            if loop is not None and not loop.loop.is_closed():
                loop.loop.remove_reader(fd)
            os.close(fd)

        try:
            if loop is None:
                raise RuntimeError
            loop.post(close)
        except RuntimeError:
            close()
        with self._lock:
            for end in (self._wake_read, self._wake_write):
                os.close(end)
            self._wake_write = -1

    def _close_stdin(self, why: str) -> str | None:
        """Returns why it was closed before, if it was."""
        with self._lock:
            before = self._why_closed
            if before is not None:
                return before
            self._why_closed = why
            self._backlog.clear()
            self.backlog_size = 0
            drained, self._on_drained = self._on_drained, []
            self._more.notify_all()
            os.close(self._write_fd)
        for callback in drained:
            callback()
        return None

    def close(self, why: str = "the host is closed") -> None:
        """Asks it to end, without waiting; it is killed if it does not."""
        if self._close_stdin(why) is not None:
            return
        self._kill_at = time.monotonic() + END_TIMEOUT
        if _IS_POSIX:
            self._wake()
            return
        killer = threading.Timer(END_TIMEOUT, self.kill)
        killer.daemon = True
        # No thread can be started while the interpreter exits, and then it waits for the process itself.
        with contextlib.suppress(RuntimeError):
            killer.start()

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Calls back once it has ended; perhaps at once, perhaps on another thread."""
        with self._lock:
            if not self._is_ended.is_set():
                self._when_ended.append(callback)
                return
        callback()

    def kill(self) -> None:
        if not self._is_ended.is_set():
            self._popen.kill()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it has ended. Returns whether it has."""
        return self._is_ended.wait(timeout)

    def _after_fork(self) -> None:
        """In a forked child: nothing of the parent's process is touched, and its end of the pipe is not kept open."""
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        was_open = self._why_closed is None
        self._why_closed = FORKED
        for fd in [self._read_fd, self._wake_read, self._wake_write, *([self._write_fd] if was_open else [])]:
            try:
                os.close(fd)
            except OSError:
                pass
        self._is_ended = threading.Event()
        self._is_ended.set()
        # It is no child of this process.
        self._popen.returncode = 0


def _enlarge(fd: int) -> None:
    """Fewer wake-ups for many frames. Only Linux can, and only to a limit of the user's."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ if hasattr(fcntl, "F_SETPIPE_SZ") else 1031, _PIPE_SIZE)
        except OSError:
            pass


def _described(status: int) -> str:
    if status < 0:
        import signal

        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"
    return f"exit status {status}"


_running: weakref.WeakSet[Process] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """No process outlives the interpreter."""
    processes = list(_running)
    for process in processes:
        process._close_stdin("the interpreter is exiting")
    deadline = time.monotonic() + _EXIT_TIMEOUT
    for process in processes:
        if not process.wait(max(0.0, deadline - time.monotonic())):
            process.kill()


def _after_fork_in_child() -> None:
    for process in list(_running):
        process._after_fork()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
