#pragma once

#include "http/signed_request.hpp"
#include "net/context.hpp"

#include <deque>
#include <optional>
#include <vector>

#include <boost/asio/any_completion_handler.hpp>

namespace skywire::services {

/// Checks the signatures of requests, which at 42 us each are most of what such requests cost, away
/// from the loop. What comes while the workers are at it goes to them together, so that a busy
/// service pays the way there and back once for several. Belongs to one loop.
class SignatureChecks {
 public:
    explicit SignatureChecks(const net::Context& context) : context_(context) {}
    SignatureChecks(const SignatureChecks&) = delete;
    SignatureChecks& operator=(const SignatureChecks&) = delete;

    /// auth_errc::signature_wrong where the signature is not the caller's over the digest.
    Task<Result<>> check(http::SignedHeaders headers, crypto::Digest digest);

 private:
    struct Signed {
        http::SignedHeaders headers;
        crypto::Digest digest;
    };
    /// The outcome, or nothing for who leads the next batch.
    using Outcome = std::optional<Result<>>;
    using Handler = asio::any_completion_handler<void(Outcome)>;
    struct Waiting {
        Signed request;
        Handler handler;
    };
    class Lead;

    Task<Outcome> wait(Signed request);
    Task<Result<>> lead(Signed request);
    std::vector<Waiting> take_waiting();
    void resume(Handler handler, Outcome outcome);
    void pass_on();

    net::Context context_;
    /// When the loop may check one by itself again.
    SteadyTime alone_from_{};
    /// With the workers now.
    std::size_t batches_ = 0;
    /// Requests under way, which the server bounds.
    std::deque<Waiting> waiting_;
};

}  // namespace skywire::services
