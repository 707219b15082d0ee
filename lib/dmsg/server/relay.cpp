#include "dmsg/server/relay.hpp"

#include "dmsg/server/server_core.hpp"
#include "dmsg/server/server_shard.hpp"

namespace skywire::dmsg::detail {

RelayHalf::RelayHalf(
    Shard& shard,
    std::uint64_t id,
    std::unique_ptr<mux::Stream> stream,
    RelayRef other,
    Side side,
    bool by_peer
)
    : shard_(shard),
      id_(id),
      stream_(std::move(stream)),
      other_(other),
      last_used_(shard.now()),
      side_(side),
      by_peer_(by_peer) {
    stream_->observe(this);
}

RelayHalf::~RelayHalf() {
    stream_->observe(nullptr);
}

void RelayHalf::start() {
    if (state_ != State::waiting) return;
    state_ = State::open;
    last_used_ = shard_.now();
    if (lost_) return ended();
    pump();
}

void RelayHalf::tell(RelayMail::Kind kind, std::size_t taken, mux::ByteQueue bytes) {
    shard_.tell(other_.shard, {kind, other_.id, taken, std::move(bytes)});
}

void RelayHalf::receive(RelayMail mail) {
    switch (mail.kind) {
        case RelayMail::Kind::start:
            return start();
        case RelayMail::Kind::bytes:
            return take(std::move(mail.bytes));
        case RelayMail::Kind::taken:
            return taken(mail.taken);
        case RelayMail::Kind::broken:
            broken_ = true;
            return finish();
        case RelayMail::Kind::finish:
            return finish();
    }
}

void RelayHalf::on_readable() {
    if (state_ == State::open) pump();
}

void RelayHalf::pump() {
    if (const std::size_t size = stream_->received(); size > 0) {
        last_used_ = shard_.now();
        shard_.count_relayed(side_, size);
        tell(RelayMail::Kind::bytes, 0, stream_->take_received());
    }
    // The other half may have ended both meanwhile.
    if (state_ == State::open && stream_->finished()) ended();
}

void RelayHalf::take(mux::ByteQueue bytes) {
    if (lost_ || state_ == State::over) return;
    last_used_ = shard_.now();
    stream_->push(std::move(bytes));
}

void RelayHalf::on_taken(std::size_t bytes) {
    untold_ += bytes;
    if (untold_ < other_.told_bytes || state_ == State::over) return;
    tell(RelayMail::Kind::taken, std::exchange(untold_, 0));
}

void RelayHalf::taken(std::size_t bytes) {
    if (!lost_ && state_ != State::over) stream_->consumed(bytes);
}

void RelayHalf::on_lost(const Error&) {
    lost_ = true;
    if (state_ == State::open) pump();
    if (state_ == State::open) ended();
}

void RelayHalf::ended() {
    state_ = State::ending;
    last_used_ = shard_.now();
    tell(lost_ && by_peer_ ? RelayMail::Kind::broken : RelayMail::Kind::finish);
}

void RelayHalf::finish() {
    switch (state_) {
        case State::waiting:
        case State::open:
            // Whatever has come and was not taken goes first.
            if (state_ == State::open && !lost_) pump();
            if (state_ == State::open) ended();
            close_and_retire();
            return;
        case State::ending:
            close_and_retire();
            return;
        case State::over:
            return;
    }
}

void RelayHalf::give_up() {
    if (state_ == State::over) return;
    if (state_ != State::ending) ended();
    close_and_retire();
}

void RelayHalf::close_and_retire() {
    if (state_ == State::over) return;
    state_ = State::over;
    // Not closed, it is reset.
    const bool cut_off = shard_.core().stopping.load(std::memory_order_relaxed);
    if (!lost_ && !broken_ && !cut_off) stream_->close();
    shard_.retire(id_);
}

}  // namespace skywire::dmsg::detail
