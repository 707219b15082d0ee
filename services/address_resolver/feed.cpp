#include "services/address_resolver/feed.hpp"

#include "cxo/leaf.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace skywire::resolver {
namespace {

constexpr std::chrono::seconds kLookAtAllEvery{10};

/// What the network calls the types here.
constexpr std::array<std::string_view, kTypes.size()> kNames{"stcpr", "sudph", "squicr", "swtr"};

std::size_t index_of(Type type) noexcept {
    return static_cast<std::size_t>(std::find(kTypes.begin(), kTypes.end(), type) - kTypes.begin());
}

}  // namespace

BindingsContent::BindingsContent(
    const net::Context& context, Bindings& bindings, store::Store& store
)
    : context_(context), bindings_(bindings) {
    if (bindings.shared()) notes_.emplace(context_, store, std::string(kPrefix));
    for (std::string& bucket : cxo::all_buckets())
        changed_.insert(std::move(bucket));
}

void BindingsContent::written(const crypto::PublicKey& key) {
    const bool first = written_.empty();
    written_.insert(key);
    if (notes_) untold_.insert(key);
    if (first && on_change_) on_change_();
}

Task<Result<std::vector<cxo::Change>>> BindingsContent::changes() {
    if (notes_) {
        const auto heard = co_await hear(*notes_);
        if (!heard) co_return heard.error();
    }
    if (context_.clock.now() >= look_at_all_at_) {
        const auto looked = co_await look_at_all();
        if (!looked) co_return looked.error();
        look_at_all_at_ = context_.clock.now() + kLookAtAllEvery;
    }
    const Keys keys = std::exchange(written_, {});
    const auto looked = co_await look_at(keys);
    if (!looked) {
        written_.insert(keys.begin(), keys.end());
        co_return looked.error();
    }
    std::vector<cxo::Change> changes;
    changes.reserve(changed_.size());
    for (const std::string& bucket : std::set<std::string>(changed_)) {
        auto leaf =
            co_await services::pack_leaf(context_, render(bucket), services::LeafForm::frame);
        if (!leaf) co_return leaf.error();
        changes.push_back({bucket, std::move(*leaf)});
    }
    changed_.clear();
    co_return changes;
}

Task<Result<>> BindingsContent::hear(services::ChangeNotes& notes) {
    const Keys untold = std::exchange(untold_, {});
    std::vector<std::string> texts;
    texts.reserve(untold.size());
    for (const crypto::PublicKey& key : untold)
        texts.push_back(key.to_text());
    const auto told = co_await notes.tell(std::move(texts));
    if (!told) {
        untold_.insert(untold.begin(), untold.end());
        co_return told;
    }
    const auto heard = co_await notes.hear();
    if (!heard) co_return heard.error();
    const services::ChangeNotes::Heard& others = *heard;
    if (!others) {
        look_at_all_at_ = {};
        co_return Result<>();
    }
    for (const std::string& text : *others)
        if (const auto key = crypto::PublicKey::from_text_not_null(text)) written_.insert(*key);
    co_return Result<>();
}

Task<Result<>> BindingsContent::look_at(Keys keys) {
    for (const crypto::PublicKey& key : keys) {
        for (const Type type : kTypes) {
            const auto binding = co_await bindings_.get(type, key);
            if (!binding) co_return binding.error();
            take(type, key, *binding);
        }
    }
    co_return Result<>();
}

Task<Result<>> BindingsContent::look_at_all() {
    Keys gone;
    for (const Type type : kTypes) {
        Keys there;
        const auto all = co_await bindings_.all(type);
        if (!all) co_return all.error();
        for (const auto& [key, binding] : *all) {
            take(type, key, binding);
            there.insert(key);
        }
        // What is listed no more may have come back just now: the store is asked.
        for (const auto& [bucket, visors] : buckets_)
            for (const auto& [key, answers] : visors)
                if (!answers[index_of(type)].empty() && !there.contains(key)) gone.insert(key);
        co_await asio::post(context_.loop, asio::use_awaitable);
    }
    co_return co_await look_at(std::move(gone));
}

void BindingsContent::take(
    Type type, const crypto::PublicKey& key, const std::optional<Binding>& binding
) {
    const std::string bucket = cxo::bucket_of(key);
    const std::string now = binding ? to_answer(*binding) : std::string();
    auto& visors = buckets_[bucket];
    const auto found = visors.find(key);
    if (found == visors.end() && now.empty()) return;
    std::string& answer = (found == visors.end() ? visors[key] : found->second)[index_of(type)];
    if (answer == now) return;
    answer = now;
    changed_.insert(bucket);
    const Answers& answers = visors.at(key);
    const bool any = std::any_of(answers.begin(), answers.end(), [](const std::string& each) {
        return !each.empty();
    });
    if (!any) visors.erase(key);
}

std::string BindingsContent::render(const std::string& bucket) const {
    std::string leaf = "{";
    const auto found = buckets_.find(bucket);
    if (found == buckets_.end()) return leaf + '}';
    for (const auto& [key, answers] : found->second) {
        if (leaf.size() > 1) leaf += ',';
        leaf += fmt::format(R"("{}":{{)", key);
        bool comma = false;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            if (answers[i].empty()) continue;
            leaf += fmt::format(R"({}"{}":{})", comma ? "," : "", kNames[i], answers[i]);
            comma = true;
        }
        leaf += '}';
    }
    leaf += '}';
    return leaf;
}

}  // namespace skywire::resolver
