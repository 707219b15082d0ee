#pragma once

#include "mux/session.hpp"
#include "net/event.hpp"

#include <unordered_map>

#include <boost/intrusive/list.hpp>

/// What a session and its streams share. Each of them holds it, so either may go first.
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
    /// Nobody waits.
    void reset() noexcept { event_.reset(); }

 private:
    std::unique_ptr<net::Event> event_;
};

using SendingHook = boost::intrusive::list_base_hook<
    boost::intrusive::tag<struct SendingTag>,
    boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using TellingHook = boost::intrusive::list_base_hook<
    boost::intrusive::tag<struct TellingTag>,
    boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// A stream as the session sees it. In its map while `known`: until our FIN is sent, or the stream
/// is reset, or the session ends. What arrived before stays readable afterwards.
struct Stream::Impl final : SendingHook, TellingHook, std::enable_shared_from_this<Impl> {
    Impl(std::shared_ptr<Session::State> session_in, StreamId id_in)
        : session(std::move(session_in)), id(id_in) {}

    std::size_t unsent() const noexcept { return queued.size() + parts_size; }
    bool ended_by_peer() const noexcept { return !closed && finished && ends_with_peer; }
    /// Why the application may not write (and, without more to come, not read).
    std::optional<Error> refusal() const;
    void notify() {
        can_read.notify();
        can_write.notify();
    }
    bool something_to_read() const noexcept {
        return closed || !received.empty() || finished || lost.code();
    }
    /// Waits until there is something to read, which an error or the end is too; an error where the
    /// caller is cancelled first.
    static Task<Result<>> wait_received(std::shared_ptr<Impl> stream);
    /// Waits until nothing is unsent; the stream is reset where the caller is cancelled first.
    static Task<Result<>> wait_sent(std::shared_ptr<Impl> stream);

    const std::shared_ptr<Session::State> session;
    const StreamId id;
    Observer* observer = nullptr;

    ByteQueue received;
    ByteQueue queued;
    /// What a waiting write_all still has to send, behind `queued`; copied when its turn comes.
    std::span<const ByteSpan> parts;
    /// Bytes of parts.front() that are copied already.
    std::size_t part_done = 0;
    std::size_t parts_size = 0;
    /// Pushed bytes that went to the carrier's queue and of which the observer was not told.
    std::size_t taken = 0;
    /// Set where the peer or the session took the stream away.
    Error lost;
    SteadyTime closed_at{};
    bool known = true;
    /// The peer's FIN has come.
    bool finished = false;
    /// It then takes nothing of ours either.
    bool ends_with_peer = false;
    /// Ended by its own application.
    bool closed = false;
    /// The observer is to be told.
    bool readable = false;
    /// A coroutine waits for bytes.
    bool reading = false;
    LazyEvent can_read;
    LazyEvent can_write;
};

/// Two coroutines at most: the reader, and a writer while there is something to write. Neither
/// calls into the application from within a call of the application: what is to be told is noted
/// (telling_, incoming_) and told by `deliver`, from the reader, the writer or a posted handler.
class Session::State final : public CoreEvents,
                             public CoreOutput,
                             public std::enable_shared_from_this<State> {
 public:
    using Impl = Stream::Impl;

    State(
        const net::Context& context,
        std::unique_ptr<net::Stream> carrier_in,
        Options options,
        Owner& owner
    );
    ~State() override = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void start();
    void decide(Protocol chosen);
    Result<std::unique_ptr<Stream>> open();
    void go_away();
    void tick(SteadyTime now);
    /// `farewell`: what is in the output is sent before the carrier is closed.
    void end(Error reason, bool farewell);
    static Task<Result<Duration>> ping(std::shared_ptr<State> state);
    static Task<> close(std::shared_ptr<State> state);
    bool busy() const noexcept { return coroutines_ > 0 || scheduled_ || delivering_; }

    // Of streams.
    /// Something of it has become sendable, or is to be; a later turn of the loop sends it.
    void send(Impl& stream);
    /// Puts it on the carrier's queue at once where it overtakes nothing; else as `send`.
    void send_directly(Impl& stream);
    void consumed(Impl& stream, std::size_t bytes);
    void close_stream(Impl& stream);
    void reset_stream(Impl& stream);
    /// Notes that its observer is to be told; `schedule` has it told where nobody else will.
    void tell(Impl& stream);
    void schedule();

    // CoreEvents and CoreOutput.
    void on_stream(StreamId id) override;
    void on_refused(StreamId) override { ++refused_; }
    void on_data(StreamId id, ByteSpan payload) override;
    void on_sendable(StreamId id) override;
    void on_accepted(StreamId) override {}
    void on_finished(StreamId id) override;
    void on_reset(StreamId id, errc reason) override;
    void on_pong(Duration round_trip) override;
    void on_go_away() override;
    void on_frame(ByteSpan frame) override;

    const Executor executor;
    const std::unique_ptr<net::Stream> carrier;
    std::unique_ptr<Core> core;
    std::optional<Protocol> protocol;
    SteadyTime last_received;
    bool ended = false;

 private:
    template <class Hook>
    using List = boost::intrusive::
        list<Impl, boost::intrusive::base_hook<Hook>, boost::intrusive::constant_time_size<false>>;

    void spawn(Task<> task);
    Task<> yield();
    void close_carrier();
    Impl* find(StreamId id) const;
    void forget(Impl& stream);
    void lose(Impl& stream, const Error& reason);

    // Reading.
    Task<> read_loop();
    Task<> read_available();
    Task<> wait_for_room();
    /// False where the session has ended.
    bool have_result(const Result<std::size_t>& size);
    void take_surplus();
    std::span<std::byte> prepare_chunk();
    void have_read(std::size_t size);
    void feed(ByteSpan bytes);

    // Writing (session_output.cpp).
    void wake_writer();
    Task<> write_loop();
    void fill();
    void put(Impl& stream);
    void copy_parts(Impl& stream, std::size_t size);
    void settle(Impl& stream);
    void finish_close(Impl& stream);
    std::size_t output_size() const noexcept { return output_.size() + writing_.size(); }

    // Time limits.
    void check_core(SteadyTime now);
    void check_closing(SteadyTime now);
    void check_idle(SteadyTime now);

    // Telling.
    bool something_to_tell() const noexcept;
    void deliver();
    void deliver_stream();
    static void deliver_to(Impl& stream);

    Clock& clock_;
    Options options_;
    /// Null once `close` has returned.
    Owner* owner_;
    Error reason_;
    SteadyTime ended_at_{};

    std::optional<Chunk> chunk_;
    std::size_t chunk_used_ = 0;
    std::size_t read_bytes_ = kChunkBytes;

    ByteQueue output_;
    /// Handed to the carrier: not touched until its write has ended.
    ByteQueue writing_;
    std::optional<SteadyTime> write_began_;

    std::unordered_map<StreamId, std::shared_ptr<Impl>> streams_;
    /// Opened by the peer and not handed to the owner yet, from incoming_next_ on.
    std::vector<std::shared_ptr<Impl>> incoming_;
    std::size_t incoming_next_ = 0;
    /// Streams with something sendable, in turn.
    List<SendingHook> sending_;
    List<TellingHook> telling_;
    /// Closed by their applications before everything was sent.
    std::size_t closing_ = 0;
    /// Of which the owner was not told.
    std::size_t refused_ = 0;

    LazyEvent room_;
    LazyEvent work_;
    LazyEvent pong_;
    LazyEvent changed_;
    std::uint64_t pongs_ = 0;
    Duration round_trip_{};
    std::size_t coroutines_ = 0;

    bool carrier_closed_ = false;
    bool end_told_ = false;
    bool going_away_ = false;
    bool peer_going_away_ = false;
    bool scheduled_ = false;
    bool delivering_ = false;
    /// The reader holds a chunk and waits for bytes to fill it.
    bool reading_ = false;
    bool writer_running_ = false;
    bool writer_waiting_ = false;
    /// The writer had something to do since the last tick.
    bool writer_used_ = false;
};

}  // namespace skywire::mux
