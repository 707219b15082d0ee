#include "cli/feed_reader.hpp"

#include "cli/config_source.hpp"
#include "cli/service_client.hpp"

#include <algorithm>
#include <exception>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::chrono::seconds kClosePatience{2};

Result<framework::DeploymentConfig> load(Session& session, const FeedOptions& options) {
    const std::string file = options.config.empty() ? std::string(kBuiltInName) : options.config;
    auto loaded = load_config(file, session.registry);
    if (loaded.config) return std::move(*loaded.config);
    print_problems(session.io.err, file, loaded.problems);
    return fail(errc::unavailable, file + " has errors");
}

std::string url_of(const framework::BlockConfig& block) {
    const auto& address = block.facts.health_address;
    return address ? "http://" + dialled(*address).to_string() : std::string();
}

std::string discovery_of(const framework::DeploymentConfig& config) {
    for (const framework::BlockConfig& block : config.blocks)
        if (block.type->name == "dmsg-discovery") return url_of(block);
    return {};
}

/// Nothing where the block does not publish it.
std::optional<FeedPlace> place_in(const framework::BlockConfig& block, const cxo::KnownFeed& feed) {
    if (block.type->name != feed.publisher || !block.block->boolean("enable_cxo"))
        return std::nullopt;
    // Without a key it has nothing to sign with; a key file is not ours to read.
    if (!block.block->secret_key("secret_key") && block.block->text("keyfile").empty())
        return std::nullopt;
    FeedPlace place;
    place.name = std::string(feed.name);
    place.label = block.label;
    place.port = static_cast<std::uint16_t>(block.block->integer(feed.port_key));
    place.key_of_file = key_of_block(block).value_or(crypto::PublicKey());
    place.health = url_of(block);
    if (place.port == 0) return std::nullopt;
    return place;
}

/// One feed, from its name to its content; lives until it has been read.
struct FeedWork {
    Task<Result<>> run(DmsgWorld& world) const {
        FeedReader reader(world, tcp);
        Result<> done;
        std::exception_ptr thrown;
        try {
            done = co_await run_with(world, reader);
        } catch (...) {
            // That of an interrupt, mostly.
            thrown = std::current_exception();
        }
        co_await asio::this_coro::reset_cancellation_state();
        co_await reader.close();
        if (thrown) std::rethrow_exception(thrown);
        co_return done;
    }

    Task<Result<>> run_with(DmsgWorld& world, FeedReader& reader) const {
        if (!tcp) {
            const auto connected = co_await world.connect();
            if (!connected) co_return connected.error();
        }
        co_return co_await work(world, reader, place);
    }

    const FeedPlace& place;
    const std::optional<net::Address>& tcp;
    const std::function<Task<Result<>>(DmsgWorld&, FeedReader&, FeedPlace)>& work;
};

cxo::SubscriptionManagerOptions manager_options(
    const net::Context& context, const std::optional<net::Address>& tcp
) {
    cxo::SubscriptionManagerOptions options;
    options.linger = {};
    options.route = [&context, tcp](const crypto::PublicKey& publisher, std::uint16_t port) {
        return tcp ? cxo::plain_route(context, *tcp) : cxo::dmsg_route(context, publisher, port);
    };
    return options;
}

}  // namespace

const char* const kFeedHelp =
    "Feeds are those of the deployment file (--config, else the built-in one), or KEY:PORT with\n"
    "--disc. A service tells its key in /health. `skywire cli cxo feeds` lists them.";

std::vector<Option> FeedOptions::options() {
    std::vector<Option> all{
        config_option(config, "The deployment file whose services publish the feeds"),
        {"--tcp", "HOST:PORT", "Over plain TCP, at the service's cxo_tcp_addr", &tcp},
    };
    for (Option& option : dmsg.options())
        all.push_back(std::move(option));
    return all;
}

Result<FeedPlace> find_feed(Session& session, const FeedOptions& options, std::string_view name) {
    const cxo::KnownFeed* const feed = cxo::find_known_feed(name);
    if (feed == nullptr) {
        const auto address = parse_dmsg_address(name, 0);
        if (!address || address->port == 0) {
            return fail(
                errc::malformed,
                fmt::format(
                    "{} is neither a known feed nor KEY:PORT: see skywire cli cxo feeds",
                    quote_peer_text(name)
                )
            );
        }
        FeedPlace place;
        place.key = address->pk;
        place.port = address->port;
        return place;
    }
    const auto config = load(session, options);
    if (!config) return config.error();
    for (const framework::BlockConfig& block : config->blocks) {
        auto place = place_in(block, *feed);
        if (!place) continue;
        place->discovery = discovery_of(*config);
        return std::move(*place);
    }
    return fail(
        errc::not_found, fmt::format("no {} of the file publishes {}", feed->publisher, name)
    );
}

Result<std::vector<FeedPlace>> find_feeds(Session& session, const FeedOptions& options) {
    const auto config = load(session, options);
    if (!config) return config.error();
    const std::string discovery = discovery_of(*config);
    std::vector<FeedPlace> places;
    for (const cxo::KnownFeed& feed : cxo::known_feeds()) {
        for (const framework::BlockConfig& block : config->blocks) {
            auto place = place_in(block, feed);
            if (!place) continue;
            place->discovery = discovery;
            places.push_back(std::move(*place));
        }
    }
    return places;
}

Task<Result<crypto::PublicKey>> key_of(DmsgWorld& world, FeedPlace place) {
    if (!place.key.is_null()) co_return place.key;
    Error why = fail(errc::not_found, "the file names no address to ask");
    if (!place.health.empty()) {
        const auto url = parse_service_url(place.health);
        if (!url) co_return url.error();
        ServiceClient client(world, *url);
        const auto answer = co_await client.get("/health");
        const auto parsed =
            answer ? parse_json(answer->body_view()) : Result<json::value>(answer.error());
        if (parsed) {
            const auto address = dmsg::Address::parse(text_of(*parsed, "dmsg_address"));
            if (address && !address->pk.is_null()) co_return address->pk;
            why = fail(errc::not_found, "its /health names no key");
        } else {
            why = parsed.error();
        }
    }
    if (!place.key_of_file.is_null()) co_return place.key_of_file;
    co_return why.within("the key of " + place.label);
}

FeedReader::FeedReader(DmsgWorld& world, const std::optional<net::Address>& tcp)
    : world_(world),
      node_(world.context(), cxo::NodeOptions(world.keys())),
      manager_(world.context(), node_, manager_options(world.context(), tcp)) {}

Task<Result<std::string>> FeedReader::name_of(FeedPlace place) {
    const auto key = co_await key_of(world_, place);
    if (!key) co_return key.error();
    std::string name = fmt::format("{}:{} {}", *key, place.port, place.prefix);
    if (names_.insert(name).second)
        manager_.define({name, *key, place.port, std::move(place.prefix)});
    co_return name;
}

Task<Result<FeedReader::Reading>> FeedReader::read_once(FeedPlace place, SteadyTime deadline) {
    const auto name = co_await name_of(std::move(place));
    if (!name) co_return name.error();
    co_return co_await manager_.read_once(*name, deadline);
}

Task<Result<FeedReader::Handle>> FeedReader::follow(FeedPlace place, SteadyTime deadline) {
    const auto name = co_await name_of(std::move(place));
    if (!name) co_return name.error();
    auto handle = manager_.open(*name);
    if (!handle) co_return handle.error();
    const auto live = co_await handle->wait_live(deadline);
    if (!live) co_return live.error();
    co_return std::move(*handle);
}

Task<> FeedReader::close() {
    // An interrupt meanwhile would leave the node open.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const SteadyTime deadline = world_.context().clock.now() + kClosePatience;
    co_await manager_.close(deadline);
    co_await node_.close(deadline);
    co_await asio::this_coro::throw_if_cancelled(throws);
}

std::string age_text(WallTime now, const cxo::Root& root) {
    using Seconds = std::chrono::duration<double>;
    // As integers the difference of the two may be none.
    const Seconds age = Seconds(now.time_since_epoch()) - std::chrono::nanoseconds(root.time);
    return fmt::format("{:.1f} s", std::max(age.count(), 0.0));
}

std::string time_text(const cxo::Root& root) {
    const std::int64_t time = root.time;
    return format_rfc3339(WallTime(std::chrono::nanoseconds(std::max(time, std::int64_t{0}))));
}

std::string printable(std::string_view text, bool lines) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
        const bool end = lines && (byte == '\n' || byte == '\t');
        if ((byte < 0x20 && !end) || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
            // U+0080 to U+009F: control characters as well.
            out += fmt::format("\\x{:02x}\\x{:02x}", byte, next);
            ++i;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::string source_of(const DmsgWorld& world, const FeedReader::Reading& reading) {
    return fmt::format(
        "from {}, version {}, {} old",
        reading.route,
        reading.root.seq,
        age_text(world.context().clock.wall(), reading.root)
    );
}

int run_feed(
    Session& session,
    const Command& command,
    const FeedOptions& options,
    std::string_view name,
    std::function<Task<Result<>>(DmsgWorld&, FeedReader&, FeedPlace)> work
) {
    const auto place = find_feed(session, options, name);
    if (!place) return failure(session, command, place.error());
    std::optional<net::Address> tcp;
    if (!options.tcp.empty()) {
        const auto address = net::Address::parse(options.tcp);
        if (!address) return failure(session, command, address.error().within("--tcp"));
        tcp = *address;
    }
    DmsgOptions dmsg = options.dmsg;
    if (dmsg.discovery.empty() && dmsg.servers.empty()) dmsg.discovery = place->discovery;
    const FeedWork feed{*place, tcp, work};
    return run_dmsg(session, command, dmsg, [&](DmsgWorld& world) { return feed.run(world); });
}

}  // namespace skywire::cli
