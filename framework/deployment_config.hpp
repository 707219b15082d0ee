#pragma once

#include "base/log.hpp"
#include "framework/block.hpp"
#include "framework/service_type.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace skywire::framework {

enum class RestartMode { always, on_failure, never };
enum class OnGiveUp { degrade, stop_dependents, exit };
enum class OnUpstreamRestart { notify, restart, ignore };

/// spec/framework.md section 13; the defaults stand there too.
struct RestartPolicy {
    RestartMode mode = RestartMode::on_failure;
    Duration min = std::chrono::milliseconds(250);
    Duration max = std::chrono::seconds(30);
    double factor = 2;
    double jitter = 0.2;
    Duration reset_after = std::chrono::minutes(1);
    std::size_t max_in_window = 5;
    Duration window = std::chrono::minutes(1);
    OnGiveUp on_give_up = OnGiveUp::degrade;
};

struct HealthPolicy {
    Duration interval = std::chrono::seconds(1);
    std::size_t failures = 2;
    std::size_t successes = 2;
};

/// An entry of depends_on: "label", "label:milestone", or an object that also names the gate and
/// what happens when the upstream restarts.
struct Dependency {
    std::string label;
    std::string milestone = "ready";
    std::string gate = "start";
    OnUpstreamRestart on_restart = OnUpstreamRestart::notify;
    Position position;
};

/// One block with its framework keys taken out.
struct BlockConfig {
    std::string label;
    std::size_t index = 0;
    const ServiceType* type = nullptr;
    /// The type's own view of the block.
    std::shared_ptr<const Block> block;
    /// Nothing where the edges follow from the types.
    std::optional<std::vector<Dependency>> depends_on;
    RestartPolicy restart;
    HealthPolicy health;
    Duration start_timeout = std::chrono::seconds(30);
    Duration drain_timeout = std::chrono::seconds(5);
    Duration stop_timeout = std::chrono::seconds(5);
    bool critical = true;
    std::optional<log::Level> log_level;
    BlockFacts facts;
    Position position;
};

struct SupervisorConfig {
    /// Nothing: the unix socket derived from the file's path.
    std::optional<net::Address> admin_addr;
    std::string admin_token_file;
    bool json_logs = false;
    std::string state_dir;
    Duration shutdown_timeout = std::chrono::seconds(15);
};

/// A whole file, checked. Blocks point into the text and tree held here.
struct DeploymentConfig {
    /// As given on the command line, for messages.
    std::string file;
    /// The text blocks' positions refer to, and the tree they view.
    std::shared_ptr<const std::string> text;
    std::shared_ptr<const ConfigValue> tree;
    std::vector<BlockConfig> blocks;
    SupervisorConfig supervisor;

    const BlockConfig* find(std::string_view label) const noexcept;
};

/// What reading a file gives: all its problems, and the configuration where none is an error.
struct LoadedConfig {
    Problems problems;
    std::optional<DeploymentConfig> config;
};

/// Reads one of the files that blocks name (`config_path`). Errors: it cannot be read.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

/// Reads `text` with the types of `registry`: syntax, kinds, ranges, unknown keys with the nearest
/// right one, the types' own rules, then clashes across blocks (labels, ports, keys, databases,
/// dependencies on blocks that do not exist, cycles with the cycle printed). Does no I/O but
/// through `read`; without it a block that names a file is an error.
///
/// The members of the file that a block names stand in the block, in place of those of the same
/// name; type, name and what else is the framework's stays in the block (spec/framework.md section
/// 3.3).
LoadedConfig load_deployment(
    std::string file, std::string text, const ServiceRegistry& registry, const ReadFile& read = {}
);

/// The same, from disk. A file that cannot be read is one problem without a position.
LoadedConfig load_deployment_file(const std::string& path, const ServiceRegistry& registry);

/// JSON Schema (2020-12) of a deployment file with these types.
std::string deployment_json_schema(const ServiceRegistry& registry);

/// The configuration reference in Markdown: one table per type.
std::string deployment_reference(const ServiceRegistry& registry);

}  // namespace skywire::framework
