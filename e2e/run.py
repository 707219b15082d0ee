#!/usr/bin/env python3
"""Runs the acceptance tests: every test_*.py beside this file, two files at a time.

    run.py [--jobs N] [NAME ...]      NAME: a file (test_stun), or a part of a test's name

Each file runs in a process of its own. Exit code 0 when everything passed.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

import skywire_process

FOLDER = pathlib.Path(__file__).resolve().parent


class Result(unittest.TextTestResult):
    """Adds how long each test took."""

    def startTest(self, test):
        self._begun = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.stream.write(f"({time.monotonic() - self._begun:.1f} s) ")
        super().addSuccess(test)


def run_file(name, parts):
    """In the child: runs one file and leaves the numbers on the last line."""
    sys.path.insert(0, str(FOLDER))
    loader = unittest.TestLoader()
    if parts:
        loader.testNamePatterns = [f"*{part}*" for part in parts]
    suite = loader.loadTestsFromName(name)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    passed = max(result.testsRun - failed - skipped, 0)
    print(json.dumps({"passed": passed, "failed": failed, "skipped": skipped}))
    return 1 if failed else 0


def start_file(name, parts):
    line = [sys.executable, str(pathlib.Path(__file__).resolve()), "--file", name, *parts]
    begun = time.monotonic()
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    body, _, last = text.rstrip().rpartition("\n")
    try:
        counts = json.loads(last)
    except ValueError:
        body, counts = text, {"passed": 0, "failed": 1, "skipped": 0}
    return name, body, counts, time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("SKYWIRE_E2E_JOBS", "2")))
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
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(max(options.jobs, 1)) as pool:
        running = [pool.submit(start_file, name, parts) for name in files]
        for future in concurrent.futures.as_completed(running):
            name, body, counts, took = future.result()
            print(f"== {name} ({took:.1f} s)\n{body}\n", flush=True)
            for key, count in counts.items():
                totals[key] += count
    skipped = f", {totals['skipped']} skipped" if totals["skipped"] else ""
    print(f"{totals['passed']} passed, {totals['failed']} failed{skipped}")
    return 1 if totals["failed"] or not totals["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
