#include "services/network_visualizer/upstream.hpp"

#include "base/assert.hpp"
#include "dmsg/address.hpp"
#include "net/timer.hpp"
#include "services/common/upstream_url.hpp"
#include "services/network_visualizer/decode.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::network_visualizer {
namespace {

constexpr std::chrono::milliseconds kTimeout{10'000};
/// Between tries after failures: twice as long each time.
constexpr std::chrono::seconds kRetryFirst{1};
constexpr std::chrono::seconds kRetryMax{15};
constexpr unsigned kDoublingsMax = 4;
/// Whether it has to ask, while the copy is followed by other means.
constexpr std::chrono::seconds kLookEvery{1};

using Texts = std::vector<std::shared_ptr<const std::string>>;

/// In the order of the lists.
Result<Body> body_of(Part part, const Texts& texts) {
    switch (part) {
        case Part::services: {
            std::vector<std::string_view> lists;
            lists.reserve(texts.size());
            for (const auto& text : texts)
                lists.push_back(*text);
            return services_body(lists);
        }
        case Part::clients:
            return clients_body(*texts.at(0), *texts.at(1));
        case Part::transports:
            return transports_body(*texts.at(0));
    }
    return fail(errc::malformed, "no such part");
}

}  // namespace

Duration pause_after(unsigned failures, Duration refresh) noexcept {
    if (failures == 0) return refresh;
    const Duration pause = kRetryFirst * (1U << std::min(failures - 1, kDoublingsMax));
    return std::min(pause, std::max<Duration>(refresh, kRetryMax));
}

Upstream::Upstream(const net::Context& context, Copy& copy, Options options)
    : context_(context), copy_(copy), options_(std::move(options)), http_(context) {
    auto url = services::parse_upstream_url(options_.url);
    SKY_ASSERT(url.has_value());
    address_ = std::move(url->address);
    std::string prefix = std::move(url->target);
    if (prefix.ends_with('/')) prefix.pop_back();
    switch (copy.part()) {
        case Part::services:
            // The types that there are; a feed has others too.
            for (const char* type : {"visor", "vpn", "skysocks"})
                lists_.push_back({.target = fmt::format("{}/api/services?type={}", prefix, type)});
            break;
        case Part::clients:
            lists_.push_back({.target = prefix + "/dmsg-discovery/servers/clients"});
            lists_.push_back(
                {.target = prefix + "/dmsg-discovery/all_servers", .may_be_missing = true}
            );
            break;
        case Part::transports:
            lists_.push_back({.target = prefix + "/all-transports"});
            break;
    }
}

Task<> Upstream::run() {
    while (true) {
        const bool wanted = !copy_.followed();
        if (wanted) co_await refresh();
        const Duration before_next = wanted ? pause() : Duration(kLookEvery);
        const bool slept = co_await net::sleep_for(context_.clock, before_next);
        if (!slept) co_return;
    }
}

Duration Upstream::pause() {
    // Not all at once after an upstream has come back.
    const Duration spread = std::chrono::milliseconds(context_.random.below(250));
    return pause_after(failures_, options_.refresh) + (failures_ > 0 ? spread : Duration(0));
}

Task<> Upstream::refresh() {
    bool changed = copy_.origin() != Origin::http;
    for (List& list : lists_) {
        const auto news = co_await fetch(list);
        if (!news) {
            ++failures_;
            // A feed may have come meanwhile.
            if (!copy_.followed()) copy_.failed(Origin::http, options_.url, news.error());
            co_return;
        }
        changed = changed || *news;
    }
    if (copy_.followed()) co_return;
    if (changed) {
        co_await read();
        co_return;
    }
    failures_ = 0;
    copy_.confirm();
}

/// Whether the list differs from the one before.
Task<Result<bool>> Upstream::fetch(List& list) {
    http::ClientRequest request;
    request.address = address_;
    request.target = list.target;
    request.timeout = kTimeout;
    request.response_bytes_max = options_.bytes_max;
    if (!list.tag.empty()) request.fields.set("If-None-Match", list.tag);
    auto response = co_await http_.send(std::move(request));
    if (!response) co_return response.error();
    if (response->status == 304 && list.text) co_return false;
    if (response->status == 404 && list.may_be_missing) {
        response->body = "null";
    } else if (response->status != 200) {
        const std::string_view target = std::string_view(list.target);
        co_return fail(errc::unavailable, fmt::format("{}: status {}", target, response->status));
    }
    list.tag = response->fields.get("ETag").value_or("");
    // Of an upstream that sends no ETag the text itself tells.
    if (list.text && *list.text == response->body) co_return false;
    list.text = std::make_shared<const std::string>(std::move(response->body));
    co_return true;
}

Task<> Upstream::read() {
    Texts texts;
    texts.reserve(lists_.size());
    for (const List& list : lists_)
        texts.push_back(list.text);
    auto body = co_await context_.workers.run([part = copy_.part(), texts = std::move(texts)] {
        return body_of(part, texts);
    });
    if (copy_.followed()) co_return;
    if (!body) {
        ++failures_;
        // What could not be read is not known.
        for (List& list : lists_)
            list = {.target = std::move(list.target), .may_be_missing = list.may_be_missing};
        copy_.failed(Origin::http, options_.url, body.error());
        co_return;
    }
    failures_ = 0;
    copy_.replace(Origin::http, options_.url, std::move(*body));
}

}  // namespace skywire::network_visualizer
