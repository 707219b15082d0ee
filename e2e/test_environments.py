"""`svc env`: each of its forms makes files that `svc check` accepts and that `svc run` boots. The
files name the ports of the network and hosts that are not here: they are booted at others."""

import json
import re
import stat
import unittest

from skywire_process import HOST, Deployment, Scenario, free_port, program

FILES = ("deployment.json", "services-config.json", "visors.json")
STUN = ("--stun-ip", "127.0.0.1", "--stun-ip", "127.0.0.2")


def moved(text):
    """The file with every port another one, and every host here: loopback by its name, which a
    dmsg-server may be listed with outside of a test deployment, too."""
    ports = {}

    def port(number):
        # On every address: that is where some of the blocks listen.
        return ports.setdefault(number, str(free_port("0.0.0.0")))

    def address(found):
        before, host, number = found.groups()
        host = f"{HOST}" if host == "redis" else "127.0.0.1" if host else ""
        return f"{before}{host}:{port(number)}"

    text = re.sub(r'("public_address": ")[^":]+:(\d+)', r"\1localhost:\2", text)
    text = re.sub(r'("|//)(?!localhost)([a-z0-9.-]*):(\d+)(?=["/])', address, text)
    text = re.sub(r"localhost:(\d+)", lambda found: f"localhost:{port(found[1])}", text)
    text = re.sub(r'("(?:alt_)?port": )(\d+)', lambda found: found[1] + port(found[2]), text)
    return text


class Environments(Scenario):
    def make(self, *options):
        """The folder of what was made, its files looked at."""
        folder = self.folder / "made"
        done = self.run_cli("svc", "env", *options, "--out", folder)
        self.assertEqual((done.code, done.err), (0, ""), done)
        self.assertEqual(done.out.split(), [str(folder / name) for name in FILES])
        for name in FILES:
            self.assertEqual(stat.S_IMODE((folder / name).stat().st_mode), 0o600)
        self.deployment_file = json.loads((folder / FILES[0]).read_text())
        self._remember_secrets(self.deployment_file)
        self._remember_secrets(json.loads((folder / FILES[2]).read_text()))
        checked = self.run_cli("svc", "check", folder / FILES[0])
        self.assertEqual(checked.code, 0, checked)
        # What visors are told is what the file says.
        conf = self.run_cli("svc", "conf", "--config", folder / FILES[0])
        self.assertEqual(json.loads(conf.out), json.loads((folder / FILES[1]).read_text()))
        self.assertEqual(len(json.loads((folder / FILES[2]).read_text())), 3)
        return folder

    def boot_made(self, folder, change=lambda text: text, while_up=lambda: None):
        place = self.subfolder("a")
        text = change(moved((folder / FILES[0]).read_text()))
        (place / "deployment.json").write_text(text)
        config = json.loads(text)
        deployment = Deployment(
            place,
            config,
            binary=program(),
            options=["--admin", f"unix:{place / 'admin.sock'}"],
            environment={"STATE_DIRECTORY": str(place / "state")},
        )
        self._deployments.append(deployment)
        deployment.start().wait_ready()
        for each in config["services"]:
            self.assertEqual(deployment.service(each["name"])["state"], "ready")
        while_up()
        green = self.run_cli("svc", "health", "--config", deployment.file)
        self.assertEqual(green.code, 0, green)
        over_dmsg = self.run_cli("svc", "health", "--config", deployment.file, "--dmsg")
        self.assertEqual(over_dmsg.code, 0, over_dmsg)
        self.assertEqual(deployment.stop(), 0)

    def types(self):
        return {each["type"] for each in self.deployment_file["services"]}

    def test_local(self):
        folder = self.make("--local")
        self.assertEqual(len(self.types()), 11)
        self.boot_made(folder)

    def test_public(self):
        folder = self.make("--public", "deployment.example.org", *STUN)
        self.assertEqual(len(self.types()), 11)
        told = json.loads((folder / FILES[1]).read_text())["prod"]
        self.assertIn("deployment.example.org", told["transport_discovery"])
        self.boot_made(folder)

    def test_containers_with_redis(self):
        folder = self.make("--docker", "--redis", "redis://redis:6379", *STUN)
        text = (folder / FILES[0]).read_text()
        self.assertIn("redis://redis:6379/0", text)
        self.assertIn("http://dmsg-discovery:9090", text)
        redis = self.redis()
        self.boot_made(
            folder,
            lambda text: re.sub(r"redis://[^/]+/", f"redis://{redis.address}/", text),
            lambda: self.assertNotEqual(redis.command("DBSIZE"), ":0"),
        )

    def test_every_set_of_keys_is_new_but_the_one_for_comparisons(self):
        made = [json.loads(self.run_cli("svc", "env", "--local").out) for _ in range(2)]
        for each in made:
            self._remember_secrets(each)
            # Printed because that was asked for.
            self._finished.clear()
        keys = [
            {block.get("public_key") for block in each["deployment"]["services"]} - {None}
            for each in made
        ]
        self.assertFalse(keys[0] & keys[1])
        known = json.loads(self.run_cli("svc", "env", "--local", "--keys", "e2e").out)
        default = json.loads(self.run_cli("svc", "default").out)
        self.assertEqual(known["deployment"], default)
        self._finished.clear()

    def test_nothing_is_overwritten(self):
        folder = self.make("--local")
        before = {name: (folder / name).read_bytes() for name in FILES}
        again = self.run_cli("svc", "env", "--local", "--out", folder)
        self.assertEqual((again.code, again.out), (1, ""), again)
        self.assertEqual(len(again.err.splitlines()), 1, again)
        self.assertIn("exists already", again.err)
        self.assertEqual({name: (folder / name).read_bytes() for name in FILES}, before)

    def test_half_a_set_does_not_stay(self):
        folder = self.subfolder("half")
        # Not there for who looks, and in the way of who writes.
        (folder / FILES[1]).symlink_to(folder / "nowhere")
        done = self.run_cli("svc", "env", "--local", "--out", folder)
        self.assertEqual((done.code, done.out), (1, ""), done)
        self.assertEqual(len(done.err.splitlines()), 1, done)
        self.assertEqual([path.name for path in folder.iterdir()], [FILES[1]])

    def test_wrong_input(self):
        for options in (
            (),
            ("--local", "--docker"),
            ("--local", "--redis", "redis://x"),
            ("--public", "x", "--stun-ip", "127.0.0.1"),
            ("--local", "--keys", "old"),
        ):
            done = self.run_cli("svc", "env", *options)
            self.assertEqual((done.code, done.out), (2, ""), done)
        file = self.write("a file", "")
        done = self.run_cli("svc", "env", "--local", "--out", file / "below")
        self.assertEqual((done.code, done.out), (1, ""), done)
        self.assertEqual(len(done.err.splitlines()), 1, done)


if __name__ == "__main__":
    unittest.main()
