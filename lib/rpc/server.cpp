#include "rpc/server.hpp"

#include "net/deadline.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "rpc/detail/inbox.hpp"
#include "rpc/error.hpp"

#include <list>
#include <map>
#include <optional>

namespace skywire::rpc {
namespace {

using namespace std::chrono_literals;

/// After a failed accept: descriptors come back when connections end, not by asking again at once.
constexpr Duration kAcceptPause = 100ms;

/// All series of a server.
struct ServerMetrics {
    ServerMetrics(Metrics& registry_in, std::string server_in)
        : registry(registry_in),
          server(std::move(server_in)),
          connections(registry.gauge("rpc_connections", "Open streams.", {{"server", server}})) {}

    void call(std::string_view outcome) {
        registry
            .counter(
                "rpc_calls_total",
                "Calls answered, or why not.",
                {{"server", server}, {"outcome", std::string(outcome)}}
            )
            .add();
    }
    void refused(std::string_view why) {
        registry
            .counter(
                "rpc_refused_total",
                "Streams turned away or closed by us.",
                {{"server", server}, {"reason", std::string(why)}}
            )
            .add();
    }

    Metrics& registry;
    std::string server;
    Gauge& connections;
};

/// What all connections of a server share.
struct Core {
    Core(const net::Context& context_in, const Methods& methods_in, Server::Options options_in)
        : context(context_in),
          methods(methods_in),
          options(std::move(options_in)),
          metrics(context.metrics, options.name),
          idle(context.loop) {}

    net::Context context;
    const Methods& methods;
    Server::Options options;
    ServerMetrics metrics;
    bool draining = false;
    std::size_t calls = 0;
    /// A connection has ended.
    net::Event idle;
};

class Connection {
 public:
    Connection(Core& core, std::unique_ptr<net::Stream> stream)
        : core_(core),
          stream_(std::move(stream)),
          incoming_(core.options.limits),
          idle_since_(core.context.clock.now()),
          written_(core.context.loop),
          calls_(core.context.loop) {}
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const net::Address& caller() const noexcept { return stream_->remote(); }

    Task<> run() {
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await read_calls();
        stream_->close();
        co_await asio::this_coro::reset_cancellation_state();
        Clock& clock = core_.context.clock;
        co_await calls_.close(clock, clock.now(), SteadyTime::max());
    }

    void close_if_idle() noexcept {
        if (under_way_ == 0) stream_->close();
    }

 private:
    enum class Read { more, ended };

    Task<> read_calls() {
        while (true) {
            ByteSpan input = inbox_.bytes();
            const auto next = incoming_.next(input);
            if (!next) co_return refuse_bytes(next.error());
            const std::optional<Incoming<Request>::Message>& message = *next;
            if (!message) {
                inbox_.keep(input);
                const Read read = co_await read_more();
                if (read == Read::ended) co_return;
                continue;
            }
            // The argument is a view of the inbox: read before anything waits.
            auto refusal = begin(message->header, message->body);
            inbox_.keep(input);
            if (!refusal) co_return refuse_bytes(refusal.error());
            if (refusal->empty()) continue;
            // Answered before the next one is read: who floods, waits for itself.
            Response response{message->header.method, message->header.seq, std::move(*refusal)};
            const bool answered = co_await answer(std::move(response), body_of(Nothing()));
            if (!answered) co_return;
        }
    }

    /// Starts a call. A text: it is refused with that, and the stream goes on.
    Result<std::string> begin(const Request& header, const gob::Value& argument) {
        const Methods::Begin* const method = core_.methods.find(header.method);
        if (method == nullptr) {
            core_.metrics.call("unknown_method");
            return core_.methods.unknown_text(header.method);
        }
        if (core_.draining) {
            core_.metrics.call("draining");
            return std::string("the service is going down");
        }
        if (under_way_ >= core_.options.calls_per_connection_max) {
            core_.metrics.call("too_many_calls");
            return make_error_code(errc::too_many_calls).message();
        }
        auto work = (*method)(caller(), argument);
        if (!work) return work.error();
        idle_since_ = core_.context.clock.now();
        ++under_way_;
        ++core_.calls;
        calls_.spawn(header.method, [this, header, work = std::move(*work)] {
            return call(header, work);
        });
        return std::string();
    }

    Task<> call(Request header, Methods::Work work) {
        co_await asio::this_coro::throw_if_cancelled(false);
        Clock& clock = core_.context.clock;
        std::optional<Result<Reply>> outcome;
        try {
            outcome.emplace(
                co_await net::with_deadline(clock, clock.now() + core_.options.call_timeout, work())
            );
        } catch (const std::exception& error) {
            outcome.emplace(fail(skywire::errc::wrong_state, "internal error"));
            log::error(
                core_.context.logger,
                "rpc.call_failed",
                log::kv("method", header.method),
                log::kv("error", error.what())
            );
        }
        Response response{header.method, header.seq, {}};
        if (*outcome) {
            const bool answered = co_await answer(std::move(response), std::move((**outcome).body));
            core_.metrics.call(answered ? "ok" : "undelivered");
            const auto& told = answered ? (**outcome).delivered : (**outcome).undelivered;
            if (told) told();
        } else {
            response.error = outcome->error().message();
            core_.metrics.call("error");
            (void)co_await answer(std::move(response), body_of(Nothing()));
        }
        idle_since_ = clock.now();
        --under_way_;
        --core_.calls;
        if (core_.draining) close_if_idle();
    }

    /// One answer after another. False: the stream is closed.
    Task<bool> answer(Response header, Body body) {
        while (writing_) {
            const bool awake = co_await written_.wait();
            if (!awake) co_return false;
        }
        writing_ = true;
        Bytes bytes;
        outgoing_.append(bytes, header, body);
        Clock& clock = core_.context.clock;
        const auto written = co_await net::with_deadline(
            clock, clock.now() + core_.options.write_timeout, stream_->write(bytes)
        );
        writing_ = false;
        written_.notify();
        if (written) co_return true;
        if (written.error() == make_error_code(skywire::errc::timed_out))
            core_.metrics.refused("slow_reader");
        stream_->close();
        co_return false;
    }

    Task<Read> read_more() {
        Clock& clock = core_.context.clock;
        while (true) {
            const SteadyTime now = clock.now();
            const bool busy = under_way_ > 0;
            const SteadyTime deadline = (busy ? now : idle_since_) + core_.options.idle_timeout;
            if (deadline <= now) {
                core_.metrics.refused("idle");
                co_return Read::ended;
            }
            const auto size =
                co_await net::with_deadline(clock, deadline, stream_->read_some(inbox_.room()));
            if (size && *size > 0) {
                inbox_.filled(*size);
                co_return Read::more;
            }
            const bool late = !size && size.error() == make_error_code(skywire::errc::timed_out);
            if (!late) co_return Read::ended;
        }
    }

    void refuse_bytes(const Error& error) {
        core_.metrics.refused("undecodable");
        log::debug(
            core_.context.logger,
            "rpc.undecodable",
            log::kv("server", core_.options.name),
            log::kv("caller", caller().to_string()),
            log::kv("error", error.message())
        );
    }

    Core& core_;
    std::unique_ptr<net::Stream> stream_;
    Incoming<Request> incoming_;
    Outgoing outgoing_;
    detail::Inbox inbox_;
    /// The last time that a whole call came or was answered.
    SteadyTime idle_since_;
    std::size_t under_way_ = 0;
    bool writing_ = false;
    net::Event written_;
    net::Scope calls_;
};

}  // namespace

class Server::Impl {
 public:
    Impl(const net::Context& context, const Methods& methods, Options options)
        : core_(context, methods, std::move(options)),
          accepting_(context.loop),
          running_(context.loop) {}

    void serve(std::unique_ptr<net::Listener> listener) {
        if (core_.draining) return listener->close();
        net::Listener* const accepting = listener.get();
        listeners_.push_back(std::move(listener));
        accepting_.spawn("rpc accept", [this, accepting] { return accept_loop(*accepting); });
    }

    void serve(std::unique_ptr<net::Stream> stream) {
        if (core_.draining) return stream->close();
        const std::string caller = stream->remote().host;
        const auto of_caller = callers_.find(caller);
        if (connections_.size() >= core_.options.connections_max) {
            core_.metrics.refused("connections");
            return stream->close();
        }
        if (of_caller != callers_.end() &&
            of_caller->second >= core_.options.connections_per_caller_max) {
            core_.metrics.refused("connections_of_caller");
            return stream->close();
        }
        ++callers_[caller];
        core_.metrics.connections.add(1);
        const auto connection = std::make_shared<Connection>(core_, std::move(stream));
        const auto place = connections_.insert(connections_.end(), connection);
        running_.spawn("rpc of " + caller, [this, place, connection]() -> Task<> {
            const Leave leave(*this, place);
            co_await connection->run();
        });
    }

    std::size_t connections() const noexcept { return connections_.size(); }
    std::size_t calls() const noexcept { return core_.calls; }

    Task<> drain(SteadyTime deadline) {
        end_accepting();
        const auto ended = [](Impl& server) -> Task<Result<>> {
            while (!server.connections_.empty()) {
                const bool awake = co_await server.core_.idle.wait();
                if (!awake) break;
            }
            co_return Result<>();
        };
        (void)co_await net::with_deadline(core_.context.clock, deadline, ended(*this));
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) {
        end_accepting();
        Clock& clock = core_.context.clock;
        auto late = co_await running_.close(clock, clock.now(), deadline);
        for (std::string& name : co_await accepting_.close(clock, clock.now(), deadline))
            late.push_back(std::move(name));
        co_return late;
    }

 private:
    using Connections = std::list<std::shared_ptr<Connection>>;

    /// Takes a connection off the list however its coroutine ends.
    class Leave {
     public:
        Leave(Impl& server, Connections::iterator place) : server_(server), place_(place) {}
        Leave(const Leave&) = delete;
        Leave& operator=(const Leave&) = delete;
        ~Leave() {
            const auto of_caller = server_.callers_.find((*place_)->caller().host);
            if (--of_caller->second == 0) server_.callers_.erase(of_caller);
            server_.core_.metrics.connections.add(-1);
            server_.connections_.erase(place_);
            server_.core_.idle.notify();
        }

     private:
        Impl& server_;
        Connections::iterator place_;
    };

    Task<> accept_loop(net::Listener& listener) {
        while (true) {
            auto stream = co_await listener.accept();
            if (stream) {
                serve(std::move(*stream));
                continue;
            }
            if (core_.draining || stream.error() == make_error_code(skywire::errc::closed))
                co_return;
            core_.metrics.refused("accept");
            (void)co_await net::sleep_for(core_.context.clock, kAcceptPause);
        }
    }

    void end_accepting() {
        core_.draining = true;
        for (const auto& listener : listeners_)
            listener->close();
        for (auto it = connections_.begin(); it != connections_.end();) {
            const auto connection = *it++;
            connection->close_if_idle();
        }
    }

    Core core_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    Connections connections_;
    /// Connections by the host they come from.
    std::map<std::string, std::size_t> callers_;
    net::Scope accepting_;
    net::Scope running_;
};

Server::Server(const net::Context& context, const Methods& methods, Options options)
    : impl_(std::make_unique<Impl>(context, methods, std::move(options))) {}

Server::~Server() = default;

void Server::serve(std::unique_ptr<net::Listener> listener) {
    impl_->serve(std::move(listener));
}

void Server::serve(std::unique_ptr<net::Stream> stream) {
    impl_->serve(std::move(stream));
}

std::size_t Server::connections() const noexcept {
    return impl_->connections();
}

std::size_t Server::calls_under_way() const noexcept {
    return impl_->calls();
}

Task<> Server::drain(SteadyTime deadline) {
    return impl_->drain(deadline);
}

Task<std::vector<std::string>> Server::stop(SteadyTime deadline) {
    return impl_->stop(deadline);
}

}  // namespace skywire::rpc
