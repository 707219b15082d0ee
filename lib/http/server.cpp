#include "http/server.hpp"

#include "base/assert.hpp"
#include "http/detail/connection.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <exception>
#include <list>

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace skywire::http {
namespace {

using namespace std::chrono_literals;

constexpr Duration kSweepInterval = 250ms;
/// After a failed accept: descriptors come back when connections end, not by asking again at once.
constexpr Duration kAcceptPause = 100ms;

}  // namespace

class Server::Impl {
 public:
    Impl(const net::Context& context, const Router& router, Options options)
        : core_(context, router, std::move(options)),
          accepting_(context.loop, [this](auto name, auto error) { report(name, error); }),
          loops_(context.loop, [this](auto name, auto error) { report(name, error); }),
          running_(context.loop, [this](auto name, auto error) { report(name, error); }) {
        core_.scope = &running_;
    }

    void serve(std::unique_ptr<net::Listener> listener) {
        if (core_.draining) return listener->close();
        net::Listener* const accepting = listener.get();
        listeners_.push_back(std::move(listener));
        accepting_.spawn("http accept on " + accepting->local().to_string(), [this, accepting] {
            return accept_loop(*accepting);
        });
    }

    void serve(std::unique_ptr<net::Stream> stream) {
        if (stopping_) return stream->close();
        if (connections_.size() >= core_.options.limits.connections_max) {
            core_.metrics.refused(detail::Refusal::connection_limit);
            stream->close();
        } else {
            begin(std::move(stream));
        }
        // Also where there is no room: it is the sweep that makes some.
        if (!sweeping_ && !connections_.empty())
            loops_.spawn("http sweep", [this] { return sweep_loop(); });
    }

    std::vector<net::Address> addresses() const {
        std::vector<net::Address> bound;
        bound.reserve(listeners_.size());
        for (const auto& listener : listeners_)
            bound.push_back(listener->local());
        return bound;
    }

    Task<> drain(SteadyTime deadline) {
        using namespace asio::experimental::awaitable_operators;
        end_accepting();
        // Who was in the listeners' queues is let in, and answered once.
        (void)co_await (accepting_.wait_empty() || net::sleep_until(core_.context.clock, deadline));
        if (running_.size() == 0) co_return;
        (void)co_await (running_.wait_empty() || net::sleep_until(core_.context.clock, deadline));
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) {
        stopping_ = true;
        end_accepting();
        Clock& clock = core_.context.clock;
        // Before the connections, whose end may take all the time there is.
        accepting_.cancel();
        loops_.cancel();
        auto late = co_await running_.close(clock, clock.now(), deadline);
        for (net::Scope* const scope : {&accepting_, &loops_}) {
            const auto names = co_await scope->close(clock, clock.now(), deadline);
            late.insert(late.end(), names.begin(), names.end());
        }
        co_return late;
    }

    std::size_t connections() const noexcept { return connections_.size(); }

    std::size_t requests_under_way() const noexcept {
        return static_cast<std::size_t>(std::count_if(
            connections_.begin(), connections_.end(), [](const auto& each) { return each->busy(); }
        ));
    }

 private:
    using Connections = std::list<std::shared_ptr<detail::Connection>>;

    /// A connection on the list, for as long as its coroutine lives, whether or not it ever began.
    class Place {
     public:
        Place(Impl& server, std::shared_ptr<detail::Connection> connection)
            : server_(server),
              at_(server.connections_.insert(server.connections_.end(), std::move(connection))) {
            server_.core_.metrics.connections.add(1);
        }
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            server_.core_.metrics.connections.add(-1);
            server_.connections_.erase(at_);
        }

     private:
        Impl& server_;
        Connections::iterator at_;
    };

    /// That the sweep runs, and however it ends.
    class Sweeping {
     public:
        explicit Sweeping(bool& sweeping) : sweeping_(sweeping) { sweeping_ = true; }
        Sweeping(const Sweeping&) = delete;
        Sweeping& operator=(const Sweeping&) = delete;
        ~Sweeping() { sweeping_ = false; }

     private:
        bool& sweeping_;
    };

    void begin(std::unique_ptr<net::Stream> stream) {
        const auto connection = std::make_shared<detail::Connection>(core_, std::move(stream));
        const auto place = std::make_shared<const Place>(*this, connection);
        const bool begun = running_.spawn(
            "http connection from " + connection->remote().to_string(),
            [connection, place] { return connection->run(); }
        );
        SKY_ASSERT(begun);  // draining comes before the scope closes
    }

    /// Ends with the listener alone: a connection for which there was no memory must not keep all
    /// later ones out.
    Task<> accept_loop(net::Listener& listener) {
        for (;;) {
            std::exception_ptr thrown;
            std::string failure;
            try {
                auto stream = co_await listener.accept();
                if (stream) {
                    serve(std::move(*stream));
                    continue;
                }
                if (stopping_ || stream.error() == make_error_code(errc::closed)) co_return;
                failure = stream.error().message();
            } catch (...) {
                if (stopping_) throw;
                thrown = std::current_exception();
            }
            core_.metrics.accept_errors.add();
            if (thrown) {
                report("http accept on " + listener.local().to_string(), thrown);
            } else {
                log::debug(
                    core_.context.logger,
                    "http.accept_failed",
                    log::kv("server", core_.options.name),
                    log::kv("error", failure)
                );
            }
            (void)co_await net::sleep_for(core_.context.clock, kAcceptPause);
        }
    }

    /// Runs while there are connections. Where it cannot, the next connection begins it again.
    Task<> sweep_loop() {
        const Sweeping sweeping(sweeping_);
        net::Timer timer(core_.context.loop, core_.context.clock);
        while (!connections_.empty()) {
            (void)co_await timer.wait_for(kSweepInterval);
            const SteadyTime now = core_.context.clock.now();
            for (auto it = connections_.begin(); it != connections_.end();) {
                // Sweeping may end the connection; the list goes on behind it.
                const auto connection = *it++;
                try {
                    connection->sweep(now);
                } catch (...) {
                    report("http sweep", std::current_exception());
                }
            }
        }
    }

    void end_accepting() {
        core_.draining = true;
        for (const auto& listener : listeners_)
            listener->close();
        for (auto it = connections_.begin(); it != connections_.end();) {
            const auto connection = *it++;
            connection->end_if_idle();
        }
    }

    void report(std::string_view name, const std::exception_ptr& error) {
        std::string what = "an exception of unknown type";
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& known) {
            what = known.what();
        } catch (...) {
        }
        log::error(
            core_.context.logger,
            "http.coroutine_failed",
            log::kv("server", core_.options.name),
            log::kv("name", name),
            log::kv("error", what)
        );
    }

    detail::ServerCore core_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    Connections connections_;
    bool sweeping_ = false;
    bool stopping_ = false;
    /// The accept loops; the sweep; then the connections, which end first.
    net::Scope accepting_;
    net::Scope loops_;
    net::Scope running_;
};

Server::Server(const net::Context& context, const Router& router, Options options)
    : impl_(std::make_unique<Impl>(context, router, std::move(options))) {}

Server::~Server() = default;

void Server::serve(std::unique_ptr<net::Listener> listener) {
    impl_->serve(std::move(listener));
}

void Server::serve(std::unique_ptr<net::Stream> stream) {
    impl_->serve(std::move(stream));
}

std::vector<net::Address> Server::addresses() const {
    return impl_->addresses();
}

Task<> Server::drain(SteadyTime deadline) {
    return impl_->drain(deadline);
}

Task<std::vector<std::string>> Server::stop(SteadyTime deadline) {
    return impl_->stop(deadline);
}

std::size_t Server::connections() const noexcept {
    return impl_->connections();
}

std::size_t Server::requests_under_way() const noexcept {
    return impl_->requests_under_way();
}

}  // namespace skywire::http
