#include "services/common/change_notes.hpp"

#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace skywire::services {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLifetime = 1min;
/// A number without its note for so long: the writer is gone.
constexpr Duration kPatience = 2s;
/// Notes that are read one by one; who has missed more looks at everything.
constexpr std::uint64_t kMissedMax = 1000;
/// Keys of one note.
constexpr std::size_t kKeysMax = 1000;

void append_lines(std::vector<std::string>& keys, std::string_view text) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (end > 0) keys.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

}  // namespace

ChangeNotes::ChangeNotes(const net::Context& context, store::Store& store, std::string prefix)
    : context_(context), store_(store), prefix_(std::move(prefix)) {}

std::string ChangeNotes::value_key(std::uint64_t number) const {
    return fmt::format("{}:feed:change:{}", prefix_, number);
}

Task<Result<>> ChangeNotes::tell(std::vector<std::string> keys) {
    for (std::size_t at = 0; at < keys.size(); at += kKeysMax) {
        const std::size_t end = std::min(at + kKeysMax, keys.size());
        std::string text;
        for (std::size_t i = at; i < end; ++i)
            text += keys[i] + '\n';
        const auto number = co_await store_.increment(prefix_ + ":feed:changes");
        if (!number) co_return number.error();
        own_.insert(*number);
        store::Batch batch;
        batch.changes.emplace_back(store::SetValue{value_key(*number), std::move(text), kLifetime});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

Task<Result<std::uint64_t>> ChangeNotes::newest() {
    const auto text = co_await store_.get(prefix_ + ":feed:changes");
    if (!text) co_return text.error();
    std::uint64_t number = 0;
    const std::string digits = text->value_or("0");
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    co_return number;
}

Task<Result<ChangeNotes::Heard>> ChangeNotes::hear() {
    const auto number = co_await newest();
    if (!number) co_return number.error();
    const SteadyTime now = context_.clock.now();
    const bool missed = !seen_ || *number < *seen_ || *number - *seen_ > kMissedMax;
    if (missed) {
        awaited_.clear();
        own_.clear();
    } else {
        for (std::uint64_t each = *seen_ + 1; each <= *number; ++each)
            if (own_.erase(each) == 0) awaited_.emplace(each, now + kPatience);
    }
    seen_ = *number;
    if (missed) co_return Heard();
    std::vector<std::string> keys;
    if (awaited_.empty()) co_return Heard(std::move(keys));

    std::vector<std::uint64_t> numbers;
    std::vector<std::string> names;
    numbers.reserve(awaited_.size());
    names.reserve(awaited_.size());
    for (const auto& [each, until] : awaited_) {
        numbers.push_back(each);
        names.push_back(value_key(each));
    }
    const auto texts = co_await store_.get_many(std::move(names));
    if (!texts) co_return texts.error();
    bool lost = false;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto& text = (*texts)[i];
        if (text) append_lines(keys, *text);
        const bool given_up = !text && now >= awaited_.at(numbers[i]);
        lost = lost || given_up;
        if (text || given_up) awaited_.erase(numbers[i]);
    }
    if (lost) co_return Heard();
    co_return Heard(std::move(keys));
}

}  // namespace skywire::services
