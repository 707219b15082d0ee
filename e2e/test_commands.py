"""Commands that need no running process: their output, their exit codes."""

import json
import os
import stat
import subprocess
import unittest

from entries import Key
from skywire_process import (
    KEYS,
    PATIENCE,
    SOURCE,
    Scenario,
    discovery,
    free_address,
    program,
    stun,
    tester,
)

REFERENCE_TYPES_NOW = {"dmsg-discovery", "dmsg-server", "noop", "stun-server"}


class Lists(Scenario):
    def test_s01_run_list_prints_the_types_sorted(self):
        done = self.run_cli("svc", "run", "--list")
        self.assertEqual(done.code, 0)
        head, *types = done.out.splitlines()
        self.assertEqual(head, "registered service types:")
        self.assertTrue(all(line.startswith("  ") and line[2] != " " for line in types), types)
        names = [line.strip() for line in types]
        self.assertEqual(names, sorted(names))
        self.assertLessEqual(REFERENCE_TYPES_NOW, set(names))
        self.assertNotIn("test-service", names)
        self.assertEqual(done.err, "")

    def test_list_without_a_file_says_the_same(self):
        self.assertEqual(
            self.run_cli("svc", "list").out, self.run_cli("svc", "run", "--list").out
        )

    def test_list_of_a_file_shows_its_blocks(self):
        blocks = [discovery(), stun()]
        path = self.write("d.json", {"services": blocks})
        done = self.run_cli("svc", "list", "--config", path)
        self.assertEqual(done.code, 0)
        rows = [line.split() for line in done.out.splitlines()]
        self.assertEqual(rows[1][:3], ["dmsgd", "dmsg-discovery", blocks[0]["addr"]])
        self.assertEqual(rows[2][:2], ["stun", "stun-server"])
        self.assertIn(f"127.0.0.2:{blocks[1]['alt_port']}/udp", rows[2])

    def test_only_the_faults_program_knows_the_test_service(self):
        self.assertIn("test-service", self.run_cli("svc", "list", faults=True).out)
        path = self.write("d.json", {"services": [tester("a")]})
        self.assertEqual(self.run_cli("svc", "check", path).code, 1)


class CommandLine(Scenario):
    def test_s02_run_without_config_is_one_line_naming_it(self):
        done = self.run_cli("svc", "run")
        self.assertNotEqual(done.code, 0)
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        self.assertIn("--config", done.err)
        self.assertEqual(done.out, "")

    def commands(self):
        """Every command line that --help lists, found by walking down the helps."""
        found = []

        def walk(path):
            done = self.run_cli(*path, "--help")
            self.assertEqual(done.code, 0, path)
            self.assertEqual(done.err, "", path)
            self.assertIn(" ".join(["Usage: skywire", *path]), done.out)
            found.append(path)
            _, _, rest = done.out.partition("Subcommands:\n")
            for line in rest.split("\n\n")[0].splitlines():
                walk([*path, line.split()[0]])

        walk([])
        return found

    def test_every_command_has_help(self):
        found = {" ".join(path) for path in self.commands()}
        for name in ("run", "check", "list", "graph", "status", "stop", "start", "restart"):
            self.assertIn(f"svc {name}", found)
        self.assertLessEqual({"svc log-level", "keys gen", "keys show", "version"}, found)

    def test_a_wrong_command_line_exits_2_and_names_the_right_word(self):
        for line, word in (
            (["svc", "chekc"], "check"),
            (["svc", "run", "--confg", "x"], "--config"),
            (["verion"], "version"),
        ):
            done = self.run_cli(*line)
            self.assertEqual(done.code, 2, line)
            self.assertIn(word, done.err)
            self.assertEqual(done.out, "")

    def test_version(self):
        done = self.run_cli("version")
        self.assertEqual(done.code, 0)
        self.assertRegex(done.out, r"^skywire \d+\.\d+\.\d+ \(commit \w+, [^)]+\)\n$")
        build = json.loads(self.run_cli("version", "--json").out)
        self.assertEqual(sorted(build), ["commit", "date", "version"])
        self.assertIn(build["version"], done.out)

    def test_bash_takes_the_completion_script_and_completes(self):
        script = self.run_cli("completion", "bash")
        self.assertEqual(script.code, 0)
        path = self.write("completion.bash", script.out)
        subprocess.run(["bash", "-n", path], check=True)
        done = subprocess.run(
            [
                "bash", "-c",
                f"source {path}; complete -p skywire; "
                "COMP_WORDS=(skywire svc st); COMP_CWORD=2; COMP_LINE='skywire svc st'; "
                "COMP_POINT=14; f=$(complete -p skywire | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
                "$f skywire st svc; printf '%s\\n' \"${COMPREPLY[@]}\"",
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        words = {line.strip() for line in done.stdout.splitlines()[1:]}
        self.assertEqual(words, {"status", "stop", "start"}, done.stdout)

    def test_output_that_nobody_reads_is_no_crash(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [program(), "svc", "reference"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
        os.close(writer)
        self.assertGreaterEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, b"")

    def test_output_that_is_lost_is_a_failure(self):
        for line in (["svc", "default"], ["svc", "reference"], ["svc", "env", "--local"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [program(), *line],
                    stdout=full,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=PATIENCE,
                )
            self.assertEqual(done.returncode, 1, line)
            self.assertRegex(
                done.stderr,
                "^skywire: standard output cannot be written(: No space left on device)?\n$",
            )


class Documents(Scenario):
    def test_the_built_in_file_is_the_one_in_configs_and_sound(self):
        done = self.run_cli("svc", "default")
        self.assertEqual(done.out, (SOURCE / "configs" / "deployment.json").read_text())
        for name in ("default", SOURCE / "configs" / "deployment.json"):
            checked = self.run_cli("svc", "check", name)
            self.assertEqual(checked.code, 0, checked)
            self.assertNotIn("warning", checked.out)

    def test_the_schema_in_configs_is_that_of_this_binary(self):
        done = self.run_cli("svc", "schema")
        self.assertEqual(done.code, 0)
        schema = json.loads(done.out)
        self.assertIn("$schema", schema)
        files = list((SOURCE / "configs").glob("*schema*.json"))
        self.assertEqual([json.loads(path.read_text()) for path in files], [schema])


class KeyCommands(Scenario):
    def test_gen_prints_a_pair_that_belongs_together(self):
        done = self.run_cli("keys", "gen")
        self.assertEqual(done.code, 0)
        pair = json.loads(done.out)
        self.assertEqual(Key(pair["secret_key"]).public, pair["public_key"])
        again = json.loads(self.run_cli("keys", "gen").out)
        self.assertNotEqual(again["secret_key"], pair["secret_key"])

    def test_gen_writes_a_file_that_show_reads(self):
        path = self.folder / "key"
        done = self.run_cli("keys", "gen", "--out", path)
        self.assertEqual(done.code, 0)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        secret = path.read_text().strip()
        self.secrets.add(secret)
        self.assertEqual(done.out.strip(), Key(secret).public)
        shown = self.run_cli("keys", "show", path)
        self.assertEqual((shown.code, shown.out.strip()), (0, Key(secret).public))
        self.assertEqual(shown.err, "")

    def test_gen_never_replaces_a_file(self):
        path = self.write("key", KEYS["dmsgd"][0])
        done = self.run_cli("keys", "gen", "--out", path)
        self.assertEqual(done.code, 1)
        self.assertIn(str(path), done.err)
        self.assertEqual(path.read_text(), KEYS["dmsgd"][0])

    def test_show_warns_of_an_open_file_and_refuses_what_is_no_key(self):
        self.secrets.add(KEYS["dmsgd"][0])
        path = self.write("key", KEYS["dmsgd"][0] + "\n")
        path.chmod(0o644)
        done = self.run_cli("keys", "show", path)
        self.assertEqual((done.code, done.out.strip()), (0, KEYS["dmsgd"][1]))
        self.assertIn("0644", done.err)
        for content in ("", "zz" * 32, "00" * 32, "ff" * 32, KEYS["dmsgd"][0][:-1], "a" * 9000):
            bad = self.write("bad", content)
            done = self.run_cli("keys", "show", bad)
            self.assertEqual(done.code, 1, content)
            self.assertEqual(len(done.err.splitlines()), 1)
            self.assertIn(str(bad), done.err)
        self.assertEqual(self.run_cli("keys", "show", self.folder / "none").code, 1)


class NobodyThere(Scenario):
    def test_commands_to_a_process_that_does_not_run_say_so(self):
        path = self.write("d.json", {"services": [discovery()]})
        for line in (
            ["status"],
            ["stop", "dmsgd"],
            ["start", "dmsgd"],
            ["restart", "dmsgd"],
            ["log-level", "dmsgd", "debug"],
            ["graph", "--live"],
        ):
            done = self.run_cli("svc", *line, "--config", path)
            self.assertEqual(done.code, 1, line)
            self.assertIn(str(path), done.err)
            at = free_address()
            done = self.run_cli("svc", *line, "--admin", at)
            self.assertEqual(done.code, 1, line)
            self.assertIn(at, done.err)
        done = self.run_cli("svc", "status", "--config", self.folder / "none.json")
        self.assertEqual(done.code, 1)
        self.assertIn("none.json: error: cannot open the file: No such file", done.err)


if __name__ == "__main__":
    unittest.main()
