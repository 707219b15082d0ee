#pragma once

#include "base/assert.hpp"
#include "crypto/keys.hpp"
#include "dmsg/client/client_counters.hpp"
#include "dmsg/entry.hpp"
#include "dmsg/session.hpp"
#include "net/context.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::dmsg::detail {

class Links;

/// A client's session with one server. Shared by the table of them and by what is under way through
/// it; whoever holds one may find it ended, and then every operation on it fails.
class Link final : public std::enable_shared_from_this<Link>, private Session::Owner {
 public:
    Link(Links& links, const crypto::PublicKey& server, SteadyTime now, const net::Context& context)
        : links_(links),
          server_(server),
          since_(now),
          used_(now),
          wake_(context.loop, context.clock) {}

    const crypto::PublicKey& server() const noexcept { return server_; }
    Session& session() noexcept {
        SKY_ASSERT(session_);
        return *session_;
    }
    /// When it began.
    SteadyTime since() const noexcept { return since_; }
    /// Of the last measurement.
    Duration round_trip() const noexcept { return round_trip_; }
    bool ended() const noexcept { return end_.has_value(); }
    /// Why it ended, once it has.
    const std::optional<Error>& end() const noexcept { return end_; }

    /// Operations under way that have no stream yet: it is not idle.
    std::size_t pending = 0;
    /// Streams from the server that are not answered yet.
    std::size_t incoming = 0;

 private:
    friend class Links;

    void on_stream(Session& session, std::unique_ptr<mux::Stream> stream) override;
    void on_go_away(Session& session) override;
    void on_end(Session& session, const Error& reason) override;

    Links& links_;
    crypto::PublicKey server_;
    std::optional<Session> session_;
    SteadyTime since_;
    /// When a stream was last seen open.
    SteadyTime used_;
    Duration round_trip_{};
    std::optional<Error> end_;
    /// The server has sent go-away: ends with its last stream.
    bool draining_ = false;
    /// To be closed by us, for this reason.
    std::string_view closing_;
    net::Timer wake_;
};

using LinkPtr = std::shared_ptr<Link>;

/// The sessions of a client: dials them, one at most for each server, ticks and measures them,
/// and closes those that are not needed. Whether one is wanted is SessionKeeper's business.
class Links {
 public:
    class Owner {
     public:
        virtual ~Owner() = default;
        /// `usable()` has changed.
        virtual void on_links_changed() = 0;
        /// A session that was usable, or draining, ended.
        virtual void on_link_ended(const Link& link) = 0;
        virtual void on_server_going_away(const crypto::PublicKey& server) = 0;
        /// May come while `link` is being made: its session is `session`.
        virtual void on_incoming(
            LinkPtr link, Session& session, std::unique_ptr<mux::Stream> stream
        ) = 0;
    };

    struct Options {
        explicit Options(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

        crypto::KeyPair keys;
        mux::Protocol protocol = mux::Protocol::yamux;
        std::size_t streams_max = 2048;
        std::set<crypto::PublicKey> prompt_servers;
        /// The oldest sessions stay, idle or not; 0: all.
        std::size_t kept = 0;
    };

    Links(const net::Context& context, Options options, ClientCounters& counters, Owner& owner);
    Links(const Links&) = delete;
    Links& operator=(const Links&) = delete;

    void start();
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    /// The session with a server, that takes streams; null where there is none.
    LinkPtr find(const crypto::PublicKey& server) const;
    /// All of those, in the order in which they began.
    const std::vector<LinkPtr>& usable() const noexcept { return usable_; }
    /// Those that are to stay: what our entry may promise.
    std::vector<crypto::PublicKey> kept() const;
    bool connecting(const crypto::PublicKey& server) const { return connecting_.contains(server); }

    /// The session with the entry's server: the one there is, or a new one (many callers wait for
    /// one dial). Cancelled: the dial goes on. Errors: errc::timed_out, closed, malformed (an
    /// address), the network's, noise::errc.
    Task<Result<LinkPtr>> connect(Entry server);

 private:
    friend class Link;

    struct Connecting {
        explicit Connecting(const Executor& loop) : ended(loop) {}
        net::Event ended;
        std::optional<Result<LinkPtr>> result;
    };

    /// A session's life: dial, handshake, until its end is over.
    Task<> run(std::shared_ptr<Connecting> connecting, Entry server);
    Task<Result<Handshaken>> dial(Entry server);
    Task<Result<LinkPtr>> begin(Entry server);
    /// Leaves a server of unknown vintage in peace.
    Task<> pause(LinkPtr link);
    Task<> attend(LinkPtr link);
    Task<> end(LinkPtr link);
    Task<> tick();
    void tick(Link& link, SteadyTime now);
    std::vector<LinkPtr> all() const;
    bool is_kept(const Link& link) const;
    void add(const LinkPtr& link);
    /// True where it was usable.
    bool remove(const Link& link);

    void on_go_away(Link& link);
    void on_end(Link& link, const Error& reason);

    net::Context context_;
    Options options_;
    ClientCounters& counters_;
    Owner& owner_;
    std::map<crypto::PublicKey, std::shared_ptr<Connecting>> connecting_;
    std::vector<LinkPtr> usable_;
    std::vector<LinkPtr> draining_;
    net::Scope scope_;
};

}  // namespace skywire::dmsg::detail
