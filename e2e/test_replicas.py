"""Two replicas of transport-discovery, service-discovery and route-finder on one Redis behind one name,
two dmsg-servers that know one another, and all of it restarted, one after the other, while clients go
on. A name is a list of addresses here, which clients try in turn; where the connection is refused they
try once more."""

import collections
import time
import unittest

from clients import SERVER, DmsgClients, Visor, transport
from entries import Key
from forms import LABELS, SECOND_SERVER, FormScenario
from open_load import Dials, OpenLoad
from skywire_process import SANITIZED

TWICE = ("tpd", "sd", "rf", "dmsgs")
# Operations of each kind in a second; how many of them must at least have been begun for the machine
# to have been fast enough for the test to mean something.
RATE = 100
RATE_AT_LEAST = 90
# On a machine that others use, too, it has as many tries.
ROUNDS = 3
# Streams held all the time.
HELD = 8
# What is promised to operators, seconds: how long one of a single service is missed; until a broken
# stream is dialled again.
MISSED = 2.0
DIALLED_AGAIN = 10.0
# Of what there is one of.
SINGLE = {"ar write": "ar", "ar read": "ar", "dmsgd write": "dmsgd", "dmsgd read": "dmsgd"}
# Nobody is there; or it says that it cannot. A container that is gone has no address.
GONE = ("refused", "unreachable", "503")


class Seen:
    """A deployment as seen through one replica."""

    def __init__(self, deployment, number):
        self._deployment = deployment
        self._number = number

    def request(self, label, *args, **more):
        return self._deployment.request(f"{label}{self._number}", *args, **more)

    def get(self, label, path):
        return self._deployment.get(f"{label}{self._number}", path)


class Replicas(FormScenario):
    def setUp(self):
        super().setUp()
        self.deployment = self.up(replicas=TWICE, shared=True)
        self.sides = [Seen(self.deployment, number) for number in ("", "2")]

    def both(self, seed):
        """One key of this test, as it speaks to the one and to the other replica."""
        return [Visor(side, f"{seed} of {self.id()}") for side in self.sides]

    def test_what_one_transport_discovery_took_the_other_lists_next(self):
        for here, there in ((0, 1), (1, 0)):
            a, b = self.both(f"a {here}"), self.both(f"b {here}")
            entry = transport(a[here].public, b[here].public)
            self.assertEqual(a[here].register(entry).status, 201)
            listed = self.sides[there].get("tpd", "/all-transports").json
            self.assertIn(entry["t_id"], [each["t_id"] for each in listed])
            path = f"/transports/id:{entry['t_id']}"
            self.assertEqual(b[there].ask("tpd", "GET", path).json, entry)
            # A number that was used up here is used up there.
            number = b[there].nonces["tpd"]
            b[here].nonces["tpd"] = number - 1
            self.assertEqual(b[here].ask("tpd", "GET", path).status, 401)
            # So is what was deleted there.
            self.assertEqual(b[there].ask("tpd", "DELETE", path).status, 200)
            b[here].nonces["tpd"] = b[there].nonces["tpd"]
            self.assertEqual(b[here].ask("tpd", "GET", path).status, 404)

    def test_what_one_service_discovery_took_the_other_lists_next(self):
        for here, there in ((0, 1), (1, 0)):
            visor = self.both(f"visor {here}")
            for kind in ("vpn", "skysocks"):
                entry = {"address": f"{visor[0].public}:44", "type": kind, "version": "v1.3.29"}
                self.assertEqual(visor[here].ask("sd", "POST", "/api/services", entry).status, 200)
                listed = self.sides[there].get("sd", f"/api/services?type={kind}").json or []
                self.assertIn(entry["address"], [each["address"] for each in listed])
            path = f"/api/services/{visor[0].public}:44?type=vpn"
            self.assertEqual(visor[there].ask("sd", "DELETE", path).status, 200)
            listed = self.sides[here].get("sd", "/api/services?type=vpn").json or []
            self.assertNotIn(f"{visor[0].public}:44", [each["address"] for each in listed])

    def test_both_route_finders_know_both_lists(self):
        a, b, c = self.both("a"), self.both("b"), self.both("c")
        self.assertEqual(a[0].register(transport(a[0].public, b[0].public)).status, 201)
        self.assertEqual(c[1].register(transport(b[0].public, c[0].public)).status, 201)
        body = '{"Edges":["%s:%s"],"Opts":{"MinHops":0,"MaxHops":50}}' % (a[0].public, c[0].public)
        for side in self.sides:

            def found(side=side):
                answer = side.request("rf", "POST", "/routes", body)
                return answer if answer.status == 200 else None

            (routes,) = self.deployment.wait_for("the route", found).json.values()
            self.assertEqual(len(routes[0]), 2)


class Mesh(DmsgClients, FormScenario):
    def peer_sessions(self, deployment, label):
        return deployment.get(label, "/health").json["dmsg_server"]["peer_sessions"]

    def test_clients_of_either_server_reach_one_another(self):
        deployment = self.up(replicas=TWICE, shared=True)
        servers = [
            f"{SERVER}@{deployment.dmsg_address('dmsgs')}",
            f"{SECOND_SERVER[1]}@{deployment.dmsg_address('dmsgs2')}",
        ]
        listed = deployment.get("dmsgd", "/dmsg-discovery/all_servers").json
        self.assertEqual({each["static"] for each in listed}, {SERVER, SECOND_SERVER[1]})
        for label in ("dmsgs", "dmsgs2"):
            # Ready is who is listed; with one another they speak a little later.
            deployment.wait_for(
                f"{label} to know the other",
                lambda label=label: self.peer_sessions(deployment, label),
            )
        for here, there in ((0, 1), (1, 0)):
            listener = self.start_cli("dmsg", "cat", "--listen", "4000", "--server", servers[here])
            address = listener.wait_said("listening on ").split()[-1]
            dialer = self.start_cli("dmsg", "cat", "--server", servers[there], address)
            dialer.write(b"there\n")
            listener.wait_for("the bytes", lambda of=listener: of.raw == b"there\n")
            listener.write(b"and back\n")
            dialer.wait_for("the bytes", lambda of=dialer: of.raw == b"and back\n")
            dialer.stop()
            listener.wait_exit()


@unittest.skipIf(SANITIZED, "what a restart costs is shown by the programs as they are delivered")
class Rolling(DmsgClients, FormScenario):
    def test_only_what_there_is_one_of_is_missed_while_it_restarts(self):
        self.deployment = self.up(replicas=TWICE, shared=True)
        for _ in range(ROUNDS):
            outcomes, streams, windows = self.roll()
            self.tell(outcomes, streams, windows)
            begun = rates(outcomes, windows)
            slow = [f"{kind} {rate:.0f}" for kind, rate in begun.items() if rate < RATE_AT_LEAST]
            if not slow:
                self.check(outcomes, streams, windows)
                long = missed_for_long(outcomes)
                if not long:
                    self.deployment.settled()
                    return
                slow = f"missed for longer than {MISSED:.0f} s: {', '.join(long)}"
            else:
                # Where operations pile up, it shows how a machine is overloaded, and nothing else.
                slow = f"only so many were begun in a second: {', '.join(slow)}"
            print(slow)
        self.fail(f"this machine is too slow or too busy: {slow}")

    def roll(self):
        """Restarts each in turn: what became of all operations and streams, and what was restarted
        from when to when."""
        asked = ("dmsgd", "tpd", "sd", "ar", "rf")
        addresses = {label: self.deployment.addresses(label) for label in asked}
        load = OpenLoad(addresses, RATE)
        self.addCleanup(load.kill)
        dials = Dials(self.deployment.address("dmsgd"), RATE, HELD)
        self.addCleanup(dials.kill)
        for each in (load, dials):
            each.wait_busy()
        windows = []
        for label in LABELS:
            for each in (label, f"{label}2") if label in TWICE else (label,):
                begun = time.monotonic()
                self.deployment.restart(each)
                self.deployment.wait_for("green", lambda: self.deployment.health().code == 0)
                windows.append((each, begun, time.monotonic()))
        streams = dials.stop()
        return {**load.stop(), "dmsg dial": streams["dials"]}, streams, windows

    def check(self, outcomes, streams, windows):
        for kind, found in outcomes.items():
            bad = [(ended, outcome) for _, ended, outcome in found if outcome != "ok"]
            if kind == "dmsg dial":
                self.check_dials(bad, windows)
            elif kind in SINGLE:
                self.check_missed(kind, bad, windows)
            else:
                self.assertEqual(bad, [], kind)
        self.check_streams(streams, windows)

    def check_missed(self, kind, bad, windows):
        """Only while it restarts; that it is not for long: missed_for_long."""
        for ended, outcome in bad:
            self.assertIn(outcome, GONE, kind)
            during = [label for label, start, end in windows if start <= ended <= end]
            self.assertEqual(during, [SINGLE[kind]], (kind, outcome))

    def check_dials(self, bad, windows):
        """Only while a server restarts; soon they go through the other."""
        for ended, outcome in bad:
            after = [
                ended - start
                for label, start, _ in windows
                if label.startswith("dmsgs") and ended >= start
            ]
            self.assertTrue(after, outcome)
            self.assertLess(min(after), DIALLED_AGAIN, outcome)

    def check_streams(self, streams, windows):
        """They break at both ends, only where a server restarts, and are dialled again."""
        breaks, listener = streams["breaks"], streams["listener"]
        self.assertTrue(breaks, "no stream went through either server")
        # One may break before its dialler has heard its first byte.
        self.assertGreaterEqual(len(listener), len(breaks))
        for noticed, reason, *_ in breaks + listener:
            during = [label for label, start, end in windows if start <= noticed <= end]
            self.assertTrue(any(label.startswith("dmsgs") for label in during), (during, reason))
        for noticed, _, again in breaks:
            self.assertGreater(again, noticed, "it was not dialled again")
            self.assertLess(again - noticed, DIALLED_AGAIN)

    def tell(self, outcomes, streams, windows):
        print(f"\n{'restarted':<10} {'took':>6}    operations that failed meanwhile")
        for label, begun, ended in windows:
            bad = collections.defaultdict(list)
            for kind, each in outcomes.items():
                for _, moment, outcome in each:
                    if outcome != "ok" and begun <= moment < ended:
                        bad[f"{kind} {outcome}"].append(moment)
            words = [
                f"{len(each)} {what} ({max(each) - min(each):.2f} s)"
                for what, each in sorted(bad.items())
            ]
            again = [
                there - noticed
                for noticed, _, there in streams["breaks"]
                if begun <= noticed < ended
            ]
            if again:
                words.append(f"{len(again)} of {HELD} streams broke, again after {max(again):.2f} s")
            print(f"{label:<10} {ended - begun:5.1f} s    {', '.join(words) or 'none'}")
        reasons = collections.Counter(
            f"{reason} at the {end}"
            for end, found in (("dialler", streams["breaks"]), ("listener", streams["listener"]))
            for _, reason, *_ in found
        )
        print("streams: " + ", ".join(f"{count} {what}" for what, count in reasons.items()))
        for kind, rate in rates(outcomes, windows).items():
            took = sorted(end - start for start, end, outcome in outcomes[kind] if outcome == "ok")
            print(
                f"{kind:<12} {rate:5.1f}/s begun, median {1e3 * took[len(took) // 2]:.0f} ms, "
                f"longest {1e3 * took[-1]:.0f} ms"
            )


def missed_for_long(outcomes):
    """Of what there is one of, the kinds that were missed for MISSED or longer, and for how long."""
    found = []
    for kind in SINGLE:
        bad = [ended for _, ended, outcome in outcomes[kind] if outcome != "ok"]
        if bad and max(bad) - min(bad) >= MISSED:
            found.append(f"{kind} {max(bad) - min(bad):.2f} s")
    return found


def rates(outcomes, windows):
    """Operations of each kind begun in a second while services were restarted."""
    first, last = windows[0][1], windows[-1][2]
    return {
        kind: sum(first <= begun <= last for begun, _, _ in found) / (last - first)
        for kind, found in outcomes.items()
    }


class Streams(DmsgClients, FormScenario):
    def test_a_stream_breaks_on_both_ends_and_is_dialled_again_through_the_other(self):
        # All of them, though it is about the servers: that is what runs already.
        deployment = self.up(replicas=TWICE, shared=True)
        key = Key(seed="who is dialled")
        path = self.write("peer.key", f"{key.secret:064x}\n")
        path.chmod(0o600)
        self.secrets.add(f"{key.secret:064x}")

        def listen():
            listener = self.start_cli(
                "dmsg", "cat", "--listen", "4000", "--keyfile", path, *deployment.disc()
            )
            return listener, listener.wait_said("listening on ").split()[-1]

        for _ in range(2):
            listener, address = listen()
            dialer = self.start_cli("dmsg", "cat", *deployment.disc(), address)
            dialer.write(b"before\n")
            listener.wait_for("the bytes", lambda of=listener: of.raw == b"before\n")
            through = self.entry(deployment, key.public)["client"]["delegated_servers"]
            label = "dmsgs" if through == [SERVER] else "dmsgs2"
            deployment.terminate(label)
            # Both are told; neither hangs.
            self.assertNotEqual(dialer.wait_exit(), 0, dialer)
            self.assertNotEqual(listener.wait_exit(), 0, listener)
            # The other server carries it now.
            listener, address = listen()
            dialer = self.start_cli("dmsg", "cat", *deployment.disc(), address)
            dialer.write(b"after\n")
            listener.wait_for("the bytes", lambda of=listener: of.raw == b"after\n")
            dialer.stop()
            listener.wait_exit()
            deployment.wait_exit(label)
            deployment.start(label)
            deployment.wait_running(label)


if __name__ == "__main__":
    unittest.main()
