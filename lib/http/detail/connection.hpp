#pragma once

#include "http/detail/input_buffer.hpp"
#include "http/detail/server_core.hpp"
#include "net/event.hpp"
#include "net/stream.hpp"

#include <memory>

namespace skywire::http::detail {

/// One connection of a Server. Its deadlines are kept by the server's sweep; each phase has one.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
    /// `core` outlives the connection.
    Connection(ServerCore& core, std::unique_ptr<net::Stream> stream);
    ~Connection();

    /// Answers requests until either side ends.
    Task<> run();

    /// Ends what has gone on for too long.
    void sweep(SteadyTime now);

    /// Draining: a connection between requests ends, the others end after their answer. One that is
    /// new may have its first request on the way: it gets half a second for it.
    void end_if_idle() noexcept;

    void close() noexcept { stream_->close(); }

    /// Between a request's first byte and its answer's last.
    bool busy() const noexcept { return phase_ != Phase::idle && phase_ != Phase::lingering; }

    const net::Address& remote() const noexcept { return remote_; }

 private:
    enum class Phase {
        /// Between requests.
        idle,
        /// A request has begun.
        reading,
        /// The handler runs; how long is its own business.
        handling,
        writing,
        /// An endless body, between two chunks.
        streaming,
        /// The refusal is sent; what still arrives is thrown away for a moment, because closing
        /// with unread bytes would reset the connection and take the refusal with it.
        lingering,
        /// The 408 of a slow request is on its way out.
        cutting_off,
    };

    class Chunks;

    Task<bool> read_proxy_header();
    Task<bool> wait_for_request();
    Task<RequestParser::Status> read_request();
    Task<bool> answer();
    Task<Response> call_handler(Request& request);
    Task<> compress(Response& response);
    bool wants_gzip(Response& response) const;
    Task<bool> send_stream(Response response, bool keep_alive);
    Task<bool> run_stream(Response& response, Chunks& chunks);
    Task<bool> watch_peer();
    Task<> refuse(RequestParser::Status status);
    Task<> linger();
    void begin_cut_off();
    Task<> cut_off();

    /// Reads once into the input; false where the peer has ended or the buffer is full.
    Task<bool> read_more(std::size_t capacity_wanted);
    /// Writes what is collected in `out`, then `tail`.
    Task<bool> flush(std::string_view tail = {});
    void enter(Phase phase, Duration time_allowed);
    void enter(Phase phase);
    RequestParser::Limits parser_limits() const noexcept;
    HeadOptions head_options(bool keep_alive);

    ServerCore& core_;
    std::unique_ptr<net::Stream> stream_;
    net::Address remote_;
    InputBuffer input_;
    std::unique_ptr<Exchange> exchange_;
    Phase phase_ = Phase::idle;
    SteadyTime deadline_ = SteadyTime::max();
    std::size_t answered_ = 0;
    /// There while a slow peer is being cut off: told when the 408 is out.
    std::unique_ptr<net::Event> cut_off_ended_;
    bool cutting_off_ = false;
};

}  // namespace skywire::http::detail
