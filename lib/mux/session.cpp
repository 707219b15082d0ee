#include "mux/session.hpp"

#include "base/assert.hpp"
#include "mux/detail/session_state.hpp"

#include <boost/asio/this_coro.hpp>

namespace skywire::mux {

Session::Session(
    const net::Context& context, std::unique_ptr<net::Stream> carrier, Options options, Owner& owner
)
    : state_(std::make_shared<State>(context, std::move(carrier), std::move(options), owner)) {
    state_->start();
}

Session::~Session() {
    SKY_ASSERT(!state_->busy());
}

Result<std::unique_ptr<Stream>> Session::open() {
    return state_->open();
}

void Session::decide(Protocol protocol) {
    state_->decide(protocol);
}

std::optional<Protocol> Session::protocol() const noexcept {
    return state_->protocol;
}

Task<Result<Duration>> Session::ping() {
    return State::ping(state_);
}

void Session::go_away() {
    state_->go_away();
}

void Session::tick(SteadyTime now) {
    state_->tick(now);
}

void Session::abort(const Error& reason) noexcept {
    state_->end(reason, /*farewell=*/false);
}

Task<> Session::close() {
    return State::close(state_);
}

bool Session::ended() const noexcept {
    return state_->ended;
}

std::size_t Session::streams() const noexcept {
    return !state_->ended && state_->core ? state_->core->streams() : 0;
}

SteadyTime Session::last_received() const noexcept {
    return state_->last_received;
}

const net::Address& Session::remote() const noexcept {
    return state_->carrier->remote();
}

Task<Result<Duration>> Session::State::ping(std::shared_ptr<State> state) {
    if (state->ended) co_return Error(errc::session_ended);
    if (state->protocol != Protocol::yamux) {
        co_return fail(skywire::errc::unsupported, "only a yamux session answers pings");
    }
    const std::uint64_t before = state->pongs_;
    state->core->ping(state->clock_.now());
    while (state->pongs_ == before && !state->ended) {
        const bool notified = co_await state->pong_.get(state->executor).wait();
        if (!notified && state->pongs_ == before && !state->ended) {
            co_return fail(skywire::errc::cancelled, {});
        }
    }
    if (state->pongs_ != before) co_return state->round_trip_;
    if (state->reason_.code() == errc::peer_silent) co_return state->reason_;
    co_return Error(errc::session_ended, state->reason_.message());
}

Task<> Session::State::close(std::shared_ptr<State> state) {
    // Not to be interrupted: the session's coroutines must not be left behind.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    state->end(fail(skywire::errc::closed, "closed by its owner"), /*farewell=*/false);
    while (state->busy())
        co_await state->changed_.get(state->executor).wait();
    state->owner_ = nullptr;
    co_await asio::this_coro::throw_if_cancelled(throws);
}

}  // namespace skywire::mux
