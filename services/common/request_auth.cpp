#include "services/common/request_auth.hpp"

#include "crypto/error.hpp"
#include "http/signed_request.hpp"
#include "services/common/json_style.hpp"
#include "services/common/nonces.hpp"
#include "services/common/signature_checks.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_map>
#include <utility>

namespace skywire::services {
namespace {

using http::auth_errc;
using http::Request;
using http::Response;

constexpr std::array kRefusals{
    auth_errc::public_missing,
    auth_errc::public_malformed,
    auth_errc::signature_missing,
    auth_errc::signature_malformed,
    auth_errc::nonce_missing,
    auth_errc::nonce_malformed,
    auth_errc::nonce_mismatch,
    auth_errc::signature_wrong,
};
constexpr std::string_view kStoreUnavailable = "store_unavailable";
constexpr std::string_view kOtherStream = "other_stream_key";

/// Outcomes of a request to deregister.
constexpr std::array<std::string_view, 5> kMonitorOutcomes{
    "ok", "not_whitelisted", "key_malformed", "signature_malformed", "signature_wrong"
};

using Counters = std::map<std::string_view, Counter*>;

void count(const Counters& counters, std::string_view name) {
    if (const auto found = counters.find(name); found != counters.end()) found->second->add();
}

/// What the caller gets of a response.
Response without_mark(Response response) {
    if (response.status == RequestAuth::kNothingWritten) response.status = 200;
    return response;
}

}  // namespace

std::optional<crypto::PublicKey> stream_key(const http::Request& request) {
    // The address of a TCP peer, and what proxies say of it, is an IP.
    if (request.remote.host.size() != crypto::PublicKey::kTextSize) return std::nullopt;
    const auto key = crypto::PublicKey::from_text_not_null(request.remote.host);
    if (!key) return std::nullopt;
    return *key;
}

std::string caller_ip(const http::Request& request) {
    if (!stream_key(request)) return request.remote.host;
    return std::string(request.fields.get("SW-PublicIP").value_or(""));
}

struct RequestAuth::Impl {
    /// A key's requests between the look at their nonce and their end.
    struct UnderWay {
        std::size_t requests = 0;
        /// One of them has passed and its handler runs.
        bool reserved = false;
        /// What the nonce has become since the first of them looked.
        std::uint64_t next = 0;
    };
    using Table = std::unordered_map<crypto::PublicKey, UnderWay>;

    /// Keeps a key's place in the table for as long as a request of it is under way.
    class Place {
     public:
        Place(Table& table, const crypto::PublicKey& key)
            : table_(table), key_(key), at_(table.try_emplace(key).first->second) {
            ++at_.requests;
        }
        ~Place() {
            if (reserved_) at_.reserved = false;
            if (--at_.requests == 0) table_.erase(key_);
        }
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;

        /// What was read may be older than what another request has made of it meanwhile.
        bool taken(const Nonces::Due& due) const { return at_.reserved || at_.next > due.number; }
        const crypto::PublicKey& key() const { return key_; }
        UnderWay* operator->() const { return &at_; }
        void reserve() { reserved_ = at_.reserved = true; }

     private:
        Table& table_;
        crypto::PublicKey key_;
        // Elements of an unordered_map stay where they are.
        UnderWay& at_;
        bool reserved_ = false;
    };

    Impl(const net::Context& context_in, ServiceStore& store_in, Options options_in);

    Response refused(const Error& error);
    Response store_failed(const Error& error);
    /// A route.
    struct Signed {
        SignedHandler handler;
        Success success = Success::uses_nonce;
    };

    Task<Response> answer_signed(Request& request, const Signed& route);
    Task<Response> answer_with_nonce(
        Request& request, const Signed& route, http::SignedHeaders headers
    );
    Task<Response> run_and_advance(
        Request& request, const SignedHandler& handler, Place& place, Nonces::Due due
    );
    Task<Response> advance_and_run(
        Request& request, const SignedHandler& handler, Place& place, Nonces::Due due
    );
    Task<Response> run(
        Request& request, const SignedHandler& handler, const crypto::PublicKey& caller
    );
    Task<Response> next_nonce(Request& request);
    Task<Response> answer_monitor(Request& request, const http::Handler& handler);
    std::string_view judge_monitor(const Request& request) const;

    ServiceStore& store;
    Options options;
    Nonces nonces;
    OnAccepted accepted;
    Table under_way;
    SignatureChecks checks;
    Counter& passed;
    Counters refusals;
    Counters monitors;
};

RequestAuth::Impl::Impl(const net::Context& context, ServiceStore& store_in, Options options_in)
    : store(store_in),
      options(std::move(options_in)),
      nonces(context, store_in.store(), {options.prefix, options.testing}),
      checks(context),
      passed(context.metrics.counter(
          "request_auth_accepted_total", "Requests whose sender was proved."
      )) {
    constexpr std::string_view kName = "request_auth_refused_total";
    constexpr std::string_view kHelp = "Requests whose sender was not proved, by reason.";
    const auto add = [&](std::string_view name) {
        refusals[name] = &context.metrics.counter(kName, kHelp, {{"reason", std::string(name)}});
    };
    for (const auth_errc code : kRefusals)
        add(http::reason(code));
    add(kStoreUnavailable);
    add(kOtherStream);
    for (const std::string_view outcome : kMonitorOutcomes) {
        monitors[outcome] = &context.metrics.counter(
            "network_monitor_requests_total",
            "Requests to deregister, by what came of the monitor's proof.",
            {{"outcome", std::string(outcome)}}
        );
    }
}

Response RequestAuth::Impl::refused(const Error& error) {
    count(refusals, http::reason(static_cast<auth_errc>(error.code().value())));
    return auth_error_response(401, error.message());
}

Response RequestAuth::Impl::store_failed(const Error& error) {
    count(refusals, kStoreUnavailable);
    store.failed(error);
    return auth_error_response(500, "the store does not answer");
}

Task<Response> RequestAuth::Impl::answer_signed(Request& request, const Signed& route) {
    const auto stream = stream_key(request);
    if (stream && !http::has_signed_headers(request.fields))
        co_return without_mark(co_await run(request, route.handler, *stream));
    const auto headers = http::read_signed_headers(request.fields);
    if (!headers) co_return refused(headers.error());
    if (stream && headers->caller != *stream) {
        count(refusals, kOtherStream);
        const auto wrong = crypto::make_error_code(crypto::errc::wrong_signer);
        co_return auth_error_response(401, wrong.message());
    }
    co_return co_await answer_with_nonce(request, route, *headers);
}

Task<Response> RequestAuth::Impl::answer_with_nonce(
    Request& request, const Signed& route, http::SignedHeaders headers
) {
    Place place(under_way, headers.caller);
    auto due = co_await nonces.due(headers.caller);
    if (!due) co_return store_failed(due.error());
    if (headers.nonce != due->number || place.taken(*due))
        co_return refused(http::nonce_mismatch());
    const auto proved = co_await checks.check(headers, http::signed_digest(headers, request.body));
    if (!proved) co_return refused(proved.error());
    if (place.taken(*due)) co_return refused(http::nonce_mismatch());

    place.reserve();
    if (nonces.shared() && route.success == Success::uses_nonce)
        co_return co_await advance_and_run(request, route.handler, place, std::move(*due));
    co_return co_await run_and_advance(request, route.handler, place, std::move(*due));
}

Task<Response> RequestAuth::Impl::run_and_advance(
    Request& request, const SignedHandler& handler, Place& place, Nonces::Due due
) {
    Response response = co_await run(request, handler, place.key());
    if (response.status != 200) co_return without_mark(std::move(response));
    place->next = due.number + 1;
    const auto advanced = co_await nonces.advance(place.key(), std::move(due));
    // The request has been served; its number stays due until the store is back.
    if (!advanced) store.failed(advanced.error());
    co_return response;
}

/// No more calls of the store than above as long as all goes well.
Task<Response> RequestAuth::Impl::advance_and_run(
    Request& request, const SignedHandler& handler, Place& place, Nonces::Due due
) {
    const auto advanced = co_await nonces.advance(place.key(), due);
    if (!advanced) co_return store_failed(advanced.error());
    if (!*advanced) co_return refused(http::nonce_mismatch());
    Response response = co_await run(request, handler, place.key());
    if (response.status == 200) {
        place->next = due.number + 1;
        co_return response;
    }
    const auto given = co_await nonces.give_back(place.key(), std::move(due));
    // The number is used up: the caller meets one mismatch and asks again.
    if (!given) store.failed(given.error());
    co_return without_mark(std::move(response));
}

Task<Response> RequestAuth::Impl::run(
    Request& request, const SignedHandler& handler, const crypto::PublicKey& caller
) {
    passed.add();
    if (accepted) accepted(caller);
    co_return co_await handler(request, caller);
}

Task<Response> RequestAuth::Impl::next_nonce(Request& request) {
    const auto key = crypto::PublicKey::from_text_not_null(request.param("pk"));
    if (!key) co_return auth_error_response(400, "Invalid public key");
    const auto due = co_await nonces.due(*key);
    if (!due) {
        store.failed(due.error());
        co_return auth_error_response(500, "the store does not answer");
    }
    co_return json_response(
        200, fmt::format(R"({{"edge":"{}","next_nonce":{}}})", *key, due->number), JsonStyle::c
    );
}

std::string_view RequestAuth::Impl::judge_monitor(const Request& request) const {
    const std::string_view text = request.fields.get("NM-PK").value_or("");
    if (std::find(options.whitelist.begin(), options.whitelist.end(), text) ==
        options.whitelist.end())
        return "not_whitelisted";
    const auto key = crypto::PublicKey::from_text_not_null(text);
    if (!key) return "key_malformed";
    const auto signature = crypto::Signature::from_text(request.fields.get("NM-Sign").value_or(""));
    if (!signature) return "signature_malformed";
    if (!crypto::verify(*key, as_bytes(text), *signature)) return "signature_wrong";
    return "ok";
}

Task<Response> RequestAuth::Impl::answer_monitor(Request& request, const http::Handler& handler) {
    const std::string_view outcome = judge_monitor(request);
    count(monitors, outcome);
    if (outcome == "ok") co_return co_await handler(request);
    const bool malformed = outcome == "key_malformed" || outcome == "signature_malformed";
    co_return Response::empty(malformed ? 400 : 403);
}

RequestAuth::RequestAuth(const net::Context& context, ServiceStore& store, Options options)
    : impl_(std::make_unique<Impl>(context, store, std::move(options))) {}

RequestAuth::~RequestAuth() = default;

Task<Result<>> RequestAuth::open() {
    co_return co_await impl_->nonces.open();
}

void RequestAuth::on_accepted(OnAccepted accepted) {
    impl_->accepted = std::move(accepted);
}

void RequestAuth::add_to(http::Router& router) {
    router.on(http::Method::get, "/security/nonces/{pk}", [this](Request& request) {
        return impl_->next_nonce(request);
    });
}

http::Handler RequestAuth::signed_by_anyone(SignedHandler handler, Success success) {
    return [this, route = Impl::Signed{std::move(handler), success}](Request& request) {
        return impl_->answer_signed(request, route);
    };
}

http::Handler RequestAuth::network_monitor(http::Handler handler) {
    return [this, handler = std::move(handler)](Request& request) {
        return impl_->answer_monitor(request, handler);
    };
}

}  // namespace skywire::services
