#!/usr/bin/env python3
"""What the container forms cost: `docker run` until every service is ready beside an empty container,
and the nine beside as many empty ones from the same compose file. Median and range of several runs.

    docker/containers.py with bench/containers.py [--runs N]

Needs the images (make e2e-images), root, and clang-19 for the empty container's program.
"""

import argparse
import contextlib
import glob
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docker"), str(ROOT / "e2e")]
import containers  # noqa: E402
from skywire_process import get  # noqa: E402

EMPTY = "skywire-empty:bench"
# Sleeps for good; without a C library, so that the image is as small as can be.
PAUSE = """
void _start(void) {
    for (;;) {
#if defined(__x86_64__)
        long number = 34;
        __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
#else
        register long number __asm__("x8") = 73;
        register long a __asm__("x0") = 0, b __asm__("x1") = 0, c __asm__("x2") = 0;
        register long d __asm__("x3") = 0;
        __asm__ volatile("svc #0" : "+r"(a) : "r"(number), "r"(b), "r"(c), "r"(d) : "memory");
#endif
    }
}
"""
NAME = "skywire-e2e-bench"
PATIENCE = 60.0


def make_empty(engine):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "pause.c").write_text(PAUSE)
        subprocess.run(
            ["clang-19", "-Os", "-static", "-nostdlib", "-o", folder / "pause", folder / "pause.c"],
            check=True,
        )
        (folder / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
        engine.run(
            containers.docker(), "build", "-q", "-t", EMPTY, folder,
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def remove(engine):
    engine.run(containers.docker(), "rm", "-f", NAME, check=False, capture_output=True)


def ready(pid):
    """Whether all that runs in this container is ready."""
    for path in glob.glob(f"/proc/{pid}/root/run/skywire/*.sock"):
        with contextlib.suppress(OSError):
            return get(f"unix:{path}", "/readyz").status == 200
    return False


def wait(what, look):
    deadline = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.002)


def run_one(engine, image):
    """Seconds until `docker run -d` returns, and until all services are ready."""
    begun = time.monotonic()
    engine.run(
        containers.docker(), "run", "-d", "--name", NAME, image,
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    returned = time.monotonic() - begun
    if image != EMPTY:
        state = engine.ask("GET", f"/containers/{NAME}/json")["State"]
        wait("readiness", lambda: ready(state["Pid"]))
    took = time.monotonic() - begun
    remove(engine)
    return returned, took


def run_nine(engine, variables):
    """The same of the compose file; the empty ones are ready when they run."""
    project = containers.Project(
        engine, NAME, [containers.HERE / "docker-compose.yml"], variables
    )
    begun = time.monotonic()
    project.up()
    returned = time.monotonic() - begun
    if not variables:
        services = [service for service in project.containers() if service != "redis"]
        pids = [project.inspect(service)["State"]["Pid"] for service in services]
        for pid in pids:
            wait("readiness", lambda pid=pid: ready(pid))
    took = time.monotonic() - begun
    project.down()
    return returned, took


def tell(what, seconds):
    print(
        f"{what:<58} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    engine = containers.find_engine()
    if engine is None or engine.missing_images():
        raise SystemExit("no engine, or no images: docker/containers.py with bench/containers.py")
    make_empty(engine)
    remove(engine)
    empties = {"SKYWIRE_IMAGE": EMPTY, "SKYWIRE_REDIS_IMAGE": EMPTY}
    # In turn, so that what else the machine does falls on all alike.
    one, one_empty, nine, nine_empty = [], [], [], []
    with containers.alone():
        try:
            for _ in range(options.runs):
                one_empty.append(run_one(engine, EMPTY))
                one.append(run_one(engine, "skywire:e2e"))
                nine_empty.append(run_nine(engine, empties))
                nine.append(run_nine(engine, {}))
        finally:
            remove(engine)
            containers.Project(engine, NAME, []).down()
            engine.run(containers.docker(), "rmi", "-f", EMPTY, check=False, capture_output=True)
    tell("an empty container: docker run returns", [each[0] for each in one_empty])
    tell("one container: docker run returns", [each[0] for each in one])
    tell("one container: docker run until eleven services are ready", [each[1] for each in one])
    tell("twelve empty containers by compose", [each[0] for each in nine_empty])
    tell("the eleven and Redis by compose", [each[0] for each in nine])
    tell("the same until all services are ready", [each[1] for each in nine])
    tell(
        "the same beyond the empty ones, run by run",
        [with_[1] - without[0] for with_, without in zip(nine, nine_empty)],
    )
    for image in containers.IMAGES:
        size = engine.ask("GET", f"/images/{image}/json")["Size"]
        print(f"{image:<58} {size / 1e6:6.1f} MB")


if __name__ == "__main__":
    main()
