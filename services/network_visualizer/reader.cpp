#include "services/network_visualizer/reader.hpp"

#include "base/json.hpp"
#include "cxo/known_feeds.hpp"
#include "cxo/leaf.hpp"
#include "dmsg/address.hpp"
#include "net/timer.hpp"
#include "services/common/upstream_url.hpp"
#include "services/network_visualizer/decode.hpp"
#include "services/network_visualizer/upstream.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::network_visualizer {
namespace {

constexpr std::chrono::milliseconds kLookEvery{250};
constexpr std::chrono::seconds kAskAgain{5};
constexpr std::chrono::milliseconds kTimeout{5'000};
constexpr std::size_t kHealthBytesMax = 64 * 1024;
/// Of one version, unpacked.
constexpr std::size_t kLeavesBytesMax = std::size_t{64} << 20U;

struct PackedLeaf {
    std::string path;
    Bytes bytes;
};

Result<Body> body_of(Part part, const std::vector<PackedLeaf>& packed) {
    std::vector<Leaf> leaves;
    leaves.reserve(packed.size());
    std::size_t room = kLeavesBytesMax;
    for (const PackedLeaf& each : packed) {
        auto text = cxo::read_leaf(each.bytes, room);
        if (!text) return text.error().within(each.path);
        room -= std::min(room, text->size());
        leaves.push_back({each.path, std::move(*text)});
    }
    return leaves_body(part, leaves);
}

}  // namespace

std::string_view feed_name(Part part) noexcept {
    switch (part) {
        case Part::services:
            return cxo::kServicesFeed;
        case Part::clients:
            return cxo::kClientsFeed;
        case Part::transports:
            return cxo::kTransportsFeed;
    }
    return "";
}

Reader::Reader(
    const net::Context& context, cxo::SubscriptionManager& manager, Copy& copy, Options options
)
    : context_(context),
      manager_(manager),
      copy_(copy),
      options_(std::move(options)),
      http_(context) {}

void Reader::close() {
    http_.close();
    subscription_.reset();
    handle_.reset();
}

Task<> Reader::run() {
    copy_.feed(FeedState::waiting, "");
    const auto publisher = co_await find_publisher();
    if (!publisher) co_return;
    const std::string name(feed_name(copy_.part()));
    const cxo::KnownFeed& feed = cxo::known_feed(name);
    place_ = fmt::format("dmsg://{}:{}", *publisher, feed.port);
    manager_.define({name, *publisher, feed.port, std::string(feed.prefix)});
    auto opened = manager_.open(name);
    if (!opened) {
        copy_.feed(FeedState::lost, opened.error().message());
        co_return;
    }
    handle_ = std::move(*opened);
    subscription_ = handle_.subscribe([this](const cxo::FeedUpdate&) { changed_ = true; });
    while (true) {
        co_await look();
        const bool slept = co_await net::sleep_for(context_.clock, kLookEvery);
        if (!slept) co_return;
    }
}

/// Nothing: cancelled.
Task<std::optional<crypto::PublicKey>> Reader::find_publisher() {
    if (options_.publisher) co_return options_.publisher;
    while (true) {
        const auto key = co_await ask_publisher();
        if (key) co_return *key;
        copy_.feed(FeedState::waiting, "its key: " + key.error().message());
        const bool slept = co_await net::sleep_for(context_.clock, kAskAgain);
        if (!slept) co_return std::nullopt;
    }
}

Task<Result<crypto::PublicKey>> Reader::ask_publisher() {
    const auto url = services::parse_upstream_url(options_.url);
    if (!url) co_return url.error();
    // A URL of dmsg has the key.
    if (const auto key = crypto::PublicKey::from_text_not_null(url->address.host); key)
        co_return *key;
    http::ClientRequest request;
    request.address = url->address;
    request.target = "/health";
    request.timeout = kTimeout;
    request.response_bytes_max = kHealthBytesMax;
    const auto response = co_await http_.send(std::move(request));
    if (!response) co_return response.error();
    const auto health = parse_json(response->body_view());
    if (response->status != 200 || !health || !health->is_object())
        co_return fail(errc::unavailable, options_.url + " has no health");
    const auto* const told = health->as_object().if_contains("dmsg_address");
    if (told == nullptr || !told->is_string())
        co_return fail(errc::not_found, options_.url + " tells no key");
    const auto address = dmsg::Address::parse(std::string_view(told->as_string()));
    if (!address || address->pk.is_null())
        co_return fail(errc::malformed, options_.url + ": its dmsg_address");
    co_return address->pk;
}

Task<> Reader::look() {
    auto reading = handle_.read();
    const bool live = reading && reading->live;
    if (live && (changed_ || (copy_.origin() != Origin::cxo && unusable_.empty())))
        co_await take(std::move(*reading));
    const bool followed = live && unusable_.empty() && copy_.origin() == Origin::cxo;
    copy_.follow(followed, reading ? reading->age : Duration(0));
    if (followed) {
        copy_.feed(FeedState::live, "");
    } else {
        const bool had = copy_.feed_state() != FeedState::waiting || reading.has_value();
        copy_.feed(had ? FeedState::lost : FeedState::waiting, trouble());
    }
}

/// The copy is of this version afterwards, or `unusable_` says why not.
Task<> Reader::take(cxo::SubscriptionManager::Reading reading) {
    changed_ = false;
    std::vector<PackedLeaf> leaves;
    leaves.reserve(reading.tree.count());
    const std::string_view prefix = cxo::known_feed(feed_name(copy_.part())).prefix;
    reading.tree.walk(prefix, [&leaves](std::string_view path, ByteSpan leaf) {
        leaves.push_back({std::string(path), Bytes(leaf.begin(), leaf.end())});
        return true;
    });
    auto body = co_await context_.workers.run([part = copy_.part(), leaves = std::move(leaves)] {
        return body_of(part, leaves);
    });
    if (!body) {
        unusable_ = body.error().message();
        copy_.count_failure(Origin::cxo);
        co_return;
    }
    unusable_.clear();
    copy_.replace(Origin::cxo, place_, std::move(*body));
}

std::string Reader::trouble() const {
    if (!unusable_.empty()) return unusable_;
    const auto state = handle_.state();
    return state ? state->error : std::string();
}

}  // namespace skywire::network_visualizer
