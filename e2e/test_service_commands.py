"""Commands that ask the services of a running deployment, in any form: `svc health`, `svc conf`,
`cli tp|route|sd|ar|dmsgd`; what each prints, and how it fails."""

import json
import unittest

from clients import PUBLIC, Visor, transport
from entries import Key
from forms import WITH_ADDRESS, FormScenario
from skywire_process import KEYS

ON_DMSG = ("dmsgd", "tpd", "sd", "ar", "rf", "sn", "tps")
NOBODY = Key(seed="nobody").public


class Commands(FormScenario):
    """One deployment per test; `ask` runs a command beside it."""

    def setUp(self):
        super().setUp()
        self.deployment = self.up()
        self.a, self.b, self.c = (
            Visor(self.deployment, f"visor {name} of the commands") for name in "abc"
        )

    def ask(self, *words, config=True):
        options = ["--config", self.deployment.file] if config else []
        return self.run_cli(*words, *options)

    def over_dmsg(self, *words):
        """The same, asked by the service's key."""
        return self.run_cli(*words, "--dmsg", "--config", self.deployment.file)

    def assertDone(self, done):
        self.assertEqual((done.code, done.err), (0, ""), done)
        return done.out

    def assertFailed(self, done, code=1, *words):
        """Nothing on standard output, one line on the other, with all these words."""
        self.assertEqual((done.code, done.out), (code, ""), done)
        lines = done.err.splitlines()
        if code == 1:
            self.assertEqual(len(lines), 1, done)
        for word in words:
            self.assertIn(word, done.err)

    def rows(self, done):
        """Of a table, without its head."""
        return [line.split() for line in self.assertDone(done).splitlines()[1:]]


class Health(Commands):
    def test_green(self):
        done = self.deployment.health()
        head, *lines = self.assertDone(done).splitlines()
        self.assertEqual(head.split()[:4], ["SERVICE", "TYPE", "STATUS", "LATENCY"])
        rows = {line.split()[0]: line.split() for line in lines}
        self.assertEqual(list(rows), self.deployment.block_labels())
        for label, row in rows.items():
            self.assertEqual(row[1], self.deployment.block(label)["type"])
            self.assertEqual(row[2], "ok", row)
            if label in ON_DMSG:
                self.assertIn(KEYS[label][1], row)
        listed = json.loads(self.assertDone(self.deployment.health("--json")))
        by_label = {each["service"]: each for each in listed}
        self.assertEqual(by_label["tpd"]["status"], "ok")
        self.assertEqual(by_label["sd"]["public_key"], KEYS["sd"][1])

    def test_green_over_dmsg(self):
        listed = json.loads(self.assertDone(self.deployment.health("--dmsg", "--json")))
        by_label = {each["service"]: each for each in listed}
        for label in ON_DMSG:
            self.assertEqual(by_label[label]["status"], "ok", by_label[label])
            self.assertEqual(by_label[label]["address"], f"{KEYS[label][1]}:80")
        # Those have no port 80 on dmsg.
        self.assertEqual(by_label["dmsgs"]["status"], "ok")
        self.assertEqual(by_label["stun"]["status"], "ok")

    def test_red_names_the_one_that_does_not_answer(self):
        self.assertEqual(self.deployment.command("sd", "stop").status, 200)
        done = self.deployment.health()
        self.assertEqual((done.code, done.err), (1, ""), done)
        rows = {line.split()[0]: line.split() for line in done.out.splitlines()[1:]}
        self.assertEqual(rows["sd"][2], "fail")
        self.assertTrue(rows["sd"][-1], done)
        for label in WITH_ADDRESS:
            if label != "sd":
                self.assertEqual(rows[label][2], "ok", done)
        listed = json.loads(self.deployment.health("--json").out)
        (dead,) = [each for each in listed if each["status"] == "fail"]
        self.assertEqual(dead["service"], "sd")
        self.assertTrue(dead["error"])
        # Only some are asked.
        self.assertEqual(self.deployment.health("--only", "tpd,ar").code, 0)
        self.assertEqual(self.deployment.health("--only", "tpd,sd").code, 1)
        # Over dmsg it does not answer either.
        done = self.deployment.health("--dmsg", "--only", "sd", "--timeout", "3s")
        self.assertEqual(done.code, 1, done)
        self.assertIn("fail", done.out)
        self.assertEqual(self.deployment.command("sd", "start").status, 200)
        self.deployment.wait_running("sd")
        self.deployment.wait_for("green again", lambda: self.deployment.health().code == 0)

    def test_nothing_to_ask(self):
        self.deployment.down()
        done = self.deployment.health("--timeout", "2s")
        self.assertEqual((done.code, done.err), (1, ""), done)
        rows = {line.split()[0]: line.split() for line in done.out.splitlines()[1:]}
        for label in self.deployment.block_labels():
            self.assertEqual(rows[label][2], "fail", done)
        self.assertEqual(self.deployment.health("--dmsg", "--timeout", "2s").code, 1)

    def test_wrong_input(self):
        self.assertFailed(self.run_cli("svc", "health"), 2, "--config")
        self.assertFailed(self.deployment.health("--only", "nobody"), 2, "nobody")
        self.assertFailed(self.run_cli("svc", "health", "--config", "/nonexistent"), 1)
        broken = self.write("broken.json", "{")
        self.assertFailed(self.run_cli("svc", "health", "--config", broken), 1, "broken.json:1")


class Conf(Commands):
    def test_it_says_what_the_bootstrapper_says(self):
        made = json.loads(self.assertDone(self.ask("svc", "conf")))
        self.assertEqual(list(made), ["prod", "test"])
        self.assertEqual(made["prod"], made["test"])
        served = self.deployment.get("conf", "/").json
        for member, value in served.items():
            if not self.deployment.apart or member in ("route_setup_nodes", "transport_setup"):
                self.assertEqual(made["prod"].get(member), value, member)
        self.assertEqual(made["prod"]["route_setup_nodes"], [KEYS["sn"][1]])
        self.assertEqual(made["prod"]["transport_setup"], [KEYS["tps"][1]])
        only = json.loads(self.assertDone(self.ask("svc", "conf", "dmsghttp")))["prod"]
        self.assertEqual(only["transport_discovery_dmsg"], f"dmsg://{KEYS['tpd'][1]}:80")
        self.assertNotIn("transport_discovery", only)
        only = json.loads(self.assertDone(self.ask("svc", "conf", "http")))["prod"]
        self.assertEqual(
            only["transport_discovery"], f"http://{self.deployment.address('tpd')}", only
        )

    def test_wrong_input(self):
        self.assertFailed(self.ask("svc", "conf", "ftp"), 2)
        gone = self.run_cli("svc", "conf", "--config", "/nonexistent")
        self.assertEqual((gone.code, gone.out), (1, ""), gone)
        self.assertIn("/nonexistent: error: cannot open the file", gone.err)


class Transports(Commands):
    def setUp(self):
        super().setUp()
        self.first = transport(self.a.public, self.b.public)
        self.second = transport(self.b.public, self.c.public, "sudph")
        for entry in (self.first, self.second):
            self.assertEqual(self.b.register(entry).status, 201)

    def test_tree(self):
        out = self.assertDone(self.ask("cli", "tp", "tree"))
        visors = [line for line in out.splitlines() if line[0] not in "├└"]
        self.assertEqual(visors, sorted([self.a.public, self.b.public, self.c.public]))
        self.assertEqual(out.count(self.first["t_id"]), 2)
        self.assertEqual(self.assertDone(self.over_dmsg("cli", "tp", "tree")), out)
        alone = self.assertDone(self.ask("cli", "tp", "tree", self.a.public))
        self.assertEqual(alone.splitlines()[0], self.a.public)
        self.assertEqual(len(alone.splitlines()), 2, alone)
        raw = self.assertDone(self.ask("cli", "tp", "tree", "--json"))
        self.assertEqual(len(json.loads(raw)), 2)
        self.assertEqual(self.assertDone(self.ask("cli", "tp", "tree", NOBODY)), "")

    def test_by_key(self):
        rows = self.rows(self.ask("cli", "tp", "key", self.a.public))
        self.assertEqual([row[:3] for row in rows], [[self.first["t_id"], "stcp", "user"]])
        rows = self.rows(self.over_dmsg("cli", "tp", "key", self.b.public))
        self.assertEqual(
            {row[0] for row in rows}, {self.first["t_id"], self.second["t_id"]}
        )
        self.assertFailed(self.ask("cli", "tp", "key", NOBODY), 1, "404")

    def test_by_id(self):
        rows = self.rows(self.ask("cli", "tp", "id", self.second["t_id"]))
        self.assertEqual(rows, [[self.second["t_id"], "sudph", "user", *self.second["edges"]]])
        raw = json.loads(self.assertDone(self.ask("cli", "tp", "id", self.first["t_id"], "--json")))
        self.assertEqual(raw, self.first)
        unknown = "00000000-0000-0000-0000-000000000007"
        self.assertFailed(self.ask("cli", "tp", "id", unknown), 1, "404")

    def test_routes(self):
        def look():
            done = self.ask("cli", "route", "find", self.a.public, self.c.public)
            return done if done.code == 0 else None

        out = self.assertDone(self.deployment.wait_for("the route", look))
        self.assertIn("route 1, 2 hops", out)
        hops = [line.strip() for line in out.splitlines() if " by " in line]
        self.assertEqual(
            hops,
            [
                f"{self.a.public} -> {self.b.public} by {self.first['t_id']}",
                f"{self.b.public} -> {self.c.public} by {self.second['t_id']}",
            ],
        )
        both = self.ask("cli", "route", "find", "--both", self.a.public, self.c.public)
        self.assertEqual(self.assertDone(both).count("route 1, 2 hops"), 2)
        self.assertEqual(
            self.assertDone(
                self.over_dmsg("cli", "route", "find", self.a.public, self.c.public)
            ),
            out,
        )
        self.assertFailed(self.ask("cli", "route", "find", self.a.public, NOBODY), 1, "404")
        short = self.ask("cli", "route", "find", "--max", "1", self.a.public, self.c.public)
        self.assertFailed(short, 1, "404")

    def test_wrong_input(self):
        for words in (
            ("cli", "tp", "tree", "nonsense"),
            ("cli", "tp", "key"),
            ("cli", "tp", "key", "02"),
            ("cli", "tp", "key", "0" * 66),
            ("cli", "tp", "id", "not an id!"),
            ("cli", "route", "find", self.a.public),
            ("cli", "route", "find", self.a.public, "zz"),
            ("cli", "route", "find", "--max", "70000", self.a.public, self.c.public),
            ("cli", "route", "find", "--routes", "0", self.a.public, self.c.public),
        ):
            self.assertFailed(self.ask(*words), 2)
        self.assertFailed(self.ask("cli", "tp", "id", "7"), 1, "400")
        self.assertFailed(
            self.run_cli("cli", "tp", "tree", "--url", "ftp://x"), 2
        )

    def test_a_service_that_is_gone(self):
        for label in ("tpd", "rf"):
            self.assertEqual(self.deployment.command(label, "stop").status, 200)
        for words in (
            ("cli", "tp", "tree"),
            ("cli", "tp", "key", self.a.public),
            ("cli", "tp", "id", self.first["t_id"]),
            ("cli", "route", "find", self.a.public, self.c.public),
        ):
            self.assertFailed(self.ask(*words), 1)
        self.assertFailed(self.over_dmsg("cli", "tp", "tree", "--timeout", "3s"), 1)


class Offers(Commands):
    def offers(self, *words, source=""):
        """Of a list of services, whose source stands on standard error; None where it is another one."""
        done = self.run_cli("cli", "sd", *words, "--config", self.deployment.file)
        self.assertEqual((done.code, len(done.err.splitlines())), (0, 1), done)
        if not done.err.startswith(source):
            return None
        return [line.split() for line in done.out.splitlines()[1:]]

    def test_services_by_type(self):
        for kind, port in (("vpn", 44), ("skysocks", 3)):
            entry = {"address": f"{self.a.public}:{port}", "type": kind, "version": "v1.3.29"}
            self.assertEqual(self.a.ask("sd", "POST", "/api/services", entry).status, 200)
        visor = {
            "address": f"{self.b.public}:0",
            "type": "visor",
            "geo": {"lat": 1.5, "lon": 2.5, "country": "XX", "region": "YY"},
            "version": "v1.3.30",
            "local_ips": ["203.0.113.9"],
        }
        self.assertEqual(self.b.ask("sd", "POST", "/api/services", visor, PUBLIC).status, 200)
        # The feed has it soon after; over HTTP it comes where the feed takes long.
        self.deployment.wait_for("the last offer", lambda: self.offers("visor", source="from dmsg://"))
        self.assertEqual(self.offers("vpn")[0][:2], [f"{self.a.public}:44", "v1.3.29"])
        self.assertEqual(self.offers("proxy")[0][:2], [f"{self.a.public}:3", "v1.3.29"])
        for way in ((), ("--http",), ("--dmsg",)):
            self.assertEqual(
                self.offers("visor", *way), [[f"{self.b.public}:0", "v1.3.30", "XX", "YY"]]
            )
            self.assertEqual(self.offers("visor", "--country", "ZZ", *way), [])
            self.assertEqual(len(self.offers("visor", "--country", "XX", *way)), 1)
        self.assertEqual(len(self.offers("vpn", "--count", "1")), 1)
        raw = json.loads(self.ask("cli", "sd", "visor", "--json").out)
        self.assertEqual(raw[0]["geo"]["region"], "YY")

    def test_addresses(self):
        body = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        self.assertEqual(self.a.ask("ar", "POST", "/bind/stcpr", body, PUBLIC).status, 200)
        out = self.assertDone(self.ask("cli", "ar", "resolve", "stcpr", self.a.public))
        shown = dict(line.split(None, 1) for line in out.splitlines())
        self.assertEqual((shown["remote_addr"], shown["port"]), ("203.0.113.9", "7777"))
        self.assertEqual(
            self.assertDone(self.over_dmsg("cli", "ar", "resolve", "stcpr", self.a.public)), out
        )
        self.assertEqual(self.rows(self.ask("cli", "ar", "list")), [["stcpr", self.a.public]])
        self.assertFailed(self.ask("cli", "ar", "resolve", "sudph", self.a.public), 1, "sudph")
        self.assertFailed(self.ask("cli", "ar", "resolve", "stcpr", NOBODY), 1, "stcpr")

    def test_the_discovery(self):
        (server,) = self.rows(self.ask("cli", "dmsgd", "servers"))
        self.assertEqual(server[:2], [KEYS["dmsgs"][1], self.deployment.dmsg_address()])

        def everybody():
            """Ready is who has a session; its entry is written soon after."""
            clients = self.assertDone(self.ask("cli", "dmsgd", "clients")).split()
            return clients if {KEYS[label][1] for label in ON_DMSG} <= set(clients) else None

        clients = self.deployment.wait_for("everybody's entry", everybody)
        listed = self.deployment.get("dmsgd", "/dmsg-discovery/entries").json
        self.assertLessEqual(set(clients), set(listed))
        none = self.ask("cli", "dmsgd", "visors")
        self.assertEqual((none.code, none.out), (0, ""), none)
        self.assertEqual(none.err, "no visors are registered\n")
        entry = json.loads(self.assertDone(self.ask("cli", "dmsgd", "entry", KEYS["dmsgs"][1])))
        self.assertEqual(entry["static"], KEYS["dmsgs"][1])
        self.assertFailed(self.ask("cli", "dmsgd", "entry", NOBODY), 1, "404")

    def test_wrong_input(self):
        for words in (
            ("cli", "sd"),
            ("cli", "sd", "bread"),
            ("cli", "sd", "vpn", "--count", "0"),
            ("cli", "ar", "resolve", "stcpr"),
            ("cli", "ar", "resolve", "quic", self.a.public),
            ("cli", "ar", "resolve", "stcpr", "xy"),
            ("cli", "dmsgd", "entry", "xy"),
            ("cli", "dmsgd"),
        ):
            self.assertFailed(self.ask(*words) if len(words) > 2 else self.run_cli(*words), 2)
        self.assertIn('"xy": ', self.ask("cli", "dmsgd", "entry", "xy").err)

    def test_services_that_are_gone(self):
        for label in ("sd", "ar", "dmsgd"):
            self.assertEqual(self.deployment.command(label, "stop").status, 200)
        for words in (
            ("cli", "sd", "vpn"),
            ("cli", "ar", "resolve", "stcpr", self.a.public),
            ("cli", "ar", "list"),
            ("cli", "dmsgd", "servers"),
            ("cli", "dmsgd", "entry", self.a.public),
        ):
            self.assertFailed(self.ask(*words), 1)


if __name__ == "__main__":
    unittest.main()
