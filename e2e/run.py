#!/usr/bin/env python3
"""Runs the acceptance tests: every test_*.py beside this file, two files at a time, or one (ALONE).

    run.py [-v] [--jobs N] [--form FORM] [NAME ...]

NAME is a file (test_stun), or a part of a test's name. FORM is what the deployment runs in
(forms.py); without it everything runs in one process, and what shows that others behave the same in
those, as PLAN below says. Each file runs in a process of its own; of one that passed, a line and
its tables are shown, of one that failed everything (--verbose: of all). Exit code 0 when everything
passed and something did. --without-containers REASON: the container forms were asked for and cannot run;
the others do, and the exit code is 1.
"""

import argparse
import concurrent.futures
import contextlib
import faulthandler
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import typing
import unittest

import forms
import skywire_process

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.append(str(FOLDER.parent / "docker"))
import containers  # noqa: E402

# Of one file, with the wait for its turn where others use the containers; one that hangs is ended.
FILE_SECONDS = float(os.environ.get("SKYWIRE_E2E_FILE_SECONDS", "2700"))

# Scenarios that are written for any form; all other files start their processes themselves. In
# containers in this order: first those that take what runs already, for one leaves it to the next.
ANY_FORM = (
    "test_services",
    "test_network",
    "test_cxo",
    "test_service_commands",
    "test_visualizer",
    "test_faults",
    "test_replicas",
)
# Of these, the classes that take one; the rest of the file starts processes itself.
IN_A_FORM = {"test_cxo": ("Live",), "test_visualizer": ("Answers",)}
# Of these, what is about data that outlives a process: nothing for one process that keeps it all in
# memory.
KEPT = ("test_faults", "test_replicas")
# What runs where no form is named, beside all other files in one process: file, form, parts of names.
PLAN = (
    ("test_faults", "nine-processes-redis", ()),
    ("test_replicas", "nine-processes-redis", ()),
    ("test_faults", "nine-processes-snapshot", ("snapshots",)),
    ("test_cxo", "nine-processes-redis", IN_A_FORM["test_cxo"]),
    ("test_network", "nine-processes", ()),
    ("test_service_commands", "nine-processes", ()),
    ("test_services", "nine-processes", ()),
    ("test_visualizer", "nine-processes", IN_A_FORM["test_visualizer"]),
)
# What has to keep up a rate: with nothing beside it, behind all others.
ALONE = ("test_replicas",)
FORMS = (
    "process",
    "nine-processes",
    "nine-processes-redis",
    "nine-processes-snapshot",
    "container",
    "nine-containers",
)
CONTAINER_FORMS = FORMS[-2:]


class Result(unittest.TextTestResult):
    """Adds how long each test took."""

    def startTest(self, test):
        self._begun = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"({time.monotonic() - self._begun:.1f} s) ")
        super().addSuccess(test)


def run_file(name, parts):
    """In the child: runs one file and leaves the numbers on the last line. What tests print are tables
    for the reader; how they fare goes to stderr."""
    # Told to end, it ends like one that is interrupted, and takes back what it has made.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    sys.path.insert(0, str(FOLDER))
    loader = unittest.TestLoader()
    if parts:
        loader.testNamePatterns = [f"*{part}*" for part in parts]
    suite = loader.loadTestsFromName(name)
    runner = unittest.TextTestRunner(stream=sys.stderr, verbosity=2, resultclass=Result)
    result = runner.run(suite)
    faults = [(test.id(), text) for test, text in result.failures + result.errors]
    faults += [(test.id(), "passed, which was not expected") for test in result.unexpectedSuccesses]
    failed = len(faults)
    skipped = len(result.skipped)
    passed = max(result.testsRun - failed - skipped, 0)
    reasons = [f"{test.id().split('.', 1)[-1]}: {reason}" for test, reason in result.skipped]
    counts = {"passed": passed, "failed": failed, "skipped": skipped, "reasons": reasons}
    counts["faults"] = [f"{name}: {reason_of(text)}" for name, text in faults]
    print(json.dumps(counts))
    return 1 if failed else 0


def reason_of(text):
    """Of a traceback with all that a test adds to it: what was thrown, in a line."""
    lines = text.splitlines()
    last = max((at for at, line in enumerate(lines) if line.startswith("  File ")), default=-1)
    thrown = [line for line in lines[last + 1 :] if line and not line.startswith(" ")]
    return thrown[0][:300] if thrown else ""


def ends_in_time(process):
    """Waits for a child of `run_file`; one that is late says where it stands, and ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=FILE_SECONDS)
        return True
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60.0 if number == signal.SIGTERM else 2.0)
    process.wait()
    return False


def start_file(name, form, parts):
    """Runs a file in a child: its numbers, its tables, and how each test fared."""
    line = [sys.executable, str(pathlib.Path(__file__).resolve()), "--file", name, *parts]
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            line, stdout=out, stderr=err, env={**os.environ, "SKYWIRE_E2E_FORM": form}
        )
        late = not ends_in_time(process)
        out.seek(0)
        err.seek(0)
        tables, course = (each.read().decode(errors="replace").rstrip() for each in (out, err))
    tables, _, last = tables.rpartition("\n")
    try:
        counts = json.loads(last)
    except ValueError:
        tables = f"{tables}\n{last}".strip()
        what = f"hangs, ended after {FILE_SECONDS:.0f} s" if late else f"ended: {process.returncode}"
        counts = {"passed": 0, "failed": 1, "skipped": 0, "reasons": [], "faults": [f"{name} {what}"]}
    return File(name, form, counts, tables, course, time.monotonic() - begun)


def run_all(runs, jobs):
    """Yields each File when it is done."""
    alone = [each for each in runs if each[0] in ALONE]
    together = [each for each in runs if each[0] not in ALONE]
    for group, at_a_time in ((together, jobs), (alone, 1)):
        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            running = [pool.submit(start_file, *each) for each in group]
            for future in concurrent.futures.as_completed(running):
                yield future.result()


class File(typing.NamedTuple):
    """How a file of tests fared."""

    name: str
    form: str
    counts: dict
    tables: str
    course: str
    took: float

    def describe(self, verbose):
        """A line and the tables; where something failed all that is known, the reasons first."""
        words = said(self.counts)
        text = [f"== {self.name}, {self.form}: {words} ({self.took:.1f} s)"]
        text += [f"FAILED {each}" for each in self.counts["faults"]]
        text += [self.tables.strip("\n") + "\n"] if self.tables.strip() else []
        if verbose or self.counts["failed"]:
            text += [self.course, ""]
        return "\n".join(text)


def said(counts):
    """`12 passed, 0 failed`, and what was skipped."""
    shown = [key for key in ("passed", "failed", "skipped") if counts[key] or key != "skipped"]
    return ", ".join(f"{counts[key]} {key}" for key in shown)


def plan(form, files, parts):
    """Which file runs in which form, with which parts of names, and which not, with the reason."""
    if form in (None, "process"):
        runs = [(name, "process", parts) for name in files if name not in KEPT]
        if form is not None:
            return runs, [f"{name}: one process keeps it all in memory" for name in KEPT]
        if skywire_process.SANITIZED:
            return runs, ["other forms: with a sanitizer everything runs in one process"]
        chosen = [(name, more, parts or own) for name, more, own in PLAN if name in files]
        # The long ones first: two at a time, nobody waits for them at the end.
        return chosen + runs, []
    if form in CONTAINER_FORMS and (why := containers.why_not()):
        return [], [f"{form}: {why}"]
    there = [name for name in ANY_FORM if name in files]
    runs = [(name, form, parts or IN_A_FORM.get(name, ())) for name in there]
    left = [f"{name}: starts processes of its own" for name in files if name not in ANY_FORM]
    return runs, left


@contextlib.contextmanager
def handing_on(form):
    """A file of tests leaves its containers to the next, which takes what it can use of them."""
    if form not in CONTAINER_FORMS:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="skywire-e2e-", dir=forms.MEMORY) as folder:
        os.environ["SKYWIRE_E2E_HANDED_ON"] = folder
        try:
            yield
        finally:
            import container_forms

            container_forms.remove_handed_on()


def container_forms_left(reason):
    """Why nothing runs in containers where no form is named."""
    reason = reason or containers.why_not() or "make e2e-run or e2e-nine, then make e2e-test"
    return [f"{form}: {reason}" for form in CONTAINER_FORMS]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("SKYWIRE_E2E_JOBS", "2")))
    parser.add_argument("--form", choices=FORMS, default=os.environ.get("SKYWIRE_E2E_FORM"))
    parser.add_argument("--without-containers", metavar="REASON")
    parser.add_argument("-v", "--verbose", action="store_true", help="how each test fared")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.file:
        return run_file(options.file, options.names)

    for name in ("skywire", "skywire_faults"):
        skywire_process.program(name)
    files = sorted(path.stem for path in FOLDER.glob("test_*.py"))
    chosen = [name.removesuffix(".py") for name in options.names]
    parts = [name for name in chosen if name not in files]
    files = [name for name in files if name in chosen] or files
    runs, left = plan(options.form, files, parts)
    if options.form is None:
        left = [*container_forms_left(options.without_containers), *left]
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    skipped, faults = [], []
    with handing_on(options.form):
        for file in run_all(runs, max(options.jobs, 1)):
            print(file.describe(options.verbose), flush=True)
            skipped += [f"{file.form}: {reason}" for reason in file.counts["reasons"]]
            faults += [f"{file.form}: {fault}" for fault in file.counts["faults"]]
            for key in totals:
                totals[key] += file.counts[key]
    if skipped or left:
        print("not run here:\n" + "\n".join(f"  {each}" for each in [*left, *sorted(skipped)]))
    if faults:
        print("failed:\n" + "\n".join(f"  {each}" for each in faults))
    print(said(totals))
    if options.without_containers:
        print("the container forms were asked for, and did not run")
        return 1
    return 1 if totals["failed"] or not totals["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
