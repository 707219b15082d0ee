#include "base/result.hpp"
#include "cli/command.hpp"
#include "framework/problem.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <map>
#include <sstream>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

namespace skywire::cli {

namespace {

const std::map<std::string, std::string, std::less<>>& groups() {
    static const std::map<std::string, std::string, std::less<>> kGroups{
        {"svc", "Run a deployment, check its file, look at it and steer it"},
        {"cli", "Ask the services of a deployment"},
        {"tp", "Ask a transport-discovery"},
        {"route", "Ask a route-finder"},
        {"ar", "Ask an address-resolver"},
        {"cxo", "Read the feeds of a deployment"},
        {"dmsgd", "Ask a dmsg-discovery, as it lists"},
        {"dmsg", "Reach keys over dmsg, look at its discovery, try its servers"},
        {"disc", "Ask a dmsg-discovery"},
        {"server", "Run a dmsg-server by itself"},
        {"config", "Make its file"},
        {"keys", "Make and show key files"},
    };
    return kGroups;
}

constexpr std::string_view kAbout =
    "Skywire deployment: all services of a Skywire network in one process, or one process each.";

constexpr std::string_view kFirstSteps =
    "First steps:\n"
    "  skywire svc run --config default          start the built-in deployment on loopback\n"
    "  skywire svc status --config default       how it is doing, from another terminal\n"
    "  skywire svc default > deployment.json     a file to begin from\n"
    "  skywire svc check deployment.json         what is wrong with it, if anything\n"
    "  skywire svc run --config deployment.json\n"
    "\n"
    "Every command explains itself: skywire svc run --help\n"
    "Exit codes: 0 done, 1 failed, 2 the command line makes no sense.";

std::string joined(const std::vector<std::string>& path) {
    return fmt::format("{}", fmt::join(path, " "));
}

void add_option(CLI::App& app, const Option& option) {
    if (auto* const flag = std::get_if<bool*>(&option.into)) {
        app.add_flag(option.names, **flag, option.help);
        return;
    }
    CLI::Option* added = nullptr;
    if (auto* const text = std::get_if<std::string*>(&option.into)) {
        added = app.add_option(option.names, **text, option.help);
    } else {
        auto& list = *std::get<std::vector<std::string>*>(option.into);
        added = app.add_option(option.names, list, option.help);
        if (option.by_commas) added->delimiter(',');
        added->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        // "--server A ADDRESS": one value for each, the rest is somebody else's.
        if (!option.is_positional()) added->allow_extra_args(false);
    }
    if (!option.choices.empty()) added->check(CLI::IsMember(option.choices));
    // After the check, which would put its own words in the place of the name.
    added->type_name(option.is_positional() ? "" : option.placeholder);
    added->required(option.required);
}

/// The parser with everything in it, and which command belongs to which part of it.
struct Tree {
    explicit Tree(const Commands& commands) : root(std::string(kAbout), "skywire") {
        root.footer(std::string(kFirstSteps));
        root.require_subcommand(1);
        for (const auto& command : commands)
            add(*command);
    }

    void add(Command& command) {
        CLI::App* parent = &root;
        const std::vector<std::string> path = command.path();
        for (std::size_t i = 0; i + 1 < path.size(); ++i) {
            CLI::App*& group = groups_by_name[path[i]];
            if (group == nullptr) {
                group = parent->add_subcommand(path[i], groups().at(path[i]));
                group->require_subcommand(1);
            }
            parent = group;
        }
        CLI::App* const app = parent->add_subcommand(path.back(), command.summary());
        app->footer(command.details());
        for (const Option& option : command.options())
            add_option(*app, option);
        by_app[app] = &command;
    }

    CLI::App root;
    std::map<std::string, CLI::App*> groups_by_name;
    std::map<const CLI::App*, Command*> by_app;
};

/// The names that may stand after these words.
std::vector<std::string_view> names_below(
    const std::vector<std::vector<std::string>>& paths, const std::vector<std::string>& words
) {
    std::vector<std::string_view> names;
    for (const auto& path : paths) {
        if (path.size() <= words.size()) continue;
        if (!std::equal(words.begin(), words.end(), path.begin())) continue;
        if (names.empty() || names.back() != path[words.size()]) {
            names.push_back(path[words.size()]);
        }
    }
    return names;
}

/// A sentence where the words name no command; nothing where they do, or where help is asked for.
std::optional<std::string> unknown_command(
    const Commands& commands, const std::vector<std::string>& arguments
) {
    std::vector<std::vector<std::string>> paths;
    for (const auto& command : commands)
        paths.push_back(command->path());
    std::vector<std::string> words;
    for (const std::string& word : arguments) {
        if (word.starts_with('-')) return std::nullopt;
        const auto names = names_below(paths, words);
        if (names.empty()) return std::nullopt;
        if (std::find(names.begin(), names.end(), word) == names.end()) {
            const std::string near = framework::nearest(word, names);
            return fmt::format(
                "no command {} in \"{}\"{}; there are: {}",
                quote_peer_text(word),
                joined(words.empty() ? std::vector<std::string>{"skywire"} : words),
                near.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", near),
                fmt::join(names, ", ")
            );
        }
        words.push_back(word);
    }
    return std::nullopt;
}

const CLI::App& deepest(const CLI::App& root) {
    const CLI::App* app = &root;
    while (!app->get_subcommands().empty())
        app = app->get_subcommands().front();
    return *app;
}

std::string full_name(const CLI::App& app) {
    const CLI::App* const parent = app.get_parent();
    return parent == nullptr ? app.get_name() : full_name(*parent) + " " + app.get_name();
}

/// What was not expected, with the nearest option.
std::string unexpected(const CLI::App& app) {
    const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const auto& name : option->get_lnames())
            names.push_back("--" + name);
    }
    for (const std::string& extra : extras) {
        if (!extra.starts_with("-")) continue;
        const std::string name = extra.substr(0, extra.find('='));
        const std::string near = framework::nearest(name, {names.begin(), names.end()});
        return fmt::format(
            "no option {}{}",
            quote_peer_text(name),
            near.empty() ? "" : fmt::format(" (did you mean {}?)", near)
        );
    }
    return fmt::format(
        "{} was not expected", quote_peer_text(extras.empty() ? "" : extras.front())
    );
}

int print_parse_error(Tree& tree, const CLI::ParseError& error, Io io) {
    if (error.get_exit_code() == 0) {
        tree.root.exit(error, io.out, io.err);
        return kDone;
    }
    const CLI::App& app = deepest(tree.root);
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !tree.by_app.contains(&app)) {
        const CLI::App* const parent = app.get_parent();
        io.err << app.help(parent == nullptr ? "" : full_name(*parent));
        return kUsage;
    }
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
        io.err << fmt::format(
            "{}: {} (try {} --help)\n", full_name(app), unexpected(app), full_name(app)
        );
        return kUsage;
    }
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    io.err << fmt::format("{}: {} (try {} --help)\n", full_name(app), message, full_name(app));
    return kUsage;
}

/// As many descriptors as the system lets us have: each connection is one.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Whether all that was printed has gone where it should; where not, says so. A reader that has
/// seen enough (`| head`) is no failure.
bool flush_output() {
    errno = 0;
    std::cout.flush();
    if (std::cout) return true;
    // Of what failed before, in the middle of much, the reason is not known any more.
    const int error = errno;
    pollfd out{STDOUT_FILENO, POLLOUT, 0};
    const bool reader_gone =
        error == EPIPE || (::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0);
    if (reader_gone) return true;
    std::cerr << fmt::format(
        "skywire: standard output cannot be written{}\n",
        error == 0 ? "" : ": " + std::generic_category().message(error)
    );
    return false;
}

}  // namespace

int usage_error(Session& session, const Command& command, const std::string& message) {
    session.io.err << fmt::format("skywire {}: {}\n", joined(command.path()), message);
    return kUsage;
}

int failure(Session& session, const Command& command, const std::string& message) {
    session.io.err << fmt::format("skywire {}: {}\n", joined(command.path()), message);
    return kFailed;
}

int failure(Session& session, const Command& command, const Error& error) {
    return error == errc::malformed ? usage_error(session, command, error.message())
                                    : failure(session, command, error.message());
}

Commands all_commands() {
    Commands commands;
    commands.push_back(make_svc_run());
    commands.push_back(make_svc_check());
    commands.push_back(make_svc_list());
    commands.push_back(make_svc_graph());
    commands.push_back(make_svc_status());
    commands.push_back(make_svc_stop());
    commands.push_back(make_svc_start());
    commands.push_back(make_svc_restart());
    commands.push_back(make_svc_log_level());
    commands.push_back(make_svc_default());
    commands.push_back(make_svc_schema());
    commands.push_back(make_svc_reference());
    commands.push_back(make_svc_conf());
    commands.push_back(make_svc_env());
    commands.push_back(make_svc_health());
    commands.push_back(make_cli_tp_tree());
    commands.push_back(make_cli_tp_key());
    commands.push_back(make_cli_tp_id());
    commands.push_back(make_cli_route_find());
    commands.push_back(make_cli_sd());
    commands.push_back(make_cli_cxo_feeds());
    commands.push_back(make_cli_cxo_get());
    commands.push_back(make_cli_cxo_watch());
    commands.push_back(make_cli_cxo_stat());
    commands.push_back(make_cli_ar_resolve());
    commands.push_back(make_cli_ar_list());
    commands.push_back(make_cli_dmsgd_clients());
    commands.push_back(make_cli_dmsgd_visors());
    commands.push_back(make_cli_dmsgd_servers());
    commands.push_back(make_cli_dmsgd_entry());
    commands.push_back(make_dmsg_disc_entry());
    commands.push_back(make_dmsg_disc_servers());
    commands.push_back(make_dmsg_curl());
    commands.push_back(make_dmsg_cat());
    commands.push_back(make_dmsg_ping());
    commands.push_back(make_dmsg_probe());
    commands.push_back(make_dmsg_iperf());
    commands.push_back(make_dmsg_server_start());
    commands.push_back(make_dmsg_server_config_gen());
    commands.push_back(make_keys_gen());
    commands.push_back(make_keys_show());
    commands.push_back(make_completion());
    commands.push_back(make_version());
    return commands;
}

int run_cli(std::vector<std::string> arguments, const framework::ServiceRegistry& registry, Io io) {
    // "skywire --version" is what one tries first.
    if (arguments == std::vector<std::string>{"--version"}) arguments = {"version"};
    const Commands commands = all_commands();
    if (const auto unknown = unknown_command(commands, arguments)) {
        io.err << "skywire: " << *unknown << "\n";
        return kUsage;
    }
    Tree tree(commands);
    try {
        std::reverse(arguments.begin(), arguments.end());
        tree.root.parse(arguments);
    } catch (const CLI::ParseError& error) {
        return print_parse_error(tree, error, io);
    }
    Session session{registry, io, commands};
    return tree.by_app.at(&deepest(tree.root))->run(session);
}

int run_program(int argc, char** argv, const framework::ServiceRegistry& registry) {
    // A peer that has gone is an error of the write, not the end of the process.
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    const int code = run_cli({argv + 1, argv + argc}, registry, {std::cout, std::cerr});
    return flush_output() || code != kDone ? code : kFailed;
}

}  // namespace skywire::cli
