"""The SQLite snapshot behind a memory store: a killed process loses no more than a flush."""

import os
import sqlite3
import unittest

from entries import Key, client
from skywire_process import Scenario, SnapshotFile, discovery

ENTRY = "/dmsg-discovery/entry/"


class Snapshot(Scenario):
    def setUp(self):
        super().setUp()
        self.deployment = self.boot(discovery(testing=False))
        self.file = self.deployment.folder / "state" / "dmsgd.sqlite"

    def post_some(self, count, seed):
        texts = {}
        for index in range(count):
            key = Key(seed=f"{seed} {index}")
            texts[key.public] = client(key)
            answer = self.deployment.post("dmsgd", ENTRY, texts[key.public])
            self.assertEqual(answer.status, 200, answer)
        return texts

    def check_there(self, texts):
        for key, text in texts.items():
            answer = self.deployment.get("dmsgd", ENTRY + key)
            self.assertEqual((answer.status, answer.text), (200, text))
        listed = self.deployment.get("dmsgd", "/dmsg-discovery/entries").json
        self.assertEqual(sorted(listed), sorted(texts))

    def test_kill_9_after_the_flush_keeps_all_entries(self):
        texts = self.post_some(10, "kill")
        self.deployment.wait_for("the flush", lambda: SnapshotFile(self.file).holds(texts))
        self.deployment.kill()
        self.deployment.start().wait_ready()
        self.check_there(texts)
        self.assertTrue(self.deployment.lines("store.loaded"))
        self.assertEqual(self.deployment.stop(), 0)

    def test_an_orderly_end_flushes_at_once(self):
        texts = self.post_some(10, "stop")
        self.assertEqual(self.deployment.stop(), 0)
        self.deployment.start().wait_ready()
        self.check_there(texts)
        self.assertEqual(self.deployment.stop(), 0)

    def test_the_file_is_ours_alone_and_sound(self):
        self.post_some(2, "mode")
        self.assertEqual(self.deployment.stop(), 0)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        with sqlite3.connect(self.file) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        database.close()

    def test_a_damaged_file_is_set_aside(self):
        self.post_some(5, "damage")
        self.assertEqual(self.deployment.stop(), 0)
        size = self.file.stat().st_size
        self.file.write_bytes(os.urandom(size))
        self.deployment.start().wait_ready()
        self.assertEqual(self.deployment.get("dmsgd", "/dmsg-discovery/entries").json, [])
        aside = list(self.file.parent.glob("dmsgd.sqlite.corrupt.*"))
        self.assertEqual(len(aside), 1)
        texts = self.post_some(2, "anew")
        self.check_there(texts)

        def store_check():
            checks = self.deployment.service("dmsgd")["checks"]
            return next(each for each in checks if each["name"] == "store")

        self.deployment.wait_for("a warning", lambda: store_check()["status"] == "warn")
        self.assertIn(aside[0].name, store_check()["detail"])
        self.assertTrue(self.deployment.lines("ERROR", aside[0].name))
        self.assertEqual(self.deployment.stop(), 0)

    def test_two_processes_do_not_share_a_file(self):
        second = self.prepare(
            discovery(testing=False, restart={"max_in_window": 1}),
            supervisor={"state_dir": str(self.file.parent)},
            folder="b",
        )
        second.start()
        self.assertEqual(second.wait_exit(), 1)
        self.assertTrue(second.lines("ERROR", str(self.file)), second.err)
        self.check_there(self.post_some(1, "still"))
        self.assertEqual(self.deployment.stop(), 0)


if __name__ == "__main__":
    unittest.main()
