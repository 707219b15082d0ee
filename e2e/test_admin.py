"""The admin listener and the commands that use it. S21, S22, S25, S26."""

import json
import math
import pathlib
import re
import shutil
import subprocess
import time
import unittest

from skywire_process import (
    KEYS,
    PATIENCE,
    SANITIZED,
    Scenario,
    dial,
    discovery,
    free_address,
    get,
    post,
    program,
    read_to_end,
    stun,
    tester,
)

TOKEN = "a token that only operators have"


class LogLevels(Scenario):
    def write_line(self, deployment, label, text):
        self.assertLess(deployment.post(label, f"/log?text={text}").status, 300)

    def test_s21_one_service_for_a_while(self):
        deployment = self.boot(tester("loud"), tester("quiet"), faults=True)
        self.write_line(deployment, "loud", "first")
        self.assertFalse(deployment.lines("DEBUG", "first"))
        self.assertTrue(deployment.lines("INFO", "first"))
        done = self.run_cli(
            "svc", "log-level", "loud", "debug", "--for", "1h", "--config", deployment.file,
            faults=True,
        )  # fmt: skip
        self.assertEqual((done.code, done.out), (0, "loud logs at debug for 1h\n"))
        self.write_line(deployment, "loud", "second")
        self.write_line(deployment, "quiet", "second")
        self.assertEqual(len(deployment.lines("DEBUG", "[loud]", "second")), 1)
        self.assertEqual(deployment.lines("DEBUG", "[quiet]"), [])

        def level():
            levels = {each["service"]: each for each in deployment.ask("/log-level").json}
            return levels["loud"]

        self.assertEqual((level()["level"], level()["back_to"]), ("debug", "info"))
        # The lines were written however slowly that went; now a time that passes.
        done = self.run_cli(
            "svc", "log-level", "loud", "debug", "--for", "100ms", "--config", deployment.file,
            faults=True,
        )  # fmt: skip
        self.assertEqual((done.code, done.out), (0, "loud logs at debug for 100ms\n"))
        deployment.wait_for("the level to fall back", lambda: level()["level"] == "info")
        self.assertNotIn("until", level())
        self.write_line(deployment, "loud", "third")
        self.assertEqual(deployment.lines("DEBUG", "third"), [])
        self.assertTrue(deployment.lines("INFO", "third"))
        self.assertEqual(deployment.stop(), 0)

    def test_s21_until_and_back_to_are_shown(self):
        deployment = self.boot(discovery())
        answer = post(
            deployment.admin, "/log-level",
            '{"service": "dmsgd", "level": "error", "expires": "1h"}',
        )  # fmt: skip
        self.assertEqual(answer.status, 200, answer)
        (level,) = answer.json
        self.assertEqual((level["level"], level["back_to"]), ("error", "info"))
        until = time.mktime(time.strptime(level["until"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        self.assertAlmostEqual(until, time.time() + 3600, delta=60)
        self.assertEqual(deployment.stop(), 0)

    def test_bad_changes_are_refused_with_a_sentence(self):
        deployment = self.boot(discovery())
        for body, status, word in (
            ("", 400, "body"),
            ("[]", 400, "body"),
            ('{"service": "dmsgd", "level": "loud"}', 400, "loud"),
            ('{"service": "dmsgd"}', 400, "level"),
            ('{"service": "dmsg", "level": "debug"}', 404, "dmsgd"),
            ('{"service": "dmsgd", "level": "debug", "expires": "soon"}', 400, "soon"),
            ('{"service": "dmsgd", "level": "debug", "expires": "-1s"}', 400, "-1s"),
            ('{"service": "dmsgd", "level": "debug", "for": "1s"}', 400, "for"),
            ('{"service": 7, "level": "debug"}', 400, "service"),
        ):
            with self.subTest(body=body):
                answer = post(deployment.admin, "/log-level", body)
                self.assertEqual(answer.status, status, answer)
                self.assertIn(word, answer.json["error"])
        done = self.run_cli("svc", "log-level", "--config", deployment.file)
        self.assertEqual(done.code, 0)
        self.assertIn("dmsgd", done.out)
        self.assertEqual(deployment.stop(), 0)

    def test_the_newest_lines_are_kept_for_each_service(self):
        deployment = self.boot(tester("a"), tester("b"), faults=True)
        self.write_line(deployment, "a", "only-in-a")
        self.assertIn("only-in-a", deployment.ask("/logs/a").text)
        self.assertNotIn("only-in-a", deployment.ask("/logs/b").text)
        lines = deployment.ask("/logs/a?format=json").json["lines"]
        self.assertTrue(any("only-in-a" in line for line in lines))
        self.assertEqual(deployment.ask("/logs/nobody").status, 404)
        self.assertEqual(deployment.stop(), 0)

    def test_lines_as_json(self):
        deployment = self.boot(
            tester("a"), supervisor={"log_format": "json"}, faults=True
        )
        # What a peer sends cannot end a line or add a member.
        self.write_line(deployment, "a", "x%22,%22level%22:%22fatal%0a%1b%5b31m")
        self.assertEqual(deployment.stop(), 0)
        lines = [json.loads(line) for line in deployment.err.splitlines()]
        self.assertGreater(len(lines), 5)
        self.assertNotIn("fatal", {line["level"] for line in lines})
        self.assertNotIn("\x1b", deployment.err)

    def test_text_lines_cannot_be_forged(self):
        deployment = self.boot(tester("a"), faults=True)
        self.write_line(deployment, "a", "x%0a2026-01-01T00:00:00Z%20ERROR%20[a]%20forged%1b[2J")
        self.assertNotIn("\n2026-01-01T00:00:00Z", deployment.err)
        self.assertNotIn("\x1b", deployment.err)
        self.assertEqual(deployment.stop(), 0)


# metrics -----------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? ([^ ]+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if match is None:
            raise ValueError(f"bad labels: {text}")
        name, value, comma = match.groups()
        if name in labels:
            raise ValueError(f"label {name} twice: {text}")
        labels[name] = value
        at = match.end()
        if comma and at == len(text):
            break
    return labels


def parse_number(text):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text.replace("Inf", "inf").lower())
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
        raise ValueError(f"bad number: {text}")
    return float(text)


def parse_metrics(text):
    """{family: (kind, [(series name, labels, value)])} of Prometheus text 0.0.4, refusing whatever
    the format does not allow."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    families, helped, current, seen = {}, set(), None, set()
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            if name in helped:
                raise ValueError(f"HELP of {name} twice")
            helped.add(name)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in families or kind not in ("counter", "gauge", "histogram"):
                raise ValueError(line)
            families[name] = (kind, [])
            current = name
            continue
        match = SAMPLE.match(line)
        if match is None:
            raise ValueError(f"no sample: {line}")
        name, labels, value = match.group(1), parse_labels(match.group(2) or ""), match.group(3)
        kind = families[current][0] if current else None
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        if name not in {current + suffix for suffix in suffixes}:
            raise ValueError(f"{line} stands under {current}")
        identity = (name, tuple(sorted(labels.items())))
        if identity in seen:
            raise ValueError(f"series twice: {line}")
        seen.add(identity)
        families[current][1].append((name, labels, parse_number(value)))
    if helped != set(families):
        raise ValueError(f"HELP without TYPE or the reverse: {helped ^ set(families)}")
    return families


def check_histogram(test, name, samples):
    series = {}
    for sample, labels, value in samples:
        rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        entry = series.setdefault(rest, {"buckets": []})
        if sample == f"{name}_bucket":
            entry["buckets"].append((parse_number(labels["le"]), value))
        else:
            entry[sample.removeprefix(name)] = value
    for rest, entry in series.items():
        bounds = [bound for bound, _ in entry["buckets"]]
        counts = [count for _, count in entry["buckets"]]
        test.assertEqual(bounds, sorted(set(bounds)), (name, rest))
        test.assertEqual(counts, sorted(counts), (name, rest))
        test.assertEqual(bounds[-1], math.inf, (name, rest))
        test.assertEqual(counts[-1], entry["_count"], (name, rest))
        test.assertIn("_sum", entry)


class Metrics(Scenario):
    PROCESS_WIDE = ("process_", "skywire_loop", "admin_", "event_loop", "loop_")

    def test_s22_valid_prometheus_text(self):
        metrics_address = free_address()
        deployment = self.boot(
            discovery(metrics_addr=metrics_address), stun(), {"type": "noop", "name": "n"}
        )
        for _ in range(3):
            deployment.get("dmsgd", "/health")
        deployment.get("dmsgd", "/dmsg-discovery/entry/zz")
        answer = deployment.ask("/metrics")
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8"
        )
        families = parse_metrics(answer.text)
        kinds = {kind for kind, _ in families.values()}
        self.assertEqual(kinds, {"counter", "gauge", "histogram"})
        services, of_services = set(), set()
        for name, (kind, samples) in families.items():
            self.assertTrue(samples, name)
            if kind == "histogram":
                check_histogram(self, name, samples)
            if kind == "counter":
                self.assertTrue(name.endswith("_total"), name)
                self.assertTrue(all(value >= 0 for _, _, value in samples), name)
            for _, labels, _ in samples:
                if "service" in labels:
                    services.add(labels["service"])
                    of_services.add(name)
                    continue
                own = name.startswith(self.PROCESS_WIDE) or labels.get("server") == "admin"
                self.assertTrue(own, f"{name}{labels} has no service label")
        self.assertEqual(services, {"dmsgd", "stun", "n"})
        for name in of_services:
            self.assertFalse(name.startswith("process_"), name)
        for name in ("skywire_service_up", "http_request_seconds", "process_open_fds"):
            self.assertIn(name, families)
        # And those of one service alone.
        own = parse_metrics(get(metrics_address, "/metrics").text)
        labels = [labels for _, samples in own.values() for _, labels, _ in samples]
        self.assertEqual({each.get("service") for each in labels}, {"dmsgd"})
        self.assertEqual(deployment.stop(), 0)

    def test_figures_agree_with_proc(self):
        deployment = self.boot(discovery())
        families = parse_metrics(deployment.ask("/metrics").text)

        def value(name):
            return families[name][1][0][2]

        status = pathlib.Path(f"/proc/{deployment.pid}/status").read_text()
        threads = int(re.search(r"Threads:\s+(\d+)", status).group(1))
        resident = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024
        self.assertEqual(value("process_threads"), threads)
        self.assertAlmostEqual(value("process_resident_memory_bytes"), resident, delta=16 << 20)
        self.assertAlmostEqual(value("process_start_time_seconds"), time.time(), delta=PATIENCE)
        self.assertEqual(deployment.stop(), 0)


class Graphs(Scenario):
    def test_s25_export_with_states_and_durations(self):
        deployment = self.boot(
            discovery("a"),
            tester("b", depends_on=["a:http"], start_delay="20ms"),
            tester("c", depends_on=[{"label": "b", "gate": "registered"}]),
            faults=True,
        )
        graph = deployment.ask("/graph").json
        services = {each["label"]: each for each in graph["services"]}
        self.assertEqual({each["state"] for each in services.values()}, {"ready"})
        self.assertGreaterEqual(services["b"]["start_took_seconds"], 0.02)
        self.assertIn("http", services["a"]["milestones"])
        edges = {(e["upstream"], e["milestone"], e["dependent"], e["gate"]) for e in graph["edges"]}
        self.assertEqual(
            edges, {("a", "http", "b", "start"), ("b", "ready", "c", "registered")}
        )
        dot = deployment.ask("/graph?format=dot")
        self.assertIn("text/vnd.graphviz", dot.headers["Content-Type"])
        self.assertEqual(self.check_dot(dot.text), {"a", "b", "c"})
        self.assertRegex(dot.text, r'"b\\nready in ')
        live = self.run_cli(
            "svc", "graph", "--live", "--config", deployment.file, faults=True
        )
        self.assertEqual(self.check_dot(live.out), {"a", "b", "c"})
        plain = self.run_cli("svc", "graph", "--config", deployment.file, faults=True)
        self.assertEqual(self.check_dot(plain.out), {"a", "b", "c"})
        self.assertEqual(deployment.ask("/graph?format=svg").status, 400)
        self.assertEqual(deployment.stop(), 0)

    def check_dot(self, text):
        """The nodes of a digraph; every line is a node, an edge or an attribute."""
        head, *body, last = text.splitlines()
        self.assertRegex(head, r"^digraph \w+ \{$")
        self.assertEqual(last, "}")
        nodes = set()
        string = r'"(?:[^"\\]|\\.)*"'
        for line in body:
            line = line.strip()
            if node := re.fullmatch(rf"({string}) \[.*\];", line):
                nodes.add(json.loads(node.group(1)))
                continue
            edge = re.fullmatch(rf"({string}) -> ({string})(?: \[.*\])?;", line)
            self.assertTrue(edge or re.fullmatch(r"\w+=\w+;|node \[.*\];", line), line)
        return nodes


class TcpAccess(Scenario):
    def boot_tcp(self, token=None):
        supervisor = {"admin_addr": free_address()}
        if token is not None:
            self.secrets.add(token)
            path = self.write("token", token + "\n")
            path.chmod(0o600)
            supervisor["admin_token_file"] = str(path)
        return self.boot(discovery(), stun(), supervisor=supervisor)

    def test_s26_changes_need_the_token(self):
        deployment = self.boot_tcp(TOKEN)
        for path, body in (
            ("/services/dmsgd/stop", ""),
            ("/services/dmsgd/restart", ""),
            ("/log-level", '{"service": "dmsgd", "level": "debug"}'),
        ):
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Bearer {TOKEN}x"},
                {"Authorization": f"Bearer {TOKEN[:-1]}"},
                {"Authorization": "Bearer "},
                {"Authorization": f"Basic {TOKEN}"},
            ):
                with self.subTest(path=path, headers=headers):
                    answer = post(deployment.admin, path, body, headers=headers)
                    self.assertEqual(answer.status, 401, answer)
                    self.assertIn("Bearer", answer.headers["WWW-Authenticate"])
                    self.assertIn("error", answer.json)
        self.assertEqual(deployment.service("dmsgd")["state"], "ready")
        self.assertEqual(deployment.service("dmsgd")["restarts"], 0)
        for path in ("/health", "/metrics", "/livez", "/readyz", "/graph", "/timeline"):
            self.assertEqual(deployment.ask(path).status, 200, path)
        right = {"Authorization": f"Bearer {TOKEN}"}
        answer = deployment.command("dmsgd", "restart", headers=right)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["restarts"], 1)
        metrics = deployment.ask("/metrics").text
        self.assertRegex(metrics, r'admin_refused_total\{reason="token_wrong"\} [1-9]')
        self.assertRegex(metrics, r'admin_refused_total\{reason="token_missing"\} [1-9]')
        self.assertEqual(deployment.stop(), 0)

    def test_s26_the_command_finds_the_token(self):
        deployment = self.boot_tcp(TOKEN)
        done = self.run_cli("svc", "restart", "stun", "--config", deployment.file)
        self.assertEqual(done.code, 0, done)
        at = ["--admin", deployment.admin]
        done = self.run_cli("svc", "restart", "stun", *at)
        self.assertEqual(done.code, 1)
        self.assertIn("Authorization", done.err)
        done = self.run_cli("svc", "restart", "stun", *at, "--token-file", self.folder / "token")
        self.assertEqual(done.code, 0, done)
        wrong = self.write("wrong", "not it")
        done = self.run_cli("svc", "restart", "stun", *at, "--token-file", wrong)
        self.assertEqual(done.code, 1)
        self.assertIn("wrong token", done.err)
        self.assertEqual(self.run_cli("svc", "status", *at).code, 0)
        self.assertEqual(deployment.stop(), 0)

    def test_s26_without_a_token_file_it_is_read_only(self):
        deployment = self.boot_tcp()
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
            answer = deployment.command("dmsgd", "restart", headers=headers)
            self.assertEqual(answer.status, 403, answer)
        answer = post(deployment.admin, "/log-level", '{"service": "dmsgd", "level": "debug"}')
        self.assertEqual(answer.status, 403)
        self.assertEqual(deployment.ask("/health").status, 200)
        self.assertEqual(deployment.ask("/metrics").status, 200)
        self.assertEqual(deployment.service("dmsgd")["restarts"], 0)
        self.assertEqual(deployment.stop(), 0)

    def test_the_unix_socket_is_guarded_by_its_mode(self):
        deployment = self.boot(discovery())
        path = pathlib.Path(deployment.admin.removeprefix("unix:"))
        self.assertTrue(path.is_socket())
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(deployment.command("dmsgd", "restart").status, 200)
        self.assertEqual(deployment.stop(), 0)


class Surface(Scenario):
    def test_everything_in_the_list_answers(self):
        deployment = self.boot(discovery(), stun())
        for endpoint in deployment.ask("/").json:
            if endpoint["method"] != "GET" or "profile" in endpoint["path"]:
                continue
            with self.subTest(path=endpoint["path"]):
                answer = deployment.ask(endpoint["path"].replace("{name}", "dmsgd"))
                # A heap profile exists only where sampling was switched on at the start.
                wanted = 501 if endpoint["path"].endswith("heap") else 200
                self.assertEqual(answer.status, wanted, answer)
        self.assertEqual(deployment.ask("/nothing").status, 404)
        self.assertEqual(post(deployment.admin, "/health").status, 405)
        self.assertEqual(deployment.ask("/services/nobody").status, 404)
        self.assertEqual(deployment.ask("/timeline?after=x").status, 400)
        self.assertEqual(deployment.ask("/debug/pprof/profile?seconds=0").status, 400)
        self.assertEqual(deployment.stop(), 0)

    @unittest.skipIf(SANITIZED, "a build with sanitizers has no profiler")
    def test_a_heap_profile_without_sampling_says_how_to_get_one(self):
        deployment = self.boot(discovery())
        answer = deployment.ask("/debug/pprof/heap")
        self.assertEqual(answer.status, 501)
        self.assertIn("TCMALLOC_SAMPLE_PARAMETER", answer.json["error"])
        self.assertEqual(deployment.stop(), 0)

    def check_opens(self, profile):
        """Where google-pprof is installed, it must be able to read the profile."""
        tool = shutil.which("google-pprof")
        if tool is None:
            return
        path = self.write("profile", profile)
        done = subprocess.run(
            [tool, "--raw", program(), path], capture_output=True, timeout=PATIENCE, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"--- symbol", done.stdout)

    @unittest.skipIf(SANITIZED, "a build with sanitizers has no profiler")
    def test_a_heap_profile(self):
        deployment = self.prepare(
            discovery(), environment={"TCMALLOC_SAMPLE_PARAMETER": "4096"}
        )
        deployment.start().wait_ready()
        answer = deployment.ask("/debug/pprof/heap", timeout=PATIENCE)
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.body.startswith(b"heap profile: "), answer)
        self.assertIn(b"MAPPED_LIBRARIES:", answer.body)
        self.assertEqual(deployment.stop(), 0)

    @unittest.skipIf(SANITIZED, "a build with sanitizers has no profiler")
    def test_a_cpu_profile(self):
        deployment = self.boot(discovery())
        answer = deployment.ask("/debug/pprof/profile?seconds=1", timeout=PATIENCE)
        self.assertEqual(answer.status, 200, answer)
        # The header of gperftools' format: 0, 3, 0, sampling period, 0 in machine words.
        words = [int.from_bytes(answer.body[at : at + 8], "little") for at in range(0, 40, 8)]
        self.assertEqual((words[0], words[1], words[2], words[4]), (0, 3, 0, 0))
        self.assertGreater(words[3], 0)
        self.assertIn(b"skywire", answer.body)
        self.check_opens(answer.body)
        self.assertEqual(deployment.stop(), 0)

    def test_status_for_people_and_machines(self):
        deployment = self.boot(discovery(), stun())
        done = self.run_cli("svc", "status", "--config", deployment.file)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.out, r"(?m)^dmsgd +dmsg-discovery +ready ")
        self.assertRegex(done.out, r"(?m)^stun +stun-server +ready ")
        done = self.run_cli("svc", "status", "--json", "--config", deployment.file)
        self.assertEqual(done.code, 0)
        health = json.loads(done.out)
        self.assertEqual((health["status"], health["ready"]), ("ready", True))
        self.assertEqual([each["label"] for each in health["services"]], ["dmsgd", "stun"])
        self.assertEqual(deployment.stop(), 0)

    def test_secrets_are_in_no_answer(self):
        secret = KEYS["dmsgd"][0]
        deployment = self.boot(
            discovery(secret_key=secret, auth_passphrase="open sesame please"), stun()
        )
        for level in ("trace",):
            for scope in ("dmsgd", "stun"):
                body = json.dumps({"service": scope, "level": level})
                self.assertEqual(post(deployment.admin, "/log-level", body).status, 200)
        deployment.get("dmsgd", "/health")
        for path in ("/", "/health", "/services", "/services/dmsgd", "/graph", "/graph?format=dot",
                     "/timeline", "/metrics", "/log-level", "/logs/dmsgd", "/logs/process",
                     "/debug/pprof/cmdline"):  # fmt: skip
            answer = deployment.ask(path)
            self.assertEqual(answer.status, 200, path)
            for text in (secret, secret.upper(), "open sesame please"):
                self.assertNotIn(text, answer.text, path)
        self.run_cli("svc", "list", "--config", deployment.file)
        self.run_cli("svc", "graph", "--config", deployment.file)
        self.run_cli("svc", "check", "--json", deployment.file)
        self.assertEqual(deployment.stop(), 0)

    def test_garbage_at_the_unix_socket(self):
        deployment = self.boot(discovery())
        for garbage in (
            b"\x00" * 100,
            b"GET\r\n\r\n",
            b"\xff\xfe" * 5000,
            b"PRI * HTTP/2.0\r\n\r\n",
        ):
            with dial(deployment.admin) as peer:
                peer.sendall(garbage)
                peer.shutdown(1)
                answer = read_to_end(peer)
                self.assertTrue(answer == b"" or b" 400 " in answer or b" 431 " in answer, answer)
        self.assertEqual(deployment.ask("/livez").status, 200)
        self.assertEqual(deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
