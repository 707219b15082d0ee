#pragma once

#include "base/result.hpp"
#include "cli/cli.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

/// What a subcommand is. Only command_line.cpp knows the parser behind it, which is slow to
/// compile; help and shell completion come from the same descriptions.
namespace skywire::cli {

/// What stands in the place of an option's value, for completion.
enum class ValueKind { text, file, choice };

/// One option or argument and the variable it sets. `bool`: a flag.
struct Option {
    using Target = std::variant<bool*, std::string*, std::vector<std::string>*>;

    /// "-c,--config", or "FILE" for an argument by place.
    std::string names;
    /// "FILE"; empty for flags.
    std::string placeholder;
    std::string help;
    Target into;
    ValueKind kind = ValueKind::text;
    std::vector<std::string> choices = {};
    bool required = false;
    /// Of a list: "a,b" is two values.
    bool by_commas = true;

    bool is_positional() const noexcept { return names.front() != '-'; }
};

class Command;

/// What a running command has.
struct Session {
    const framework::ServiceRegistry& registry;
    Io io;
    /// All commands, for completion.
    const std::vector<std::unique_ptr<Command>>& commands;
};

class Command {
 public:
    virtual ~Command() = default;

    /// {"svc", "run"}
    virtual std::vector<std::string> path() const = 0;
    /// One line for the list of commands.
    virtual std::string summary() const = 0;
    /// What --help says below the options: details and examples.
    virtual std::string details() const { return {}; }
    /// The targets live in the command.
    virtual std::vector<Option> options() = 0;
    /// The exit code.
    virtual int run(Session& session) = 0;
};

/// Prints "skywire svc run: MESSAGE" and returns kUsage.
int usage_error(Session& session, const Command& command, const std::string& message);
/// The same, kFailed.
int failure(Session& session, const Command& command, const std::string& message);
/// One of the two: errc::malformed is the command line's fault.
int failure(Session& session, const Command& command, const Error& error);

using Commands = std::vector<std::unique_ptr<Command>>;

/// Every command, in the order of the help.
Commands all_commands();

// One translation unit each.
std::unique_ptr<Command> make_svc_run();
std::unique_ptr<Command> make_svc_check();
std::unique_ptr<Command> make_svc_list();
std::unique_ptr<Command> make_svc_graph();
std::unique_ptr<Command> make_svc_status();
std::unique_ptr<Command> make_svc_stop();
std::unique_ptr<Command> make_svc_start();
std::unique_ptr<Command> make_svc_restart();
std::unique_ptr<Command> make_svc_log_level();
std::unique_ptr<Command> make_svc_default();
std::unique_ptr<Command> make_svc_schema();
std::unique_ptr<Command> make_svc_reference();
std::unique_ptr<Command> make_svc_conf();
std::unique_ptr<Command> make_svc_env();
std::unique_ptr<Command> make_svc_health();
std::unique_ptr<Command> make_cli_tp_tree();
std::unique_ptr<Command> make_cli_tp_key();
std::unique_ptr<Command> make_cli_tp_id();
std::unique_ptr<Command> make_cli_route_find();
std::unique_ptr<Command> make_cli_sd();
std::unique_ptr<Command> make_cli_cxo_feeds();
std::unique_ptr<Command> make_cli_cxo_get();
std::unique_ptr<Command> make_cli_cxo_watch();
std::unique_ptr<Command> make_cli_cxo_stat();
std::unique_ptr<Command> make_cli_ar_resolve();
std::unique_ptr<Command> make_cli_ar_list();
std::unique_ptr<Command> make_cli_dmsgd_clients();
std::unique_ptr<Command> make_cli_dmsgd_visors();
std::unique_ptr<Command> make_cli_dmsgd_servers();
std::unique_ptr<Command> make_cli_dmsgd_entry();
std::unique_ptr<Command> make_dmsg_disc_entry();
std::unique_ptr<Command> make_dmsg_disc_servers();
std::unique_ptr<Command> make_dmsg_curl();
std::unique_ptr<Command> make_dmsg_cat();
std::unique_ptr<Command> make_dmsg_ping();
std::unique_ptr<Command> make_dmsg_probe();
std::unique_ptr<Command> make_dmsg_iperf();
std::unique_ptr<Command> make_dmsg_server_start();
std::unique_ptr<Command> make_dmsg_server_config_gen();
std::unique_ptr<Command> make_keys_gen();
std::unique_ptr<Command> make_keys_show();
std::unique_ptr<Command> make_completion();
std::unique_ptr<Command> make_version();

}  // namespace skywire::cli
