#pragma once

#include "base/json.hpp"
#include "cli/command.hpp"
#include "cli/dmsg_world.hpp"
#include "framework/deployment_config.hpp"
#include "http/client.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cli {

/// How a read command says which service it asks, and how.
struct ServiceOptions {
    /// "http://host:port" or "dmsg://KEY[:port]"; empty: that of the deployment file.
    std::string url;
    /// The file whose block is asked; empty: the built-in one.
    std::string config;
    /// By its key instead of its address.
    bool over_dmsg = false;
    /// Print the service's own answer.
    bool json = false;
    DmsgOptions dmsg;

    /// --url, --config, --dmsg, --json, and those of DmsgOptions.
    std::vector<Option> options();
};

/// Help text about the above, for the commands that have them.
extern const char* const kServiceHelp;

/// Asks one service over HTTP, plain or over dmsg.
class ServiceClient {
 public:
    /// `world` outlives it.
    ServiceClient(DmsgWorld& world, http::Url url) : world_(world), url_(std::move(url)) {}

    /// Any answer. Errors: the service was not reached.
    Task<Result<http::Response>> send(
        http::Method method, std::string target, std::string body = {}, http::Fields fields = {}
    );
    /// An answer with status 200; errc::not_found for 404, errc::unavailable for others, with the
    /// service's words.
    Task<Result<http::Response>> get(std::string target);
    /// The same, signed with the world's key and the nonce that is due (spec/services-http.md
    /// section 2).
    Task<Result<http::Response>> signed_get(std::string target);

 private:
    DmsgWorld& world_;
    http::Url url_;
};

/// The answer, or what its status comes to.
Result<http::Response> expect_ok(Result<http::Response> response);

/// Writes an answer: with --json as it is, else what `print` makes of it. Errors: those of the
/// answer and of `print`; errc::unavailable where it is no JSON.
Result<> show_answer(
    Session& session,
    const ServiceOptions& options,
    const Result<http::Response>& answer,
    const std::function<Result<>(const json::value&)>& print
);

/// A member's text; numbers and others as they are written; empty where there is none.
std::string text_of(const json::value& object, std::string_view member);

/// "http://host:port" or "dmsg://KEY[:port]".
Result<http::Url> parse_service_url(std::string_view text);

/// The key of a block: that of the file, else that of its key file where it is there.
std::optional<crypto::PublicKey> key_of_block(const framework::BlockConfig& block);

/// The address to dial for what a block listens on: every interface is loopback.
net::Address dialled(net::Address address);

/// Runs `work` with a client of the service of this type, and turns its end into an exit code.
int run_service(
    Session& session,
    const Command& command,
    const ServiceOptions& options,
    std::string_view type,
    std::function<Task<Result<>>(ServiceClient&)> work
);

}  // namespace skywire::cli
