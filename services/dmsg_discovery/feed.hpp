#pragma once

#include "crypto/hash.hpp"
#include "services/common/change_notes.hpp"
#include "services/common/feed_host.hpp"
#include "services/common/record_leaves.hpp"
#include "services/dmsg_discovery/discovery.hpp"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace skywire::discovery {

/// The content of the feed dmsgd-clients-by-server: a leaf `clients-by-server/SERVER` for each
/// server that has an entry and that clients name, the array of their entries sorted by key, and
/// `clients-by-server/servers/SERVER`, the entry of each server. spec/dmsg.md section 12. Of a
/// client, the first 8 servers it names; entries above 8 KiB are left out.
///
/// In the old layout instead of both: `clients-by-server/SERVER/CLIENT/entry` of the same clients
/// and servers, and for a while `clients-by-server/SERVER/CLIENT/tombstone` (record_leaves.hpp).
/// The two exclude one another: the list of a server would be a leaf and a directory.
///
/// Keeps for each key which servers it names and a digest of what its entry says, sequence,
/// timestamp and signature left out: an entry that says the same again publishes nothing. The texts
/// stay in the store, and are read for the servers that have changed. What ends by its age, and
/// what other programs write, is found by a look at everything every 10 s; what another of these
/// services writes to the same Redis, by its notes.
class ClientsContent final : public services::FeedContent {
 public:
    /// `store` outlives it; `layout` is not `both`.
    ClientsContent(
        const net::Context& context,
        store::Store& store,
        services::FeedLayout layout = services::FeedLayout::newest
    );

    /// An entry was written or removed.
    void written(const std::string& key);
    /// Told of the first note after a call of `changes`.
    void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

    Task<Result<std::vector<cxo::Change>>> changes() override;

 private:
    /// What is known of a key.
    struct Known {
        /// Of the text: the same text needs no second look.
        crypto::Digest text{};
        crypto::Digest says{};
        /// Of a client, sorted.
        std::vector<std::string> servers;
        bool is_server = false;
    };
    using Keys = std::set<std::string, std::less<>>;
    /// Clients, each with servers.
    using Records = std::map<std::string, Keys>;
    class Telling;
    class TellingRecords;

    static std::optional<Known> read(std::string_view text);

    Task<Result<>> hear(services::ChangeNotes& notes);
    Task<Result<>> look_at(Keys keys);
    Task<Result<>> look_at_all();
    Task<> take_turns();
    void take(const std::string& key, const std::optional<std::string>& text);
    void forget(const std::string& key);
    /// As if it had never been there; leaves those who name it.
    void unlink(const std::string& key);
    bool is_server(const std::string& key) const;
    /// Something has changed: for this client of the server, for all of them, for its own entry.
    void note_client(const std::string& server, const std::string& client);
    void note_clients(const std::string& server);
    void note_server(const std::string& server);
    Task<Result<std::vector<cxo::Change>>> render();
    Task<Result<>> add_clients_leaf(std::string server, std::vector<cxo::Change>& changes);
    Task<Result<>> add_server_leaf(std::string server, std::vector<cxo::Change>& changes);
    Task<Result<std::vector<cxo::Change>>> render_old(services::RecordLeaves& records);
    bool is_listed(const std::string& server, const std::string& client) const;

    net::Context context_;
    store::Store& store_;
    std::optional<services::ChangeNotes> notes_;
    std::function<void()> on_change_;
    std::unordered_map<std::string, Known> known_;
    std::unordered_map<std::string, Keys> clients_of_;
    /// Written here and not looked at yet; and of these, those that replicas are to be told of.
    Keys written_;
    Keys untold_;
    /// Whose leaf is to be made anew.
    Keys changed_clients_;
    Keys changed_servers_;
    /// Of the old layout: its leaves; the clients that may read differently, and at which servers;
    /// what was made of that and not told yet.
    std::optional<services::RecordLeaves> records_;
    Records changed_records_;
    std::vector<cxo::Change> made_;
    SteadyTime look_at_all_at_{};
};

}  // namespace skywire::discovery
