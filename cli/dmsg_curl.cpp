#include "cli/dmsg_world.hpp"

#include <fstream>

#include <fmt/format.h>

namespace skywire::cli {
namespace {

constexpr std::uint16_t kHttpPort = 80;

std::optional<http::Method> parse_method(std::string_view text) {
    for (const auto method :
         {http::Method::get,
          http::Method::head,
          http::Method::post,
          http::Method::put,
          http::Method::delete_,
          http::Method::options,
          http::Method::patch}) {
        if (http::method_name(method) == text) return method;
    }
    return std::nullopt;
}

class DmsgCurl final : public Command {
 public:
    std::vector<std::string> path() const override { return {"dmsg", "curl"}; }
    std::string summary() const override { return "Make an HTTP request over dmsg"; }
    std::string details() const override {
        return "The body goes to standard output. Exit code 0 where an answer came, whatever its\n"
               "status; with --fail 1 for a status of 400 and above.\n"
               "\n"
               "Examples:\n"
               "  skywire dmsg curl dmsg://02857a87...:80/health\n"
               "  skywire dmsg curl -i --disc http://127.0.0.1:9090 dmsg://02857a87.../health";
    }

    std::vector<Option> options() override {
        auto all = options_.options();
        all.push_back({"-X,--request", "METHOD", "GET, or POST with --data", &method_});
        all.push_back({"-d,--data", "TEXT", "The request's body", &data_});
        all.push_back(
            {"-H,--header",
             "NAME: VALUE",
             "A header field (repeatable)",
             &headers_,
             ValueKind::text,
             {},
             /*required=*/false,
             /*by_commas=*/false}
        );
        all.push_back({"-i,--include", "", "Print status and header fields, too", &include_});
        all.push_back({"-f,--fail", "", "Fail for a status of 400 and above", &fail_});
        all.push_back({"-o,--output", "FILE", "Where the body goes", &output_, ValueKind::file});
        all.push_back({"URL", "URL", "dmsg://KEY[:PORT]/PATH", &url_, ValueKind::text, {}, true});
        return all;
    }

    int run(Session& session) override {
        auto request = make_request();
        if (!request) return failure(session, *this, request.error());
        return run_dmsg(session, *this, options_, [&](DmsgWorld& world) {
            request->timeout =
                std::chrono::duration_cast<std::chrono::milliseconds>(world.timeout());
            return ask(world, session, *request);
        });
    }

 private:
    Result<http::ClientRequest> make_request() const {
        constexpr std::string_view kScheme = "dmsg://";
        if (!url_.starts_with(kScheme))
            return fail(errc::malformed, quote_peer_text(url_) + " does not begin with dmsg://");
        const std::size_t path = url_.find_first_of("/?", kScheme.size());
        const auto address = parse_dmsg_address(url_.substr(0, path), kHttpPort);
        if (!address) return address.error();
        http::ClientRequest request;
        request.address = net::Address::tcp(address->pk.to_text(), address->port);
        request.target = path == std::string::npos ? "/" : url_.substr(path);
        if (request.target.front() != '/') request.target.insert(0, "/");
        const std::string method = !method_.empty() ? method_ : data_.empty() ? "GET" : "POST";
        const auto known = parse_method(method);
        if (!known) return fail(errc::malformed, "--request: no method " + quote_peer_text(method));
        request.method = *known;
        request.body = data_;
        for (const std::string& header : headers_) {
            const std::size_t colon = header.find(':');
            if (colon == std::string::npos || colon == 0)
                return fail(
                    errc::malformed, "--header: " + quote_peer_text(header) + " has no name"
                );
            const std::size_t value = header.find_first_not_of(' ', colon + 1);
            request.fields.add(
                header.substr(0, colon), value == std::string::npos ? "" : header.substr(value)
            );
        }
        return request;
    }

    Task<Result<>> ask(DmsgWorld& world, Session& session, http::ClientRequest request) {
        const auto connected = co_await world.connect();
        if (!connected) co_return connected.error();
        const auto response = co_await world.http().send(std::move(request));
        if (!response) co_return response.error();
        if (include_) {
            session.io.out << fmt::format(
                "HTTP/1.1 {} {}\n", response->status, http::reason_phrase(response->status)
            );
            for (const auto& [name, value] : response->fields)
                session.io.out << name << ": " << value << '\n';
            session.io.out << '\n';
        }
        if (output_.empty()) {
            session.io.out << response->body_view();
        } else {
            std::ofstream file(output_, std::ios::binary | std::ios::trunc);
            file << response->body_view();
            file.close();
            if (!file) co_return fail(errc::unavailable, output_ + " cannot be written");
        }
        if (fail_ && response->status >= 400)
            co_return fail(errc::unavailable, fmt::format("status {}", response->status));
        co_return Result<>();
    }

    DmsgOptions options_;
    std::string url_;
    std::string method_;
    std::string data_;
    std::vector<std::string> headers_;
    std::string output_;
    bool include_ = false;
    bool fail_ = false;
};

}  // namespace

std::unique_ptr<Command> make_dmsg_curl() {
    return std::make_unique<DmsgCurl>();
}

}  // namespace skywire::cli
