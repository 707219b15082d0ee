#include "framework/probe.hpp"

#include "http/client.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::framework {

namespace {

constexpr Duration kFirstPause = std::chrono::milliseconds(250);
constexpr Duration kPause = std::chrono::seconds(2);
constexpr Duration kTryTimeout = std::chrono::seconds(2);

Task<Result<>> get_health(net::Context context, net::Address address) {
    http::Client client(context);
    http::ClientRequest request;
    request.address = address;
    request.target = "/health";
    request.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kTryTimeout);
    auto response = co_await client.send(std::move(request));
    client.close();
    if (!response) co_return response.error();
    if (response->status != 200) {
        co_return fail(errc::unavailable, fmt::format("GET /health answers {}", response->status));
    }
    co_return Result<>();
}

}  // namespace

Task<> Probe::run(std::function<void()> changed) {
    Duration pause = kFirstPause;
    for (;;) {
        Result<> outcome;
        try {
            outcome = co_await net::with_deadline(
                context_.clock, context_.clock.now() + kTryTimeout, external_.probe(context_)
            );
        } catch (const std::exception& thrown) {
            outcome = fail(errc::unavailable, thrown.what());
        }
        const bool there = outcome.has_value();
        std::string reason = there ? std::string() : outcome.error().message();
        const bool news = !tried_ || there != there_;
        if (news) since_ = context_.clock.wall();
        if (news || reason != reason_) {
            tried_ = true;
            there_ = there;
            reason_ = std::move(reason);
            changed();
        }
        pause = there ? kPause : news ? kFirstPause : std::min(pause * 2, kPause);
        const bool waited = co_await net::sleep_for(context_.clock, pause);
        if (!waited) co_return;
    }
}

External external_of_block(const BlockConfig& block) {
    External external;
    external.name = block.label;
    external.kind = block.type->name;
    if (!block.facts.health_address) return external;
    const net::Address address = *block.facts.health_address;
    external.name = fmt::format("{} at {}", block.label, address.to_string());
    external.probe = [address](net::Context context) { return get_health(context, address); };
    return external;
}

}  // namespace skywire::framework
