"""The systemd units of deploy/: systemd understands them, and what their filter of system calls leaves
is enough for all services. A system manager is not needed for that: the filter is put upon a process as
systemd does it."""

import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import unittest

from skywire_process import SANITIZED, SOURCE, Scenario, free_port, nine, program, without_privilege

UNITS = ("skywire.service", "skywire@.service")
DEPLOY = SOURCE / "deploy"
ANALYZE = shutil.which("systemd-analyze")
COMPILER = next(filter(None, map(shutil.which, ("cc", "clang-19", "clang", "gcc"))), None)
# <linux/audit.h>
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NOBODY = 65534

# Reads {"architecture", "calls"} from the file it is told, forbids itself all other calls, and becomes
# the rest of its arguments. The filter: <linux/filter.h>, <linux/seccomp.h>.
FORBID = """
import ctypes, json, os, struct, sys
said = json.load(open(sys.argv[1]))
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
steps = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, said["architecture"]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
for number in said["calls"]:
    steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
steps.append((RETURN, 0, 0, KILL))
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
filter = Program(len(steps), ctypes.addressof(code))
prctl = ctypes.CDLL(None, use_errno=True).prctl
NO_NEW_PRIVS, SECCOMP, MODE_FILTER = 38, 22, 2
for words in ((NO_NEW_PRIVS, 1, 0), (SECCOMP, MODE_FILTER, ctypes.byref(filter))):
    if prctl(*words, 0, 0) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def calls_of(group):
    """The names of the system calls in one of systemd's groups."""
    done = subprocess.run([ANALYZE, "syscall-filter", group], capture_output=True, check=True)
    found = set()
    for line in done.stdout.decode().splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def calls_left(unit):
    """What the SystemCallFilter lines of a unit leave."""
    left = set()
    for line in (DEPLOY / unit).read_text().splitlines():
        name, _, value = line.partition("=")
        if name != "SystemCallFilter":
            continue
        named = set()
        for word in value.removeprefix("~").split():
            named |= calls_of(word) if word.startswith("@") else {word}
        left = left - named if value.startswith("~") else left | named
    return left


def numbers():
    """Of this machine's system calls, by name."""
    done = subprocess.run(
        [COMPILER, "-dM", "-E", "-include", "asm/unistd.h", "-x", "c", os.devnull],
        capture_output=True,
        check=True,
    )
    found = re.findall(r"#define __NR_(\w+) (\d+)", done.stdout.decode())
    return {name: int(number) for name, number in found}


@unittest.skipUnless(ANALYZE, "systemd-analyze is not installed")
class Units(Scenario):
    def test_systemd_understands_them(self):
        for name in UNITS:
            text = (DEPLOY / name).read_text().replace("/usr/bin/skywire", program())
            path = self.write(name.replace("@.", "@tpd."), text)
            done = subprocess.run([ANALYZE, "verify", "--man=no", path], capture_output=True)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""), name)

    @unittest.skipIf(SANITIZED, "a sanitizer's run-time makes calls of its own")
    @unittest.skipUnless(COMPILER, "no compiler that knows the numbers of system calls")
    @unittest.skipUnless(platform.machine() in ARCHITECTURES, "no number of this machine's kind")
    @unittest.skipUnless(os.geteuid() == 0, "takes root to become somebody else")
    def test_their_filter_leaves_what_the_services_need(self):
        known = numbers()
        for unit in UNITS:
            with self.subTest(unit):
                calls = sorted(known[name] for name in calls_left(unit) if name in known)
                self.assertGreater(len(calls), 100)
                self.run_filtered(unit, calls)

    def run_filtered(self, unit, calls):
        self.folder.chmod(0o755)
        place = self.subfolder(unit)
        filter_ = self.write(
            f"{unit}.json", {"architecture": ARCHITECTURES[platform.machine()], "calls": calls}
        )
        prefix = [*without_privilege(), sys.executable, "-c", FORBID, str(filter_)]
        # It is one that ends what does anything else.
        chroot = [shutil.which("chroot"), "/", "true"]
        done = subprocess.run([*prefix, *chroot], capture_output=True)
        self.assertEqual(done.returncode, -signal.SIGSYS, done)

        port = free_port("127.0.0.1")
        stored = {label: {"testing": False} for label in ("dmsgd", "tpd", "sd", "ar")}
        # As NineProcessesSnapshot: outside of a test deployment.
        server = {"local_address": f"127.0.0.1:{port}", "public_address": f"localhost:{port}"}
        blocks = nine(**stored, dmsgs=server)
        deployment = self.prepare(*blocks, folder=unit)
        # Where nobody may look, too.
        binary = shutil.copy(program(), self.folder)
        deployment.arguments = [*prefix, binary, *deployment.arguments[1:]]
        for path in (place, deployment.file):
            os.chown(path, NOBODY, NOBODY)
        deployment.start().wait_ready()
        for label in ("dmsgd", "tpd", "sd", "ar", "rf", "tps"):
            self.assertEqual(deployment.get(label, "/health").status, 200)
        for more in ((), ("--dmsg",)):
            green = self.run_cli("svc", "health", "--config", deployment.file, *more)
            self.assertEqual(green.code, 0, green)
        self.assertEqual(deployment.stop(), 0)
        snapshots = {path.stem for path in pathlib.Path(place / "state").glob("*.sqlite")}
        self.assertEqual(snapshots, set(stored))


if __name__ == "__main__":
    unittest.main()
