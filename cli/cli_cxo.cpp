#include "base/json.hpp"
#include "cli/feed_reader.hpp"
#include "cli/table.hpp"
#include "cxo/leaf.hpp"
#include "net/event.hpp"
#include "net/scope.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace skywire::cli {
namespace {

/// Work on one feed of a list takes no longer, so that one that is not there keeps nobody waiting.
constexpr std::chrono::seconds kListPatience{10};

std::size_t bytes_of(const cxo::Tree& tree) {
    std::size_t bytes = 0;
    tree.walk("", [&bytes](std::string_view, ByteSpan leaf) {
        bytes += leaf.size();
        return true;
    });
    return bytes;
}

// ---------------------------------------------------------------- feeds

class CxoFeeds final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "cxo", "feeds"}; }
    std::string summary() const override {
        return "List the feeds of a deployment and whether they answer";
    }
    std::string details() const override {
        return "Fails where none answers.\n"
               "\n"
               "Example:\n"
               "  skywire cli cxo feeds --config deployment.json";
    }
    std::vector<Option> options() override {
        auto all = options_.dmsg.options();
        all.insert(
            all.begin(),
            {"-c,--config",
             "FILE",
             "The deployment file whose services publish the feeds",
             &options_.config,
             ValueKind::file}
        );
        return all;
    }

    int run(Session& session) override {
        const auto places = find_feeds(session, options_);
        if (!places) return failure(session, *this, places.error());
        if (places->empty())
            return failure(session, *this, "no service of the file publishes a feed");
        DmsgOptions dmsg = options_.dmsg;
        if (dmsg.discovery.empty() && dmsg.servers.empty())
            dmsg.discovery = places->front().discovery;
        return run_dmsg(session, *this, dmsg, [&](DmsgWorld& world) {
            return list(world, *places, session);
        });
    }

 private:
    struct Row {
        std::string address;
        std::string leaves;
        std::string age;
        std::string state;
        bool live = false;
    };

    static Task<> ask(DmsgWorld& world, FeedReader& reader, FeedPlace place, Row& row) {
        const SteadyTime deadline =
            std::min(world.deadline(), world.context().clock.now() + kListPatience);
        const auto key = co_await key_of(world, place);
        if (!key) {
            row.state = key.error().message();
            co_return;
        }
        place.key = *key;
        row.address = fmt::format("{}:{}", *key, place.port);
        const auto reading = co_await reader.read_once(std::move(place), deadline);
        if (!reading) {
            row.state = reading.error().message();
            co_return;
        }
        row.live = true;
        row.state = "live";
        row.leaves = std::to_string(reading->tree.count());
        row.age = age_text(world.context().clock.wall(), reading->root);
    }

    static Task<Result<>> list(
        DmsgWorld& world, const std::vector<FeedPlace>& places, Session& session
    ) {
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        std::vector<Row> rows(places.size());
        FeedReader reader(world);
        {
            net::Scope scope(world.context().loop);
            for (std::size_t i = 0; i < places.size(); ++i) {
                scope.spawn("feed", [&world, &reader, &places, &rows, i] {
                    return ask(world, reader, places[i], rows[i]);
                });
            }
            co_await scope.wait_empty();
            co_await asio::this_coro::reset_cancellation_state();
            // Cancelled: what still runs uses the rows.
            co_await scope.close(world.context().clock);
        }
        co_await reader.close();
        bool any = false;
        Table table({"FEED", "SERVICE", "ADDRESS", "LEAVES", "AGE", "STATE"});
        for (std::size_t i = 0; i < places.size(); ++i) {
            const Row& row = rows[i];
            any = any || row.live;
            table.add({places[i].name, places[i].label, row.address, row.leaves, row.age, row.state}
            );
        }
        table.print(session.io.out);
        if (!any) co_return fail(errc::unavailable, "no feed answers");
        co_return Result<>();
    }

    FeedOptions options_;
};

// ---------------------------------------------------------------- one feed

/// What the commands about one feed have alike.
class OneFeed : public Command {
 public:
    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back(
            {"FEED", "FEED", "sd-services, ... or KEY:PORT", &feed_, ValueKind::text, {}, true}
        );
        return all;
    }

    int run(Session& session) override {
        return run_feed(
            session,
            *this,
            options_,
            feed_,
            [&](DmsgWorld& world, FeedReader& reader, FeedPlace place) {
                return work(world, reader, std::move(place), session);
            }
        );
    }

 protected:
    virtual Task<Result<>> work(
        DmsgWorld& world, FeedReader& reader, FeedPlace place, Session& session
    ) = 0;

    FeedOptions options_;
    std::string feed_;
};

class CxoGet final : public OneFeed {
 public:
    std::vector<std::string> path() const override { return {"cli", "cxo", "get"}; }
    std::string summary() const override { return "Print a leaf of a feed, or list its leaves"; }
    std::string details() const override {
        return "A leaf is unpacked (frame v1, gzip). Without a path, or with that of a directory, "
               "a\n"
               "line for each leaf: its size and its path. Where it comes from and how old it is\n"
               "goes to standard error.\n"
               "\n"
               "Examples:\n"
               "  skywire cli cxo get sd-services\n"
               "  skywire cli cxo get sd-services services/vpn/all\n"
               "\n" +
               std::string(kFeedHelp);
    }
    std::vector<Option> options() override {
        auto all = OneFeed::options();
        all.push_back({"PATH", "PATH", "Of a leaf or a directory", &path_});
        all.push_back({"--raw", "", "The leaf's own bytes", &raw_});
        return all;
    }

 private:
    Task<Result<>> work(DmsgWorld& world, FeedReader& reader, FeedPlace place, Session& session)
        override {
        const auto reading = co_await reader.read_once(std::move(place), world.deadline());
        if (!reading) co_return reading.error();
        session.io.err << source_of(world, *reading) << '\n' << std::flush;
        const auto leaf = path_.empty() ? std::nullopt : reading->tree.get(path_);
        if (!leaf) co_return list(reading->tree, session);
        if (raw_) {
            session.io.out << as_text(*leaf);
            co_return Result<>();
        }
        const auto payload = cxo::read_leaf(*leaf);
        if (!payload) co_return payload.error();
        session.io.out << printable(*payload, /*lines=*/true)
                       << (payload->ends_with('\n') ? "" : "\n");
        co_return Result<>();
    }

    Result<> list(const cxo::Tree& tree, Session& session) const {
        std::size_t count = 0;
        tree.walk(path_, [&](std::string_view path, ByteSpan leaf) {
            session.io.out << fmt::format(
                "{:>9} {}\n", leaf.size(), printable(path, /*lines=*/false)
            );
            ++count;
            return true;
        });
        if (count > 0 || path_.empty()) return {};
        return fail(errc::not_found, "the feed has nothing at " + quote_peer_text(path_));
    }

    std::string path_;
    bool raw_ = false;
};

class CxoStat final : public OneFeed {
 public:
    std::vector<std::string> path() const override { return {"cli", "cxo", "stat"}; }
    std::string summary() const override { return "Print what there is to know of a feed"; }
    std::string details() const override {
        return "Example:\n  skywire cli cxo stat dmsgd-clients-by-server\n\n" +
               std::string(kFeedHelp);
    }

 private:
    Task<Result<>> work(DmsgWorld& world, FeedReader& reader, FeedPlace place, Session& session)
        override {
        const auto handle = co_await reader.follow(std::move(place), world.deadline());
        if (!handle) co_return handle.error();
        const auto reading = handle->read();
        const auto followed = handle->state();
        if (!reading || !followed)
            co_return fail(errc::closed, "the feed is not followed any more");
        const cxo::RemoteFeed::State& state = *followed;
        const auto line = [&session](std::string_view name, const std::string& value) {
            session.io.out << fmt::format("{:<12} {}\n", name, value);
        };
        line("feed", state.feed.to_text());
        line("route", state.route);
        line("published", time_text(reading->root));
        line("age", age_text(world.context().clock.wall(), reading->root));
        line("nonce", std::to_string(state.nonce));
        line("seq", std::to_string(state.seq));
        line("leaves", std::to_string(state.leaves));
        line("bytes", std::to_string(bytes_of(reading->tree)));
        line("objects", std::to_string(state.counts.objects));
        line("rounds", std::to_string(state.counts.rounds));
        line("attempts", std::to_string(state.attempts));
        co_return Result<>();
    }
};

class CxoWatch final : public OneFeed {
 public:
    std::vector<std::string> path() const override { return {"cli", "cxo", "watch"}; }
    std::string summary() const override { return "Print a feed's content and every change"; }
    std::string details() const override {
        return "A line for each leaf of the snapshot and then for each change: put, or gone, the\n"
               "path, and the leaf's size; between them a line for each version. With --json each\n"
               "line is an object, with the unpacked leaf where that is JSON or text. Whatever\n"
               "happens to the publisher, the feed is followed until the command is interrupted.\n"
               "\n"
               "Examples:\n"
               "  skywire cli cxo watch sd-services\n"
               "  skywire cli cxo watch dmsgd-clients-by-server clients-by-server/servers --json\n"
               "\n" +
               std::string(kFeedHelp);
    }
    std::vector<Option> options() override {
        auto all = OneFeed::options();
        all.push_back({"PREFIX", "PREFIX", "Only at or below this path", &prefix_});
        all.push_back({"--json", "", "A JSON object in each line", &json_});
        return all;
    }

    /// An interrupt is the usual end.
    int run(Session& session) override {
        const int code = OneFeed::run(session);
        return seen_ && interrupted_ ? kDone : code;
    }

 private:
    Task<Result<>> work(DmsgWorld& world, FeedReader& reader, FeedPlace place, Session& session)
        override {
        place.prefix = prefix_;
        const auto handle = co_await reader.follow(std::move(place), world.deadline());
        if (!handle) co_return handle.error();
        if (const auto reading = handle->read())
            session.io.err << source_of(world, *reading) << '\n' << std::flush;
        const cxo::Subscription subscription =
            handle->subscribe([&](const cxo::FeedUpdate& update) {
                seen_ = true;
                print(update, session.io.out);
            });
        net::Event end(world.context().loop);
        // Nobody notifies it.
        const bool notified = co_await end.wait();
        interrupted_ = !notified;
        co_return Result<>();
    }

    void print(const cxo::FeedUpdate& update, std::ostream& out) const {
        const std::string_view kind = update.snapshot ? "snapshot" : "version";
        const std::string made = time_text(update.root);
        if (json_) {
            out << fmt::format(
                       R"({{"event":"{}","nonce":{},"seq":{},"published":"{}","changes":{}}})",
                       kind,
                       update.root.nonce,
                       update.root.seq,
                       made,
                       update.changes.size()
                   )
                << '\n';
        } else {
            out << fmt::format("{} {} of {}\n", kind, update.root.seq, made);
        }
        for (const cxo::Difference& change : update.changes)
            print(change, out);
        out << std::flush;
    }

    void print(const cxo::Difference& change, std::ostream& out) const {
        const std::string_view kind = change.value ? "put" : "gone";
        const std::size_t size = change.value ? change.value->size() : 0;
        if (!json_) {
            out << fmt::format(
                "{:<4} {:>9} {}\n", kind, size, printable(change.path, /*lines=*/false)
            );
            return;
        }
        std::string line = fmt::format(R"({{"event":"{}","path":)", kind);
        append_json_string(line, change.path, JsonEscape::plain);
        if (change.value) {
            line += fmt::format(R"(,"bytes":{})", size);
            if (const auto payload = cxo::read_leaf(*change.value)) {
                line += R"(,"value":)";
                if (const auto parsed = parse_json(*payload)) {
                    // In one line, however the publisher has it.
                    line += json::serialize(*parsed);
                } else {
                    append_json_string(line, *payload, JsonEscape::plain);
                }
            }
        }
        out << line << "}\n";
    }

    std::string prefix_;
    bool json_ = false;
    bool seen_ = false;
    bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<Command> make_cli_cxo_feeds() {
    return std::make_unique<CxoFeeds>();
}

std::unique_ptr<Command> make_cli_cxo_get() {
    return std::make_unique<CxoGet>();
}

std::unique_ptr<Command> make_cli_cxo_watch() {
    return std::make_unique<CxoWatch>();
}

std::unique_ptr<Command> make_cli_cxo_stat() {
    return std::make_unique<CxoStat>();
}

}  // namespace skywire::cli
