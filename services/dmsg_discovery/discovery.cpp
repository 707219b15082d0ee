#include "services/dmsg_discovery/discovery.hpp"

#include "base/json.hpp"
#include "dmsg/entry_rules.hpp"
#include "store/members.hpp"
#include "store/pieces.hpp"

#include <algorithm>

namespace skywire::discovery {
namespace {

constexpr std::string_view kServers = "servers";
constexpr std::string_view kClients = "clients";
constexpr std::string_view kVisors = "visorClients";

constexpr std::string_view kOfficial = "official";
constexpr std::string_view kCommunity = "community";

/// Keys read at once by what walks over all entries; the loop serves others in between.

/// What is asked of an entry that is stored: it was judged when it came in, so its keys are not
/// looked at again (a point of the curve costs 6 us).
struct Stored {
    /// Sequence and timestamp alone.
    dmsg::Entry entry;
    std::int64_t available_sessions = 0;
    std::vector<std::string> delegated_servers;
};

template <class Number>
Number number_of(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value == nullptr || !value->is_number()) return 0;
    boost::system::error_code ec;
    const auto number = value->to_number<Number>(ec);
    return ec ? Number{0} : number;
}

/// Nothing where the text is no JSON object: something else has written it.
std::optional<Stored> read_stored(std::string_view text) {
    const auto parsed = parse_json(text);
    if (!parsed || !parsed->is_object()) return std::nullopt;
    const json::object& entry = parsed->as_object();
    Stored stored;
    stored.entry.sequence = number_of<std::uint64_t>(entry, "sequence");
    stored.entry.timestamp = number_of<std::int64_t>(entry, "timestamp");
    if (const json::value* server = entry.if_contains("server"); server && server->is_object())
        stored.available_sessions =
            number_of<std::int64_t>(server->get_object(), "availableSessions");
    const json::value* client = entry.if_contains("client");
    if (client == nullptr || !client->is_object()) return stored;
    const json::value* servers = client->get_object().if_contains("delegated_servers");
    if (servers == nullptr || !servers->is_array()) return stored;
    for (const json::value& server : servers->get_array())
        if (server.is_string()) stored.delegated_servers.emplace_back(server.get_string());
    return stored;
}

std::string_view server_type_of(const dmsg::Entry& entry, const Rules& rules) {
    const bool said = entry.server && entry.server->server_type == rules.auth_passphrase;
    const bool official = said || rules.official_servers.contains(entry.static_key);
    return official ? kOfficial : kCommunity;
}

void put_member(store::Batch& batch, std::string_view set, const std::string& key, bool there) {
    if (there) {
        batch.changes.emplace_back(store::AddToSet{std::string(set), key});
    } else {
        batch.changes.emplace_back(store::RemoveFromSet{std::string(set), key});
    }
}

/// What changes in the store when `text` takes the place of `old`: all of it, and only where `old`
/// is still there.
store::Batch replacement(
    const dmsg::Entry& entry, std::string text, std::optional<std::string> old, Duration lifetime
) {
    const std::string key = entry.static_key.to_text();
    store::Batch batch;
    batch.expected.push_back({key, std::move(old)});
    batch.changes.emplace_back(store::SetValue{key, std::move(text), lifetime});
    put_member(batch, kServers, key, entry.server.has_value());
    put_member(batch, kClients, key, entry.client.has_value());
    put_member(batch, kVisors, key, entry.client_type == dmsg::kVisorClientType);
    return batch;
}

void remove_entry(store::Batch& batch, const std::string& key) {
    batch.changes.emplace_back(store::Erase{key});
    for (const std::string_view set : {kServers, kClients, kVisors})
        batch.changes.emplace_back(store::RemoveFromSet{std::string(set), key});
}

/// An entry's text lies under its key alone.
std::string key_itself(std::string_view member) {
    return std::string(member);
}

}  // namespace

Discovery::Discovery(const net::Context& context, store::Store& store, Rules rules)
    : context_(context), store_(store), rules_(std::move(rules)) {}

dmsg::EntryRules Discovery::entry_rules(bool test_mode) const {
    return {
        .now = context_.clock.wall(),
        .test_mode = test_mode,
        .load_testing = rules_.load_testing,
    };
}

Task<Result<Written>> Discovery::post(std::string body, bool short_lived) {
    const auto received = dmsg::ReceivedEntry::parse(std::move(body));
    if (!received) co_return received.error();
    const dmsg::Entry& entry = received->entry();
    const auto checked = dmsg::check_entry(*received, entry_rules(rules_.testing));
    if (!checked) co_return checked.error();

    const std::string key = entry.static_key.to_text();
    const std::string text = entry.server ? received->stored_text(server_type_of(entry, rules_))
                                          : received->stored_text();
    Duration lifetime = short_lived ? kShortLifetime : rules_.client_lifetime;
    if (entry.server) lifetime = kServerLifetime;

    for (int attempt = 0; attempt < kWriteAttemptsMax; ++attempt) {
        auto old = co_await store_.get(key);
        if (!old) co_return old.error();
        const std::optional<std::string>& before = *old;
        const bool first = !before;
        if (before && !rules_.load_testing) {
            if (const auto stored = read_stored(*before)) {
                const auto follows = dmsg::check_update(stored->entry, entry);
                if (!follows) co_return follows.error();
            } else {
                // Nobody can judge by it or use it: the next good entry takes its place.
                log::warn(context_.logger, "entry.unreadable", log::kv("key", key));
            }
        }
        const auto applied =
            co_await store_.apply(replacement(entry, text, std::move(*old), lifetime));
        if (!applied) co_return applied.error();
        if (!*applied) continue;
        if (on_written_) on_written_(key);
        co_return first ? Written::first : Written::again;
    }
    co_return fail(errc::limit_reached, fmt::format("entry {}: others keep writing it", key));
}

Task<Result<>> Discovery::erase(std::string body) {
    const auto received = dmsg::ReceivedEntry::parse(std::move(body));
    if (!received) co_return received.error();
    // Whoever could register may leave: what a server says of its address does not matter any more.
    const auto checked = dmsg::check_entry(*received, entry_rules(/*test_mode=*/true));
    if (!checked) co_return checked.error();
    const std::string key = received->entry().static_key.to_text();
    store::Batch batch;
    remove_entry(batch, key);
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    if (on_written_) on_written_(key);
    co_return Result<>();
}

Task<Result<std::optional<std::string>>> Discovery::entry(std::string key) {
    return store_.get(std::move(key));
}

Task<Result<std::vector<std::string>>> Discovery::clients() {
    return store_.members(std::string(kClients));
}

Task<Result<std::vector<std::string>>> Discovery::visors() {
    return store_.members(std::string(kVisors));
}

Task<Result<std::vector<std::string>>> Discovery::texts_of(std::vector<std::string> keys) {
    std::vector<std::string> texts;
    if (keys.empty()) co_return texts;
    auto values = co_await store_.get_many(std::move(keys));
    if (!values) co_return values.error();
    texts.reserve(values->size());
    for (auto& value : *values)
        if (value) texts.push_back(std::move(*value));
    co_return texts;
}

Task<Result<std::vector<std::string>>> Discovery::available_servers() {
    auto keys = co_await store_.sample(std::string(kServers), kAvailableServersMax);
    if (!keys) co_return keys.error();
    auto texts = co_await texts_of(std::move(*keys));
    if (!texts) co_return texts.error();
    std::vector<std::pair<std::int64_t, std::string>> open;
    for (std::string& text : *texts) {
        const auto stored = read_stored(text);
        if (stored && stored->available_sessions > 0)
            open.emplace_back(stored->available_sessions, std::move(text));
    }
    std::sort(open.begin(), open.end(), std::greater<>());
    std::vector<std::string> sorted;
    sorted.reserve(open.size());
    for (auto& [sessions, text] : open)
        sorted.push_back(std::move(text));
    co_return sorted;
}

Task<Result<std::vector<std::string>>> Discovery::all_servers() {
    auto keys = co_await store_.members(std::string(kServers));
    if (!keys) co_return keys.error();
    co_return co_await texts_of(std::move(*keys));
}

Task<Result<std::map<std::string, std::string>>> Discovery::entries(std::vector<std::string> keys) {
    std::map<std::string, std::string> found;
    for (std::vector<std::string>& piece : store::pieces(std::move(keys))) {
        auto values = co_await store_.get_many(piece);
        if (!values) co_return values.error();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            std::optional<std::string>& text = (*values)[i];
            if (text) found.insert_or_assign(std::move(piece[i]), std::move(*text));
        }
    }
    co_return found;
}

Task<Result<std::shared_ptr<const ClientsByServer>>> Discovery::clients_by_server(Duration age_max
) {
    if (clients_by_server_ && context_.clock.now() - clients_by_server_read_ < age_max)
        co_return clients_by_server_;
    const SteadyTime read = context_.clock.now();
    auto built = std::make_shared<ClientsByServer>();
    const auto take = [&](const std::string& client, const std::optional<std::string>& text) {
        const auto stored = text ? read_stored(*text) : std::nullopt;
        if (!stored) return;
        for (const std::string& server : stored->delegated_servers)
            (*built)[server].push_back(client);
    };
    const auto taken =
        co_await store::read_members(store_, std::string(kClients), key_itself, take);
    if (!taken) co_return taken.error();
    clients_by_server_ = std::move(built);
    clients_by_server_read_ = read;
    co_return clients_by_server_;
}

Task<Result<>> Discovery::deregister(std::vector<std::string> keys) {
    for (const std::vector<std::string>& piece : store::pieces(std::move(keys))) {
        store::Batch batch;
        for (const std::string& key : piece)
            remove_entry(batch, key);
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
        if (!on_written_) continue;
        for (const std::string& key : piece)
            on_written_(key);
    }
    co_return Result<>();
}

Task<Result<Discovery::Counts>> Discovery::sweep() {
    Counts counts;
    const auto servers = co_await store::sweep_members(store_, std::string(kServers), key_itself);
    if (!servers) co_return servers.error();
    counts.servers = *servers;
    const auto clients_left =
        co_await store::sweep_members(store_, std::string(kClients), key_itself);
    if (!clients_left) co_return clients_left.error();
    counts.clients = *clients_left;
    const auto visors_left =
        co_await store::sweep_members(store_, std::string(kVisors), key_itself);
    if (!visors_left) co_return visors_left.error();
    co_return counts;
}

}  // namespace skywire::discovery
