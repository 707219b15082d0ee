#include "services/service_discovery/geo.hpp"

#include "base/counted.hpp"
#include "dmsg/detail/json_reader.hpp"
#include "http/real_ip.hpp"

#include <cmath>
#include <utility>

namespace skywire::service_discovery {
namespace {

using dmsg::detail::JsonObject;
using dmsg::detail::JsonReader;

constexpr std::chrono::seconds kLimit{10};
/// More registrations at a time that need a look-up go without.
constexpr std::size_t kUnderWayMax = 32;
constexpr std::size_t kAnswerMax = 64 * 1024;

double two_decimals(double degrees) {
    return std::round(degrees * 100) / 100;
}

Counter& outcome(const net::Context& context, std::string name) {
    return context.metrics.counter(
        "service_discovery_lookups_total",
        "Addresses asked of the geo service, by outcome.",
        {{"outcome", std::move(name)}}
    );
}

}  // namespace

std::optional<Geo> parse_place(std::string_view body) {
    JsonReader reader(body);
    JsonObject object(reader);
    Geo geo;
    while (object.next()) {
        if (reader.null()) continue;
        if (object.named("country_code")) {
            reader.string(geo.country);
        } else if (object.named("region_code")) {
            reader.string(geo.region);
        } else if (object.named("latitude")) {
            reader.number(geo.latitude);
        } else if (object.named("longitude")) {
            reader.number(geo.longitude);
        } else {
            reader.skip();
        }
    }
    if (!reader.ok() || geo == Geo()) return std::nullopt;
    geo.latitude = two_decimals(geo.latitude);
    geo.longitude = two_decimals(geo.longitude);
    return geo;
}

Locator::Locator(const net::Context& context, Options options)
    : context_(context),
      options_(std::move(options)),
      client_(context),
      found_(outcome(context, "found")),
      failed_(outcome(context, "failed")),
      busy_(outcome(context, "busy")) {
    if (options_.url.empty()) return;
    if (auto url = http::Url::parse(options_.url)) url_ = std::move(*url);
}

Task<std::optional<Geo>> Locator::locate(std::string ip) {
    std::optional<Geo> place;
    if (url_ && http::is_public_ip(ip)) place = co_await ask(*url_, std::move(ip));
    if (!place) place = options_.fallback;
    co_return place;
}

Task<std::optional<Geo>> Locator::ask(http::Url url, std::string ip) {
    if (under_way_ >= kUnderWayMax) {
        busy_.add();
        co_return std::nullopt;
    }
    const Counted counted(under_way_);
    http::ClientRequest request;
    request.address = std::move(url.address);
    request.target = std::move(url.target);
    if (!request.target.ends_with('/')) request.target += '/';
    request.target += "?ip=" + ip;
    request.timeout = kLimit;
    request.response_bytes_max = kAnswerMax;
    const auto answer = co_await client_.send(std::move(request));
    std::optional<Geo> place;
    if (answer && answer->status == 200) place = parse_place(answer->body_view());
    (place ? found_ : failed_).add();
    if (!answer)
        log::debug(context_.logger, "geo.failed", log::kv("error", answer.error().message()));
    co_return place;
}

void Locator::close() {
    client_.close();
}

}  // namespace skywire::service_discovery
