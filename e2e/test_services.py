"""The services together, in any form: D05 to D07, D09, D11, D13, and S01, S08, S09, S10, S15 with all
of them. Visors are signed requests here; those that speak dmsg and UDP play in
services/address_resolver/sudph_test.cpp (D08) and services/setup_node/setup_node_test.cpp (D10)."""

import json
import unittest
import uuid

from clients import PUBLIC, Visor, transport
from forms import WITH_ADDRESS, FormScenario
from skywire_process import KEYS, Scenario, dial, request

KEYED = ("dmsgd", "tpd", "sd", "ar", "rf", "sn", "tps")
# Of those the ones that say so over HTTP.
WITH_SESSION = ("dmsgd", "tpd", "sd", "ar", "rf", "tps")


class Nine(FormScenario):
    def boot_nine(self):
        """With visors that nobody has seen before."""
        deployment = self.up(shared=True)
        self.a, self.b, self.c = (Visor(deployment, f"visor {name} of {self.id()}") for name in "abc")
        self.own = {visor.public for visor in (self.a, self.b, self.c)}
        return deployment

    def listed(self, deployment):
        """The transports of these visors among all."""
        found = deployment.get("tpd", "/all-transports").json or []
        return [each for each in found if self.own & set(each["edges"])]

    def routes(self, deployment, source, target, **options):
        body = {
            "Edges": [f"{source.public}:{target.public}"],
            "Opts": {"MinHops": 0, "MaxHops": 50, **options},
        }
        return deployment.post("rf", "/routes", json.dumps(body))

    def wait_routes(self, deployment, source, target, status):
        """The route-finder hears of a change soon after it."""

        def look():
            answer = self.routes(deployment, source, target)
            return answer if answer.status == status else None

        return deployment.wait_for(f"{status} for the route", look)


class Types(Scenario):
    def test_s01_the_nine_types_are_there(self):
        listed = self.run_cli("svc", "list").out.splitlines()
        self.assertEqual(listed[0], "registered service types:")
        types = [line.strip() for line in listed[1:]]
        self.assertEqual(types, sorted(types))
        self.assertLessEqual(
            {
                "address-resolver",
                "config-bootstrapper",
                "dmsg-discovery",
                "dmsg-server",
                "noop",
                "route-finder",
                "service-discovery",
                "setup-node",
                "stun-server",
                "transport-discovery",
                "transport-setup",
            },
            set(types),
        )


class Together(Nine):
    def test_s08_each_says_how_it_is_and_where_on_dmsg(self):
        deployment = self.boot_nine()
        for label in WITH_ADDRESS:
            answer = deployment.get(label, "/health")
            self.assertEqual(answer.status, 200, label)
            if label == "dmsgs":
                continue
            health = answer.json
            block = deployment.block(label)
            self.assertEqual(
                list(health)[:4], ["service_name", "build_info", "started_at", "dmsg_address"]
            )
            self.assertEqual(health["service_name"], block["type"])
            if label == "conf":  # without a key it is not on dmsg
                continue
            self.assertEqual(health["dmsg_address"], f"{KEYS[label][1]}:80")
            self.assertEqual(health["dmsg_servers"], [KEYS["dmsgs"][1]])
        self.assertEqual(
            deployment.get("ar", "/health").json["udp_address"], deployment.udp_address("ar")
        )

    def test_d13_each_serves_its_health_over_dmsg(self):
        deployment = self.boot_nine()
        for label in KEYED:
            url = f"dmsg://{KEYS[label][1]}:80/health"
            done = self.run_cli("dmsg", "curl", *deployment.disc(), url)
            self.assertEqual(done.code, 0, done)
            self.assertEqual(json.loads(done.out)["dmsg_address"], f"{KEYS[label][1]}:80")

    def test_s09_all_of_them_stop(self):
        deployment = self.boot_nine()
        self.assertEqual(deployment.stop(), 0)
        for label in WITH_ADDRESS:
            self.assertFalse(deployment.listens(label), label)
        for label in deployment.block_labels():
            self.assertTrue(deployment.lines(label, "shutdown.done", "unstopped=0"), label)
            self.assertFalse(deployment.lines(label, "ERROR"), deployment.logs(label))

    def test_s10_requests_under_way_are_answered(self):
        deployment = self.boot_nine()
        under_way = {
            "dmsgd": "/dmsg-discovery/entry/",
            "tpd": "/transports/",
            "sd": "/api/services",
            "ar": "/bind/stcpr",
            "rf": "/routes",
            "tps": "/add",
        }
        waiting = {}
        for label, path in under_way.items():
            waiting[label] = dial(deployment.address(label))
            self.addCleanup(waiting[label].close)
            waiting[label].sendall(
                f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[".encode()
            )
        for label in under_way:
            # Its loop has seen those bytes once it has answered two requests that came after them.
            for _ in range(2):
                self.assertEqual(deployment.get(label, "/health").status, 200)
        deployment.terminate()

        def next_closed():
            return next((each for each in waiting if not deployment.listens(each)), None)

        while waiting:
            label = deployment.wait_for("the next listener to close", next_closed)
            peer = waiting.pop(label)
            peer.sendall(b"]")
            answer = peer.recv(65536)
            self.assertRegex(answer, rb"^HTTP/1.1 [245]\d\d ", label)
        self.assertEqual(deployment.wait_exit(), 0)

    def test_s15_a_restart_of_the_server_leaves_the_data(self):
        deployment = self.boot_nine()
        entry = transport(self.a.public, self.b.public)
        self.assertEqual(self.a.register(entry).status, 201)
        began = deployment.last_event("dmsgs")
        self.assertEqual(deployment.command("dmsgs", "restart").status, 200)
        deployment.wait_event("dmsgs", "milestone", "registered", after=began)
        got = self.b.ask("tpd", "GET", f"/transports/id:{entry['t_id']}")
        self.assertEqual(got.json["t_id"], entry["t_id"])

        for label in WITH_SESSION:
            found = deployment.wait_for(
                f"the session of {label}",
                lambda label=label: deployment.get(label, "/health").json.get("dmsg_servers"),
            )
            self.assertEqual(found, [KEYS["dmsgs"][1]])
        deployment.settled()


class Transports(Nine):
    def test_d05_a_transport_is_there_until_an_edge_deletes_it(self):
        deployment = self.boot_nine()
        for owner in (self.a, self.b):
            entry = transport(self.a.public, self.b.public)
            answer = self.a.register(entry)
            self.assertEqual(answer.status, 201)
            self.assertEqual([each["entry"] for each in answer.json], [entry])
            path = f"/transports/id:{entry['t_id']}"
            self.assertEqual(self.c.ask("tpd", "GET", path).json, entry)
            for edge in (self.a, self.b):
                found = self.c.ask("tpd", "GET", f"/transports/edge:{edge.public}").json
                self.assertEqual(found, [entry])
            self.assertEqual(self.listed(deployment), [entry])
            refused = self.c.ask("tpd", "DELETE", path)
            self.assertEqual(refused.status, 400)
            deleted = owner.ask("tpd", "DELETE", path)
            self.assertEqual((deleted.status, deleted.text), (200, "transport deleted"))
            self.assertEqual(self.c.ask("tpd", "GET", path).status, 404)
        self.assertEqual(self.listed(deployment), [])

    def test_d05_a_bare_entry_of_2026(self):
        deployment = self.boot_nine()
        entry = transport(self.a.public, self.b.public)
        other = transport(self.b.public, self.c.public)
        answer = self.a.ask(
            "tpd", "POST", "/v3/transports/", [entry, other], {"SW-Visor-Version": "v1.3.50"}
        )
        self.assertEqual(answer.status, 201)
        found = deployment.get("tpd", f"/v3/transports/edge:{self.b.public}").json
        self.assertEqual([each["t_id"] for each in found], [entry["t_id"]])

    def test_what_is_forged_or_replayed_changes_nothing(self):
        deployment = self.boot_nine()
        entry = transport(self.a.public, self.b.public)
        stranger = self.c.register(entry)
        self.assertEqual((stranger.status, stranger.json), (201, []))
        wrong = dict(entry, t_id=str(uuid.UUID(int=7)))
        self.assertEqual(self.a.register(wrong).json, [])
        unsigned = request(deployment.address("tpd"), "POST", "/transports/", "[]")
        self.assertEqual(unsigned.status, 401)
        self.assertEqual(unsigned.json, {"error": {"message": "SW-Public missing", "code": 401}})
        # A nonce that was used.
        self.assertEqual(
            self.a.ask("tpd", "GET", f"/transports/edge:{self.a.public}").status, 404
        )
        self.assertEqual(self.a.ask("tpd", "GET", "/v4/update?version=x").status, 200)
        self.a.nonces["tpd"] -= 1
        again = self.a.ask("tpd", "GET", "/v4/update?version=x")
        self.assertEqual(again.status, 401)
        self.assertEqual(again.json["error"]["message"], "SW-Nonce does not match")
        self.assertEqual(self.listed(deployment), [])

    def test_d06_a_route_over_the_middle_until_its_transport_goes(self):
        deployment = self.boot_nine()
        first = transport(self.a.public, self.b.public)
        second = transport(self.b.public, self.c.public, "sudph")
        self.assertEqual(self.a.register(first).status, 201)
        self.assertEqual(self.c.register(second).status, 201)
        answer = self.wait_routes(deployment, self.a, self.c, 200)
        (routes,) = answer.json.values()
        self.assertEqual(
            routes,
            [
                [
                    {"TpID": first["t_id"], "From": self.a.public, "To": self.b.public},
                    {"TpID": second["t_id"], "From": self.b.public, "To": self.c.public},
                ]
            ],
        )
        self.assertEqual(
            self.c.ask("tpd", "DELETE", f"/transports/id:{second['t_id']}").status, 200
        )
        answer = self.wait_routes(deployment, self.a, self.c, 404)
        self.assertEqual(answer.json["error"]["code"], 404)


class Addresses(Nine):
    def test_d07_bound_resolved_unbound(self):
        deployment = self.boot_nine()
        body = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        bound = self.a.ask("ar", "POST", "/bind/stcpr", body, PUBLIC)
        self.assertEqual((bound.status, bound.text), (200, ""))
        path = f"/resolve/stcpr/{self.a.public}"
        found = self.b.ask("ar", "GET", path)
        self.assertEqual(found.json["remote_addr"], "203.0.113.9")
        self.assertEqual(found.json["port"], "7777")
        self.assertIn(self.a.public, deployment.get("ar", "/transports").json["stcpr"])
        self.assertEqual(self.a.ask("ar", "DELETE", "/bind/stcpr", "{}\n").status, 200)
        self.assertEqual(self.b.ask("ar", "GET", path).status, 404)

    def test_an_address_that_is_not_the_callers_is_refused(self):
        self.boot_nine()
        body = '{"port":"7777","addresses":["203.0.113.9"]}\n'
        private = self.a.ask("ar", "POST", "/bind/stcpr", body)
        self.assertEqual(private.status, 400)
        self.assertIn("Cannot bind", private.text)
        self.assertEqual(self.b.ask("ar", "GET", f"/resolve/stcpr/{self.a.public}").status, 404)


class Services(Nine):
    def test_d09_registered_listed_by_type_deleted(self):
        deployment = self.boot_nine()
        for kind in ("vpn", "skysocks"):
            entry = {"address": f"{self.a.public}:44", "type": kind, "version": "v1.3.29"}
            posted = self.a.ask("sd", "POST", "/api/services", entry)
            self.assertEqual(posted.status, 200, posted)
        visor = {
            "address": f"{self.b.public}:0",
            "type": "visor",
            "geo": {"lat": 1.5, "lon": 2.5, "country": "XX", "region": "YY"},
            "version": "v1.3.29",
            "local_ips": ["203.0.113.9"],
        }
        posted = self.b.ask("sd", "POST", "/api/services", visor, PUBLIC)
        self.assertEqual(posted.status, 200, posted)

        def listed(kind):
            found = deployment.get("sd", f"/api/services?type={kind}").json
            keys = [each["address"].split(":")[0] for each in found or []]
            return [key for key in keys if key in self.own]

        self.assertEqual(listed("vpn"), [self.a.public])
        self.assertEqual(listed("skysocks"), [self.a.public])
        self.assertEqual(listed("proxy"), [self.a.public])
        self.assertEqual(listed("visor"), [self.b.public])
        path = f"/api/services/{self.a.public}:44?type=vpn"
        self.assertEqual(self.b.ask("sd", "DELETE", path).status, 403)
        self.assertEqual(self.a.ask("sd", "DELETE", path).status, 200)
        self.assertEqual(listed("vpn"), [])
        self.assertEqual(listed("skysocks"), [self.a.public])


class Setup(Nine):
    def test_d11_a_visor_that_cannot_be_reached_is_an_error(self):
        deployment = self.boot_nine()
        body = json.dumps({"from": self.a.public, "to": self.b.public, "type": "stcp"})
        answer = deployment.post("tps", "/add", body, timeout=60)
        self.assertEqual(answer.status, 500)
        self.assertTrue(answer.json["error"].startswith("error dialing remote visor"), answer)
        missing = deployment.post("tps", "/add", '{"from":"%s"}' % self.a.public)
        self.assertEqual(missing.status, 400)


if __name__ == "__main__":
    unittest.main()
