"""Waiting with an end: for commands that may hang, and for one's turn."""

import contextlib
import fcntl
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

PATIENCE = 60.0
# One that was told to end, and its children, have this long before they are killed.
GRACE = 5.0
POLL = 0.02
# How long one waits for the containers while somebody else has them.
TURN_MINUTES = float(os.environ.get("SKYWIRE_E2E_TURN_MINUTES", "20"))


class Trouble(Exception):
    """What went wrong, and how to mend it."""


def tail(text, lines=20):
    return "\n".join(text.rstrip().splitlines()[-lines:])


# commands ----------------------------------------------------------------------------------------


def end_group(process, grace=GRACE):
    """Ends a process that leads a group, and all that is in the group."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(line, *, seconds, doing, check=False, capture_output=False, **more):
    """subprocess.run of a command in a process group of its own. Where it takes more than `seconds`
    it is ended with all it has started, and a Trouble says what hung: `doing`. The group ends too
    where this process is told to end."""
    if capture_output:
        more.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = [str(each) for each in line]
    with subprocess.Popen(line, start_new_session=True, **more) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as late:
            end_group(process)
            said = late.output or b""
            said = said if isinstance(said, str) else said.decode(errors="replace")
            raise Trouble(
                f"{doing} hangs: ended after {seconds:.0f} s without a result ({line[0]}); does the "
                f"engine still answer (docker info)?\n{tail(said, 8)}".rstrip()
            ) from None
        except BaseException:
            end_group(process, PATIENCE)
            raise
    done = subprocess.CompletedProcess(line, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


# turns -------------------------------------------------------------------------------------------


def _locks():
    """One folder for all users of the machine."""
    if chosen := os.environ.get("SKYWIRE_E2E_LOCKS"):
        return pathlib.Path(chosen)
    place = pathlib.Path("/run/lock")
    with contextlib.suppress(OSError):
        if place.stat().st_mode & stat.S_IWOTH:
            return place
    return pathlib.Path("/tmp")


LOCKS = _locks()


@contextlib.contextmanager
def lock_file(name):
    path = LOCKS / name
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        try:
            # O_CREAT only where it is not there: of another's file in such a folder root may not.
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            with contextlib.suppress(PermissionError):
                os.fchmod(descriptor, 0o666)
    except OSError as error:
        raise Trouble(f"{path}: {error.strerror}; remove that file, or run this as root") from None
    with os.fdopen(descriptor, "r+") as file:
        yield file


def try_lock(file, how=fcntl.LOCK_EX):
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(file):
    file.seek(0)
    pid, _, command = file.read().strip().partition(" ")
    if not pid.isdigit() or not os.path.exists(f"/proc/{pid}"):
        return "a process that did not say its number"
    return f"process {pid} ({command})"


@contextlib.contextmanager
def turn(name, what, minutes=None):
    """Holds the lock `name`. While it waits it says on stderr who has `what`, and it gives up with a
    Trouble after so many minutes."""
    minutes = TURN_MINUTES if minutes is None else minutes
    with lock_file(name) as file:
        deadline = time.monotonic() + minutes * 60
        told = None
        while not try_lock(file):
            holder = _holder(file)
            if time.monotonic() >= deadline:
                raise Trouble(
                    f"waited {minutes:g} minutes for {what}: {holder} has them; end that, or try "
                    "again when it is done"
                )
            if holder != told:
                line = f"containers: waiting for {what}: {holder} has them"
                print(line, file=sys.stderr, flush=True)
                told = holder
            time.sleep(POLL * 5)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()} {' '.join(sys.argv)[:200]}")
        file.flush()
        yield


CONTAINERS = "skywire-containers"


@contextlib.contextmanager
def alone(wait=True):
    """One at a time: the addresses are fixed. Without `wait` it says whether nobody else is there."""
    if wait:
        with turn(CONTAINERS, "the containers of this machine, which have fixed addresses"):
            yield True
        return
    with lock_file(CONTAINERS) as file:
        yield try_lock(file)
