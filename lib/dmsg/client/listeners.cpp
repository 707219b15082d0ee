#include "dmsg/client/listeners.hpp"

#include "net/event.hpp"

#include <deque>
#include <utility>

namespace skywire::dmsg::detail {

/// Streams of one port that wait; shared by the handle that was given out and the client.
class Listeners::Backlog {
 public:
    Backlog(Executor loop, net::Address local, PortLease lease, std::size_t max)
        : arrived_(std::move(loop)),
          local_(std::move(local)),
          lease_(std::move(lease)),
          max_(max) {}

    Task<Result<std::unique_ptr<net::Stream>>> accept() {
        while (true) {
            if (closed_) co_return fail(skywire::errc::closed, "the listener is closed");
            if (!streams_.empty()) {
                auto stream = std::move(streams_.front());
                streams_.pop_front();
                co_return stream;
            }
            const bool notified = co_await arrived_.wait();
            if (!notified) co_return fail(skywire::errc::cancelled, {});
        }
    }

    void push(std::unique_ptr<net::Stream> stream) {
        streams_.push_back(std::move(stream));
        arrived_.notify();
    }

    void close() noexcept {
        if (closed_) return;
        closed_ = true;
        lease_.release();
        for (const auto& stream : streams_)
            stream->close();
        streams_.clear();
        arrived_.notify();
    }

    bool closed() const noexcept { return closed_; }
    bool full() const noexcept { return streams_.size() >= max_; }
    const net::Address& local() const noexcept { return local_; }

 private:
    net::Event arrived_;
    net::Address local_;
    PortLease lease_;
    std::size_t max_;
    std::deque<std::unique_ptr<net::Stream>> streams_;
    bool closed_ = false;
};

class Listeners::Handle final : public net::Listener {
 public:
    explicit Handle(std::shared_ptr<Backlog> backlog) : backlog_(std::move(backlog)) {}
    ~Handle() override { backlog_->close(); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    Task<Result<std::unique_ptr<net::Stream>>> accept() override { return backlog_->accept(); }
    const net::Address& local() const noexcept override { return backlog_->local(); }
    void close() noexcept override { backlog_->close(); }

 private:
    std::shared_ptr<Backlog> backlog_;
};

Listeners::Listeners(
    Executor loop,
    const crypto::PublicKey& key,
    std::shared_ptr<Ports> ports,
    std::size_t backlog_max
)
    : loop_(std::move(loop)), key_(key), ports_(std::move(ports)), backlog_max_(backlog_max) {}

Listeners::~Listeners() {
    close_all();
}

Result<std::unique_ptr<net::Listener>> Listeners::listen(std::uint16_t port) {
    if (closed_) return fail(skywire::errc::closed, "the dmsg client has stopped");
    std::erase_if(backlogs_, [](const auto& entry) { return entry.second->closed(); });
    auto lease = port == 0 ? ports_->take_ephemeral() : ports_->take(port);
    if (!lease) return lease.error();
    const std::uint16_t taken = lease->port();
    auto backlog = std::make_shared<Backlog>(
        loop_, net::Address::tcp(key_.to_text(), taken), std::move(*lease), backlog_max_
    );
    backlogs_.insert_or_assign(taken, backlog);
    return std::unique_ptr<net::Listener>(std::make_unique<Handle>(std::move(backlog)));
}

Listeners::State Listeners::at(std::uint16_t port) const {
    const auto found = backlogs_.find(port);
    if (found == backlogs_.end() || found->second->closed()) return State::none;
    return found->second->full() ? State::full : State::open;
}

Listeners::State Listeners::deliver(std::uint16_t port, std::unique_ptr<net::Stream> stream) {
    const State state = at(port);
    if (state == State::open) {
        backlogs_.find(port)->second->push(std::move(stream));
    } else {
        stream->close();
    }
    return state;
}

void Listeners::close_all() {
    closed_ = true;
    for (const auto& [port, backlog] : backlogs_)
        backlog->close();
    backlogs_.clear();
}

}  // namespace skywire::dmsg::detail
