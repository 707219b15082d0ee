// A session's life: the reader, what the core says, time limits, telling the owner and observers.

#include "mux/detail/session_state.hpp"

#include "base/assert.hpp"

#include <boost/asio/post.hpp>

namespace skywire::mux {
namespace {

/// A chunk with less room than this, whose slices are in use, is left to them.
constexpr std::size_t kReadMin = 32 * 1024;
/// What a session may read without giving the writers of its loop a turn.
constexpr std::size_t kTurnBytes = 256 * 1024;
/// For the next read of a session that has been idle: its carrier may not be able to wait without a
/// buffer.
constexpr std::size_t kIdleChunkBytes = 1024;
constexpr Duration kIdle = std::chrono::seconds(1);
/// For the last frames (a go-away) to be taken before the carrier is closed.
constexpr Duration kFarewell = std::chrono::seconds(1);

}  // namespace

Session::State::State(
    const net::Context& context,
    std::unique_ptr<net::Stream> carrier_in,
    Options options,
    Owner& owner
)
    : executor(context.loop),
      carrier(std::move(carrier_in)),
      last_received(context.clock.now()),
      clock_(context.clock),
      options_(std::move(options)),
      owner_(&owner) {}

void Session::State::start() {
    if (options_.protocol) decide(*options_.protocol);
    spawn(read_loop());
}

/// Not a net::Scope, which would cost an idle session some hundred bytes more: `close` ends both
/// coroutines by closing the carrier and waits until none is left.
void Session::State::spawn(Task<> task) {
    ++coroutines_;
    asio::co_spawn(
        executor,
        std::move(task),
        [self = shared_from_this()](std::exception_ptr error) {
            --self->coroutines_;
            self->changed_.notify();
            if (error) std::rethrow_exception(error);
        }
    );
}

/// A turn of the loop for others.
Task<> Session::State::yield() {
    co_await asio::post(executor, asio::use_awaitable);
}

void Session::State::decide(Protocol chosen) {
    if (core || ended) return;
    protocol = chosen;
    // Not now: a peer that was silent until it had to be decided is pinged at once.
    const SteadyTime began = last_received;
    switch (chosen) {
        case Protocol::yamux:
            core = make_yamux(options_.core, *this, began);
            break;
        case Protocol::smux:
            core = make_smux(options_.core, *this, began);
            break;
    }
    if (going_away_) core->go_away();
}

Result<std::unique_ptr<Stream>> Session::State::open() {
    if (ended) return Error(errc::session_ended, reason_.message());
    decide(Protocol::yamux);
    const auto id = core->open(clock_.now());
    if (!id) return id.error();
    const auto stream = std::make_shared<Impl>(shared_from_this(), *id);
    streams_.emplace(*id, stream);
    return std::unique_ptr<Stream>(new Stream(stream));
}

void Session::State::go_away() {
    if (going_away_ || ended) return;
    going_away_ = true;
    if (core) core->go_away();
}

void Session::State::end(Error reason, bool farewell) {
    if (ended) {
        if (!farewell) close_carrier();
        return;
    }
    ended = true;
    ended_at_ = clock_.now();
    reason_ = std::move(reason);
    const Error lost(errc::session_ended, reason_.message());
    sending_.clear();
    for (auto& [id, stream] : std::exchange(streams_, {}))
        lose(*stream, lost);
    incoming_.clear();
    incoming_.shrink_to_fit();
    incoming_next_ = 0;
    pong_.notify();
    room_.notify();
    if (farewell && output_size() > 0) {
        wake_writer();
    } else {
        close_carrier();
    }
}

void Session::State::close_carrier() {
    if (carrier_closed_) return;
    carrier_closed_ = true;
    output_.clear();
    carrier->close();
    room_.notify();
    work_.notify();
    schedule();
}

Session::State::Impl* Session::State::find(StreamId id) const {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
}

/// The caller holds the stream.
void Session::State::forget(Impl& stream) {
    stream.known = false;
    if (stream.closed) --closing_;
    stream.SendingHook::unlink();
    streams_.erase(stream.id);
}

/// Taken away by the peer or the end of the session.
void Session::State::lose(Impl& stream, const Error& reason) {
    stream.known = false;
    stream.queued.clear();
    if (stream.closed) return;
    stream.lost = reason;
    stream.notify();
    tell(stream);
    schedule();
}

void Session::State::consumed(Impl& stream, std::size_t bytes) {
    if (stream.known && bytes > 0) core->consumed(stream.id, bytes);
}

void Session::State::close_stream(Impl& stream) {
    if (stream.closed) return;
    // A write that is cut off must not look like all there was.
    if (stream.parts_size > 0) {
        reset_stream(stream);
        return;
    }
    const std::shared_ptr<Impl> kept = stream.shared_from_this();
    stream.closed = true;
    stream.observer = nullptr;
    stream.notify();
    const std::size_t unread = std::exchange(stream.received, {}).size();
    if (!stream.known) return;
    ++closing_;
    stream.closed_at = clock_.now();
    if (stream.queued.empty()) {
        finish_close(stream);
    } else {
        consumed(stream, unread);
    }
}

void Session::State::reset_stream(Impl& stream) {
    const std::shared_ptr<Impl> kept = stream.shared_from_this();
    if (stream.known) {
        core->reset(stream.id);
        forget(stream);
    }
    stream.closed = true;
    stream.observer = nullptr;
    stream.received.clear();
    stream.queued.clear();
    stream.notify();
}

void Session::State::on_stream(StreamId id) {
    auto stream = std::make_shared<Impl>(shared_from_this(), id);
    incoming_.push_back(stream);
    streams_.emplace(id, std::move(stream));
}

void Session::State::on_data(StreamId id, ByteSpan payload) {
    Impl* const stream = find(id);
    if (stream == nullptr || stream->closed) {
        core->consumed(id, payload.size());
        return;
    }
    SKY_ASSERT(chunk_);
    const std::span<std::byte> memory = chunk_->bytes();
    const auto offset = static_cast<std::size_t>(payload.data() - memory.data());
    stream->received.append(chunk_->slice(offset, payload.size()));
    stream->readable = true;
    tell(*stream);
}

void Session::State::on_sendable(StreamId id) {
    if (Impl* const stream = find(id)) send(*stream);
}

void Session::State::on_finished(StreamId id) {
    Impl* const stream = find(id);
    if (stream == nullptr) return;
    stream->finished = true;
    stream->readable = true;
    if (stream->ends_with_peer) stream->can_write.notify();
    tell(*stream);
}

void Session::State::on_reset(StreamId id, errc reason) {
    Impl* const stream = find(id);
    if (stream == nullptr) return;
    const std::shared_ptr<Impl> kept = stream->shared_from_this();
    forget(*stream);
    lose(*stream, Error(reason));
}

void Session::State::on_pong(Duration round_trip) {
    ++pongs_;
    round_trip_ = round_trip;
    pong_.notify();
}

void Session::State::on_go_away() {
    peer_going_away_ = true;
}

/// The frame in which an idle session waits: what reading needs is in others.
Task<> Session::State::read_loop() {
    // The owner is not to be told anything inside the session's constructor.
    co_await yield();
    take_surplus();
    while (!ended) {
        const auto ready = co_await carrier->wait_readable();
        if (!ready) end(ready.error(), /*farewell=*/false);
        if (!ended) co_await read_available();
    }
    chunk_.reset();
    deliver();
}

/// Where a read fills its chunk there is probably more, and the next chunk may have to be held
/// while it is waited for: until our next ping is answered, at most.
Task<> Session::State::read_available() {
    bool more = true;
    for (std::size_t turn = 0; more;) {
        if (output_size() > options_.output_max) co_await wait_for_room();
        if (ended) break;
        const std::span<std::byte> room = prepare_chunk();
        reading_ = true;
        const auto size = co_await carrier->read_some(room);
        reading_ = false;
        if (!have_result(size)) break;
        more = *size == room.size();
        turn += *size;
        if (more && turn >= kTurnBytes) {
            turn = 0;
            co_await yield();
        }
    }
}

Task<> Session::State::wait_for_room() {
    while (!ended && output_size() > options_.output_max)
        co_await room_.get(executor).wait();
    room_.reset();
}

bool Session::State::have_result(const Result<std::size_t>& size) {
    if (ended) return false;
    if (!size) {
        end(size.error(), /*farewell=*/false);
        return false;
    }
    if (*size == 0) {
        end(fail(skywire::errc::closed, "the peer closed the connection"), /*farewell=*/false);
        return false;
    }
    have_read(*size);
    return true;
}

void Session::State::take_surplus() {
    const Bytes surplus = std::exchange(options_.surplus, {});
    if (surplus.empty() || ended) return;
    chunk_.emplace(surplus.size());
    std::copy(surplus.begin(), surplus.end(), chunk_->bytes().begin());
    chunk_used_ = 0;
    have_read(surplus.size());
}

std::span<std::byte> Session::State::prepare_chunk() {
    if (chunk_ && chunk_->bytes().size() < chunk_used_ + std::min(kReadMin, read_bytes_)) {
        chunk_.reset();
    }
    if (!chunk_) {
        chunk_.emplace(read_bytes_);
        chunk_used_ = 0;
    }
    return chunk_->bytes().subspan(chunk_used_);
}

void Session::State::have_read(std::size_t size) {
    last_received = clock_.now();
    SKY_ASSERT(chunk_);
    const ByteSpan bytes = chunk_->bytes().subspan(chunk_used_, size);
    chunk_used_ += size;
    if (chunk_used_ == chunk_->bytes().size()) read_bytes_ = kChunkBytes;
    feed(bytes);
    deliver();
    if (chunk_ && chunk_->unique()) chunk_.reset();
}

void Session::State::feed(ByteSpan bytes) {
    if (!core) {
        const auto chosen = protocol_of(bytes.front());
        if (!chosen) {
            end(Error(
                    errc::bad_frame,
                    fmt::format(
                        "the first byte, {}, belongs to no multiplexer",
                        std::to_integer<int>(bytes.front())
                    )
                ),
                /*farewell=*/false);
            return;
        }
        decide(*chosen);
    }
    const auto fed = core->on_bytes(bytes, last_received, *this);
    if (!fed) end(fed.error(), /*farewell=*/true);
}

void Session::State::tick(SteadyTime now) {
    if (carrier_closed_) return;
    if (ended) {
        if (now - ended_at_ >= kFarewell) close_carrier();
        return;
    }
    if (write_began_ && now - *write_began_ >= options_.write_timeout) {
        end(Error(errc::write_timed_out), /*farewell=*/false);
        return;
    }
    check_core(now);
    if (ended) return;
    check_closing(now);
    check_idle(now);
    schedule();
}

void Session::State::check_core(SteadyTime now) {
    if (!core) {
        // It may be a client that says nothing before its first keep-alive.
        const Duration limit = options_.core.keep_alive + options_.core.ping_timeout;
        if (now - last_received < limit) return;
        end(Error(errc::peer_silent, "the peer has not said a byte"), /*farewell=*/false);
        return;
    }
    if (now < core->next_time()) return;
    const auto result = core->on_time(now, *this);
    if (!result) end(result.error(), result.error().code() != errc::peer_silent);
}

/// Streams that were closed while the peer gives no window for what is still queued.
void Session::State::check_closing(SteadyTime now) {
    if (closing_ == 0) return;
    std::vector<std::shared_ptr<Impl>> late;
    for (const auto& [id, stream] : streams_) {
        if (!stream->closed || now - stream->closed_at < options_.core.close_timeout) continue;
        late.push_back(stream);
    }
    for (const auto& stream : late)
        reset_stream(*stream);
}

void Session::State::check_idle(SteadyTime now) {
    // While the carrier takes nothing, what waits must not pin more memory than its size.
    if (write_began_ && now - *write_began_ >= kIdle) {
        output_.compact();
        for (Impl& stream : sending_)
            stream.queued.compact();
    }
    if (writer_waiting_ && !writer_used_) work_.notify();
    writer_used_ = false;
    if (now - last_received < kIdle) return;
    read_bytes_ = kIdleChunkBytes;
    if (!reading_) chunk_.reset();
}

void Session::State::tell(Impl& stream) {
    if (!stream.TellingHook::is_linked()) telling_.push_back(stream);
}

bool Session::State::something_to_tell() const noexcept {
    return incoming_next_ < incoming_.size() || !telling_.empty() || refused_ > 0 ||
           peer_going_away_ || (carrier_closed_ && !end_told_);
}

void Session::State::schedule() {
    if (scheduled_ || delivering_ || !something_to_tell()) return;
    scheduled_ = true;
    asio::post(executor, [self = shared_from_this()] {
        self->scheduled_ = false;
        self->deliver();
        self->changed_.notify();
    });
}

void Session::State::deliver() {
    if (delivering_) return;
    delivering_ = true;
    while (true) {
        if (incoming_next_ < incoming_.size()) {
            deliver_stream();
        } else if (!telling_.empty()) {
            const std::shared_ptr<Impl> stream = telling_.front().shared_from_this();
            telling_.pop_front();
            deliver_to(*stream);
        } else if (refused_ > 0) {
            const std::size_t refused = std::exchange(refused_, 0);
            if (owner_ != nullptr && !ended) owner_->on_refused(refused);
        } else if (std::exchange(peer_going_away_, false)) {
            if (owner_ != nullptr && !ended) owner_->on_go_away();
        } else if (carrier_closed_ && !std::exchange(end_told_, true)) {
            if (owner_ != nullptr) owner_->on_end(reason_);
        } else {
            break;
        }
    }
    delivering_ = false;
    changed_.notify();
}

void Session::State::deliver_stream() {
    const std::shared_ptr<Impl> stream = std::move(incoming_[incoming_next_++]);
    if (incoming_next_ == incoming_.size()) {
        incoming_.clear();
        incoming_.shrink_to_fit();
        incoming_next_ = 0;
    }
    // Gone again before the owner has seen it.
    if (!stream->known) return;
    owner_->on_stream(std::unique_ptr<Stream>(new Stream(stream)));
    if (stream->known) core->accept(stream->id);
}

void Session::State::deliver_to(Impl& stream) {
    if (std::exchange(stream.readable, false) && stream.observer != nullptr) {
        stream.observer->on_readable();
    }
    const std::size_t taken = std::exchange(stream.taken, 0);
    if (taken > 0 && stream.observer != nullptr) stream.observer->on_taken(taken);
    if (stream.lost.code() && stream.observer != nullptr) {
        std::exchange(stream.observer, nullptr)->on_lost(stream.lost);
    }
    if (stream.reading) {
        stream.can_read.notify();
    } else {
        stream.received.compact();
    }
}

}  // namespace skywire::mux
