"""Clients that register at the dmsg-discovery by a feed of their own."""

import time
import unittest

from clients import DmsgClients
from entries import Key, client
from feed_visor import FeedVisor
from skywire_process import KEYS, Scenario, dmsg_network

REGISTRATIONS = 67


class Registrations(Scenario, DmsgClients):
    def test_the_newest_entry_of_a_clients_feed_is_its_entry(self):
        deployment = self.prepare(*dmsg_network())
        deployment.start().wait_ready()
        key = Key(seed=self.id())
        visor = FeedVisor(self, deployment, key, KEYS["dmsgd"][1], REGISTRATIONS)
        server = KEYS["dmsgs"][1]

        def entry(signer, sequence, **members):
            return client(signer, sequence, [server], timestamp=time.time_ns(), **members)

        def tell(sequence, kind):
            visor.publish({"entry": entry(key, sequence, client_type=kind).encode()})

        def registered(kind):
            def look():
                found = self.entry(deployment, key.public)
                return found is not None and found.get("client_type") == kind

            deployment.wait_for(f"an entry of type {kind}", look)

        def counted(outcome):
            deployment.wait_for(
                f"{outcome} to be counted",
                lambda: deployment.metric("dmsg_discovery_feed_entries_total", f'"{outcome}"') == 1,
            )

        # Its own client has registered by HTTP; what a feed says goes on from there.
        own = deployment.wait_for("its entry", lambda: self.entry(deployment, key.public))
        number = own["sequence"]
        tell(number + 1, "visor")
        registered("visor")
        # An older one changes nothing, a forged one neither; the next is taken.
        tell(number, "older")
        counted("wrong_sequence")
        other = Key(seed="another")
        forged = entry(other, number + 2, client_type="forged").replace(other.public, key.public)
        visor.publish({"entry": forged.encode()})
        counted("invalid_signature")
        tell(number + 2, "proxy")
        registered("proxy")
        visor.stream.stop()


if __name__ == "__main__":
    unittest.main()
