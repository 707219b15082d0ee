"""What a bad file gets: one precise error each, nothing bound, an exit code. S03 to S06."""

import json
import os
import socket
import unittest
from pathlib import Path

from skywire_process import (
    DATA,
    HOST,
    KEYS,
    Scenario,
    discovery,
    free_address,
    stun,
    without_privilege,
)


def place_of(text, word, nth=1):
    """LINE:COLUMN of the nth occurrence of a word."""
    at = -1
    for _ in range(nth):
        at = text.index(word, at + 1)
    line = text.count("\n", 0, at) + 1
    return f"{line}:{at - (text.rfind(chr(10), 0, at) + 1) + 1}"


class BadFiles(Scenario):
    def run_and_check(self, path):
        """Both commands on the file; what they said. Both must refuse it."""
        check = self.run_cli("svc", "check", path)
        run = self.run_cli("svc", "run", "--config", path)
        self.assertEqual(check.code, 1, check)
        self.assertEqual(run.code, 1, run)
        problems = [line for line in run.err.splitlines() if ": error: " in line]
        self.assertEqual(
            problems, [line for line in check.out.splitlines() if ": error: " in line]
        )
        self.assertTrue(problems, run)
        return problems

    def test_s03_unknown_type_in_block_three_binds_nothing(self):
        # The test holds the ports of the good blocks: whoever tried to bind them would complain.
        with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
            first, second = (f"{HOST}:{each.getsockname()[1]}" for each in (one, two))
            socket_path = self.folder / "admin.sock"
            state = self.folder / "state"
            config = {
                "services": [
                    discovery("a", addr=first),
                    discovery("b", addr=second, testing=False),
                    {"type": "dmsg-discoverry", "name": "third"},
                ],
                "supervisor": {"admin_addr": f"unix:{socket_path}", "state_dir": str(state)},
            }
            path = self.write("d.json", config)
            (problem,) = self.run_and_check(path)
            text = path.read_text()
            self.assertIn(f"{path}:{place_of(text, chr(34) + 'dmsg-discoverry')}: error", problem)
            for word in ("third", "services[2]", "dmsg-discoverry", "dmsg-discovery", "noop",
                         "stun-server"):  # fmt: skip
                self.assertIn(word, problem)
            run = self.run_cli("svc", "run", "--config", path)
            self.assertNotIn("in use", run.err)
            self.assertFalse(socket_path.exists())
            self.assertFalse(state.exists())

    def test_s04_misspelt_key(self):
        path = self.write(
            "d.json",
            '{\n  "services": [\n    {"type": "noop", "name": "quiet"},\n'
            '    {"type": "noop", "name": "n",\n     "tick_secnds": 3}\n  ]\n}\n',
        )
        (problem,) = self.run_and_check(path)
        self.assertIn(f"{path}:5:6: error: n: ", problem)
        self.assertIn('"tick_secnds"', problem)
        self.assertIn('did you mean "tick_seconds"?', problem)

    def test_s04_for_machines(self):
        path = self.write("d.json", '{"services": [{"type": "noop", "tick_secnds": 3}]}')
        done = self.run_cli("svc", "check", "--json", path)
        self.assertEqual(done.code, 1)
        report = json.loads(done.out)
        self.assertEqual((report["ok"], report["errors"]), (False, 1))
        (problem,) = report["problems"]
        self.assertEqual((problem["line"], problem["column"]), (1, 32))
        self.assertEqual((problem["label"], problem["suggestion"]), ("noop", "tick_seconds"))

    def test_s05_clashes_name_both_blocks_and_both_places(self):
        addr = free_address()
        secret = KEYS["tpd"][0]
        self.secrets.add(secret)
        for key, value, nth in (
            ("addr", addr, 2),
            ("secret_key", secret, 2),
            ("prefix", "/same", 2),
            ("redis", "redis://127.0.0.1:6379/3", 2),
        ):
            with self.subTest(key=key):
                blocks = []
                for name in ("one", "two"):
                    block = discovery(name)
                    block.update({key: value})
                    blocks.append(block)
                path = self.write("d.json", {"services": blocks})
                text = path.read_text()
                (problem,) = self.run_and_check(path)
                shown = json.dumps(value)
                for which in (place_of(text, shown, nth), place_of(text, shown)):
                    self.assertIn(f"{path}:{which}", problem)
                self.assertIn("error: two: ", problem)
                self.assertIn("one", problem)

    def test_s05_one_port_by_two_names_and_the_admin_listener_clash_too(self):
        port = int(free_address().rsplit(":")[-1])
        path = self.write(
            "d.json",
            {
                "services": [
                    discovery("every", addr=f":{port}"),
                    discovery("one", addr=f"localhost:{port}"),
                ]
            },
        )
        (problem,) = self.run_and_check(path)
        self.assertIn("every", problem)
        path = self.write(
            "d.json",
            {
                "services": [discovery("one", addr=f"127.0.0.1:{port}")],
                "supervisor": {"admin_addr": f"127.0.0.1:{port}"},
            },
        )
        (problem,) = self.run_and_check(path)
        self.assertIn("admin_addr", problem)

    def test_s25_a_cycle_is_refused_and_printed(self):
        path = self.write(
            "d.json",
            {
                "services": [
                    {"type": "noop", "name": "a", "depends_on": ["b"]},
                    {"type": "noop", "name": "b", "depends_on": ["c"]},
                    {"type": "noop", "name": "c", "depends_on": ["a"]},
                ]
            },
        )
        (problem,) = self.run_and_check(path)
        cycle = problem.partition("each other: ")[2]
        self.assertTrue(cycle, problem)
        for label in "abc":
            self.assertIn(f"{label}:", cycle)
        self.assertIn("<-", cycle)

    def test_files_that_are_no_configuration(self):
        good = '{"services": [{"type": "noop"}]}'
        for content, words in (
            ("", ["empty"]),
            ("   \n", ["empty"]),
            ("[]", ["object"]),
            ("{", ["1:"]),
            ("not json", ["1:1"]),
            ('{"services": []}', ["1:", "no services"]),
            ('{"services": [{"type": "noop",}]}', ["comma"]),
            (good + " x", ["1:"]),
            (b"\xef\xbb\xbf" + good.encode(), ["byte order mark"]),
            (b'{"services": "\xff"}', ["UTF-8"]),
            ("[" * 100_000, ["1:"]),
            ('{"a":' * 5000 + "1" + "}" * 5000, ["1:"]),
            ('{"services": [{"type": "noop", "name": "' + "n" * 100_000 + '"}]}', ["label"]),
            (b"\x00" * 4096, ["1:1"]),
        ):
            with self.subTest(content=content[:40]):
                path = self.write("d.json", content)
                problems = self.run_and_check(path)
                self.assertEqual(len(problems), 1, problems[:3])
                self.assertLess(len(problems[0]), 1000)
                for word in words:
                    self.assertIn(word, problems[0])

    def test_files_that_cannot_be_read(self):
        folder = self.subfolder("folder")
        for path, word in (
            (self.folder / "absent.json", "o such file"),
            (folder, "directory"),
            (self.folder / "no" / "folder.json", "o such file"),
            ("/proc/self/mem", "/proc/self/mem"),
        ):
            with self.subTest(path=path):
                (problem,) = self.run_and_check(path)
                self.assertIn(str(path), problem)
                self.assertIn(word, problem)

    def test_a_file_that_may_not_be_read(self):
        prefix = without_privilege()
        self.folder.chmod(0o755)
        path = self.write("secret.json", "{}")
        path.chmod(0)
        for line in (["check", path], ["run", "--config", path], ["list", "--config", path],
                     ["graph", "--config", path]):  # fmt: skip
            done = self.run_cli("svc", *line, prefix=prefix)
            self.assertEqual(done.code, 1, done)
            self.assertIn("ermission denied", done.out + done.err)
            self.assertIn(str(path), done.out + done.err)

    def test_a_huge_file_does_not_hold_it_up(self):
        huge = self.folder / "huge.json"
        with open(huge, "wb") as file:
            file.truncate(1 << 40)
        done = self.run_cli("svc", "check", huge, patience=10)
        self.assertEqual(done.code, 1)
        self.assertIn(str(huge), done.out)

    def test_secrets_stay_out_of_messages(self):
        secret = KEYS["dmsgd"][0]
        self.secrets |= {secret, secret[:-1], "hunter2hunter2"}
        path = self.write(
            "d.json",
            {
                "services": [
                    discovery("short", secret_key=secret[:-1]),
                    discovery("number", auth_passphrase=7, secret_key=secret),
                    discovery("again", secret_key=secret, public_key=KEYS["tpd"][1]),
                    discovery("url", redis="redis://user:hunter2hunter2@h:port/x"),
                    discovery("tls", redis="rediss://user:hunter2hunter2@h/1"),
                ]
            },
        )
        problems = self.run_and_check(path)
        self.assertGreaterEqual(len(problems), 4)
        self.run_cli("svc", "check", "--json", path)

    def test_only_with_an_unknown_label_names_the_known_ones(self):
        path = self.write("d.json", {"services": [{"type": "noop", "name": "alpha"}]})
        done = self.run_cli("svc", "run", "--config", path, "--only", "alpa")
        self.assertEqual(done.code, 1)
        self.assertIn("alpa", done.err)
        self.assertIn('did you mean "alpha"?', done.err)

    def test_what_stands_in_the_way_of_the_process_itself(self):
        block = {"type": "noop"}
        held = f"unix:{self.folder}/nowhere/at/all/admin.sock"
        with socket.create_server((HOST, 0)) as taken:
            address = f"{HOST}:{taken.getsockname()[1]}"
            for settings, words in (
                ({"admin_addr": address}, ["admin listener", address, str(os.getpid())]),
                ({"admin_addr": held}, ["admin listener", "nowhere"]),
                ({"admin_addr": "unix:/" + "x" * 200}, ["admin"]),
                (
                    {"admin_token_file": f"{self.folder}/no-token",
                     "admin_addr": f"unix:{self.folder}/a.sock"},
                    ["admin_token_file", "no-token"],
                ),
            ):  # fmt: skip
                with self.subTest(settings=settings):
                    path = self.write("d.json", {"services": [block], "supervisor": settings})
                    done = self.run_cli("svc", "run", "--config", path)
                    self.assertEqual(done.code, 1)
                    errors = [line for line in done.err.splitlines() if "INFO" not in line]
                    self.assertTrue(any(all(word in line for word in words) for line in errors),
                                    done)


class ReferenceFiles(Scenario):
    """S06: the files of the existing network load unchanged, as far as their types exist; the second
    files that blocks name are those beside this test, in place of /e2e."""

    def known_types(self):
        out = self.run_cli("svc", "list").out
        return {line.strip() for line in out.splitlines()[1:]}

    def load(self, name, member):
        services = json.loads((DATA / name).read_text())[member]
        for each in services:
            if "config_path" in each:
                each["config_path"] = each["config_path"].replace("/e2e", str(DATA))
        known = self.known_types()
        self.assertLessEqual({"dmsg-discovery", "dmsg-server", "stun-server"}, known)
        return services, [each for each in services if each["type"] in known]

    def check_all(self, services, kept):
        """The whole file: nothing is wrong with it but the types that do not exist yet."""
        self._remember_secrets(services)
        path = self.write("whole.json", {"services": services})
        report = json.loads(self.run_cli("svc", "check", "--json", path).out)
        errors = [each for each in report["problems"] if each["severity"] == "error"]
        missing = {each["name"] for each in services} - {each["name"] for each in kept}
        self.assertEqual({each["label"] for each in errors}, missing, errors)
        self.assertLessEqual({each["code"] for each in errors}, {"unknown-type"})

    def check_kept(self, kept):
        path = self.write("kept.json", {"services": kept})
        done = self.run_cli("svc", "check", path)
        self.assertEqual(done.code, 0, done)
        problems = [line for line in done.out.splitlines()[:-1]]
        self.assertTrue(all(": warning: " in line for line in problems), problems)
        self.assertTrue(any("tag" in line for line in problems), problems)

    def run_kept(self, kept):
        """The same blocks with addresses of this machine; nothing else changes."""
        redis = self.redis()
        addresses = {each["name"]: free_address() for each in kept if "addr" in each}
        for each in kept:
            if "config_path" in each:
                each["config_path"] = self.here(each, addresses)
            if "addr" in each:
                each["addr"] = addresses[each["name"]]
            if "udp_addr" in each:
                each["udp_addr"] = addresses[each["name"]]
            if "redis" in each:
                number = each["redis"].removeprefix("redis://redis:6379").removeprefix("/")
                each["redis"] = redis.url(number or 0)
            if each["type"] == "stun-server":
                own = stun()
                each.update({key: own[key] for key in own if key != "name"})
        deployment = self.boot(*kept)
        for each in kept:
            deployment.wait_state(each["name"], "ready")
        labels = [each["label"] for each in deployment.health()["services"]]
        self.assertEqual(sorted(labels), sorted(each["name"] for each in kept))
        self.assertEqual(deployment.get("dmsgd", "/health").status, 200)
        self.assertEqual(deployment.stop(), 0)

    def here(self, block, addresses):
        """The block's file with addresses of this machine."""
        keys = json.loads(Path(block["config_path"]).read_text())
        self._remember_secrets(keys)
        for key in ("local_address", "health_endpoint_address", "addr"):
            if key in keys:
                keys[key] = free_address()
        if "public_address" in keys:
            keys["public_address"] = keys["local_address"]
            keys["discovery"] = f"http://{addresses['dmsgd']}"
        if "port" in keys:
            keys["port"] = int(free_address().rpartition(":")[2])
        return str(self.write(f"{block['name']}-keys.json", keys))

    def test_s06_services_json(self):
        services, kept = self.load("services.json", "services")
        names = ["tpd", "rf", "dmsgd", "dmsgs", "sn", "sd", "ar", "tps", "stun"]
        self.assertEqual([each["name"] for each in services], names)
        # Their types are all there.
        self.assertEqual(kept, services)
        self.check_all(services, kept)
        self.check_kept(kept)
        self.run_kept(kept)

    def test_s06_embedded_services(self):
        services, kept = self.load("visorS.json", "embedded_services")
        self.assertEqual(kept, services)
        self.check_all(services, kept)
        self.check_kept(kept)
        self.run_kept(kept)


class States(Scenario):
    """The folder for data: created where it is missing, an error where that is impossible."""

    def test_a_state_folder_that_cannot_be_is_a_clear_error(self):
        path = self.write("file", "in the way")
        deployment = self.prepare(
            discovery(testing=False, restart={"max_in_window": 1}),
            supervisor={"state_dir": str(path / "below")},
        )
        deployment.start()
        self.assertEqual(deployment.wait_exit(), 1)
        self.assertTrue(deployment.lines("ERROR", str(path / "below")), deployment.err)

    def test_a_state_folder_without_permission_is_a_clear_error(self):
        prefix = without_privilege()
        self.folder.chmod(0o755)
        state, own = self.subfolder("state"), self.subfolder("own")
        state.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(own, 65534, 65534)
        for where in (state, state / "below"):
            with self.subTest(where=where.name):
                deployment = self.prepare(
                    discovery(testing=False, restart={"max_in_window": 1}),
                    supervisor={"state_dir": str(where), "admin_addr": f"unix:{own / 'sock'}"},
                )
                deployment.arguments = [*prefix, *deployment.arguments]
                deployment.start()
                self.assertEqual(deployment.wait_exit(), 1)
                lines = deployment.lines("ERROR", "service.gave_up", str(where))
                self.assertTrue(lines, deployment.err)
                self.assertIn("ermission denied", lines[0])

    def test_it_is_created_for_us_alone(self):
        deployment = self.boot(discovery(testing=False))
        state = deployment.folder / "state"
        self.assertTrue((state / "dmsgd.sqlite").exists())
        self.assertTrue(deployment.lines("dmsgd", str(state / "dmsgd.sqlite")))
        self.assertEqual(state.stat().st_mode & 0o077, 0, oct(state.stat().st_mode))
        self.assertEqual(deployment.stop(), 0)

    def test_the_environment_names_it_where_the_file_does_not(self):
        state = self.subfolder("from-environment")
        deployment = self.prepare(
            discovery(testing=False),
            supervisor={"state_dir": None},
            environment={"STATE_DIRECTORY": str(state)},
        )
        deployment.start().wait_ready()
        self.assertTrue((state / "dmsgd.sqlite").exists())
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
