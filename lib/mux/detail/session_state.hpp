#pragma once

#include "mux/session.hpp"
#include "net/event.hpp"

#include <array>
#include <deque>
#include <unordered_map>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/intrusive/list.hpp>

/// What sessions and their streams share. Both hold it, so either may go first.
namespace skywire::mux {

/// An Event that costs eight bytes until somebody waits for it.
class LazyEvent {
 public:
    net::Event& get(const Executor& executor) {
        if (!event_) event_ = std::make_unique<net::Event>(executor);
        return *event_;
    }
    void notify() {
        if (event_) event_->notify();
    }

 private:
    std::unique_ptr<net::Event> event_;
};

using ListHook = boost::intrusive::list_base_hook<
    boost::intrusive::tag<struct SendingTag>,
    boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using TellingHook = boost::intrusive::list_base_hook<
    boost::intrusive::tag<struct TellingTag>,
    boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// A stream as the session sees it. In Session::State's map while `known`: from its opening until
/// FIN is sent, or it is reset, or the session ends.
struct Stream::Impl final : ListHook, TellingHook, std::enable_shared_from_this<Impl> {
    Impl(std::shared_ptr<Session::State> session_in, StreamId id_in)
        : session(std::move(session_in)), id(id_in) {}

    std::size_t unsent() const noexcept { return queued.size() + parts_size; }
    /// What the application may not do any more: null, or why.
    std::optional<Error> refusal() const;
    void notify_all();

    const std::shared_ptr<Session::State> session;
    const StreamId id;
    Observer* observer = nullptr;

    ByteQueue received;
    ByteQueue queued;
    /// What a waiting write_all still has to send, behind `queued`; copied when its turn comes.
    std::span<const ByteSpan> parts;
    std::size_t part_done = 0;
    std::size_t parts_size = 0;
    /// Pushed bytes on the carrier's queue of which the observer was not told.
    std::size_t taken = 0;
    /// Set where the peer or the session took the stream away.
    Error lost;
    SteadyTime closed_at{};
    bool known = true;
    bool accepted = false;
    /// The peer's FIN has come.
    bool finished = false;
    /// Ended by its own application.
    bool closed = false;
    bool readable = false;
    /// A coroutine waits for bytes.
    bool reading = false;
    LazyEvent can_read;
    LazyEvent can_write;
};

class Session::State final : public CoreEvents,
                             public CoreOutput,
                             public std::enable_shared_from_this<State> {
 public:
    using Impl = Stream::Impl;

    State(
        const net::Context& context,
        std::unique_ptr<net::Stream> carrier,
        Options options,
        Owner& owner
    );
    ~State() override = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void start();
    void decide(Protocol protocol);
    Result<std::unique_ptr<Stream>> open();
    void go_away();
    void tick(SteadyTime now);
    /// `farewell`: what is in the output is sent first.
    void end(Error reason, bool farewell);
    static Task<Result<Duration>> ping(std::shared_ptr<State> state);
    static Task<> close(std::shared_ptr<State> state);
    bool busy() const noexcept { return coroutines_ > 0 || scheduled_ || delivering_; }

    // Of streams.
    /// Something of it may be sendable now.
    void send(Impl& stream);
    /// Sends at once what may be sent without overtaking others.
    void send_directly(Impl& stream);
    void consumed(Impl& stream, std::size_t bytes);
    void close(Impl& stream);
    void reset(Impl& stream);
    /// The observer is told from the loop.
    void tell(Impl& stream);

    // CoreEvents.
    void on_stream(StreamId id) override;
    void on_data(StreamId id, ByteSpan payload) override;
    void on_sendable(StreamId id) override;
    void on_accepted(StreamId) override {}
    void on_finished(StreamId id) override;
    void on_reset(StreamId id, errc reason) override;
    void on_pong(Duration round_trip) override;
    void on_go_away() override;
    // CoreOutput.
    void on_frame(ByteSpan frame) override;

    const Executor executor;
    const std::unique_ptr<net::Stream> carrier;
    std::unique_ptr<Core> core;
    std::optional<Protocol> protocol;
    SteadyTime last_received;
    bool ended = false;

 private:
    using Sending = boost::intrusive::list<
        Impl,
        boost::intrusive::base_hook<ListHook>,
        boost::intrusive::constant_time_size<false>>;
    using Telling = boost::intrusive::list<
        Impl,
        boost::intrusive::base_hook<TellingHook>,
        boost::intrusive::constant_time_size<false>>;

    void spawn(Task<> task, asio::cancellation_slot slot);
    void close_carrier();

    // Reading.
    Task<> read_loop();
    /// Waits until there is something to read; false where the session has ended.
    Task<bool> read_more(bool at_once);
    void take_surplus();
    void prepare_chunk();
    void feed(ByteSpan bytes);
    Impl* find(StreamId id) const;

    // Writing.
    void wake_writer();
    Task<> write_loop();
    void fill();
    std::size_t put(Impl& stream);
    void copy_parts(Impl& stream, std::size_t size);
    /// After `put`, or where it could not: who waits is woken, FIN sent, or the next turn awaited.
    void settle(Impl& stream);
    void finish_close(Impl& stream);
    std::size_t output_size() const noexcept { return output_.size() + writing_.size(); }

    void forget(Impl& stream);
    static void lose(Impl& stream, const Error& reason);

    // Time limits.
    void check_undecided(SteadyTime now);
    void check_closing(SteadyTime now);
    void check_idle(SteadyTime now);

    // Telling the owner and observers.
    bool something_to_tell() const noexcept;
    void schedule();
    void deliver();
    void deliver_stream();
    static void deliver_to(const std::shared_ptr<Impl>& stream);

    Clock& clock_;
    Options options_;
    Owner* owner_;
    Error reason_;
    SteadyTime ended_at_{};
    std::size_t coroutines_ = 0;

    asio::cancellation_signal stop_reading_;
    std::optional<Chunk> chunk_;
    std::size_t chunk_used_ = 0;
    std::size_t read_bytes_ = kChunkBytes;
    LazyEvent room_;

    ByteQueue output_;
    /// Handed to the carrier.
    ByteQueue writing_;
    std::unique_ptr<net::Event> work_;
    std::optional<SteadyTime> write_began_;

    std::unordered_map<StreamId, std::shared_ptr<Impl>> streams_;
    Sending sending_;
    Telling telling_;
    std::deque<std::shared_ptr<Impl>>* unused_ = nullptr;
};

}  // namespace skywire::mux
