#include "http/server.hpp"

#include "base/assert.hpp"
#include "http/detail/connection.hpp"
#include "net/timer.hpp"

#include <algorithm>
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
            return stream->close();
        }
        auto connection = std::make_shared<detail::Connection>(core_, std::move(stream));
        const auto place = connections_.insert(connections_.end(), connection);
        core_.metrics.connections.add(1);
        const bool begun = running_.spawn(
            "http connection from " + connection->remote().to_string(),
            [this, place, connection]() -> Task<> {
                const Leave leave(*this, place);
                co_await connection->run();
            }
        );
        SKY_ASSERT(begun);  // draining comes before the scope closes
        if (sweeping_) return;
        sweeping_ = loops_.spawn("http sweep", [this] { return sweep_loop(); });
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

    /// Takes a connection off the list however its coroutine ends.
    class Leave {
     public:
        Leave(Impl& server, Connections::iterator place) : server_(server), place_(place) {}
        Leave(const Leave&) = delete;
        Leave& operator=(const Leave&) = delete;
        ~Leave() {
            server_.core_.metrics.connections.add(-1);
            server_.connections_.erase(place_);
        }

     private:
        Impl& server_;
        Connections::iterator place_;
    };

    Task<> accept_loop(net::Listener& listener) {
        for (;;) {
            auto stream = co_await listener.accept();
            if (stream) {
                serve(std::move(*stream));
                continue;
            }
            if (stopping_ || stream.error() == make_error_code(errc::closed)) co_return;
            core_.metrics.accept_errors.add();
            log::debug(
                core_.context.logger,
                "http.accept_failed",
                log::kv("server", core_.options.name),
                log::kv("error", stream.error().message())
            );
            (void)co_await net::sleep_for(core_.context.clock, kAcceptPause);
        }
    }

    /// Runs while there are connections.
    Task<> sweep_loop() {
        net::Timer timer(core_.context.loop, core_.context.clock);
        while (!connections_.empty()) {
            (void)co_await timer.wait_for(kSweepInterval);
            const SteadyTime now = core_.context.clock.now();
            for (auto it = connections_.begin(); it != connections_.end();) {
                // Sweeping may end the connection; the list goes on behind it.
                const auto connection = *it++;
                connection->sweep(now);
            }
        }
        sweeping_ = false;
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
