#include "sim/detail/connection.hpp"

#include "base/assert.hpp"
#include "sim/detail/host.hpp"

#include <algorithm>

#include <boost/asio/error.hpp>

namespace skywire::sim::detail {

Connection::Connection(
    Fabric& fabric,
    Host& from,
    net::Address local,
    Host& to,
    net::Address remote,
    std::weak_ptr<ListenerState> listener
)
    : fabric_(fabric),
      number_(fabric.add_connection(*this)),
      listener_(std::move(listener)),
      ends_{End(fabric.loop(), from, std::move(local)), End(fabric.loop(), to, std::move(remote))},
      wires_{Wire(fabric.path(from, to)), Wire(fabric.path(to, from))} {}

Connection::~Connection() {
    fabric_.remove_connection(number_);
}

void Connection::begin() {
    send(kDialler, Segment::Kind::hello);
}

bool Connection::between(const Host& a, const Host& b) const noexcept {
    return (&ends_[0].host == &a && &ends_[1].host == &b) ||
           (&ends_[0].host == &b && &ends_[1].host == &a);
}

std::optional<Result<std::size_t>> Connection::try_read(
    std::size_t side, std::span<std::byte> into
) {
    const End& end = ends_[side];
    if (gone(end)) return fail(errc::closed, {});
    if (would_wait(side)) return std::nullopt;
    Wire& wire = wires_[other(side)];
    if (wire.unread() == 0) {
        // What came before a reset can be read, as with Linux.
        if (end.failure) return Error(end.failure);
        return std::size_t{0};
    }
    std::size_t size = std::min(into.size(), wire.unread());
    if (size > 1 && fabric_.chance(fabric_.options(wire.path).fragment_probability)) {
        size = 1 + fabric_.random().below(size);
    }
    std::copy_n(wire.received.data() + wire.start, size, into.data());
    wire.start += size;
    if (wire.unread() == 0) {
        // An idle connection holds no buffer.
        Bytes().swap(wire.received);
        wire.start = 0;
    } else if (wire.start > wire.received.size() / 2) {
        wire.received.erase(
            wire.received.begin(), wire.received.begin() + static_cast<std::ptrdiff_t>(wire.start)
        );
        wire.start = 0;
    }
    wire.owed += size;
    give_credit(side);
    return size;
}

bool Connection::would_wait(std::size_t side) const noexcept {
    const End& end = ends_[side];
    if (gone(end)) return false;
    if (end.host.frozen) return true;
    const Wire& wire = wires_[other(side)];
    return wire.unread() == 0 && !end.failure && !wire.fin_received;
}

Result<std::size_t> Connection::try_write(std::size_t side, ByteSpan bytes) {
    const End& end = ends_[side];
    if (gone(end)) return fail(errc::closed, {});
    if (end.host.frozen) return std::size_t{0};
    if (end.failure) return Error(end.failure);
    Wire& wire = wires_[side];
    const LinkOptions& options = fabric_.options(wire.path);
    const std::size_t room =
        options.stream_bytes_max - std::min(wire.outstanding, options.stream_bytes_max);
    const std::size_t size = std::min(bytes.size(), room);
    wire.outstanding += size;
    for (ByteSpan rest = bytes.first(size); !rest.empty();) {
        std::size_t part =
            std::min(rest.size(), std::max<std::size_t>(options.segment_bytes_max, 1));
        if (fabric_.chance(options.fragment_probability)) {
            part = 1 + fabric_.random().below(part);
        }
        send(
            side,
            Segment::Kind::data,
            Bytes(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(part))
        );
        rest = rest.subspan(part);
    }
    return size;
}

void Connection::close(std::size_t side) {
    End& end = ends_[side];
    if (end.closed) return;
    end.closed = true;
    wake(side);
    if (end.dead || end.failure) return;
    fabric_.add_event("closes", &end.host, &ends_[other(side)].host, number_);
    if (wires_[other(side)].unread() > 0) return send_reset(side);
    send(side, Segment::Kind::fin);
}

void Connection::kill(std::size_t side, Death death) {
    End& end = ends_[side];
    if (gone(end)) {
        // What a closed end has still under way is its kernel's, which may go, too.
        if (death == Death::silent) drop_flight(side);
        end.dead = true;
        return;
    }
    switch (death) {
        case Death::silent:
            drop_flight(side);
            break;
        case Death::reset:
            if (!end.failure) send_reset(side);
            break;
        case Death::process:
            close(side);
            break;
    }
    end.dead = true;
    wake(side);
}

/// What is not sent now takes nobody's place on the path.
void Connection::give_place_back(std::size_t side) {
    std::size_t bytes = 0;
    for (const Segment& segment : wires_[side].flight)
        bytes += segment.bytes.size();
    fabric_.give_back(wires_[side].path, bytes);
}

void Connection::drop_flight(std::size_t side) {
    give_place_back(side);
    for (const Segment& segment : wires_[side].flight) {
        if (segment.kind == Segment::Kind::reset) ends_[side].reset_sent = false;
        // Nobody will ever get the other end.
        if (segment.kind == Segment::Kind::hello) ends_[other(side)].closed = true;
    }
    wires_[side].flight.clear();
}

void Connection::fail_end(std::size_t side, ErrorCode ec) {
    End& end = ends_[side];
    drop_flight(side);
    if (gone(end) || end.failure) return;
    end.failure = ec;
    fabric_.add_event("fails", &end.host, &ends_[other(side)].host, number_, 0, ec.message());
    wake(side);
}

void Connection::wake(std::size_t side) {
    ends_[side].readable.notify();
    ends_[side].writable.notify();
}

void Connection::send(std::size_t side, Segment::Kind kind, Bytes bytes) {
    Wire& wire = wires_[side];
    const LinkOptions& options = fabric_.options(wire.path);
    SteadyTime at = fabric_.arrival(wire.path, bytes.size());
    Duration again = options.retransmit_min;
    while (fabric_.chance(options.packet_loss_probability)) {
        fabric_.add_event(
            "loses", &wire.path.from, &wire.path.to, number_, bytes.size(), "and sends it again"
        );
        at += again;
        again *= 2;
        if (again > options.give_up_after) break;
    }
    if (kind == Segment::Kind::data) {
        fabric_.add_event("sends", &wire.path.from, &wire.path.to, number_, bytes.size());
    }
    Segment segment;
    segment.kind = kind;
    segment.at = wire.last_at = std::max(at, wire.last_at);
    segment.bytes = std::move(bytes);
    wire.flight.push_back(std::move(segment));
    schedule_arrival(side);
}

void Connection::send_reset(std::size_t side) {
    if (std::exchange(ends_[side].reset_sent, true)) return;
    fabric_.add_event("resets", &ends_[side].host, &ends_[other(side)].host, number_);
    send(side, Segment::Kind::reset);
}

void Connection::schedule_arrival(std::size_t side) {
    Wire& wire = wires_[side];
    if (wire.arrival_pending || wire.stalled || wire.flight.empty()) return;
    wire.arrival_pending = true;
    fabric_.schedule(
        wire.flight.front().at - fabric_.clock().now(),
        [self = shared_from_this(), side, arrival = ++wire.arrivals] {
            if (self->wires_[side].arrivals == arrival) self->arrive(side);
        }
    );
}

void Connection::arrive(std::size_t side) {
    Wire& wire = wires_[side];
    wire.arrival_pending = false;
    while (!wire.stalled && !wire.flight.empty() && wire.flight.front().at <= fabric_.clock().now()
    ) {
        if (wire.path.blocked() || wire.path.to.power == Host::Power::off) {
            // A reset is not repeated, the rest is.
            if (wire.flight.front().kind != Segment::Kind::reset) return stall(side);
            // But whatever else comes is answered by another one.
            ends_[side].reset_sent = false;
            wire.flight.pop_front();
            continue;
        }
        Segment segment = std::move(wire.flight.front());
        wire.flight.pop_front();
        arrive_one(side, segment);
    }
    schedule_arrival(side);
}

void Connection::arrive_one(std::size_t side, Segment& segment) {
    Wire& wire = wires_[side];
    End& to = ends_[other(side)];
    switch (segment.kind) {
        case Segment::Kind::hello:
            return hand_to_listener();
        case Segment::Kind::data:
            // A kernel that has forgotten the connection says so.
            if (gone(to) || to.failure) return send_reset(other(side));
            fabric_.add_event("receives", &to.host, nullptr, number_, segment.bytes.size());
            wire.received.insert(wire.received.end(), segment.bytes.begin(), segment.bytes.end());
            break;
        case Segment::Kind::fin:
            if (to.failure || (to.dead && !to.closed)) return send_reset(other(side));
            fabric_.add_event("sees the end", &to.host, nullptr, number_);
            wire.fin_received = true;
            break;
        case Segment::Kind::reset:
            return fail_end(
                other(side),
                wire.fin_received ? asio::error::make_error_code(asio::error::broken_pipe)
                                  : asio::error::make_error_code(asio::error::connection_reset)
            );
    }
    to.readable.notify();
}

void Connection::hand_to_listener() {
    const auto listener = listener_.lock();
    End& end = ends_[kAcceptor];
    if (!listener || listener->closed || gone(end)) {
        end.closed = true;
        return send_reset(kAcceptor);
    }
    listener->queue.push_back(make_stream(shared_from_this(), kAcceptor));
    listener->ready.notify();
}

void Connection::stall(std::size_t side) {
    Wire& wire = wires_[side];
    wire.stalled = true;
    fabric_.add_event("does not get through", &wire.path.from, &wire.path.to, number_);
    give_up_later(side);
}

void Connection::give_up_later(std::size_t side) {
    Wire& wire = wires_[side];
    const std::uint64_t stall = ++wire.stalls;
    fabric_.schedule(
        fabric_.options(wire.path).give_up_after,
        [self = shared_from_this(), side, stall] {
            const Wire& late = self->wires_[side];
            if (late.stalls != stall || !(late.stalled || late.credit_stalled)) return;
            self->fail_end(side, asio::error::make_error_code(asio::error::timed_out));
        }
    );
}

void Connection::unblocked(const Path& path) {
    for (const std::size_t side : {kDialler, kAcceptor}) {
        if (&wires_[side].path == &path && wires_[side].stalled) go_on(side);
        if (&wires_[other(side)].path == &path && wires_[side].credit_stalled) {
            wires_[side].credit_stalled = false;
            give_credit(other(side));
        }
    }
}

void Connection::on_new_options(const Path& path) {
    for (const std::size_t side : {kDialler, kAcceptor}) {
        Wire& wire = wires_[side];
        if (&wire.path != &path || wire.stalled || wire.flight.empty()) continue;
        SteadyTime last{};
        for (Segment& segment : wire.flight) {
            const SteadyTime at = fabric_.arrival(wire.path, segment.bytes.size());
            segment.at = last = std::max(last, std::min(segment.at, at));
        }
        wire.last_at = last;
        wire.arrival_pending = false;
        schedule_arrival(side);
    }
}

void Connection::go_on(std::size_t side) {
    Wire& wire = wires_[side];
    wire.stalled = false;
    wire.last_at = fabric_.clock().now();
    give_place_back(side);
    ++wire.stalls;
    if (wire.credit_stalled) give_up_later(side);
    // The next repetition comes some time after the path works again.
    const LinkOptions& options = fabric_.options(wire.path);
    const auto wait = static_cast<std::uint64_t>(options.retransmit_min.count());
    const SteadyTime from =
        fabric_.clock().now() + Duration(wait == 0 ? 0 : fabric_.random().below(wait));
    for (Segment& segment : wire.flight) {
        const Duration way =
            fabric_.arrival(wire.path, segment.bytes.size()) - fabric_.clock().now();
        segment.at = wire.last_at = std::max(wire.last_at, from + way);
    }
    schedule_arrival(side);
}

void Connection::give_credit(std::size_t reader_side) {
    const std::size_t writer_side = other(reader_side);
    Wire& wire = wires_[writer_side];
    if (wire.owed == 0 || wire.credit_pending || wire.credit_stalled) return;
    wire.credit_pending = true;
    // The acknowledgement takes the shortest way: it is never what a test is about.
    fabric_.schedule(
        fabric_.options(wires_[reader_side].path).one_way_delay_min,
        [self = shared_from_this(), writer_side] { self->credit_arrives(writer_side); }
    );
}

void Connection::credit_arrives(std::size_t writer_side) {
    Wire& wire = wires_[writer_side];
    wire.credit_pending = false;
    const Path& back = wires_[other(writer_side)].path;
    if (back.blocked() || back.to.power == Host::Power::off) {
        wire.credit_stalled = true;
        return give_up_later(writer_side);
    }
    wire.outstanding -= std::exchange(wire.owed, 0);
    ends_[writer_side].writable.notify();
}

namespace {

class SimStream final : public net::Stream {
 public:
    SimStream(std::shared_ptr<Connection> connection, std::size_t side)
        : connection_(std::move(connection)),
          side_(side),
          remote_(connection_->end(1 - side).local) {}
    ~SimStream() override { SimStream::close(); }
    SimStream(const SimStream&) = delete;
    SimStream& operator=(const SimStream&) = delete;

    Task<Result<std::size_t>> read_some(std::span<std::byte> into) override {
        SKY_ASSERT(!into.empty());
        Connection::End& end = connection_->end(side_);
        while (true) {
            auto outcome = connection_->try_read(side_, into);
            if (outcome) co_return std::move(*outcome);
            if (!co_await wait(end.readable, end.reading)) co_return fail(errc::cancelled, {});
        }
    }

    Task<Result<>> write(ByteSpan head, ByteSpan tail) override {
        const std::array<ByteSpan, 2> parts{head, tail};
        co_return co_await SimStream::write_all(parts);
    }

    Task<Result<>> write_all(std::span<const ByteSpan> parts) override {
        Connection::End& end = connection_->end(side_);
        for (ByteSpan part : parts) {
            while (!part.empty()) {
                const auto size = connection_->try_write(side_, part);
                if (!size) co_return size.error();
                part = part.subspan(*size);
                if (part.empty()) break;
                if (!co_await wait(end.writable, end.writing)) co_return fail(errc::cancelled, {});
            }
        }
        co_return Result<>();
    }

    Task<Result<>> wait_readable() override {
        Connection::End& end = connection_->end(side_);
        while (connection_->would_wait(side_)) {
            if (!co_await wait(end.readable, end.reading)) co_return fail(errc::cancelled, {});
        }
        if (end.closed || end.dead) co_return fail(errc::closed, {});
        co_return Result<>();
    }

    void close() noexcept override { connection_->close(side_); }

    const net::Address& local() const noexcept override { return connection_->end(side_).local; }
    const net::Address& remote() const noexcept override { return remote_; }

 private:
    /// Where `waits` is set already, a second operation of the same kind is under way.
    static Task<bool> wait(net::Event& event, bool& waits) {
        SKY_ASSERT(!waits);
        waits = true;
        const bool notified = co_await event.wait();
        waits = false;
        co_return notified;
    }

    std::shared_ptr<Connection> connection_;
    std::size_t side_;
    net::Address remote_;
};

}  // namespace

std::unique_ptr<net::Stream> make_stream(std::shared_ptr<Connection> connection, std::size_t side) {
    return std::make_unique<SimStream>(std::move(connection), side);
}

}  // namespace skywire::sim::detail
