"""`skywire dmsg ...` on a deployment: what each command prints and how it ends, where all is well
and where something is not."""

import hashlib
import json
import random
import re
import signal
import stat
import time
import unittest

from entries import Key, server
from skywire_process import (
    KEYS,
    PATIENCE,
    Scenario,
    dmsg_network,
    free_address,
    get,
    post,
)

DISCOVERY = KEYS["dmsgd"][1]
SERVER = KEYS["dmsgs"][1]
NOBODY = Key(seed="nobody").public
MILLISECONDS = r"\d+\.\d\d ms"


class OnANetwork(Scenario):
    def setUp(self):
        super().setUp()
        self.deployment = self.boot(*dmsg_network())
        self.http = self.deployment.address("dmsgd")
        self.disc = ["--disc", f"http://{self.http}"]
        self.server_address = self.deployment.config["services"][1]["public_address"]
        self.direct = ["--server", f"{SERVER}@{self.server_address}"]

    def tearDown(self):
        if self.deployment.running:
            self.assertEqual(self.deployment.stop(), 0)
        super().tearDown()

    def dmsg(self, *arguments, code=0, **more):
        """A command on this network, which ends with this code."""
        done = self.run_cli("dmsg", *arguments[:1], *self.disc, *arguments[1:], **more)
        self.assertEqual(done.code, code, done)
        if code != 0:
            self.assertTrue(done.err, done)
        return done

    def start_dmsg(self, *arguments):
        return self.start_cli("dmsg", *arguments[:1], *self.disc, *arguments[1:])

    def listen(self, command, *arguments, said):
        """A command that waits for streams, and the address it is reached at."""
        running = self.start_dmsg(command, *arguments)
        return running, running.wait_said(said).split()[-1]


class Cat(OnANetwork):
    def test_bytes_go_both_ways_through_pipes(self):
        luck = random.Random(8)
        there, back = luck.randbytes(3_000_000), luck.randbytes(2_000_000)
        listener, address = self.listen("cat", "--listen", "4000", said="listening on ")
        dialer = self.start_dmsg("cat", "--close", address)
        self.assertRegex(listener.wait_said("stream from "), r"stream from [0-9a-f]{66}:\d+")
        # At the same time: each side's input is more than any buffer on the way.
        dialer.write(there[:1_000_000])
        listener.write(back[:1_000_000])
        dialer.write(there[1_000_000:])
        listener.write(back[1_000_000:])
        listener.wait_for("all that was sent", lambda: len(listener.raw) >= len(there))
        dialer.wait_for("all that came back", lambda: len(dialer.raw) >= len(back))
        self.assertEqual(hashlib.sha256(listener.raw).digest(), hashlib.sha256(there).digest())
        self.assertEqual(hashlib.sha256(dialer.raw).digest(), hashlib.sha256(back).digest())
        # Without a half-close the end of the input is no end; with --close it is.
        listener.end_input()
        dialer.write(b".")
        listener.wait_for("the last byte", lambda: listener.raw.endswith(b"."))
        dialer.end_input()
        self.assertEqual(dialer.wait_exit(), 0, dialer)
        self.assertEqual(listener.wait_exit(), 0, listener)

    def test_without_a_discovery(self):
        key = Key(seed="a direct client")
        self.secrets.add(f"{key.secret:064x}")
        path = self.write("key", f"{key.secret:064x}")
        path.chmod(0o600)
        listener = self.start_cli(
            "dmsg", "cat", *self.direct, "--keyfile", path, "--listen", "4001"
        )
        listener.wait_said(f"listening on {key.public}:4001")
        dialer = self.start_cli("dmsg", "cat", *self.direct, f"{key.public}:4001")
        dialer.write(b"hello\n")
        listener.wait_for("the bytes", lambda: listener.raw == b"hello\n")
        # Nobody said anything to the discovery.
        answer = get(self.http, f"/dmsg-discovery/entry/{key.public}")
        self.assertEqual(answer.status, 404)
        self.assertEqual(dialer.stop(signal.SIGINT), 1, dialer)
        self.assertEqual(listener.wait_exit(), 0, listener)

    def test_what_cannot_be_dialled(self):
        _, address = self.listen("cat", "--listen", "4000", said="listening on ")
        key = address.split(":")[0]
        for to, word in (
            (f"{NOBODY}:4000", "100 - entry is not found in discovery"),
            (f"{key}:4001", ""),
            (f"{SERVER}:4000", ""),
        ):
            with self.subTest(to=to):
                done = self.dmsg("cat", to, code=1, stdin=b"x")
                self.assertIn(word, done.err)
                # Refused, not waited for.
                self.assertNotIn("timed out", done.err)
        for line in (["cat"], ["cat", "--listen", "1", address], ["cat", "--listen", "0"],
                     ["cat", "--listen", "65536"], ["cat", "zz:1"], ["cat", key[:-1] + ":1"],
                     ["cat", f"{key}:70000"]):  # fmt: skip
            with self.subTest(line=line):
                done = self.run_cli("dmsg", *line)
                self.assertIn(done.code, (1, 2), done)
                self.assertEqual(done.out, "")

    def test_the_other_side_is_killed(self):
        listener, address = self.listen("cat", "--listen", "4000", said="listening on ")
        dialer = self.start_dmsg("cat", address)
        dialer.write(b"hello")
        listener.wait_for("the bytes", lambda: listener.raw == b"hello")
        listener.kill()
        dialer.wait_exit()

    def test_the_server_goes(self):
        listener, address = self.listen("cat", "--listen", "4000", said="listening on ")
        dialer = self.start_dmsg("cat", address)
        dialer.write(b"hello")
        listener.wait_for("the bytes", lambda: listener.raw == b"hello")
        self.deployment.kill()
        for each in (listener, dialer):
            each.wait_exit()


class Iperf(OnANetwork):
    def test_everything_comes_back_unchanged(self):
        server, address = self.listen("iperf", "--serve", "--echo", said="serving ")
        done = self.dmsg("iperf", "--echo", "--json", "-P", "4", "-n", "3000000",
                         address.split(":")[0])  # fmt: skip
        (round_,) = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual((round_["streams"], round_["bytes"]), (4, 12_000_000))
        self.assertEqual(round_["errors"], 0)
        self.assertGreater(round_["seconds"], 0)
        # Each byte went through the server twice.
        health = self.deployment.get("dmsgs", "/health").json["dmsg_server"]
        for way in ("bytes_up", "bytes_down"):
            self.assertGreater(health[way], 12_000_000)
        self.assertEqual(server.stop(), 0, server)

    def test_rounds_and_the_receivers_count(self):
        server, address = self.listen("iperf", "--serve", "--port", "6000", said="serving ")
        self.assertTrue(address.endswith(":6000"))
        # As many as begin in that time: where the first takes all of it, in more.
        for seconds in ("1", "5", "20"):
            done = self.dmsg(
                "iperf", "-P", "2", "-n", "100000", "-t", seconds, address, patience=4 * PATIENCE
            )
            rounds = done.out.splitlines()
            if len(rounds) > 1:
                break
        self.assertGreater(len(rounds), 1)
        for line in rounds:
            self.assertRegex(
                line, r"^2 streams, 200000 bytes in \d+\.\d+ s, \d+\.\d MB/s, 0 errors$"
            )
        self.assertEqual(server.stop(signal.SIGINT), 0, server)

    def test_echo_on_one_side_alone_ends(self):
        for served, sent in (([], ["--echo"]), (["--echo"], [])):
            server, address = self.listen("iperf", "--serve", *served, said="serving ")
            done = self.dmsg("iperf", *sent, "-n", "30000000", "--timeout", "3s", address, code=1)
            self.assertIn("--echo is for both sides", done.err)
            self.assertEqual(server.stop(), 0, server)

    def test_what_fails_is_said_and_counted(self):
        done = self.dmsg("iperf", "-P", "3", "-n", "10", "--json", NOBODY, code=1)
        (round_,) = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual((round_["errors"], round_["bytes"]), (3, 0))
        self.assertIn("entry is not found in discovery", round_["first_error"])
        self.assertIn("3 streams failed", done.err)
        _, address = self.listen("iperf", "--serve", said="serving ")
        for line in (["iperf"], ["iperf", "--serve", address], ["iperf", "-P", "0", address],
                     ["iperf", "-n", "x", address], ["iperf", "--serve", "--port", "0"]):  # fmt: skip
            with self.subTest(line=line):
                done = self.run_cli("dmsg", *line)
                self.assertIn(done.code, (1, 2), done)


class Ping(OnANetwork):
    def test_a_service_and_a_server(self):
        done = self.dmsg("ping", "-c", "3", "-i", "1ms", DISCOVERY)
        self.assertRegex(
            done.out,
            rf"^stream set up in {MILLISECONDS}\n1 {MILLISECONDS}\n2 {MILLISECONDS}\n"
            rf"3 {MILLISECONDS}\n3 sent, 3 answered; min {MILLISECONDS} median {MILLISECONDS} "
            rf"max {MILLISECONDS}\n$",
        )
        done = self.dmsg("ping", "-c", "2", "-i", "1ms", "--server-key", SERVER)
        self.assertRegex(done.out, rf"^1 {MILLISECONDS}\n2 {MILLISECONDS}\n2 sent, 2 answered; ")

    def test_nobody_there(self):
        for line in ([NOBODY], ["--server-key", NOBODY], ["--server-key", DISCOVERY]):
            with self.subTest(line=line):
                done = self.dmsg("ping", "-c", "1", *line, code=1)
                self.assertEqual(done.out, "")
        for line in (["zz"], ["-c", "0", SERVER], ["-i", "x", SERVER], []):
            self.assertIn(self.run_cli("dmsg", "ping", *line).code, (1, 2), line)


class Probe(OnANetwork):
    def steps(self, done):
        """[(ok or fail, step, detail)]"""
        found = []
        for line in done.out.splitlines():
            match = re.match(rf"^(ok|fail) +(\w+) +{MILLISECONDS} *(.*)$", line)
            self.assertTrue(match, line)
            found.append(match.groups())
        return found

    def names(self, steps):
        return [name for _, name, _ in steps]

    def probe(self, *arguments, code=0):
        steps = self.steps(self.dmsg("probe", *arguments, code=code))
        for outcome, *_ in steps[:-1]:
            self.assertEqual(outcome, "ok", steps)
        self.assertEqual(steps[-1][0], "ok" if code == 0 else "fail", steps)
        return steps

    def advertise(self, address):
        """Somebody says a server is there."""
        key = Key(seed=f"a server at {address}")
        entry = server(key, address, time.time_ns())
        answer = post(self.http, "/dmsg-discovery/entry/", entry)
        self.assertEqual(answer.status, 200, answer)
        return key.public

    def test_each_step_with_its_time(self):
        steps = self.probe(SERVER)
        self.assertEqual(self.names(steps), ["entry", "connect", "handshake", "ping"])
        self.assertEqual(steps[0][2], self.server_address)
        steps = self.probe(SERVER, "--to", DISCOVERY)
        self.assertEqual(self.names(steps)[-1], "stream")
        self.assertEqual(steps[-1][2], f"{DISCOVERY}:80")

    def test_the_step_that_fails(self):
        # No such server; a client's key.
        steps = self.probe(NOBODY, code=1)
        self.assertEqual(self.names(steps), ["entry"])
        self.assertIn("entry of public key is not found", steps[0][2])
        _, address = self.listen("iperf", "--serve", said="serving ")
        steps = self.probe(address.split(":")[0], code=1)
        self.assertIn("the key is no server's", steps[0][2])
        # Nobody listens at its address.
        steps = self.probe(self.advertise(free_address()), code=1)
        self.assertEqual(self.names(steps), ["entry", "connect"])
        self.assertIn("refused", steps[-1][2])
        # Its address is another server's, or somebody's who does not speak dmsg.
        steps = self.probe(self.advertise(self.server_address), code=1)
        self.assertEqual(self.names(steps), ["entry", "connect", "handshake"])
        steps = self.probe(self.advertise(self.http), code=1)
        self.assertEqual(self.names(steps), ["entry", "connect", "handshake"])
        # The server is fine; whom we want is not there.
        for to in (NOBODY, f"{DISCOVERY}:81", f"{SERVER}:80"):
            steps = self.probe(SERVER, "--to", to, code=1)
            self.assertEqual(
                self.names(steps), ["entry", "connect", "handshake", "ping", "stream"]
            )

    def test_a_server_that_is_down(self):
        self.assertEqual(self.deployment.command("dmsgs", "stop").status, 200)
        # It has said good-bye.
        steps = self.probe(SERVER, code=1)
        self.assertEqual(self.names(steps), ["entry"])

    def test_no_discovery(self):
        nowhere = free_address()
        done = self.run_cli("dmsg", "probe", "--disc", f"http://{nowhere}", SERVER)
        self.assertEqual(done.code, 1)
        self.assertEqual(self.names(self.steps(done)), ["entry"])
        self.assertIn(nowhere, done.out + done.err)


class Curl(OnANetwork):
    ROOT = f"dmsg://{DISCOVERY}"

    def test_methods_bodies_fields_files(self):
        self.assertEqual(
            json.loads(self.dmsg("curl", f"{self.ROOT}/dmsg-discovery/all_servers").out)[0][
                "static"
            ],
            SERVER,
        )
        included = self.dmsg("curl", "-i", "-H", "Accept-Encoding: identity", f"{self.ROOT}/health")
        self.assertTrue(included.out.startswith("HTTP/1.1 200 OK\n"), included)
        self.assertIn("Content-Type: application/json\n", included.out)
        # A whole entry, posted over dmsg.
        key = Key(seed="posted over dmsg")
        entry = server(key, "127.0.0.1:9", time.time_ns())
        done = self.dmsg("curl", "-d", entry, f"{self.ROOT}/dmsg-discovery/entry/")
        self.assertEqual(json.loads(done.out), {"message": "wrote a new entry", "code": 200})
        answer = get(self.http, f"/dmsg-discovery/entry/{key.public}")
        self.assertEqual(answer.status, 200)
        done = self.dmsg("curl", "-X", "DELETE", "-d", entry, f"{self.ROOT}/dmsg-discovery/entry")
        self.assertEqual(json.loads(done.out), {"message": "deleted entry", "code": 200})
        path = self.folder / "body"
        self.dmsg("curl", "-o", path, f"{self.ROOT}/health")
        self.assertEqual(json.loads(path.read_text())["service_name"], "dmsg-discovery")

    def test_a_status_is_no_failure_unless_asked_for(self):
        url = f"{self.ROOT}/dmsg-discovery/entry/{NOBODY}"
        done = self.dmsg("curl", url)
        self.assertEqual(json.loads(done.out)["code"], 404)
        done = self.dmsg("curl", "--fail", url, code=1)
        self.assertIn("404", done.err)

    def test_errors(self):
        for url, word in (
            (f"dmsg://{NOBODY}/health", "entry is not found in discovery"),
            (f"{self.ROOT}:81/health", ""),
            (f"dmsg://{SERVER}/health", ""),
        ):
            with self.subTest(url=url):
                done = self.dmsg("curl", "--timeout", "5s", url, code=1)
                self.assertEqual(done.out, "")
                self.assertEqual(len(done.err.splitlines()), 1, done)
                self.assertIn(word, done.err)
        for line in ([f"http://{self.http}/health"], ["dmsg://zz/health"], ["dmsg://"],
                     [f"dmsg://{DISCOVERY}:99999/"], [f"dmsg://{'0' * 66}/"],
                     ["-X", "FETCH", f"{self.ROOT}/"], ["-H", "nocolon", f"{self.ROOT}/"],
                     ["--sk", "zz", f"{self.ROOT}/"], ["--timeout", "soon", f"{self.ROOT}/"],
                     ["--server", "zz", f"{self.ROOT}/"], ["--disc", "ftp://x", f"{self.ROOT}/"],
                     ["--keyfile", "/nonexistent/key", f"{self.ROOT}/"]):  # fmt: skip
            with self.subTest(line=line):
                done = self.run_cli("dmsg", "curl", *line)
                self.assertIn(done.code, (1, 2), done)
                self.assertEqual(done.out, "")
                self.assertTrue(done.err)
        done = self.dmsg("curl", "-o", "/nonexistent/file", f"{self.ROOT}/health", code=1)
        self.assertIn("/nonexistent/file", done.err)

    def test_no_server_and_no_discovery(self):
        self.assertEqual(self.deployment.command("dmsgs", "stop").status, 200)
        done = self.dmsg("curl", "--timeout", "1s", f"{self.ROOT}/health", code=1)
        self.assertIn("no session with a dmsg-server within 1s", done.err)
        nowhere = free_address()
        done = self.run_cli(
            "dmsg", "curl", "--disc", f"http://{nowhere}", "--timeout", "3s", f"{self.ROOT}/health"
        )
        self.assertEqual(done.code, 1)
        self.assertIn(nowhere, done.err)


class Disc(OnANetwork):
    def test_entry_and_servers_as_they_are_stored(self):
        for arguments in (["entry", SERVER, "--json"], ["servers", "--json"]):
            done = self.run_cli("dmsg", "disc", *arguments, *self.disc)
            self.assertEqual(done.code, 0, done)
            found = json.loads(done.out)
            entry = found[0] if isinstance(found, list) else found
            stored = get(self.http, f"/dmsg-discovery/entry/{SERVER}").json
            self.assertEqual(entry["static"], SERVER)
            self.assertEqual(entry["server"]["address"], stored["server"]["address"])
        done = self.run_cli("dmsg", "disc", "entry", NOBODY, *self.disc)
        self.assertEqual(done.code, 1)
        self.assertIn("entry of public key is not found", done.err)
        self.assertEqual(self.run_cli("dmsg", "disc", "entry", "zz", *self.disc).code, 2)

    def test_a_discovery_that_is_reached_over_dmsg_alone(self):
        way = ["--disc", f"dmsg://{DISCOVERY}:80", *self.direct]
        for line, word in (
            (["disc", "servers"], self.server_address),
            (["disc", "entry", DISCOVERY], SERVER),
            (["curl", f"dmsg://{DISCOVERY}/health"], '"service_name":"dmsg-discovery"'),
            (["ping", "-c", "1", DISCOVERY], "1 sent, 1 answered"),
            (["probe", SERVER, "--to", DISCOVERY], "ok    stream"),
        ):
            with self.subTest(line=line):
                done = self.run_cli("dmsg", *line, *way)
                self.assertEqual(done.code, 0, done)
                self.assertIn(word, done.out)
        # Without a server to reach it through there is no way.
        for line in (["disc", "servers"], ["ping", "-c", "1", DISCOVERY]):
            done = self.run_cli("dmsg", *line, "--disc", f"dmsg://{DISCOVERY}:80")
            self.assertIn(done.code, (1, 2), done)
            self.assertIn("--server", done.err)

    def test_no_servers(self):
        self.assertEqual(self.deployment.command("dmsgs", "stop").status, 200)
        for more in ([], ["--all"]):
            done = self.run_cli("dmsg", "disc", "servers", *more, *self.disc)
            self.assertEqual((done.code, done.out.splitlines()[1:]), (0, []), done)


class OwnServer(OnANetwork):
    """A dmsg-server with a file of its own, beside a running deployment."""

    def generate(self, name="server.json"):
        path = self.folder / name
        done = self.run_cli(
            "dmsg", "server", "config", "gen", "-o", path, *self.disc,
            "--local-address", free_address(), "--public-address", (public := free_address()),
            "--health-address", free_address(),
        )  # fmt: skip
        self.assertEqual(done.code, 0, done)
        config = json.loads(path.read_text())
        # Reached where it listens.
        self.assertEqual(config["public_address"], public)
        config["public_address"] = config["local_address"]
        path.write_text(json.dumps(config))
        self.secrets.add(config["secret_key"])
        return path, config, done

    def test_a_generated_file_is_private_and_never_replaced(self):
        path, config, done = self.generate()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(done.out.strip(), config["public_key"])
        self.assertEqual(Key(config["secret_key"]).public, config["public_key"])
        before = path.read_text()
        again = self.run_cli("dmsg", "server", "config", "gen", "-o", path)
        self.assertEqual(again.code, 1)
        self.assertIn(str(path), again.err)
        self.assertEqual(path.read_text(), before)

    def test_it_joins_serves_and_leaves(self):
        path, config, _ = self.generate()
        key = config["public_key"]
        admin = self.folder / "server.sock"
        server = self.start_cli("dmsg", "server", "start", path, "--admin", f"unix:{admin}")
        server.wait_for(
            "its entry",
            lambda: get(self.http, f"/dmsg-discovery/entry/{key}").status == 200,
        )
        server.wait_said("process.ready")
        listed = self.run_cli("dmsg", "disc", "servers", *self.disc)
        self.assertIn(key, listed.out)
        self.assertIn(SERVER, listed.out)
        steps = self.dmsg("probe", key)
        self.assertEqual(steps.out.count("ok  "), 4, steps)
        # Two clients that know this server alone meet through it.
        direct = ["--server", f"{key}@{config['local_address']}"]
        listener = self.start_cli("dmsg", "cat", *direct, "--listen", "4000")
        address = listener.wait_said("listening on ").split()[-1]
        dialer = self.start_cli("dmsg", "cat", *direct, address)
        dialer.write(b"through the second server\n")
        listener.wait_for("the bytes", lambda: listener.raw.endswith(b"server\n"))
        dialer.stop()
        listener.wait_exit()
        health = get(config["health_endpoint_address"], "/health").json
        self.assertEqual((health["service_name"], health["public_key"]), ("dmsg-server", key))
        self.assertGreaterEqual(health["dmsg_server"]["streams_relayed"], 1)
        self.assertEqual(server.stop(), 0, server)
        self.assertEqual(get(self.http, f"/dmsg-discovery/entry/{key}").status, 404)

    def test_bad_files_are_refused_where_they_are_wrong(self):
        _, config, _ = self.generate()
        secret = config["secret_key"]
        cases = {
            "misspelt": ({**config, "local_adress": "127.0.0.1:1"}, "local_address"),
            "no key": ({k: v for k, v in config.items() if not k.endswith("_key")}, "secret_key"),
            "foreign key": ({**config, "public_key": NOBODY}, config["public_key"]),
            "no discovery": ({k: v for k, v in config.items() if k != "discovery"}, "discovery"),
        }
        for name, (content, word) in cases.items():
            with self.subTest(name):
                path = self.write(f"{name.replace(' ', '-')}.json", content)
                done = self.run_cli("dmsg", "server", "start", path)
                self.assertEqual(done.code, 1, done)
                self.assertRegex(done.err, rf"(?m)^{re.escape(str(path))}:\d+:\d+: error: ")
                self.assertIn(word, done.err)
                self.assertNotIn(secret, done.err)
        for content in ("", "[]", "{", "nonsense"):
            path = self.write("broken.json", content)
            self.assertEqual(self.run_cli("dmsg", "server", "start", path).code, 1)
        done = self.run_cli("dmsg", "server", "start", self.folder / "none.json")
        self.assertEqual(done.code, 1)
        self.assertIn("none.json", done.err)


if __name__ == "__main__":
    unittest.main()
