#include "net/kcp.hpp"

#include "base/random.hpp"
#include "base/test.hpp"

#include <algorithm>

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;

namespace {

constexpr SteadyTime kStart{1h};

struct Recorded {
    bool from_dialer = false;
    Bytes bytes;
};
using Recording = std::vector<Recorded>;

/// What the visors and the resolver said, per visor.
Recording resolver_recording(std::string_view visor) {
    Recording recording;
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    for (const json::value& each : file.at("datagrams").at(visor).as_array()) {
        recording.push_back(
            {test::text(each, "dir") == "client->server", test::hex(test::text(each, "hex"))}
        );
    }
    return recording;
}

/// What visor a said to the resolver, or to visor b, which it dialled.
Recording visor_recording(std::string_view peer) {
    Recording recording;
    const json::value file = test::vectors("visor/sudph_session.json");
    for (const json::value& each : file.at("datagrams").as_array()) {
        if (test::text(each, "peer") != peer || each.at("kcp_segments").is_null()) continue;
        recording.push_back({test::text(each, "dir") == "a->", test::hex(test::text(each, "hex"))});
    }
    return recording;
}

std::vector<std::pair<KcpHead, Bytes>> segments_of(ByteSpan datagram) {
    std::vector<std::pair<KcpHead, Bytes>> segments;
    while (!datagram.empty()) {
        const auto head = read_kcp_head(datagram);
        REQUIRE(head);
        const ByteSpan data = datagram.subspan(KcpHead::kSize, head->length);
        segments.emplace_back(*head, Bytes(data.begin(), data.end()));
        datagram = datagram.subspan(KcpHead::kSize + head->length);
    }
    return segments;
}

/// Plays one side of a recording: feeds the other side's datagrams and expects ours. The time is
/// what our side's timestamps say.
class Replay {
 public:
    Replay(const Recording& recording, bool dialer)
        : recording_(recording),
          dialer_(dialer),
          session_(read_kcp_head(recording.front().bytes)->conversation, start(), {}, kStart) {}

    void run() {
        for (const Recorded& each : recording_) {
            INFO(to_hex(each.bytes));
            if (each.from_dialer == dialer_) {
                expect(each.bytes);
            } else {
                REQUIRE(session_.input(each.bytes, now_));
            }
        }
        CHECK(session_.take_output().empty());
    }

 private:
    /// The time of our first message.
    SteadyTime start() {
        for (const Recorded& each : recording_) {
            if (each.from_dialer != dialer_) continue;
            for (const auto& [head, data] : segments_of(each.bytes))
                if (head.command == KcpCommand::push) return now_ = at(head);
        }
        return now_;
    }

    static SteadyTime at(const KcpHead& head) {
        return kStart + std::chrono::milliseconds(head.timestamp);
    }

    void expect(const Bytes& recorded) {
        const auto segments = segments_of(recorded);
        // The recorded program read before it answered, or after.
        if (segments.front().first.window == 32)
            while (session_.read()) {
            }
        SteadyTime due = session_.next_time();
        for (const auto& [head, data] : segments) {
            if (head.command != KcpCommand::push) continue;
            now_ = due = at(head);
            if (head.sequence != sequence_) continue;
            ++sequence_;
            session_.write(data, now_);
        }
        session_.on_time(due);
        auto made = session_.take_output();
        REQUIRE(made.size() == 1);
        CHECK(to_hex(made.front()) == to_hex(recorded));
    }

    const Recording& recording_;
    bool dialer_;
    SteadyTime now_ = kStart;
    std::uint32_t sequence_ = 0;
    KcpSession session_;
};

void replay_both_sides(const Recording& recording) {
    REQUIRE(recording.size() > 6);
    Replay(recording, /*dialer=*/true).run();
    Replay(recording, /*dialer=*/false).run();
}

/// Two sessions and what lies between them.
class Link {
 public:
    struct Faults {
        double lost = 0;
        double doubled = 0;
        Duration delay_max = 1ms;
    };

    Link(std::uint64_t seed, Faults faults, const KcpOptions& options = {})
        : random_(seed), faults_(faults), a(7, kStart, options), b(7, kStart, options) {}

    /// Moves the time to what comes next: false where nothing does.
    bool step() {
        SteadyTime next = std::min(a.next_time(), b.next_time());
        if (!under_way_.empty()) next = std::min(next, under_way_.begin()->first);
        if (next == SteadyTime::max()) return false;
        now = std::max(now, next);
        while (!under_way_.empty() && under_way_.begin()->first <= now) {
            const auto [to_b, bytes] = std::move(under_way_.begin()->second);
            under_way_.erase(under_way_.begin());
            REQUIRE((to_b ? b : a).input(bytes, now));
        }
        a.on_time(now);
        b.on_time(now);
        send();
        return true;
    }

    void send() {
        for (const bool to_b : {true, false}) {
            for (Bytes& bytes : (to_b ? a : b).take_output()) {
                ++datagrams;
                CHECK(bytes.size() <= 1400);
                if (random_.next_unit() < faults_.lost) continue;
                if (random_.next_unit() < faults_.doubled) enqueue(to_b, bytes);
                enqueue(to_b, std::move(bytes));
            }
        }
    }

    SteadyTime now = kStart;
    std::size_t datagrams = 0;

 private:
    void enqueue(bool to_b, Bytes bytes) {
        const auto delay = static_cast<std::int64_t>(
            random_.below(static_cast<std::uint64_t>(faults_.delay_max.count()) + 1)
        );
        under_way_.emplace(now + Duration(delay), std::pair(to_b, std::move(bytes)));
    }

    SeededRandom random_;
    Faults faults_;
    std::multimap<SteadyTime, std::pair<bool, Bytes>> under_way_;

 public:
    KcpSession a;
    KcpSession b;
};

Bytes message(std::size_t number, std::size_t size) {
    const std::string text = std::to_string(number) + ":";
    Bytes bytes(std::max(size, text.size()), static_cast<std::byte>(number));
    std::copy_n(as_bytes(text).data(), text.size(), bytes.data());
    return bytes;
}

/// `count` messages each way; each arrives once and in order.
void exchange(Link& link, std::size_t count) {
    std::array<std::size_t, 2> sent{};
    std::array<std::size_t, 2> got{};
    const auto size_of = [](std::size_t number) { return number * 37 % 1377; };
    while (got[0] < count || got[1] < count) {
        for (const std::size_t side : {0U, 1U}) {
            KcpSession& session = side == 0 ? link.a : link.b;
            while (sent[side] < count && session.writable()) {
                session.write(message(sent[side], size_of(sent[side])), link.now);
                ++sent[side];
            }
            while (const auto read = session.read()) {
                REQUIRE(*read == message(got[side], size_of(got[side])));
                ++got[side];
            }
        }
        link.send();
        if (got[0] == count && got[1] == count) break;
        REQUIRE(link.step());
        REQUIRE_FALSE(link.a.dead());
        REQUIRE_FALSE(link.b.dead());
    }
}

Bytes segment(
    KcpCommand command,
    std::uint32_t sequence,
    std::uint32_t unacknowledged = 0,
    std::string_view data = {},
    std::uint8_t fragment = 0,
    std::uint16_t window = 32
) {
    Bytes out;
    const auto u32 = [&](std::uint32_t value) {
        for (unsigned shift = 0; shift < 32; shift += 8)
            out.push_back(static_cast<std::byte>((value >> shift) & 0xffU));
    };
    u32(7);
    out.push_back(static_cast<std::byte>(command));
    out.push_back(static_cast<std::byte>(fragment));
    out.push_back(static_cast<std::byte>(window & 0xffU));
    out.push_back(static_cast<std::byte>(window >> 8U));
    u32(0);
    u32(sequence);
    u32(unacknowledged);
    u32(static_cast<std::uint32_t>(data.size()));
    const ByteSpan bytes = as_bytes(data);
    out.insert(out.end(), bytes.begin(), bytes.end());
    return out;
}

}  // namespace

TEST_CASE("kcp: the recorded sessions of two visors with the resolver, both sides") {
    replay_both_sides(resolver_recording("visor1"));
    replay_both_sides(resolver_recording("visor2"));
}

TEST_CASE("kcp: the recorded session of a visor with the resolver, with a retransmission") {
    Recording recording = visor_recording("address-resolver");
    Replay(recording, /*dialer=*/false).run();
    // On the visor's machine the acknowledgement and the retransmission crossed.
    const auto resent = std::find_if(recording.begin(), recording.end(), [](const Recorded& each) {
        const auto segments = segments_of(each.bytes);
        return segments.size() == 2 && segments[0].first.command == KcpCommand::push;
    });
    REQUIRE(resent != recording.end());
    std::iter_swap(resent, resent - 1);
    Replay(recording, /*dialer=*/true).run();
}

TEST_CASE("kcp: the recorded session between two visors, both sides") {
    replay_both_sides(visor_recording("visor b"));
}

TEST_CASE("kcp: a recorded datagram with a byte changed is refused, or harms its session alone") {
    for (const std::string_view visor : {"visor1", "visor2"}) {
        for (const Recorded& each : resolver_recording(visor)) {
            const std::uint32_t conversation = read_kcp_head(each.bytes)->conversation;
            for (std::size_t i = 0; i < each.bytes.size(); ++i) {
                Bytes changed = each.bytes;
                changed[i] ^= std::byte{0x41};
                KcpSession session(conversation, kStart);
                session.write(as_bytes("x"), kStart);
                if (!session.input(changed, kStart + 10ms)) continue;
                while (session.read()) {
                }
                session.on_time(kStart + 200ms);
                CHECK(session.take_output().size() <= 4);
            }
            for (std::size_t size = 0; size < each.bytes.size(); ++size) {
                KcpSession session(conversation, kStart);
                (void)session.input(ByteSpan(each.bytes).first(size), kStart);
            }
        }
    }
}

TEST_CASE("kcp: all messages arrive once and in order whatever the link does") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        Link link(seed, {.lost = 0.2, .doubled = 0.1, .delay_max = 80ms});
        exchange(link, 300);
    }
}

TEST_CASE("kcp: a clean link needs few retransmissions, and falls silent") {
    Link link(1, {});
    exchange(link, 300);
    // Some are of the dialect: an acknowledgement may wait for as long as the shortest timeout.
    CHECK(link.a.resent() < 30);
    CHECK(link.b.resent() < 30);
    while (!link.a.idle() || !link.b.idle())
        REQUIRE(link.step());
    while (link.step()) {
    }
    CHECK(link.a.next_time() == SteadyTime::max());
}

TEST_CASE("kcp: acknowledgements wait for the tick, and go with what is written before it") {
    KcpSession session(7, kStart);
    REQUIRE(session.input(segment(KcpCommand::push, 0, 0, "one"), kStart));
    CHECK(session.next_time() == kStart);
    session.on_time(kStart);
    CHECK(session.take_output().size() == 1);
    REQUIRE(session.input(segment(KcpCommand::push, 1, 0, "two"), kStart + 30ms));
    CHECK(session.next_time() == kStart + 100ms);
    session.write(as_bytes("answer"), kStart + 40ms);
    const auto made = session.take_output();
    REQUIRE(made.size() == 1);
    const auto segments = segments_of(made.front());
    REQUIRE(segments.size() == 2);
    CHECK(segments[0].first.command == KcpCommand::ack);
    CHECK(segments[0].first.unacknowledged == 2);
    CHECK(segments[1].first.command == KcpCommand::push);
}

TEST_CASE("kcp: a peer that never answers is dead after 20 transmissions, later ones slower") {
    KcpSession session(7, kStart);
    session.write(as_bytes("hello"), kStart);
    SteadyTime now = kStart;
    std::size_t datagrams = session.take_output().size();
    Duration pause{0};
    while (!session.dead()) {
        const Duration next = session.next_time() - now;
        CHECK(next > pause);
        pause = next;
        now = session.next_time();
        session.on_time(now);
        datagrams += session.take_output().size();
    }
    CHECK(datagrams == 20);
    CHECK(session.next_time() == SteadyTime::max());
    KcpOptions patient;
    patient.dead_link = 0;
    KcpSession other(7, kStart, patient);
    other.write(as_bytes("hello"), kStart);
    for (int i = 0; i < 100; ++i)
        other.on_time(other.next_time());
    CHECK_FALSE(other.dead());
}

TEST_CASE("kcp: three overtakings send a segment again before its time") {
    KcpSession session(7, kStart);
    // Open the congestion window first.
    for (std::uint32_t i = 0; i < 8; ++i) {
        session.write(as_bytes("x"), kStart);
        REQUIRE(session.input(segment(KcpCommand::ack, i, i + 1), kStart));
    }
    session.take_output();
    for (int i = 0; i < 4; ++i)
        session.write(as_bytes("y"), kStart);
    REQUIRE(session.take_output().size() == 4);
    for (const std::uint32_t sequence : {9U, 10U})
        REQUIRE(session.input(segment(KcpCommand::ack, sequence, 8), kStart));
    CHECK(session.take_output().empty());
    REQUIRE(session.input(segment(KcpCommand::ack, 11, 8), kStart));
    const auto again = session.take_output();
    REQUIRE(again.size() == 1);
    CHECK(read_kcp_head(again.front())->sequence == 8);
    CHECK(session.resent() == 1);
}

TEST_CASE("kcp: a peer without room is asked, and told when ours is back") {
    KcpSession session(7, kStart);
    REQUIRE(session.input(segment(KcpCommand::window_tell, 0, 0, {}, 0, /*window=*/0), kStart));
    session.write(as_bytes("x"), kStart);
    CHECK(session.take_output().empty());
    session.on_time(session.next_time());
    const auto asked = session.take_output();
    REQUIRE(asked.size() == 1);
    CHECK(read_kcp_head(asked.front())->command == KcpCommand::window_ask);
    REQUIRE(session.input(segment(KcpCommand::window_tell, 0), kStart + 20s));
    CHECK(session.take_output().size() == 1);

    KcpSession reader(7, kStart);
    for (std::uint32_t i = 0; i < 40; ++i)
        REQUIRE(reader.input(segment(KcpCommand::push, i, 0, "x"), kStart));
    reader.on_time(kStart);
    const auto full = reader.take_output();
    REQUIRE_FALSE(full.empty());
    CHECK(segments_of(full.back()).back().first.window == 0);
    for (int i = 0; i < 8; ++i)
        CHECK(reader.read());
    CHECK(reader.next_time() == SteadyTime::max());
    CHECK(reader.read());
    reader.on_time(reader.next_time());
    const auto told = reader.take_output();
    REQUIRE(told.size() == 1);
    CHECK(read_kcp_head(told.front())->command == KcpCommand::window_tell);
    std::size_t read = 9;
    while (reader.read())
        ++read;
    CHECK(read == 40);
}

TEST_CASE("kcp: pieces of a message come out as one") {
    KcpSession session(7, kStart);
    REQUIRE(session.input(segment(KcpCommand::push, 1, 0, "cd", 1), kStart));
    REQUIRE(session.input(segment(KcpCommand::push, 0, 0, "ab", 2), kStart));
    CHECK_FALSE(session.readable());
    REQUIRE(session.input(segment(KcpCommand::push, 2, 0, "ef", 0), kStart));
    const auto whole = session.read();
    REQUIRE(whole);
    CHECK(as_text(*whole) == "abcdef");
    CHECK(
        session.input(segment(KcpCommand::push, 3, 0, "x", 32), kStart).error() ==
        make_error_code(errc::malformed)
    );
}

TEST_CASE("kcp: what is no segment of this conversation changes nothing") {
    KcpSession session(7, kStart);
    Bytes good = segment(KcpCommand::push, 0, 0, "x");
    Bytes trailing = good;
    trailing.push_back(std::byte{0});
    Bytes other = good;
    other[0] = std::byte{8};
    Bytes both = good;
    both.insert(both.end(), other.begin(), other.end());
    Bytes command = good;
    command[4] = std::byte{80};
    Bytes longer = good;
    longer[20] = std::byte{2};
    for (const Bytes& bad : {Bytes(), trailing, other, both, command, longer}) {
        CHECK(session.input(bad, kStart).error() == make_error_code(errc::malformed));
        CHECK_FALSE(session.readable());
        CHECK(session.next_time() == SteadyTime::max());
    }
}

TEST_CASE("kcp: a hostile peer makes a session hold and send no more than its windows") {
    KcpSession session(7, kStart);
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        REQUIRE(session.input(segment(KcpCommand::push, i * 7919, i * 104'729, "x"), kStart));
        REQUIRE(session.input(segment(KcpCommand::ack, i * 7919, i), kStart));
        REQUIRE(session.input(segment(KcpCommand::window_ask, i), kStart));
    }
    session.on_time(kStart);
    CHECK(session.take_output().size() <= 2);
    std::size_t messages = 0;
    while (session.read())
        ++messages;
    CHECK(messages <= 64);
    session.write(as_bytes("x"), kStart + 1s);
    CHECK_FALSE(session.take_output().empty());
}

TEST_CASE("kcp: a datagram tells where its conversation stands") {
    for (const Recorded& each : resolver_recording("visor1")) {
        const auto segments = segments_of(each.bytes);
        const auto push = std::find_if(segments.begin(), segments.end(), [](const auto& segment) {
            return segment.first.command == KcpCommand::push;
        });
        const auto position = read_kcp_position(each.bytes);
        REQUIRE(position.has_value() == (push != segments.end()));
        if (!position) continue;
        CHECK(position->conversation == 0xa5c3cc6c);
        CHECK(position->receive_next == push->first.sequence);
        CHECK(position->send_next == push->first.unacknowledged);
    }
    CHECK_FALSE(read_kcp_position({}));
    CHECK_FALSE(read_kcp_position(as_bytes("holepunch")));
    // The lowest of several pushes, also where the numbers wrap; not of two conversations.
    const auto push_of = [](std::uint32_t conversation, std::uint32_t sequence) {
        KcpSession session({conversation, 5, sequence}, kStart, {}, kStart);
        session.write(as_bytes("heartbeat"), kStart);
        return session.take_output().front();
    };
    const auto joined = [](Bytes a, const Bytes& b) {
        a.insert(a.end(), b.begin(), b.end());
        return a;
    };
    const auto lowest = read_kcp_position(joined(push_of(1, 1), push_of(1, 0xfffffffe)));
    REQUIRE(lowest);
    CHECK(lowest->receive_next == 0xfffffffe);
    CHECK(lowest->send_next == 5);
    CHECK_FALSE(read_kcp_position(joined(push_of(1, 1), push_of(2, 2))));
}

TEST_CASE("kcp: a session goes on where another one has ended") {
    // The visor's side is never told.
    KcpSession visor(7, kStart);
    SteadyTime now = kStart;
    std::optional<KcpSession> resolver(std::in_place, 7, now);
    const auto exchange = [&] {
        for (int i = 0; i < 20; ++i) {
            for (const Bytes& each : visor.take_output())
                REQUIRE(resolver->input(each, now));
            for (const Bytes& each : resolver->take_output())
                REQUIRE(visor.input(each, now));
            now += 50ms;
            visor.on_time(now);
            resolver->on_time(now);
        }
    };
    for (int restart = 0; restart < 5; ++restart) {
        for (int i = 0; i < 40; ++i) {
            visor.write(as_bytes("heartbeat"), now);
            resolver->write(as_bytes("echo"), now);
            exchange();
            CHECK(as_text(resolver->read().value_or(Bytes())) == "heartbeat");
            CHECK(as_text(visor.read().value_or(Bytes())) == "echo");
        }
        // Three that nobody hears, one after another since none is acknowledged.
        for (int i = 0; i < 3; ++i) {
            visor.write(as_bytes("heartbeat"), now);
            now += 10s;
            visor.on_time(now);
        }
        const auto lost = visor.take_output();
        REQUIRE(lost.size() >= 3);
        const auto position = read_kcp_position(lost.back());
        REQUIRE(position);
        resolver.emplace(*position, now, KcpOptions(), now);
        REQUIRE(resolver->input(lost.back(), now));
        resolver->on_time(now);
        exchange();
        int heard = 0;
        while (resolver->read())
            ++heard;
        CHECK(heard == 3);
        CHECK(visor.idle());
    }
}

TEST_CASE("kcp: a resumed session begins behind what its peer has had since") {
    KcpPosition position;
    position.conversation = 7;
    position.receive_next = 3;
    position.send_next = 2;
    const auto told = [&](std::uint32_t unacknowledged) {
        KcpSession peer({7, unacknowledged, 3}, kStart, {}, kStart);
        peer.write(as_bytes("heartbeat"), kStart);
        return peer.take_output().front();
    };
    const auto sequence_after = [&](KcpSession session, std::uint32_t unacknowledged) {
        REQUIRE(session.input(told(unacknowledged), kStart));
        (void)session.take_output();
        session.write(as_bytes("echo"), kStart);
        return segments_of(session.take_output().back()).back().first.sequence;
    };
    const KcpSession resumed(position, kStart, {}, kStart);
    CHECK(sequence_after(resumed, 2) == 2);
    CHECK(sequence_after(resumed, 4) == 4);
    // Older ones that come late, and nonsense.
    CHECK(sequence_after(resumed, 1) == 2);
    CHECK(sequence_after(resumed, 1000) == 2);
    CHECK(sequence_after(KcpSession(7, kStart), 4) == 0);
}
