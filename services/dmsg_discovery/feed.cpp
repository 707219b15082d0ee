#include "services/dmsg_discovery/feed.hpp"

#include "base/assert.hpp"
#include "base/json.hpp"
#include "cxo/known_feeds.hpp"
#include "dmsg/entry.hpp"
#include "store/members.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace skywire::discovery {
namespace {

using services::LeafForm;

constexpr std::chrono::seconds kLookAtAllEvery{10};
/// Of one client: its entry is in the leaf of each.
constexpr std::size_t kServersMax = 8;
/// Larger ones are left out: nobody needs as much to say how it is reached.
constexpr std::size_t kEntryMax = std::size_t{8} << 10;
constexpr std::string_view kRoot = "clients-by-server/";
constexpr std::string_view kServerRoot = "clients-by-server/servers/";
constexpr std::array<std::string_view, 2> kSets{"clients", "servers"};
/// Change with every renewal and say nothing new.
constexpr std::array<std::string_view, 3> kRenewals{"sequence", "timestamp", "signature"};

bool is_key(std::string_view text) noexcept {
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return text.size() == crypto::PublicKey::kTextSize &&
           std::all_of(text.begin(), text.end(), is_digit);
}

std::string key_itself(std::string_view member) {
    return std::string(member);
}

std::vector<std::string> servers_of(const json::object& client) {
    std::vector<std::string> servers;
    const json::value* named = client.if_contains("delegated_servers");
    if (named == nullptr || !named->is_array()) return servers;
    for (const json::value& server : named->get_array()) {
        if (!server.is_string() || !is_key(server.get_string())) continue;
        if (servers.size() == kServersMax) break;
        servers.emplace_back(server.get_string());
    }
    std::sort(servers.begin(), servers.end());
    servers.erase(std::unique(servers.begin(), servers.end()), servers.end());
    return servers;
}

template <class Set>
std::vector<std::string> as_vector(const Set& set) {
    return {set.begin(), set.end()};
}

}  // namespace

/// Takes keys to tell of them; those that are not told in the end, whatever came between, stand
/// where they stood.
class ClientsContent::Telling {
 public:
    explicit Telling(Keys& from) : from_(from), keys_(std::exchange(from, {})) {}
    ~Telling() { from_.merge(keys_); }
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;

    const Keys& keys() const noexcept { return keys_; }
    void done() noexcept { keys_.clear(); }

 private:
    Keys& from_;
    Keys keys_;
};

/// The same of records, which are taken off one by one.
class ClientsContent::TellingRecords {
 public:
    explicit TellingRecords(Records& from) : from_(from), records_(std::exchange(from, {})) {}
    ~TellingRecords() {
        from_.merge(records_);
        for (auto& [client, servers] : records_)
            from_.find(client)->second.merge(servers);
    }
    TellingRecords(const TellingRecords&) = delete;
    TellingRecords& operator=(const TellingRecords&) = delete;

    Records& records() noexcept { return records_; }

 private:
    Records& from_;
    Records records_;
};

ClientsContent::ClientsContent(
    const net::Context& context, store::Store& store, services::FeedLayout layout
)
    : context_(context), store_(store) {
    SKY_ASSERT(layout != services::FeedLayout::both);
    if (services::has_old(layout))
        records_.emplace(context_, services::RecordLeaves::Options(cxo::kClientsFeed));
    if (store.kind() == "redis") notes_.emplace(context_, store_, "dmsg-discovery");
}

void ClientsContent::written(const std::string& key) {
    const bool first = written_.empty();
    written_.insert(key);
    if (notes_) untold_.insert(key);
    if (first && on_change_) on_change_();
}

std::optional<ClientsContent::Known> ClientsContent::read(std::string_view text) {
    auto parsed = parse_json(text);
    if (!parsed || !parsed->is_object()) return std::nullopt;
    json::object& entry = parsed->get_object();
    for (const std::string_view name : kRenewals)
        entry.erase(name);
    Known known;
    const json::value* client = entry.if_contains("client");
    if (client != nullptr && client->is_object()) known.servers = servers_of(client->get_object());
    const json::value* server = entry.if_contains("server");
    known.is_server = server != nullptr && server->is_object();
    known.says = crypto::sha256(as_bytes(json::serialize(entry)));
    return known;
}

Task<Result<std::vector<cxo::Change>>> ClientsContent::changes() {
    if (notes_) {
        const auto heard = co_await hear(*notes_);
        if (!heard) co_return heard.error();
    }
    const bool all = context_.clock.now() >= look_at_all_at_;
    if (all) {
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
    if (records_) co_return co_await render_old(*records_);
    co_return co_await render();
}

Task<Result<>> ClientsContent::hear(services::ChangeNotes& notes) {
    const Keys untold = std::exchange(untold_, {});
    const auto told = co_await notes.tell(as_vector(untold));
    if (!told) {
        untold_.insert(untold.begin(), untold.end());
        co_return told;
    }
    const auto heard = co_await notes.hear();
    if (!heard) co_return heard.error();
    if (const services::ChangeNotes::Heard& others = *heard) {
        written_.insert(others->begin(), others->end());
    } else {
        look_at_all_at_ = {};
    }
    co_return Result<>();
}

Task<Result<>> ClientsContent::look_at(Keys keys) {
    for (std::vector<std::string>& piece : store::pieces(as_vector(keys))) {
        co_await take_turns();
        const auto texts = co_await store_.get_many(piece);
        if (!texts) co_return texts.error();
        for (std::size_t i = 0; i < piece.size(); ++i)
            take(piece[i], (*texts)[i]);
    }
    co_return Result<>();
}

Task<Result<>> ClientsContent::look_at_all() {
    Keys there;
    for (const std::string_view set : kSets) {
        const auto read_all = co_await store::read_members(
            store_,
            std::string(set),
            key_itself,
            [this, &there](const std::string& key, const std::optional<std::string>& text) {
                take(key, text);
                if (text) there.insert(key);
            }
        );
        if (!read_all) co_return read_all.error();
    }
    // What is no member any more may have come back just now: the store is asked.
    Keys gone;
    for (const auto& [key, known] : known_)
        if (!there.contains(key)) gone.insert(key);
    co_return co_await look_at(std::move(gone));
}

/// A memory store answers without a wait.
Task<> ClientsContent::take_turns() {
    co_await asio::post(context_.loop, asio::use_awaitable);
}

void ClientsContent::take(const std::string& key, const std::optional<std::string>& text) {
    if (!text || text->size() > kEntryMax || !is_key(key)) {
        forget(key);
        return;
    }
    const crypto::Digest digest = crypto::sha256(as_bytes(*text));
    const auto found = known_.find(key);
    if (found != known_.end() && found->second.text == digest) return;
    auto now = read(*text);
    if (now && found != known_.end() && found->second.says == now->says) {
        found->second.text = digest;
        return;
    }
    // Clients have a leaf as long as their server is one.
    if (is_server(key) != (now && now->is_server)) note_clients(key);
    unlink(key);
    if (!now) return;
    now->text = digest;
    for (const std::string& server : now->servers) {
        const bool itself = server == key && now->is_server;
        if (itself || is_server(server)) note_client(server, key);
        clients_of_[server].insert(key);
    }
    if (now->is_server) note_server(key);
    known_.insert_or_assign(key, std::move(*now));
}

bool ClientsContent::is_server(const std::string& key) const {
    const auto found = known_.find(key);
    return found != known_.end() && found->second.is_server;
}

void ClientsContent::forget(const std::string& key) {
    if (is_server(key)) note_clients(key);
    unlink(key);
}

void ClientsContent::note_client(const std::string& server, const std::string& client) {
    if (records_) {
        changed_records_[client].insert(server);
    } else {
        changed_clients_.insert(server);
    }
}

void ClientsContent::note_clients(const std::string& server) {
    if (!records_) {
        changed_clients_.insert(server);
        return;
    }
    const auto clients = clients_of_.find(server);
    if (clients == clients_of_.end()) return;
    for (const std::string& client : clients->second)
        changed_records_[client].insert(server);
}

/// The old layout has no leaf for it.
void ClientsContent::note_server(const std::string& server) {
    if (!records_) changed_servers_.insert(server);
}

void ClientsContent::unlink(const std::string& key) {
    const auto found = known_.find(key);
    if (found == known_.end()) return;
    for (const std::string& server : found->second.servers) {
        if (is_server(server)) note_client(server, key);
        const auto clients = clients_of_.find(server);
        clients->second.erase(key);
        if (clients->second.empty()) clients_of_.erase(clients);
    }
    if (found->second.is_server) note_server(key);
    known_.erase(found);
}

Task<Result<std::vector<cxo::Change>>> ClientsContent::render() {
    // What turns out to have changed meanwhile is for the next time.
    Telling clients(changed_clients_);
    Telling servers(changed_servers_);
    std::vector<cxo::Change> changes;
    changes.reserve(clients.keys().size() + servers.keys().size());
    for (const std::string& server : clients.keys()) {
        const auto added = co_await add_clients_leaf(server, changes);
        if (!added) co_return added.error();
    }
    for (const std::string& server : servers.keys()) {
        const auto added = co_await add_server_leaf(server, changes);
        if (!added) co_return added.error();
    }
    clients.done();
    servers.done();
    co_return changes;
}

Task<Result<>> ClientsContent::add_clients_leaf(
    std::string server, std::vector<cxo::Change>& changes
) {
    cxo::Change change{std::string(kRoot) + server, std::nullopt};
    std::vector<std::string> keys;
    const auto found = clients_of_.find(server);
    if (found != clients_of_.end() && is_server(server)) keys = as_vector(found->second);
    std::string list;
    for (const std::vector<std::string>& piece : store::pieces(std::move(keys))) {
        co_await take_turns();
        const auto texts = co_await store_.get_many(piece);
        if (!texts) co_return texts.error();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            const std::optional<std::string>& text = (*texts)[i];
            if (!text || text->size() > kEntryMax) {
                take(piece[i], text);
                continue;
            }
            list += list.empty() ? '[' : ',';
            list += *text;
        }
    }
    if (!list.empty()) {
        auto leaf = co_await services::pack_leaf(context_, list + ']', LeafForm::frame);
        if (!leaf) co_return leaf.error();
        change.value = std::move(*leaf);
    }
    changes.push_back(std::move(change));
    co_return Result<>();
}

Task<Result<>> ClientsContent::add_server_leaf(
    std::string server, std::vector<cxo::Change>& changes
) {
    cxo::Change change{std::string(kServerRoot) + server, std::nullopt};
    if (is_server(server)) {
        const auto text = co_await store_.get(server);
        if (!text) co_return text.error();
        if (const std::optional<std::string>& entry = *text; entry && entry->size() <= kEntryMax) {
            auto leaf = co_await services::pack_leaf(context_, *entry, LeafForm::frame);
            if (!leaf) co_return leaf.error();
            change.value = std::move(*leaf);
        } else {
            take(server, entry);
        }
    }
    changes.push_back(std::move(change));
    co_return Result<>();
}

bool ClientsContent::is_listed(const std::string& server, const std::string& client) const {
    const auto found = known_.find(client);
    if (found == known_.end() || !is_server(server)) return false;
    const std::vector<std::string>& servers = found->second.servers;
    return std::binary_search(servers.begin(), servers.end(), server);
}

/// In pieces: what has been made when the store fails is told the next time.
Task<Result<std::vector<cxo::Change>>> ClientsContent::render_old(services::RecordLeaves& records) {
    if (records.has_room_again())
        for (const auto& [server, clients] : clients_of_)
            if (is_server(server)) note_clients(server);
    TellingRecords telling(changed_records_);
    auto& changed = telling.records();
    while (!changed.empty()) {
        std::vector<std::string> piece;
        piece.reserve(store::kPieceSize);
        for (auto at = changed.begin(); at != changed.end() && piece.size() < store::kPieceSize;
             ++at)
            piece.push_back(at->first);
        co_await take_turns();
        const auto texts = co_await store_.get_many(piece);
        if (!texts) co_return texts.error();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            const std::string& client = piece[i];
            const std::optional<std::string>& text = (*texts)[i];
            const std::string* record = text && text->size() <= kEntryMax ? &*text : nullptr;
            if (record == nullptr) take(client, text);
            const auto of_client = changed.find(client);
            for (const std::string& server : of_client->second) {
                const std::string path = fmt::format("{}{}/{}", kRoot, server, client);
                if (record != nullptr && is_listed(server, client)) {
                    records.put(path, *record, made_);
                } else {
                    records.remove(path, made_);
                }
            }
            changed.erase(of_client);
        }
    }
    records.tidy(made_);
    co_return std::exchange(made_, {});
}

}  // namespace skywire::discovery
