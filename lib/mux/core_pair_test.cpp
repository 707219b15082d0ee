// Two cores against each other: whatever their users do and however the bytes between them are cut,
// every stream delivers what was sent, in order, and no window is lost.

#include "base/random.hpp"
#include "mux/core_rig.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"

#include <cstring>
#include <set>

namespace skywire::mux::test {

namespace {

/// What a side sends from this place of a stream on.
ByteSpan pattern(Role from, StreamId id, std::size_t at, std::size_t size) {
    constexpr std::size_t kPeriod = 65'521;
    static const Bytes bytes = [] {
        Bytes period(kPeriod);
        SeededRandom(7).fill(period);
        Bytes all;
        while (all.size() < kPeriod + yamux::kWindowBytes)
            all.insert(all.end(), period.begin(), period.end());
        return all;
    }();
    const std::size_t shift = id * 997 + (from == Role::client ? 0 : 31);
    return ByteSpan(bytes).subspan((at + shift) % kPeriod, size);
}

/// A side's view of a stream.
struct Half {
    std::size_t sent = 0;
    std::size_t received = 0;
    std::size_t unconsumed = 0;
    bool accepted = false;
    bool closed = false;
    bool was_reset = false;
    bool finished = false;

    bool gone() const { return was_reset || (closed && finished); }
};

class Side final : public CoreEvents, public CoreOutput {
 public:
    Side(Rig::Maker make, Role role) : role_(role) {
        CoreOptions options;
        options.role = role;
        options.streams_max = 20;
        core_ = make(options, *this, now);
    }

    void open() {
        const auto id = core_->open(now);
        if (id) halves[*id].accepted = true;
    }
    void accept(StreamId id) {
        Half& half = halves.at(id);
        if (half.gone() || std::exchange(half.accepted, true)) return;
        core_->accept(id);
    }
    void write(StreamId id, std::size_t most) {
        Half& half = halves.at(id);
        const std::size_t size = std::min(most, core_->sendable(id));
        if (size == 0) return;
        half.accepted = true;
        core_->begin_data(id, size);
        output = std::move(output) + pattern(role_, id, half.sent, size);
        half.sent += size;
    }
    void consume(StreamId id, std::size_t most) {
        Half& half = halves.at(id);
        const std::size_t size = std::min(most, half.unconsumed);
        half.unconsumed -= size;
        core_->consumed(id, size);
    }
    void close(StreamId id) {
        Half& half = halves.at(id);
        if (half.gone()) return;
        half.closed = true;
        half.accepted = true;
        core_->close(id, now);
    }
    void reset(StreamId id) {
        Half& half = halves.at(id);
        if (half.gone()) return;
        half.was_reset = true;
        core_->reset(id);
    }
    void deliver(std::size_t most) {
        const std::size_t size = std::min(most, peer->output.size());
        const auto end = peer->output.begin() + static_cast<std::ptrdiff_t>(size);
        const Bytes piece(peer->output.begin(), end);
        peer->output.erase(peer->output.begin(), end);
        REQUIRE(core_->on_bytes(piece, now, *this));
    }
    void tick() { REQUIRE(core_->on_time(now, *this)); }

    void on_stream(StreamId id) override { REQUIRE(halves.emplace(id, Half{}).second); }
    void on_refused(StreamId id) override { refused.insert(id); }
    void on_data(StreamId id, ByteSpan payload) override {
        Half& half = halves.at(id);
        REQUIRE_FALSE((half.closed || half.gone() || half.finished));
        const auto expected = pattern(peer->role_, id, half.received, payload.size());
        REQUIRE(std::memcmp(payload.data(), expected.data(), payload.size()) == 0);
        half.received += payload.size();
        half.unconsumed += payload.size();
        REQUIRE(half.unconsumed <= yamux::kWindowBytes);
    }
    void on_sendable(StreamId id) override { REQUIRE(core_->sendable(id) > 0); }
    void on_accepted(StreamId id) override { REQUIRE(peer->halves.at(id).accepted); }
    void on_finished(StreamId id) override {
        Half& half = halves.at(id);
        REQUIRE_FALSE(std::exchange(half.finished, true));
        if (peer->refused.count(id) != 0) return;
        const Half& other = peer->halves.at(id);
        REQUIRE((other.closed || other.was_reset));
        if (!half.closed) REQUIRE(half.received == other.sent);
    }
    void on_reset(StreamId id, errc why) override {
        REQUIRE(why == errc::reset);
        REQUIRE((peer->refused.count(id) != 0 || peer->halves.at(id).was_reset));
        REQUIRE_FALSE(std::exchange(halves.at(id).was_reset, true));
    }
    void on_pong(Duration) override {}
    void on_go_away() override { FAIL("nobody goes away"); }

    void on_frame(ByteSpan frame) override {
        output.insert(output.end(), frame.begin(), frame.end());
    }

    const Core& core() const { return *core_; }

    SteadyTime now{};
    Side* peer = nullptr;
    /// On the way to the peer.
    Bytes output;
    std::map<StreamId, Half> halves;
    std::set<StreamId> refused;

 private:
    Role role_;
    std::unique_ptr<Core> core_;
};

struct Pair {
    explicit Pair(Rig::Maker make) : client(make, Role::client), server(make, Role::server) {
        client.peer = &server;
        server.peer = &client;
    }

    /// Delivers and consumes until nothing moves.
    void settle() {
        do {
            for (Side* side : {&client, &server}) {
                side->deliver(~std::size_t{0});
                for (auto& [id, half] : side->halves) {
                    side->accept(id);
                    side->consume(id, half.unconsumed);
                }
            }
        } while (!client.output.empty() || !server.output.empty());
    }

    Side client;
    Side server;
};

void step(Side& side, Random& random, bool with_resets) {
    const auto some = [&random](std::size_t most) { return random.below(most) + 1; };
    if (random.below(30) == 0) side.open();
    if (random.below(3) == 0) side.deliver(some(random.below(2) == 0 ? 20 : 40'000));
    if (random.below(50) == 0) side.tick();
    if (side.halves.empty()) return;

    // One of the younger streams: the older ones are mostly gone.
    auto chosen = side.halves.end();
    for (std::size_t back = some(std::min<std::size_t>(side.halves.size(), 25)); back > 0; --back)
        --chosen;
    const StreamId id = chosen->first;
    switch (random.below(40)) {
        case 0:
            side.close(id);
            break;
        case 1:
            if (with_resets) side.reset(id);
            break;
        case 2:
        case 3:
            side.accept(id);
            break;
        default:
            if (random.below(2) == 0) {
                side.write(id, some(random.below(4) == 0 ? 300'000 : 3000));
            } else {
                side.consume(id, some(random.below(4) == 0 ? 300'000 : 3000));
            }
    }
}

void play(Rig::Maker make, std::uint64_t seed, bool with_resets) {
    CAPTURE(seed);
    SeededRandom random(seed);
    Pair pair(make);
    for (int i = 0; i < 1500; ++i) {
        pair.client.now += 1ms;
        pair.server.now += 1ms;
        step(random.below(2) == 0 ? pair.client : pair.server, random, with_resets);
    }
    pair.settle();

    // No window is lost: what is missing from one is less than what is given back at a time.
    const std::size_t least = make == make_yamux ? yamux::kWindowBytes / 2 + 1 : smux::kPayloadMax;
    for (Side* side : {&pair.client, &pair.server}) {
        for (const auto& [id, half] : side->halves) {
            if (half.gone() || half.closed || half.finished) continue;
            CHECK(side->core().sendable(id) >= least);
            CHECK(side->peer->halves.at(id).received == half.sent);
        }
    }

    for (Side* side : {&pair.client, &pair.server})
        for (const auto& [id, half] : side->halves)
            side->close(id);
    pair.settle();
    CHECK(pair.client.core().streams() == 0);
    CHECK(pair.server.core().streams() == 0);
    for (Side* side : {&pair.client, &pair.server})
        for (const auto& [id, half] : side->halves)
            CHECK(half.gone());
}

}  // namespace

TEST_CASE("yamux: two cores deliver everything in order and lose no window") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed)
        play(make_yamux, seed, seed % 2 == 0);
}

TEST_CASE("smux: two cores deliver everything in order and lose no window") {
    for (std::uint64_t seed = 1; seed <= 60; ++seed)
        play(make_smux, seed, seed % 2 == 0);
}

}  // namespace skywire::mux::test
