#include "cli/service_client.hpp"
#include "cli/table.hpp"
#include "crypto/keys.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::string_view kType = "transport-discovery";

/// An entry as it is shown.
struct Shown {
    std::string id;
    std::string type;
    std::string label;
    std::array<std::string, 2> edges;
};

Shown shown(const json::value& entry) {
    Shown made{text_of(entry, "t_id"), text_of(entry, "type"), text_of(entry, "label"), {}};
    const json::value* edges =
        entry.is_object() ? entry.get_object().if_contains("edges") : nullptr;
    if (edges == nullptr || !edges->is_array()) return made;
    const json::array& list = edges->get_array();
    for (std::size_t i = 0; i < std::min<std::size_t>(list.size(), 2); ++i)
        if (list[i].is_string()) made.edges[i] = list[i].get_string();
    return made;
}

/// Of an array of entries, `null`, or one entry.
std::vector<Shown> entries_of(const json::value& answer) {
    std::vector<Shown> entries;
    if (answer.is_object()) entries.push_back(shown(answer));
    if (!answer.is_array()) return entries;
    entries.reserve(answer.get_array().size());
    for (const json::value& entry : answer.get_array())
        entries.push_back(shown(entry));
    return entries;
}

void print_table(std::ostream& out, const std::vector<Shown>& entries) {
    Table table({"ID", "TYPE", "LABEL", "EDGES"});
    for (const Shown& entry : entries)
        table.add({entry.id, entry.type, entry.label, entry.edges[0] + " " + entry.edges[1]});
    table.print(out);
}

/// A visor a line, its transports below it.
void print_tree(std::ostream& out, const std::vector<Shown>& entries, const std::string& only) {
    struct Branch {
        std::string other;
        const Shown* entry;
    };
    std::map<std::string, std::vector<Branch>> visors;
    for (const Shown& entry : entries) {
        const auto& [a, b] = entry.edges;
        visors[a].push_back({b, &entry});
        if (a != b) visors[b].push_back({a, &entry});
    }
    for (auto& [visor, branches] : visors) {
        if (!only.empty() && visor != only) continue;
        std::sort(branches.begin(), branches.end(), [](const Branch& x, const Branch& y) {
            return std::tie(x.other, x.entry->id) < std::tie(y.other, y.entry->id);
        });
        out << visor << '\n';
        for (std::size_t i = 0; i < branches.size(); ++i) {
            const auto& [other, entry] = branches[i];
            out << fmt::format(
                "{} {:<6} {} {} {}\n",
                i + 1 == branches.size() ? "└─" : "├─",
                entry->type,
                other,
                entry->id,
                entry->label
            );
        }
    }
}

class TpTree final : public Command {
 public:
    std::vector<std::string> path() const override { return {"cli", "tp", "tree"}; }
    std::string summary() const override { return "Show all transports, visor by visor"; }
    std::string details() const override {
        return "Below each visor its transports: type, the other visor, id and label.\n"
               "\n"
               "Examples:\n"
               "  skywire cli tp tree\n"
               "  skywire cli tp tree 024ec474... --url http://tpd.example.org\n"
               "\n" +
               std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"KEY", "KEY", "Only this visor's", &key_});
        return all;
    }

    int run(Session& session) override {
        if (!key_.empty()) {
            const auto key = parse_key(key_);
            if (!key) return usage_error(session, *this, key.error().message());
            key_ = key->to_text();
        }
        return run_service(session, *this, options_, kType, [&](ServiceClient& client) {
            return print(client, session);
        });
    }

 private:
    Task<Result<>> print(ServiceClient& client, Session& session) {
        const auto answer = co_await client.get("/all-transports");
        co_return show_answer(session, options_, answer, [&](const json::value& list) {
            const auto entries = entries_of(list);
            print_tree(session.io.out, entries, key_);
            if (entries.empty()) session.io.err << "no transports are registered\n";
            return Result<>();
        });
    }

    ServiceOptions options_;
    std::string key_;
};

/// The transports of one visor, or the one of an id.
class TpGet final : public Command {
 public:
    enum class By { key, id };

    explicit TpGet(By by) : by_(by) {}

    std::vector<std::string> path() const override {
        return {"cli", "tp", by_ == By::key ? "key" : "id"};
    }
    std::string summary() const override {
        return by_ == By::key ? "Show the transports of a visor" : "Show the transport of an id";
    }
    std::string details() const override {
        return "The request is signed: with --sk or --keyfile, else with a new key.\n"
               "\n"
               "Example:\n" +
               std::string(
                   by_ == By::key ? "  skywire cli tp key 024ec474...\n"
                                  : "  skywire cli tp id a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97\n"
               ) +
               "\n" + std::string(kServiceHelp);
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        if (by_ == By::key) {
            all.push_back({"KEY", "KEY", "66 hex digits", &what_, ValueKind::text, {}, true});
        } else {
            all.push_back({"ID", "ID", "A UUID", &what_, ValueKind::text, {}, true});
        }
        return all;
    }

    int run(Session& session) override {
        if (by_ == By::key) {
            const auto key = parse_key(what_);
            if (!key) return usage_error(session, *this, key.error().message());
        } else if (what_.find_first_not_of("0123456789abcdefABCDEF-") != std::string::npos) {
            return usage_error(session, *this, quote_peer_text(what_) + " is no id");
        }
        return run_service(session, *this, options_, kType, [&](ServiceClient& client) {
            return print(client, session);
        });
    }

 private:
    Task<Result<>> print(ServiceClient& client, Session& session) {
        const std::string target = by_ == By::key ? "/transports/edge:" : "/transports/id:";
        const auto answer = co_await client.signed_get(target + what_);
        co_return show_answer(session, options_, answer, [&](const json::value& list) {
            print_table(session.io.out, entries_of(list));
            return Result<>();
        });
    }

    By by_;
    ServiceOptions options_;
    std::string what_;
};

}  // namespace

std::unique_ptr<Command> make_cli_tp_tree() {
    return std::make_unique<TpTree>();
}

std::unique_ptr<Command> make_cli_tp_key() {
    return std::make_unique<TpGet>(TpGet::By::key);
}

std::unique_ptr<Command> make_cli_tp_id() {
    return std::make_unique<TpGet>(TpGet::By::id);
}

}  // namespace skywire::cli
