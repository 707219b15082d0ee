#include "services/common/signature_checks.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

namespace skywire::services {
namespace {

/// Of each so much time the loop itself checks one signature: for one that comes alone the way to a
/// worker and back would only take longer.
constexpr Duration kAlone = std::chrono::milliseconds(1);
/// More than there are workers, so that none waits for the loop; a third of a millisecond each.
constexpr std::size_t kBatchesMax = 4;
constexpr std::size_t kBatchSizeMax = 8;

}  // namespace

/// Whoever leads a batch lets the next one lead, however its own coroutine ends.
class SignatureChecks::Lead {
 public:
    explicit Lead(SignatureChecks& checks) : checks_(checks) {}
    ~Lead() { checks_.pass_on(); }
    Lead(const Lead&) = delete;
    Lead& operator=(const Lead&) = delete;

 private:
    SignatureChecks& checks_;
};

Task<Result<>> SignatureChecks::check(http::SignedHeaders headers, crypto::Digest digest) {
    const SteadyTime now = context_.clock.now();
    if (now >= alone_from_) {
        alone_from_ = now + kAlone;
        co_return http::check_signature(headers, digest);
    }
    const Signed request{headers, digest};
    if (batches_ == kBatchesMax) {
        const Outcome outcome = co_await wait(request);
        if (outcome) co_return *outcome;
    } else {
        ++batches_;
    }
    const Lead leads(*this);
    co_return co_await lead(request);
}

Task<SignatureChecks::Outcome> SignatureChecks::wait(Signed request) {
    return asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome)>(
        [this, request](auto handler) { waiting_.push_back({request, std::move(handler)}); },
        asio::use_awaitable
    );
}

/// Has this one and those that wait checked, and tells them.
Task<Result<>> SignatureChecks::lead(Signed request) {
    std::vector<Waiting> others = take_waiting();
    std::vector<Signed> batch;
    batch.reserve(others.size() + 1);
    batch.push_back(request);
    for (const Waiting& other : others)
        batch.push_back(other.request);
    using Outcomes = std::vector<Result<>>;
    const auto check_all = [batch = std::move(batch)]() -> Result<Outcomes> {
        Outcomes outcomes;
        outcomes.reserve(batch.size());
        for (const Signed& each : batch)
            outcomes.push_back(http::check_signature(each.headers, each.digest));
        return outcomes;
    };
    auto outcomes = co_await context_.workers.run(check_all);
    // The workers are behind: the loop does it, which slows down who sends.
    if (!outcomes) outcomes = check_all();
    for (std::size_t i = 0; i < others.size(); ++i)
        resume(std::move(others[i].handler), (*outcomes)[i + 1]);
    co_return outcomes->front();
}

std::vector<SignatureChecks::Waiting> SignatureChecks::take_waiting() {
    const std::size_t count = std::min(waiting_.size(), kBatchSizeMax - 1);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    std::vector<Waiting> taken(
        std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end)
    );
    waiting_.erase(waiting_.begin(), end);
    return taken;
}

/// Later, not inside this call: the handler goes on with its request.
void SignatureChecks::resume(Handler handler, Outcome outcome) {
    asio::post(
        context_.loop,
        [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
            std::move(handler)(std::move(outcome));
        }
    );
}

void SignatureChecks::pass_on() {
    if (waiting_.empty()) {
        --batches_;
        return;
    }
    Handler next = std::move(waiting_.front().handler);
    waiting_.pop_front();
    resume(std::move(next), std::nullopt);
}

}  // namespace skywire::services
