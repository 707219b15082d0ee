"""Key files of a running deployment. S23."""

import os
import stat
import unittest

from entries import Key
from skywire_process import KEYS, Scenario, discovery


class KeyFiles(Scenario):
    def start(self, path, folder="a", **keys):
        return self.prepare(discovery(keyfile=str(path), **keys), folder=folder).start()

    def test_s23_a_missing_file_is_made_and_used_again(self):
        path = self.folder / "dmsgd.key"
        deployment = self.start(path).wait_ready()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        content = path.read_text()
        self.assertRegex(content, r"^[0-9a-f]{64}\n$")
        secret = content.strip()
        self.secrets.add(secret)
        public = Key(secret).public
        self.assertEqual(len(deployment.lines(public)), 1, deployment.err)
        (line,) = deployment.lines("key_file.created")
        self.assertIn(str(path), line)
        self.assertIn(public, line)
        self.assertEqual(deployment.stop(), 0)

        deployment.start().wait_ready()
        self.assertEqual(path.read_text(), content)
        self.assertEqual(deployment.lines("key_file"), [])
        self.assertEqual(deployment.stop(), 0)
        self.assertEqual(sorted(each.name for each in self.folder.iterdir()), ["a", "dmsgd.key"])

    def test_s23_a_file_that_others_may_read_is_a_warning(self):
        self.secrets.add(KEYS["dmsgd"][0])
        for mode in (0o644, 0o640, 0o604, 0o444):
            with self.subTest(mode=oct(mode)):
                path = self.write(f"key{mode:o}", f"  {KEYS['dmsgd'][0]} \n")
                path.chmod(mode)
                deployment = self.start(path, folder=f"mode{mode:o}").wait_ready()
                (line,) = deployment.lines("WARN", str(path))
                self.assertIn(f"{mode:04o}", line)
                self.assertEqual(deployment.stop(), 0)
        for mode in (0o600, 0o400):
            with self.subTest(mode=oct(mode)):
                path = self.write(f"key{mode:o}", KEYS["dmsgd"][0])
                path.chmod(mode)
                deployment = self.start(path, folder=f"mode{mode:o}").wait_ready()
                self.assertEqual(deployment.lines("WARN", "key"), [])
                self.assertEqual(deployment.stop(), 0)

    def test_a_file_that_holds_no_key_is_one_error_and_nothing_starts(self):
        secret = KEYS["dmsgd"][0]
        self.secrets |= {secret, secret[:-1]}
        for number, (content, word) in enumerate(
            (
                ("", "empty"),
                (" \n", "empty"),
                (secret[:-1], "secret key"),
                (secret + secret, "secret key"),
                ("zz" * 32, "secret key"),
                ("00" * 32, "secret key"),
                ("ff" * 32, "secret key"),
            )
        ):
            with self.subTest(content=content[:8], size=len(content)):
                path = self.write(f"bad{number}", content)
                path.chmod(0o600)
                deployment = self.start(path, folder=f"bad-{number}")
                self.assertEqual(deployment.wait_exit(), 1)
                last = deployment.err.splitlines()[-1]
                self.assertIn(str(path), last)
                self.assertIn(word, last)
                self.assertFalse((deployment.folder / "admin.sock").exists())
                self.assertEqual(path.read_text(), content)

    def test_a_folder_or_a_fifo_in_its_place(self):
        folder = self.subfolder("folder.key")
        fifo = self.folder / "fifo.key"
        os.mkfifo(fifo)
        for path in (folder, fifo, self.folder / "no" / "such" / "folder" / "key"):
            with self.subTest(path=path.name):
                deployment = self.start(path, folder=f"at-{path.name}")
                self.assertEqual(deployment.wait_exit(), 1)
                self.assertIn(str(path), deployment.err.splitlines()[-1])

    def test_the_key_in_the_block_wins_and_the_file_stays_untouched(self):
        path = self.folder / "unused.key"
        deployment = self.start(path, secret_key=KEYS["dmsgd"][0]).wait_ready()
        self.assertFalse(path.exists())
        self.assertTrue(deployment.lines("warning", "keyfile"), deployment.err)
        self.assertEqual(deployment.stop(), 0)

    def test_a_public_key_that_does_not_belong_to_the_file(self):
        self.secrets.add(KEYS["dmsgd"][0])
        path = self.write("key", KEYS["dmsgd"][0])
        path.chmod(0o600)
        deployment = self.start(path, public_key=KEYS["tpd"][1])
        self.assertEqual(deployment.wait_exit(), 1)
        self.assertIn(KEYS["dmsgd"][1], deployment.err.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
