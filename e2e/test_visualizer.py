"""The network-visualizer: what it answers and what its page draws, seen in a browser without a
window, beside a deployment in any form; and what it makes of made-up discoveries."""

import http.server
import json
import threading
import unittest

import chromium
from clients import DmsgClients, Visor, transport
from entries import Key
from forms import VISUALIZER, FormScenario
from skywire_process import HOST, KEYS, Scenario, block, free_address, get, wait_for

DRAWN = """
    Array.from(document.querySelectorAll('#list-rows tr'), row => ({...row.dataset, text: row.textContent}))
"""
# What the page is drawn from.
LISTS = ("/api/services", "/api/dmsg/servers/clients", "/api/transports")
SOURCES = "Array.from(document.querySelectorAll('#sources li'), line => line.textContent)"
# Every row of the list has its label, and at the point of the canvas where it says it is there is
# something: what differs from the background was drawn. In one look, for the picture goes on moving
# until its layout is done, and the list follows it.
PAINTED = """
    (() => {
        const context = document.getElementById('picture').getContext('2d');
        const corner = context.getImageData(0, 0, 1, 1).data;
        const painted = (x, y) => {
            const {data} = context.getImageData(Math.trunc(x) - 4, Math.trunc(y) - 4, 9, 9);
            for (let i = 0; i < data.length; i += 4)
                if ([0, 1, 2].some(c => Math.abs(data[i + c] - corner[c]) > 24)) return true;
            return false;
        };
        return document.body.dataset.layout == 'done' &&
            Array.from(document.querySelectorAll('#list-rows tr'), row => row.dataset).every(
                ({x, y, labelled}) => labelled == 'true' && painted(x, y));
    })()
"""


class FakeDiscoveries:
    """Service-discovery, dmsg-discovery and transport-discovery in one, with answers that a test
    sets: bytes by path, or a status."""

    def __init__(self, test):
        self.answers = {}
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                answer = fake.answers.get(self.path, fake.answers.get(self.path.split("?")[0], 404))
                body = b"" if isinstance(answer, int) else answer
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Who asks may leave at any time."""

        self.server = Server((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        test.addCleanup(self.server.server_close)
        test.addCleanup(self.server.shutdown)

    def set_network(self, *, clients=None, services=(), transports=()):
        """Clients by server, services and transports as their discoveries list them."""
        self.answers = {
            "/dmsg-discovery/servers/clients": json.dumps(clients or {}).encode(),
            "/dmsg-discovery/all_servers": b"[]",
            "/api/services": b"[]",
            "/api/services?type=vpn": json.dumps(list(services)).encode(),
            "/all-transports": json.dumps(list(transports)).encode(),
        }


def visualizer(**keys):
    keys.setdefault("addr", free_address())
    keys.setdefault("refresh", "100ms")
    return block("network-visualizer", "viz", **keys)


class Network(DmsgClients, FormScenario):
    """A deployment whose feeds it reads."""

    def setUp(self):
        super().setUp()
        own = Key(seed="the visualizer of the tests")
        labels = ("dmsgd", "tpd", "sd")
        self.deployment = self.up(
            only=(*labels, "dmsgs", VISUALIZER),
            viz={"secret_key": f"{own.secret:064x}", "mode": "http", "refresh": "100ms"},
        )
        self.server = KEYS["dmsgs"][1]
        self.clients = {own.public, *(KEYS[label][1] for label in labels)}

    def visor(self, name):
        """One that is on dmsg."""
        made = Visor(self.deployment, f"visor {name} of the picture")
        self.serve(self.deployment, made.key)
        self.clients.add(made.public)
        return made

    def offer(self, visor):
        entry = {"address": f"{visor.public}:44", "type": "vpn", "version": "v1.3.29"}
        answer = visor.ask("sd", "POST", "/api/services", entry)
        self.assertEqual(answer.status, 200, answer)


class Answers(Network):
    """What programs read."""

    def part(self, path, source, look):
        """The list at this path, once it is as this says."""

        def found():
            answer = self.deployment.get(VISUALIZER, path)
            return answer if answer.status == 200 and look(answer.json) else None

        answer = self.deployment.wait_for(f"{path} to be as the network", found)
        self.assertEqual(answer.headers["X-Skywire-Source"], source)
        self.assertGreaterEqual(float(answer.headers["X-Skywire-Age"]), 0)
        return answer.json

    def wait_sources(self, **expected):
        """A list may come over HTTP until its feed is there."""

        def found():
            health = self.deployment.get(VISUALIZER, "/api/health").json
            sources = {name: part["source"] for name, part in health["parts"].items()}
            return health["status"] == "healthy" and sources == expected

        self.deployment.wait_for(f"the sources to be {expected}", found)

    def test_lists_of_the_network(self):
        a, b = (self.visor(name) for name in "ab")
        link = transport(a.public, b.public, "stcpr")
        self.assertEqual(a.register(link).status, 201)
        self.offer(b)
        near = "cxo" if self.deployment.apart else "process"
        self.wait_sources(services="cxo", dmsg="cxo", transports=near)
        offers = self.part("/api/services", "cxo", bool)
        self.assertIn(b.public, json.dumps(offers))

        def keys(found):
            return {each["static"] for each in found.get(self.server, ())}

        path = "/api/dmsg/servers/clients"
        servers = self.part(path, "cxo", lambda found: self.clients <= keys(found))
        self.assertEqual((set(servers), keys(servers)), ({self.server}, self.clients))
        (listed,) = self.part("/api/transports", near, bool)
        for name in ("t_id", "edges", "type"):
            self.assertEqual(listed[name], link[name])
        page = self.deployment.get(VISUALIZER, "/")
        self.assertEqual((page.status, page.body[:15]), (200, b"<!doctype html>"))
        # What follows is what the operator's own look at it takes.
        green = self.deployment.health("--only", VISUALIZER)
        self.assertEqual(green.code, 0, green)


@unittest.skipIf(chromium.why_not(), chromium.why_not())
class Browser(Scenario):
    def setUp(self):
        self.browsers = []
        super().setUp()
        # Before the folder goes.
        self.addCleanup(self.close_browsers)

    def close_browsers(self):
        for browser in self.browsers:
            browser.close()

    def open(self, deployment, **more):
        address = deployment.address("viz")
        for path in LISTS:
            # It is ready when it serves; what it reads comes a little later, one list after the other.
            deployment.wait_for(path, lambda path=path: get(address, path).status == 200)
        page = chromium.Chromium(**more)
        self.browsers.append(page)
        page.open(f"http://{address}/")
        return page

    def faked(self, **network):
        """A visualizer of made-up discoveries, and those."""
        fake = FakeDiscoveries(self)
        fake.set_network(**network)
        urls = dict.fromkeys(
            ("service_discovery", "dmsg_discovery", "transport_discovery"), fake.url
        )
        return self.boot(visualizer(**urls)), fake

    def wait_drawn(self, page, count):
        """What the page says that it has drawn, once that is so much; by key."""
        page.wait(f"document.querySelectorAll('#list-rows tr').length == {count}")
        return {each["key"]: each for each in page.value(DRAWN)}

    def assertQuiet(self, page):
        self.assertEqual(page.complaints, [])


class Live(Browser, Network):
    """The network as it is drawn."""

    def test_three_visors(self):
        """Every server, client, service and transport is drawn and labelled, and what comes later."""
        visors = [self.visor(name) for name in "abc"]
        a, b, c = (visor.public for visor in visors)
        links = [transport(a, b, "stcpr"), transport(b, c, "sudph"), transport(a, c, "dmsg")]
        self.assertEqual(visors[0].register(links[0], links[2]).status, 201)
        self.assertEqual(visors[1].register(links[1]).status, 201)
        self.offer(visors[2])
        page = self.open(self.deployment)
        expected = {self.server, *self.clients, *(link["t_id"] for link in links)}
        page.wait(f"document.querySelectorAll('#list-rows tr').length == {len(expected)}")
        page.wait(f"document.querySelector('tr[data-key=\"{c}\"]').textContent.includes('vpn')")
        page.wait(PAINTED)
        drawn = {each["key"]: each for each in page.value(DRAWN)}
        self.assertEqual(set(drawn), expected)
        for key, each in drawn.items():
            client = "client" if key in self.clients else "transport"
            kind = "server" if key == self.server else client
            self.assertEqual(each["kind"], kind, each)
        page.wait(f"{SOURCES}[0].match(/^Services: 1, feed, \\d+ s old$/)")
        page.wait(f"{SOURCES}[1].match(/^dmsg: {1 + len(self.clients)}, feed, /)")
        place = "feed" if self.deployment.apart else "same process"
        page.wait(f"{SOURCES}[2].match(/^Transports: 3, {place}, /)")
        # A visor comes, and its transport, while one looks.
        late = self.visor("d")
        more = transport(a, late.public, "stcpr")
        self.assertEqual(late.register(more).status, 201)
        drawn = self.wait_drawn(page, len(expected) + 2)
        self.assertEqual(set(drawn) - expected, {late.public, more["t_id"]})
        self.assertQuiet(page)

    def test_lost_feed(self):
        """The last copy stays, with its age, until the publisher is back."""
        visor = self.visor("a")
        self.offer(visor)
        page = self.open(self.deployment)
        page.wait(f"{SOURCES}[0] && {SOURCES}[0].match(/^Services: 1, feed, 0 s old$/)")
        self.deployment.command("sd", "stop")
        page.wait(f"{SOURCES}[0].match(/^Services: lost, copy of 1, \\d+ s old/)")
        page.wait("document.getElementById('lost-news').textContent == 'Lost: Services'")
        page.wait(f"/copy of 1, ([2-9]|\\d\\d) s old/.test({SOURCES}[0])")
        row = f"document.querySelector('tr[data-key=\"{visor.public}\"]')"
        self.assertIn("vpn", page.value(f"{row}.textContent"))
        part = get(self.deployment.address("viz"), "/api/health").json["parts"]["services"]
        self.assertEqual((part["source"], part["feed"]["state"]), ("cxo", "lost"))
        self.assertGreater(part["age_seconds"], 0)
        self.assertEqual(self.deployment.command("sd", "start").status, 200)
        page.wait(f"{SOURCES}[0].match(/^Services: \\d, feed, 0 s old$/)")
        page.wait("document.getElementById('lost-news').textContent == ''")
        self.assertQuiet(page)


    def test_lost_feed_alone(self):
        """The list comes over HTTP then, and how long the feed has been away stands beside it."""
        visor = self.visor("a")
        self.offer(visor)
        page = self.open(self.deployment)
        page.wait(f"{SOURCES}[0] && {SOURCES}[0].match(/^Services: 1, feed, 0 s old$/)")
        self.assertEqual(self.deployment.command("dmsgs", "stop").status, 200)
        page.wait(
            f"{SOURCES}[0].match(/^Services: 1, HTTP, \\d+ s old; feed lost ([2-9]|\\d\\d) s ago$/)"
        )
        page.wait("document.getElementById('lost-news').textContent.startsWith('Lost: Services')")
        part = self.deployment.get(VISUALIZER, "/api/health").json["parts"]["services"]
        self.assertEqual((part["source"], part["feed"]["state"]), ("http", "lost"))
        self.assertEqual(self.deployment.command("dmsgs", "start").status, 200)
        page.wait(f"{SOURCES}[0].match(/^Services: 1, feed, 0 s old$/)")
        page.wait("document.getElementById('lost-news').textContent == ''")
        self.assertQuiet(page)


class Drawing(Browser):
    def test_search(self):
        keys = [Key(seed=f"searched {i}").public for i in range(41)]
        clients = {keys[0]: keys[1:21], keys[21]: keys[22:]}
        deployment, _ = self.faked(
            clients=clients, transports=[transport(keys[1], keys[30], "stcpr")]
        )
        page = self.open(deployment)
        self.wait_drawn(page, 42)
        link = transport(keys[1], keys[30], "stcpr")["t_id"]
        middle = page.value("(c => [c.clientWidth / 2, c.clientHeight / 2])(picture)")
        for query, key in (
            (keys[33], keys[33]),
            (keys[7].upper(), keys[7]),
            (f" {keys[12][:20]} ", keys[12]),
            (link, link),
        ):
            page.type_text("#query", query)
            row = f"document.querySelector('tr[data-key=\"{key}\"]')"
            page.wait(f"document.getElementById('details').textContent.includes('{key}')")
            page.wait(
                f"{row} && Math.abs({row}.dataset.x - {middle[0]}) < 2 && "
                f"Math.abs({row}.dataset.y - {middle[1]}) < 2"
            )
            self.assertEqual(page.value("found.textContent"), "Found")
            if key != link:
                self.assertEqual(page.value(f"{row}.dataset.labelled"), "true")
        page.type_text("#query", "ffff" * 16)
        page.wait("found.textContent == 'Not found'")
        page.wait("document.getElementById('details').hidden")
        # By mouse: what is clicked on is told.
        page.value("document.getElementById('all').click()")
        page.wait(f"document.querySelectorAll('#list-rows tr').length == 42")
        top = page.value("picture.getBoundingClientRect().top")

        def told():
            """The list tells where it is now, a little behind the picture."""
            row = next(each for each in page.value(DRAWN) if each["key"] == keys[21])
            page.click(int(row["x"]), int(row["y"]) + top)
            return page.value(f"document.getElementById('details').textContent.includes('{keys[21]}')")

        wait_for("what is clicked on to be told", told)
        self.assertQuiet(page)

    def test_lost_source(self):
        keys = [Key(seed=f"lost {i}").public for i in range(3)]
        deployment, fake = self.faked(clients={keys[0]: keys[1:]})
        page = self.open(deployment)
        self.wait_drawn(page, 3)
        page.wait(f"{SOURCES}[1] && {SOURCES}[1].match(/^dmsg: 3, HTTP, \\d+ s old$/)")
        fake.answers["/dmsg-discovery/servers/clients"] = 500
        page.wait(f"{SOURCES}[1].match(/^dmsg: lost, copy of 3, \\d+ s old .*status 500/)")
        self.assertEqual(page.value("document.getElementById('lost-news').textContent"), "Lost: dmsg")
        self.assertEqual(page.value("document.querySelectorAll('#sources li.lost').length"), 1)
        self.assertEqual(len(page.value(DRAWN)), 3)
        # It says so outside of the page too.
        deployment.wait_state("viz", "degraded")
        answer = get(deployment.address("viz"), "/api/dmsg/servers/clients")
        self.assertEqual((answer.status, answer.headers["X-Skywire-Source"]), (200, "http"))
        self.assertGreater(float(answer.headers["X-Skywire-Age"]), 0)
        fake.set_network(clients={keys[0]: [keys[1]]})
        self.wait_drawn(page, 2)
        page.wait(f"{SOURCES}[1].match(/^dmsg: 2, HTTP/)")
        page.wait("document.getElementById('lost-news').textContent == ''")
        # The service itself goes.
        deployment.stop()
        page.wait(f"{SOURCES}.at(-1).startsWith('The visualizer itself has not answered for')")
        self.assertEqual(len(page.value(DRAWN)), 2)

    def test_hostile_texts(self):
        """What is no key is left out, what is text stays text."""
        keys = [Key(seed=f"hostile {i}").public for i in range(3)]
        evil = "<img src=x onerror=alert(1)>"
        link = transport(keys[1], keys[2], evil)
        offer = {"address": f"{keys[1]}:44", "type": evil, "version": evil, "geo": {"country": evil}}
        clients = {keys[0]: [keys[1], evil, None, 7], evil: [keys[1]], "__proto__": [keys[2]]}
        deployment, _ = self.faked(
            clients=clients, services=[offer, evil], transports=[link, {"t_id": evil}, evil]
        )
        page = self.open(deployment)
        drawn = self.wait_drawn(page, 4)
        self.assertEqual(set(drawn), {*keys, link["t_id"]})
        page.type_text("#query", keys[1])
        page.wait(f"document.getElementById('details').textContent.includes('{keys[1]}')")
        self.assertIn(evil, page.value("document.getElementById('details').textContent"))
        self.assertEqual(page.value("document.querySelectorAll('img, script:not([src])').length"), 0)
        self.assertQuiet(page)

    def test_nothing_yet(self):
        deployment, _ = self.faked()
        page = self.open(deployment)
        page.wait("!document.getElementById('hint').hidden")
        page.wait(f"{SOURCES}[2] && {SOURCES}[2].startsWith('Transports: 0, HTTP')")
        self.assertQuiet(page)

    def test_dark(self):
        deployment, _ = self.faked(clients={Key(seed="dark").public: []})
        page = self.open(deployment, dark=True)
        self.wait_drawn(page, 1)
        corner = page.value("picture.getContext('2d').getImageData(0, 0, 1, 1).data[0]")
        self.assertLess(corner, 64)
        self.assertQuiet(page)


if __name__ == "__main__":
    unittest.main()
