#include "services/common/owner_signs.hpp"

#include "store/members.hpp"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace skywire::services {
namespace {

std::string text_of(WallTime time) {
    return std::to_string(
        std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()
    );
}

std::optional<WallTime> time_of(const std::optional<std::string>& text) {
    if (!text) return std::nullopt;
    std::int64_t seconds = 0;
    const char* const end = text->data() + text->size();
    const auto [stop, ec] = std::from_chars(text->data(), end, seconds);
    // Nanoseconds of 64 bits end in the year 2262.
    if (ec != std::errc() || stop != end || seconds < 0 || seconds > 9'000'000'000)
        return std::nullopt;
    return WallTime(std::chrono::seconds(seconds));
}

}  // namespace

OwnerSigns::OwnerSigns(
    const net::Context& context, store::Store* store, std::string prefix, Duration lifetime
)
    : context_(context),
      store_(store),
      shared_(store != nullptr && store->kind() == "redis"),
      set_(std::move(prefix) + ":owners"),
      lifetime_(lifetime) {}

Task<Result<std::unordered_map<crypto::PublicKey, WallTime>>> OwnerSigns::load() {
    std::unordered_map<crypto::PublicKey, WallTime> loaded;
    if (!own()) co_return loaded;
    const auto clock = co_await store_->get(set_ + ":clock");
    if (!clock) co_return clock.error();
    const WallTime now = context_.clock.wall();
    // The calendar may have been set back.
    const Duration down = std::max(Duration(0), now - time_of(*clock).value_or(now));
    const auto key_of = [this](std::string_view owner) {
        return fmt::format("{}:{}", set_, owner);
    };
    const auto take = [&](const std::string& owner, const std::optional<std::string>& text) {
        const auto key = crypto::PublicKey::from_text_not_null(owner);
        const auto sign = time_of(text);
        if (key && sign) loaded[*key] = std::min(*sign + down, now);
    };
    const auto read = co_await store::read_members(*store_, set_, key_of, take);
    if (!read) co_return read.error();
    // In one step with the clock, or the next start would count the time once more, or not at all.
    store::Batch batch;
    batch.changes.reserve(loaded.size() + 1);
    for (const auto& [owner, sign] : loaded)
        batch.changes.emplace_back(store::SetValue{this->key_of(owner), text_of(sign)});
    batch.changes.emplace_back(store::SetValue{set_ + ":clock", text_of(now)});
    const auto written = co_await store_->apply(std::move(batch));
    if (!written) co_return written.error();
    co_return loaded;
}

Task<> OwnerSigns::apply(store::Batch batch) {
    const auto written = co_await store_->apply(std::move(batch));
    if (written) co_return;
    log::debug(context_.logger, "owners.not_written", log::kv("error", written.error().message()));
}

Task<> OwnerSigns::write(crypto::PublicKey owner, WallTime sign) {
    if (store_ == nullptr) co_return;
    store::Batch batch;
    batch.changes.reserve(2);
    store::SetValue value{key_of(owner), text_of(sign)};
    if (shared_) {
        value.ttl = lifetime_;
    } else {
        batch.changes.emplace_back(store::AddToSet{set_, owner.to_text()});
    }
    batch.changes.emplace_back(std::move(value));
    co_await apply(std::move(batch));
}

Task<> OwnerSigns::erase(crypto::PublicKey owner) {
    // Another service on the same Redis may hold records of this owner: its sign ends by itself.
    if (!own()) co_return;
    store::Batch batch;
    batch.changes.reserve(2);
    batch.changes.emplace_back(store::Erase{key_of(owner)});
    batch.changes.emplace_back(store::RemoveFromSet{set_, owner.to_text()});
    co_await apply(std::move(batch));
}

Task<std::optional<WallTime>> OwnerSigns::read(crypto::PublicKey owner) {
    if (store_ == nullptr) co_return std::nullopt;
    const auto text = co_await store_->get(key_of(owner));
    if (!text) co_return std::nullopt;
    co_return time_of(*text);
}

Task<> OwnerSigns::write_clock() {
    if (!own()) co_return;
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{set_ + ":clock", text_of(context_.clock.wall())});
    co_await apply(std::move(batch));
}

}  // namespace skywire::services
