#include "services/setup_node/listing.hpp"

#include "base/json.hpp"
#include "crypto/signature.hpp"
#include "net/deadline.hpp"
#include "services/common/turns.hpp"
#include "transport/entry.hpp"

#include <map>
#include <optional>

#include <fmt/format.h>

namespace skywire::setup_node {
namespace {

constexpr std::string_view kHttpScheme = "http://";
constexpr std::string_view kDmsgScheme = "dmsg://";
constexpr std::size_t kAnswerMax = 64 * 1024;

bool joins(const transport::Entry& entry, const router::Hop& hop) {
    return entry.id == hop.transport && entry.edges == transport::sorted_edges(hop.from, hop.to);
}

class HttpListing final : public Listing {
 public:
    HttpListing(
        const net::Context& context, http::Client& http, net::Address address, crypto::KeyPair keys
    )
        : context_(context),
          http_(http),
          address_(std::move(address)),
          keys_(std::move(keys)),
          turns_(context.loop) {}

    Task<Result<bool>> lists(router::Hop hop, SteadyTime deadline) override {
        auto asked = co_await net::with_deadline(context_.clock, deadline, ask(hop));
        trouble_ = asked ? std::string() : asked.error().message();
        if (!asked) co_return asked.error().within("transport-discovery " + address_.to_string());
        co_return *asked;
    }

    std::string trouble() const override { return trouble_; }

 private:
    Task<Result<bool>> ask(router::Hop hop) {
        const auto turn = co_await turns_.take();
        if (!turn) co_return turn.error();
        auto answer = co_await send_signed(hop.transport);
        if (answer && answer->status == 401) {
            nonce_.reset();
            answer = co_await send_signed(hop.transport);
        }
        if (!answer) {
            // Whether it was counted is not known.
            nonce_.reset();
            co_return answer.error();
        }
        if (answer->status == 404) co_return false;
        if (answer->status != 200)
            co_return fail(errc::unavailable, fmt::format("answered with {}", answer->status));
        if (nonce_) ++*nonce_;
        const auto body = parse_json(answer->body_view());
        if (!body) co_return body.error();
        const auto entry = transport::entry_of(*body);
        if (!entry) co_return entry.error();
        co_return joins(*entry, hop);
    }

    Task<Result<http::Response>> send_signed(router::TransportId id) {
        if (!nonce_) {
            const auto nonce = co_await fetch_nonce();
            if (!nonce) co_return nonce.error();
            nonce_ = *nonce;
        }
        const std::string digits = std::to_string(*nonce_);
        http::ClientRequest request = to("/transports/id:" + id.to_text());
        request.fields.set("SW-Public", keys_.public_key.to_text());
        request.fields.set("SW-Nonce", digits);
        request.fields.set("SW-Sig", crypto::sign(keys_.secret_key, as_bytes(digits)).to_text());
        co_return co_await http_.send(std::move(request));
    }

    Task<Result<std::uint64_t>> fetch_nonce() {
        const auto answer =
            co_await http_.send(to("/security/nonces/" + keys_.public_key.to_text()));
        if (!answer) co_return answer.error();
        if (answer->status != 200) {
            co_return fail(
                errc::unavailable, fmt::format("answered with {} for a nonce", answer->status)
            );
        }
        const auto body = parse_json(answer->body_view());
        if (!body) co_return body.error();
        const json::object* const object = body->if_object();
        const json::value* const nonce =
            object == nullptr ? nullptr : object->if_contains("next_nonce");
        boost::system::error_code failed;
        const auto number =
            nonce == nullptr ? std::uint64_t{0} : nonce->to_number<std::uint64_t>(failed);
        if (nonce == nullptr || failed)
            co_return fail(errc::malformed, "answered without a next_nonce");
        co_return number;
    }

    http::ClientRequest to(std::string target) const {
        http::ClientRequest request;
        request.address = address_;
        request.target = std::move(target);
        request.response_bytes_max = kAnswerMax;
        return request;
    }

    net::Context context_;
    http::Client& http_;
    net::Address address_;
    crypto::KeyPair keys_;
    std::optional<std::uint64_t> nonce_;
    /// A nonce is used by one request at a time.
    services::Turns turns_;
    std::string trouble_;
};

class ViewListing final : public Listing {
 public:
    ViewListing(const net::Context& context, std::shared_ptr<transport::TransportView> view)
        : view_(std::move(view)),
          following_(view_->follow({}, context.loop, [this](const auto& update) { take(update); })
          ) {}

    Task<Result<bool>> lists(router::Hop hop, SteadyTime) override {
        if (!known_ || !view_->published({})) {
            co_return fail(errc::unavailable, trouble());
        }
        const auto found = edges_.find(hop.transport);
        co_return found != edges_.end() &&
            found->second == transport::sorted_edges(hop.from, hop.to);
    }

    std::string trouble() const override {
        if (known_ && view_->published({})) return {};
        return "no transport-discovery of this process has a list yet";
    }

 private:
    void take(const transport::TransportView::Update& update) {
        if (update.complete) {
            edges_.clear();
            known_ = true;
        }
        for (const transport::Entry& entry : update.put)
            edges_[entry.id] = entry.edges;
        for (const router::TransportId& id : update.removed)
            edges_.erase(id);
    }

    std::shared_ptr<transport::TransportView> view_;
    bool known_ = false;
    std::map<router::TransportId, transport::Edges> edges_;
    std::unique_ptr<transport::TransportView::Following> following_;
};

}  // namespace

Result<std::unique_ptr<Listing>> make_http_listing(
    const net::Context& context, http::Client& http, const std::string& url, crypto::KeyPair keys
) {
    std::string plain = url;
    // A key is a host to the network that is handed in.
    if (plain.starts_with(kDmsgScheme))
        plain = std::string(kHttpScheme) + plain.substr(kDmsgScheme.size());
    auto parsed = http::Url::parse(plain);
    if (!parsed) return parsed.error();
    return std::unique_ptr<Listing>(
        std::make_unique<HttpListing>(context, http, std::move(parsed->address), std::move(keys))
    );
}

std::unique_ptr<Listing> make_view_listing(
    const net::Context& context, std::shared_ptr<transport::TransportView> view
) {
    return std::make_unique<ViewListing>(context, std::move(view));
}

}  // namespace skywire::setup_node
