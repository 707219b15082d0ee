#pragma once

#include "net/context.hpp"
#include "net/kcp_socket.hpp"
#include "net/scope.hpp"
#include "services/address_resolver/bindings.hpp"
#include "services/address_resolver/resumption.hpp"
#include "transport/raw_handshake.hpp"

#include <array>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// The UDP side of the address-resolver: visors behind NAT bind over a KCP session, keep it alive,
/// and are told over it who is about to dial them. spec/services-http.md section 6.2.
namespace skywire::resolver {

/// One UDP address and the key of the configuration that says so.
struct UdpAddress {
    std::string_view key;
    net::Address address;
};

struct SudphOptions {
    /// One or two; a session stays on the socket it came by.
    std::vector<UdpAddress> addresses;
    /// Of the service; a visor may name it as the destination of its handshake. Null: none.
    crypto::PublicKey own_key;
    /// Of each socket.
    std::size_t sessions_max = 20'000;
    /// Told of each call of the store that failed; sessions go on without it.
    std::function<void(const Error&)> on_store_failure = {};
};

inline constexpr std::chrono::seconds kHandshakeTimeout{10};
/// Handshakes under way, in all and of one IP: the oldest gives way to the newest, so that a flood
/// does not keep visors out.
inline constexpr std::size_t kHandshakesMax = 256;
inline constexpr std::size_t kHandshakesOfIpMax = 64;
/// From the handshake to the first bind.
inline constexpr std::chrono::seconds kBindTimeout{30};
inline constexpr std::chrono::seconds kWriteTimeout{10};
/// Silent for longer, a binding is neither listed nor resolved until the next heartbeat.
inline constexpr std::chrono::minutes kSilenceMax{3};
/// A binding that is alive is written this often, and lives in the store (kStoreLifetime) a while
/// longer than kSilenceMax: replicas go by that.
inline constexpr std::chrono::minutes kStoreInterval{1};
/// Notices to one visor that wait to be sent.
inline constexpr std::size_t kNoticesMax = 16;
/// Visors beat every 10 s: who is silent for so long is not told who wants to dial it.
inline constexpr std::chrono::seconds kNoticeSilence{60};
/// Of all sessions those of one IP address may be one part in so many, and as many as the second.
inline constexpr std::size_t kPartOfIp = 16;
inline constexpr std::size_t kSessionsOfIpMin = 64;

/// What became of the UDP sessions since the start.
struct SudphReport {
    std::uint64_t accepted = 0;
    std::uint64_t closed = 0;
    /// Those of the KCP sockets.
    std::size_t open = 0;
    /// Visors with a session.
    std::size_t bound = 0;
};

/// Used on context.loop. Counts address_resolver_udp_refused_total{reason},
/// address_resolver_udp_resumed_total, address_resolver_udp_echoes_late_total,
/// address_resolver_udp_messages_total{kind},
/// address_resolver_notices_total{outcome}, address_resolver_udp_store_failures_total and
/// address_resolver_clients_count.
class Sudph {
 public:
    /// `bindings` outlives it.
    Sudph(const net::Context& context, Bindings& bindings, SudphOptions options);
    ~Sudph();
    Sudph(const Sudph&) = delete;
    Sudph& operator=(const Sudph&) = delete;

    /// Reads whose sessions may go on; before `start`. Errors: the store's.
    Task<Result<>> open() { return resumption_.load(); }
    /// Binds all sockets. The message of a failure names the key and the address.
    Result<> bind();
    /// Begins to serve, after `bind`.
    void start();
    bool serving() const noexcept { return serving_; }
    /// The bound addresses.
    std::vector<net::Address> addresses() const;

    /// The binding of a visor that is alive, here or at another resolver on the same store.
    Task<Result<std::optional<Binding>>> lookup(crypto::PublicKey key);
    Task<Result<std::vector<crypto::PublicKey>>> list();

    /// Tells `resolved` that `caller` is about to dial it, where both have a binding and the
    /// session of `resolved` is here. Returns at once.
    void introduce(const crypto::PublicKey& resolved, const crypto::PublicKey& caller);

    /// Ends the binding of a visor until it binds again.
    Task<Result<>> deregister(crypto::PublicKey key);

    std::size_t sessions() const noexcept { return sessions_.size(); }
    SudphReport report() const;

    /// The names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    enum class Reason {
        malformed,
        forged,
        destination,
        timeout,
        evicted,
        sessions_of_ip,
        no_bind,
        not_resumed
    };
    enum class Kind { bind, heartbeat, del_bind, resolve, unknown };

    struct Session {
        std::unique_ptr<net::Stream> stream;
        std::uint32_t conversation = 0;
        crypto::PublicKey key;
        Binding binding;
        bool bound = false;
        SteadyTime heard;
        SteadyTime stored;
        std::size_t notices = 0;
    };
    using SessionPtr = std::shared_ptr<Session>;
    using Handshakes = std::list<SessionPtr>;
    /// Takes a session off the tables when its coroutine ends, however that comes.
    class Entry;

    Task<> accept(net::KcpSocket& socket);
    Task<> serve(SessionPtr session);
    Task<> serve_resumed(SessionPtr session);
    bool may_resume(const net::Address& from, std::uint32_t conversation);
    Task<> read_sessions_again();
    Task<Result<>> shake_hands(SessionPtr session);
    void admit(const SessionPtr& session);
    bool room_for(const Session& session) const;
    void adopt(const SessionPtr& session);
    void forget(const Session& session);
    Task<Result<>> serve_from_bind(SessionPtr session);
    Task<Result<>> serve_messages(SessionPtr session);
    void note_end(const Session& session, const Result<>& ended);
    Task<Result<std::string>> read(SessionPtr session);
    Task<Result<>> write(SessionPtr session, std::string text);
    /// errc::closed: the session is over.
    Task<Result<>> on_message(SessionPtr session, std::string text);
    Task<Result<>> on_bind(SessionPtr session, const BindRequest& request);
    Task<Result<>> on_resolve(SessionPtr session, const json::object& message);
    Task<Result<>> refresh(SessionPtr session);
    Task<> introduce_later(crypto::PublicKey resolved, crypto::PublicKey caller);
    Task<Result<>> store(SessionPtr session);
    void store_failed(const crypto::PublicKey& key, const Error& error);

    Result<> judge(const transport::RawHello& hello);
    bool current(const Session& session) const;
    bool silent(const crypto::PublicKey& key) const;
    void refuse(Reason reason) { refused_[static_cast<std::size_t>(reason)]->add(); }
    void count(Kind kind) { messages_[static_cast<std::size_t>(kind)]->add(); }

    net::Context context_;
    Bindings& bindings_;
    SudphOptions options_;
    Resumption resumption_;
    std::vector<std::unique_ptr<net::KcpSocket>> sockets_;
    bool serving_ = false;
    Handshakes handshakes_;
    std::unordered_map<crypto::PublicKey, SessionPtr> sessions_;
    std::unordered_map<std::string, std::size_t> sessions_of_ip_;
    std::uint64_t accepted_ = 0;
    std::uint64_t closed_ = 0;
    std::array<Counter*, 8> refused_{};
    std::array<Counter*, 5> messages_{};
    Counter& notices_sent_;
    Counter& notices_dropped_;
    Counter& notices_elsewhere_;
    Counter& echoes_late_;
    Counter& resumed_;
    Counter& store_failures_;
    Gauge& clients_;
    /// Last: its coroutines use all of the above.
    net::Scope scope_;
};

}  // namespace skywire::resolver
