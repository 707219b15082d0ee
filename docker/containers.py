#!/usr/bin/env python3
"""Brings the container forms up and down.

    containers.py images [--binary FILE | --compile]   make the images (docker/images.sh)
    containers.py up one|nine [--replicas]             boot a deployment and wait until it is green
    containers.py test [ARGUMENT...]                   e2e/run.py in the form that runs, else in one
    containers.py down                                 end it, and the engine where this started it
    containers.py logs | status                        of what runs
    containers.py with COMMAND...                      run it with an engine there; end the engine
    containers.py ready                                whether an engine is there or can be started
    containers.py idle                                 whether build/ may be removed

The engine that $DOCKER_HOST or /run/docker.sock names is used; where none answers, one is started
with everything of its own (RUN in engine.py, and `build/docker/data`). It ends with the last command
that uses it, unless a deployment is up in it: then with `down`. What cannot be done is said in a
sentence with the way out; exit code 1, and nothing is left behind. One deployment at a time: its
addresses are fixed, so commands wait for one another and say for whom.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import time

from engine import (
    DISK_NEEDED,
    HERE,
    IMAGES,
    ROOT,
    Engine,
    check_disk,
    check_startable,
    crashed,
    docker,
    end_of_ours,
    find_engine,
    gate,
    keepers,
    pid_of_ours,
    start_engine,
    used,
)
from projects import PREFIX, Project, check_subnets, project_names
from waiting import PATIENCE, POLL, Trouble, alone, end_group, tail, turn

__all__ = [
    "FORMS", "HERE", "IMAGES", "TEST_PROJECT", "Engine", "Project", "Trouble", "alone", "docker",
    "find_engine", "tail", "using_engine", "why_not",
]  # fmt: skip

# Of each form: its compose files, the file its containers share, and the container that is on every
# network.
FORMS = {
    "one": (["docker-compose.e2e.yml"], "deployment.e2e.json", "deployment-services"),
    "nine": (["docker-compose.yml"], "deployment.nine.json", "stun-server"),
    "replicas": (
        ["docker-compose.yml", "docker-compose.replicas.yml"],
        "deployment.replicas.json",
        "stun-server",
    ),
}
# Of the deployments that tests bring up.
TEST_PROJECT = f"{PREFIX}test"

# With Debian's packages to fetch; and with everything to compile besides, which needs room too.
IMAGE_SECONDS = 1800.0
COMPILE_SECONDS = 3 * 3600.0
COMPILE_DISK_NEEDED = 3000 << 20
# Of the folder for packages, beside what the engine keeps.
CACHE_NEEDED = 400 << 20
COMPILE_CACHE_NEEDED = 1400 << 20


def project_of(engine, form):
    files, config, _ = FORMS[form]
    return Project(
        engine,
        f"{PREFIX}{form}",
        [HERE / file for file in files],
        {"SKYWIRE_CONFIG": ROOT / "configs" / config},
    )


def running(engine):
    """The forms that have containers."""
    return [form for form in FORMS if project_of(engine, form).containers()]


def remove_all(engine):
    """Everything of ours; the caller is `alone`, or has just started the engine."""
    for name in project_names(engine):
        Project(engine, name, []).down()


def using_engine():
    """An engine for as long as the context lasts. What it finds in one that it starts is left from one
    that was killed, or from before a reboot."""
    return used(started=remove_all, is_idle=lambda engine: not running(engine))


def need_images(engine):
    if missing := engine.missing_images():
        raise Trouble(f"no image {', '.join(missing)}: make e2e-images")


def why_not():
    """Why containers cannot be tested here as it is; None where they can."""
    try:
        engine = find_engine()
        if engine is None:
            return "no Docker engine answers"
        need_images(engine)
    except Trouble as trouble:
        return str(trouble)
    return None


def images(options):
    compiles = "--compile" in options
    with using_engine() as engine, turn("skywire-images", "the images that are being made"):
        engine.check_disk(COMPILE_DISK_NEEDED if compiles else DISK_NEEDED)
        cache = ROOT / "build" / "docker"
        cache.mkdir(parents=True, exist_ok=True)
        check_disk(cache, COMPILE_CACHE_NEEDED if compiles else CACHE_NEEDED)
        seconds = COMPILE_SECONDS if compiles else IMAGE_SECONDS
        if engine.run(HERE / "images.sh", *options, seconds=seconds).returncode != 0:
            raise Trouble("the images could not be made; the lines above say why")
        if engine.is_ours():
            engine.prune()


def up(form):
    with using_engine() as engine:
        bring_up(engine, form)


def bring_up(engine, form):
    begun = time.monotonic()
    need_images(engine)
    with alone():
        for other in running(engine):
            print(f"{other} ends first")
        remove_all(engine)
        project = project_of(engine, form)
        project.up()
        started = time.monotonic()
        try:
            table = wait_green(project, FORMS[form][2])
        except BaseException:
            project.down()
            raise
    print(table, end="")
    print(
        f"{len(project.containers())} containers: started in {started - begun:.1f} s, green "
        f"{time.monotonic() - started:.1f} s later; make e2e-logs, make e2e-stop"
    )


def wait_green(project, service):
    """What `svc health` says in this container, once every service is well."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = project.engine.run(
            docker(), "exec", project.container(service), "skywire", "svc", "health",
            "--config", "/etc/skywire/deployment.json", "--timeout", "2s",
            seconds=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        project.check_alive()
        if time.monotonic() > deadline:
            raise Trouble(f"not green after {PATIENCE:.0f} s\n{done.stdout}")
        time.sleep(POLL)


def down():
    """Ends what runs, and the engine of ours even where its containers could not be ended."""
    with alone():
        try:
            engine = find_engine()
            if engine is not None:
                remove_all(engine)
            elif crashed():
                # Its containers would come back when the next one starts.
                with gate():
                    remove_all(start_engine())
        finally:
            ended = end_of_ours()
    engine_too = {None: "", True: ", and the engine that was started for it"}
    print("ended" + engine_too.get(ended, "; the engine stays: another command uses it"))


def logs(engine):
    for form in running(engine):
        project = project_of(engine, form)
        for service in sorted(project.containers()):
            for line in project.logs(service, "200").splitlines():
                print(f"{service:24} {line}")


def status(engine):
    for form in running(engine):
        project = project_of(engine, form)
        for service, state in sorted(project.containers().items()):
            print(f"{project.name:20} {service:24} {state['Status']}")


def ready():
    """What is in the way of an engine is said before a build of minutes, not after it."""
    if find_engine() is None:
        check_startable()


def idle():
    for pid in keepers(ROOT / "build"):
        raise Trouble(
            f"a Docker engine (process {pid}) runs and keeps its data in {ROOT / 'build'}: "
            "make e2e-stop"
        )


# Commands that ask services do so alike in every form, and each `up` of the nine takes seconds.
NINE_TESTS = (
    "test_cxo", "test_faults", "test_network", "test_replicas", "test_services", "test_visualizer"
)  # fmt: skip
RUN_TESTS = [sys.executable, ROOT / "e2e" / "run.py"]


def test(arguments):
    """The tests bring up deployments of their own, in the place of the one that runs, which is
    there again afterwards. Where there can be no containers the process forms run."""
    with contextlib.ExitStack() as stack:
        try:
            engine = stack.enter_context(using_engine())
            need_images(engine)
            there = running(engine)
            with alone():
                remove_all(engine)
                check_subnets(engine, TEST_PROJECT)
        except Trouble as trouble:
            stack.close()
            return test_processes(arguments, trouble)
        try:
            return run_all(engine, test_lines(arguments, there))
        finally:
            for each in there:
                bring_up(engine, each)


def test_lines(arguments, there):
    """The commands, where these forms run."""
    form = "container" if not there or there == ["one"] else "nine-containers"
    line = [*RUN_TESTS]
    lines = [line]
    if not any(each.startswith("--form") for each in arguments):
        line += ["--form", form]
    # Side by side they would only wait for one another.
    line += ["--jobs", "1"]
    if not arguments:
        # What is refused comes first.
        lines.insert(0, [sys.executable, HERE / "containers_test.py"])
        if form == "nine-containers":
            line += NINE_TESTS
    line += arguments
    return lines


def test_processes(arguments, trouble):
    print(f"containers: {trouble}", file=sys.stderr, flush=True)
    if not any(each.startswith("--form") for each in arguments):
        reason = str(trouble).splitlines()[0]
        subprocess.run([*RUN_TESTS, "--without-containers", reason, *arguments], check=False)
    return 1


def run_to_end(engine, line):
    """Its exit code. Where this process is to end, the command and what it has started end first."""
    process = subprocess.Popen(
        [str(each) for each in line], env=engine.environment, start_new_session=True
    )
    try:
        return process.wait()
    except BaseException:
        end_group(process, PATIENCE)
        raise


def run_all(engine, lines):
    """Runs commands with DOCKER_HOST set until one fails; its exit code."""
    try:
        for line in lines:
            if code := run_to_end(engine, line):
                return code
        return 0
    finally:
        with alone(wait=False) as free:
            if free:
                Project(engine, TEST_PROJECT, []).down()


def run_with_engine(line):
    with using_engine() as engine:
        return run_all(engine, [line])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    # What follows these is handed on; argparse would take options for its own.
    for name in ("images", "test", "with"):
        commands.add_parser(name)
    up_parser = commands.add_parser("up")
    up_parser.add_argument("form", choices=("one", "nine"))
    up_parser.add_argument("--replicas", action="store_true")
    for name in ("down", "logs", "status", "ready", "idle"):
        commands.add_parser(name)
    handing_on = len(sys.argv) > 1 and sys.argv[1] in ("images", "test", "with")
    rest = sys.argv[2:] if handing_on else []
    options = parser.parse_args(sys.argv[1:2] if handing_on else None)
    # Ended in the middle, it tidies up all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.command in ("down", "ready", "idle"):
            {"down": down, "ready": ready, "idle": idle}[options.command]()
        elif options.command == "with":
            return run_with_engine(rest)
        elif options.command == "test":
            return test(rest)
        elif options.command == "images":
            images(rest)
        elif options.command == "up":
            up("replicas" if options.replicas else options.form)
        else:
            engine = find_engine()
            if engine is None and (pid := pid_of_ours()):
                raise Trouble(f"the engine of ours (process {pid}) does not answer: make e2e-stop")
            if engine is None or not running(engine):
                print("nothing runs")
            else:
                {"logs": logs, "status": status}[options.command](engine)
    except KeyboardInterrupt:
        return 130
    except (Trouble, OSError) as trouble:
        print(f"containers: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
