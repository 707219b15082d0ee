#pragma once

#include "base/json.hpp"
#include "cli/command.hpp"
#include "http/message.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace skywire::cli {

/// How a command says which running process it means. Members are set by the options.
struct AdminOptions {
    std::string config;
    std::vector<std::string> only;
    std::string admin;
    std::string token_file;
    /// Where no process was started with these labels: those that run them beside others, or one
    /// each.
    bool only_among_others = false;

    std::vector<Option> options();
};

/// Help text about the above, for the commands that have them.
extern const char* const kAdminHelp;

/// Speaks to the admin listeners of running processes, one request after another.
class AdminClient {
 public:
    AdminClient();
    ~AdminClient();

    /// Finds where the process listens: --admin; or supervisor.admin_addr of the file, or the
    /// socket that its path and labels give. Without --only, and without a process that runs the
    /// whole file, all processes that run one of its blocks each. At least one address, or an error
    /// that says where it was looked for.
    Result<> find(const AdminOptions& options, Session& session);

    /// What `find` has found; the label of a process that runs one block, else "".
    struct Process {
        net::Address address;
        std::string label;
    };
    const std::vector<Process>& processes() const noexcept { return processes_; }

    /// Blocks of the file for which there is no process; known where those of one block each were
    /// looked for.
    struct Missing {
        std::string label;
        std::string type;
    };
    const std::vector<Missing>& missing() const noexcept { return missing_; }

    /// Requests of a process. An answer that is no success is an error with the process's own
    /// words, but for the statuses named in `accepted`.
    Result<http::Response> get(
        const Process& process, const std::string& target, std::optional<unsigned> accepted = {}
    );
    Result<http::Response> post(
        const Process& process, const std::string& target, std::string body = {}
    );

    /// The process that runs this service; errc::not_found where it is `missing`.
    Result<Process> process_of(const std::string& label) const;

    /// Waits; for --watch.
    void pause(std::chrono::milliseconds time);

 private:
    struct Impl;

    Result<> find_by_config(const AdminOptions& options, Session& session);
    Result<http::Response> send(
        const Process& process,
        http::Method method,
        const std::string& target,
        std::string body,
        std::chrono::milliseconds timeout,
        std::optional<unsigned> accepted
    );

    std::unique_ptr<Impl> impl_;
    std::string config_;
    std::vector<Process> processes_;
    std::vector<Missing> missing_;
    std::string token_;
};

/// The object that a process answers to GET /health. errc::unavailable where it is none: somebody
/// else listens there.
Result<json::object> read_health(const AdminClient::Process& process, const http::Response& answer);

}  // namespace skywire::cli
