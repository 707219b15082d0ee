#pragma once

#include "cli/command.hpp"
#include "cli/dmsg_world.hpp"
#include "cxo/known_feeds.hpp"
#include "cxo/subscription_manager.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cli {

/// How a command says which feeds it reads, and how they are reached.
struct FeedOptions {
    /// The file whose services publish them; empty: the built-in one.
    std::string config;
    /// "HOST:PORT": plain TCP instead of dmsg.
    std::string tcp;
    DmsgOptions dmsg;

    /// --config, --tcp, and those of DmsgOptions.
    std::vector<Option> options();
};

/// Help text about the above, for the commands that have them.
extern const char* const kFeedHelp;

/// A feed before anybody has asked for it.
struct FeedPlace {
    /// "sd-services"; empty for one that is named by its key.
    std::string name;
    /// The service's label in the file.
    std::string label;
    /// Null: to be asked from the service.
    crypto::PublicKey key;
    /// Of the file: the service's own, where it is known.
    crypto::PublicKey key_of_file;
    std::uint16_t port = 0;
    /// What of it is followed; empty: all.
    std::string prefix;
    /// Where the service says its key: "http://host:port"; empty: nowhere.
    std::string health;
    /// The file's dmsg-discovery; empty: none.
    std::string discovery;
};

/// "sd-services", or "KEY:PORT". errc::malformed: neither; errc::not_found: not in the file.
Result<FeedPlace> find_feed(Session& session, const FeedOptions& options, std::string_view name);
/// All known feeds that services of the file publish.
Result<std::vector<FeedPlace>> find_feeds(Session& session, const FeedOptions& options);

/// The key that the service tells in its /health, else that of the file.
Task<Result<crypto::PublicKey>> key_of(DmsgWorld& world, FeedPlace place);

/// Reads feeds inside a world.
class FeedReader {
 public:
    using Handle = cxo::SubscriptionManager::Handle;
    using Reading = cxo::SubscriptionManager::Reading;

    /// `world` outlives it, and is connected unless `tcp` says where all feeds are, over plain TCP.
    explicit FeedReader(DmsgWorld& world, const std::optional<net::Address>& tcp = {});
    FeedReader(const FeedReader&) = delete;
    FeedReader& operator=(const FeedReader&) = delete;

    /// Subscribes, waits for all of the feed, and lets go.
    Task<Result<Reading>> read_once(FeedPlace place, SteadyTime deadline);
    /// A feed that is live, and followed as long as the handle lives.
    Task<Result<Handle>> follow(FeedPlace place, SteadyTime deadline);

    /// Before it dies, if anything was read. Goes on to its end where it is cancelled meanwhile.
    Task<> close();

 private:
    /// What the manager calls it.
    Task<Result<std::string>> name_of(FeedPlace place);

    DmsgWorld& world_;
    cxo::Node node_;
    cxo::SubscriptionManager manager_;
    std::set<std::string> names_;
};

/// "1.2 s"; of a Root's time, whatever the publisher says that it is.
std::string age_text(WallTime now, const cxo::Root& root);
/// "2026-01-02T03:04:05Z"; before 1970 is 1970.
std::string time_text(const cxo::Root& root);

/// A publisher's text for a terminal: control bytes as \xNN, but for tabs and ends of lines where
/// there may be `lines`.
std::string printable(std::string_view text, bool lines);

/// "from dmsg://KEY:PORT, version 7, 1.2 s old"
std::string source_of(const DmsgWorld& world, const FeedReader::Reading& reading);

/// Finds the feed, connects where that is needed, lets `work` read it, and turns the end into an
/// exit code.
int run_feed(
    Session& session,
    const Command& command,
    const FeedOptions& options,
    std::string_view name,
    std::function<Task<Result<>>(DmsgWorld&, FeedReader&, FeedPlace)> work
);

}  // namespace skywire::cli
