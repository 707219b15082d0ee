#pragma once

#include "net/event.hpp"
#include "net/stream.hpp"
#include "sim/detail/fabric.hpp"

#include <array>
#include <deque>
#include <memory>
#include <optional>

namespace skywire::sim::detail {

struct ListenerState;

/// Two ends of a simulated TCP connection and the two wires between them. Both ends' streams hold
/// it, and so do the events that are still to come.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
    /// Which end: the one that dialled, the one that accepted.
    enum Side : std::size_t { kDialler = 0, kAcceptor = 1 };

    struct End {
        End(const Executor& loop, Host& host_in, net::Address local_in)
            : host(host_in), local(std::move(local_in)), readable(loop), writable(loop) {}

        Host& host;
        net::Address local;
        net::Event readable;
        net::Event writable;
        /// Set once the connection has failed under this end.
        ErrorCode failure;
        bool closed = false;
        /// Its host was killed: it neither takes nor gives anything any more.
        bool dead = false;
        bool reset_sent = false;
        bool reading = false;
        bool writing = false;
    };

    Connection(
        Fabric& fabric,
        Host& from,
        net::Address local,
        Host& to,
        net::Address remote,
        std::weak_ptr<ListenerState> listener
    );
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Sends the handshake's last segment, with which the listener gets its end.
    void begin();

    End& end(std::size_t side) noexcept { return ends_[side]; }
    const End& end(std::size_t side) const noexcept { return ends_[side]; }
    std::uint64_t number() const noexcept { return number_; }
    bool between(const Host& a, const Host& b) const noexcept;

    /// What a read of this side would do now: bytes, 0 at the end, an error; nothing: wait.
    std::optional<Result<std::size_t>> try_read(std::size_t side, std::span<std::byte> into);
    bool would_wait(std::size_t side) const noexcept;
    /// Takes as many bytes as there is room for; an error where the end is gone.
    Result<std::size_t> try_write(std::size_t side, ByteSpan bytes);

    void close(std::size_t side);
    void kill(std::size_t side, Death death);
    /// The end fails with `ec`, what it has sent and is under way is lost.
    void fail_end(std::size_t side, ErrorCode ec);
    /// What waits because this path was blocked goes on.
    void unblocked(const Path& path);
    /// What is under way on this path comes no later than it would have been sent now.
    void on_new_options(const Path& path);
    void wake(std::size_t side);

 private:
    struct Segment {
        enum class Kind { hello, data, fin, reset };
        Kind kind = Kind::data;
        SteadyTime at{};
        Bytes bytes;
    };

    /// What goes from ends_[side] to the other one.
    struct Wire {
        explicit Wire(Path& path_in) : path(path_in) {}

        std::size_t unread() const noexcept { return received.size() - start; }

        Path& path;
        std::deque<Segment> flight;
        SteadyTime last_at{};
        /// Written, and the writer does not know yet that it was read.
        std::size_t outstanding = 0;
        /// Read, and the writer is still to be told.
        std::size_t owed = 0;
        Bytes received;
        std::size_t start = 0;
        bool fin_received = false;
        bool arrival_pending = false;
        /// Of these only the last is still awaited.
        std::uint64_t arrivals = 0;
        bool credit_pending = false;
        /// The first segment in flight, or the credit, met a blocked path.
        bool stalled = false;
        bool credit_stalled = false;
        std::uint64_t stalls = 0;
    };

    static constexpr std::size_t other(std::size_t side) noexcept { return 1 - side; }

    bool gone(const End& end) const noexcept { return end.closed || end.dead; }
    void send(std::size_t side, Segment::Kind kind, Bytes bytes = {});
    void send_reset(std::size_t side);
    void give_place_back(std::size_t side);
    void drop_flight(std::size_t side);
    void schedule_arrival(std::size_t side);
    void arrive(std::size_t side);
    void arrive_one(std::size_t side, Segment& segment);
    void hand_to_listener();
    void stall(std::size_t side);
    void go_on(std::size_t side);
    void give_up_later(std::size_t side);
    void give_credit(std::size_t reader_side);
    void credit_arrives(std::size_t writer_side);

    Fabric& fabric_;
    std::uint64_t number_;
    std::weak_ptr<ListenerState> listener_;
    std::array<End, 2> ends_;
    std::array<Wire, 2> wires_;
};

/// One end as a Stream; closes it when it dies.
std::unique_ptr<net::Stream> make_stream(std::shared_ptr<Connection> connection, std::size_t side);

}  // namespace skywire::sim::detail
