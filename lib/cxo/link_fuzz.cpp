// A connection under any peer, any owner, any time and any cut of the bytes. An input is a script:
// bytes of the peer's, whole messages of its, what the owner does, time that passes. It is played
// twice, with the peer's bytes cut in two ways; both must come out the same.

#include "base/assert.hpp"
#include "base/fuzz_script.hpp"
#include "cxo/link.hpp"
#include "cxo/publisher.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

namespace {

using namespace skywire;
using namespace skywire::cxo;

const crypto::KeyPair& feed_keys() {
    static const crypto::KeyPair keys = crypto::deterministic_key_pair("feed");
    return keys;
}

/// Some versions of a feed, made once.
struct Versions {
    Versions() {
        Publisher publisher(feed_keys(), index, {}, 1);
        SteadyTime now{};
        for (int i = 0; i < 4; ++i) {
            now += std::chrono::seconds(1);
            const std::string value(static_cast<std::size_t>(1 + i * 400), 'v');
            const ByteSpan bytes = as_bytes(value);
            const auto put = publisher.put("d/leaf", Bytes(bytes.begin(), bytes.end()), now);
            SKY_ASSERT(put.has_value());
            all.push_back(publisher.on_time(now + std::chrono::seconds(1), 1));
            SKY_ASSERT(all.back() != nullptr);
        }
    }

    ObjectIndex index;
    std::vector<AnnouncementPtr> all;
};

Versions& versions() {
    static Versions made;
    return made;
}

Hash wanted(unsigned number) {
    const std::array<std::byte, 1> bytes{static_cast<std::byte>(number % 16)};
    return crypto::sha256(bytes);
}

class Player final : public LinkEvents {
 public:
    std::string play(ByteSpan input, std::size_t piece) {
        FuzzScript script(input);
        piece_ = piece;
        whims_ = script.byte();
        LinkLimits limits;
        limits.window_min = 4;
        limits.window_max = 16;
        limits.requests_max = 20;
        limits.feeds_max = 2;
        limits.unasked_max = 2000;
        const auto role = whims_ % 2 == 0 ? Link::Role::acceptor : Link::Role::dialer;
        link_ = std::make_unique<Link>(role, own_.public_key, limits, *this, now_);
        if (whims_ & 2) shake(role);
        while (!script.done() && !ended_)
            step(script);
        write();
        // There may be room for an object that was asked for, and that has begun to come.
        SKY_ASSERT(!link_->has_output() && link_->memory() < kFrameMax + 100'000);
        if (ended_) {
            const std::size_t length = log_.size();
            SKY_ASSERT(!link_->on_bytes(as_bytes("x"), now_) && !link_->on_time(now_));
            SKY_ASSERT(link_->next_time() == SteadyTime::max() && log_.size() == length);
        }
        return log_;
    }

    Result<> on_established(const crypto::PublicKey&) override {
        note("established");
        established_ = true;
        if (whims_ & 4) return fail(errc::forbidden, "no");
        return {};
    }
    ObjectPtr find_object(const Hash& hash) override { return versions().index.find(hash); }
    Result<AnnouncementPtr> on_subscribe(const crypto::PublicKey&) override {
        SKY_ASSERT(established_);
        note("subscribe");
        if (whims_ & 8) return fail(errc::forbidden, "no");
        if (whims_ & 16) return AnnouncementPtr();
        return versions().all[version_];
    }
    void on_unsubscribe(const crypto::PublicKey& feed) override {
        note("unsubscribe");
        SKY_ASSERT(!link_->has_subscriber(feed));
    }
    AnnouncementPtr on_preview(const crypto::PublicKey&) override { return versions().all[0]; }
    std::optional<std::vector<crypto::PublicKey>> feeds() override {
        if (whims_ & 32) return std::vector(20, own_.public_key);
        return std::nullopt;
    }
    void on_subscribed(const crypto::PublicKey&) override { note("subscribed"); }
    void on_refused(const crypto::PublicKey&, std::string_view) override { note("refused"); }
    void on_root(const SignedRoot& root) override {
        SKY_ASSERT(root.feed == feed_keys().public_key);
        note("root");
    }
    void on_object(const Hash& hash, ByteSpan bytes, bool asked) override {
        SKY_ASSERT(crypto::sha256(bytes) == hash);
        if (asked) SKY_ASSERT(asked_.erase(hash) == 1);
        note(asked ? "object" : "unasked");
    }
    void on_no_object(const Hash& hash) override {
        SKY_ASSERT(asked_.erase(hash) == 1);
        note("no object");
    }
    void on_count(std::string_view reason) override { note(reason); }

 private:
    void note(std::string_view what) {
        SKY_ASSERT(!ended_);
        log_ += what;
        log_ += ';';
    }

    void shake(Link::Role role) {
        write();
        if (role == Link::Role::acceptor)
            say(Syn{kProtocolVersion, peer_.public_key}, 0);
        else
            say(Ack{peer_.public_key}, 1);
    }

    void step(FuzzScript& script) {
        const unsigned what = script.byte();
        switch (what % 10) {
            case 0:
                return feed(script.take(script.byte()));
            case 1:
                return say_any(what, script);
            case 2:
                return write();
            case 3:
                return pass(std::chrono::milliseconds(script.byte() * 16));
            case 4:
                return pass(std::chrono::seconds(script.byte()));
            case 5:
                return link_->subscribe(feed_keys().public_key, now_);
            case 6:
                return link_->unsubscribe(feed_keys().public_key);
            case 7:
                return request(script.byte());
            case 8:
                version_ = std::min<std::size_t>(version_ + 1, 3);
                return link_->announce(versions().all[version_], now_);
            default:
                return link_->drop_subscription(feed_keys().public_key);
        }
    }

    /// One of the messages that matter.
    void say_any(unsigned what, FuzzScript& script) {
        const unsigned number = script.byte();
        const std::uint32_t rseq = script.byte();
        const std::array<std::byte, 1> object{static_cast<std::byte>(number % 16)};
        switch (what / 10 % 12) {
            case 0:
                return say(Sub{number % 2 == 0 ? feed_keys().public_key : own_.public_key}, rseq);
            case 1:
                return say(Unsub{feed_keys().public_key}, rseq);
            case 2:
                return say(RequestList{}, rseq);
            case 3:
                return say(versions().all[number % 4]->root, rseq);
            case 4:
                return say(RequestObject{versions().all[number % 4]->tree.hash()}, rseq);
            case 5:
                return say(ObjectBytes{object}, rseq);
            case 6:
                return say(Ok{}, rseq);
            case 7:
                return say(Err{"no"}, rseq);
            case 8:
                return say(List{}, rseq);
            case 9:
                return say(RequestPreview{feed_keys().public_key}, rseq);
            case 10:
                return say(RequestPeers{feed_keys().public_key}, rseq);
            default:
                return say(number % 2 == 0 ? Message(Ping{}) : Message(Pong{}), rseq);
        }
    }

    void say(const Message& message, std::uint32_t rseq) {
        feed(encode_frame(Frame{++said_, rseq, message}));
    }

    void feed(ByteSpan bytes) {
        while (!bytes.empty() && !ended_) {
            const ByteSpan part = bytes.first(std::min(piece_, bytes.size()));
            bytes = bytes.subspan(part.size());
            check(link_->on_bytes(part, now_));
        }
    }

    void pass(Duration time) {
        now_ += time;
        if (!ended_) check(link_->on_time(now_));
        SKY_ASSERT(ended_ || link_->next_time() > now_);
    }

    void request(unsigned number) {
        const Hash hash = wanted(number);
        if (link_->window() == 0 || !asked_.insert(hash).second) return;
        link_->request(hash, now_);
    }

    void check(const Result<>& done) {
        if (done) return;
        SKY_ASSERT(!done.error().message().empty());
        log_ += done.error().code().message();
        ended_ = true;
    }

    void write() {
        while (link_->has_output()) {
            const auto parts = link_->gather(now_);
            SKY_ASSERT(!parts.empty());
            for (const ByteSpan part : parts)
                log_ += to_hex(part);
            link_->wrote(now_);
        }
    }

    std::string log_;
    std::size_t piece_ = 0;
    unsigned whims_ = 0;
    SteadyTime now_{};
    crypto::KeyPair own_ = crypto::deterministic_key_pair("own");
    crypto::KeyPair peer_ = crypto::deterministic_key_pair("peer");
    std::unique_ptr<Link> link_;
    std::set<Hash> asked_;
    std::size_t version_ = 0;
    std::uint32_t said_ = 0;
    bool established_ = false;
    bool ended_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteSpan input = std::as_bytes(std::span(data, size));
    const std::string whole = Player().play(input, SIZE_MAX);
    const std::size_t piece = size % 13 + 1;
    SKY_ASSERT(Player().play(input, piece) == whole);
    return 0;
}
