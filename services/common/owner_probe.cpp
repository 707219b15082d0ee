#include "services/common/owner_probe.hpp"

#include "dmsg/control.hpp"
#include "net/deadline.hpp"

#include <algorithm>
#include <vector>

namespace skywire::services {
namespace {

constexpr std::chrono::seconds kLimit{10};
/// Of the question behind a failure whether our own session is sound.
constexpr std::chrono::seconds kPingLimit{5};
/// An owner with more servers than these is asked through some of them.
constexpr std::size_t kServersMax = 3;

class DmsgProber final : public Prober {
 public:
    DmsgProber(const net::Context& context, dmsg::Client& client)
        : context_(context), client_(client) {}

    Task<Life> probe(crypto::PublicKey owner) override {
        const SteadyTime deadline = context_.clock.now() + kLimit;
        const auto entry =
            co_await net::with_deadline(context_.clock, deadline, client_.discovery().entry(owner));
        if (!entry) co_return Life::unknown;
        const std::vector<crypto::PublicKey> servers = shared_servers(*entry);
        // What is left of the time is shared out evenly: a server may swallow the request.
        Life life = Life::unknown;
        for (std::size_t i = 0; i < servers.size(); ++i) {
            const SteadyTime now = context_.clock.now();
            const auto left = static_cast<std::int64_t>(servers.size() - i);
            const Life found =
                co_await probe_through(servers[i], owner, now + (deadline - now) / left);
            if (found == Life::alive) co_return found;
            if (found == Life::silent) life = found;
        }
        co_return life;
    }

 private:
    bool connected(const crypto::PublicKey& server) const {
        const auto servers = client_.servers();
        return std::binary_search(servers.begin(), servers.end(), server);
    }

    std::vector<crypto::PublicKey> shared_servers(const dmsg::Entry& entry) const {
        std::vector<crypto::PublicKey> shared;
        const auto& client = entry.client;
        if (!client || !client->delegated_servers) return shared;
        for (const crypto::PublicKey& server : *client->delegated_servers) {
            if (shared.size() < kServersMax && connected(server)) shared.push_back(server);
        }
        return shared;
    }

    Task<Life> probe_through(
        crypto::PublicKey server, crypto::PublicKey owner, SteadyTime deadline
    ) {
        auto stream = co_await net::with_deadline(
            context_.clock, deadline, client_.dial_through(server, {owner, dmsg::kControlPort})
        );
        if (stream) {
            (*stream)->close();
            co_return Life::alive;
        }
        if (stream.error() == make_error_code(errc::cancelled)) co_return Life::unknown;
        // Was it the owner, or our own way to the server?
        const bool there = co_await answers(server);
        co_return there ? Life::silent : Life::unknown;
    }

    Task<bool> answers(crypto::PublicKey server) {
        if (!connected(server)) co_return false;
        const auto ping = co_await net::with_deadline(
            context_.clock, context_.clock.now() + kPingLimit, client_.ping_server(server)
        );
        // smux has no pings: its session counts as up until it is found dead.
        co_return ping || ping.error() == make_error_code(errc::unsupported);
    }

    net::Context context_;
    dmsg::Client& client_;
};

}  // namespace

std::unique_ptr<Prober> make_dmsg_prober(const net::Context& context, dmsg::Client& client) {
    return std::make_unique<DmsgProber>(context, client);
}

}  // namespace skywire::services
