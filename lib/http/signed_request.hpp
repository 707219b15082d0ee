#pragma once

#include "base/result.hpp"
#include "crypto/hash.hpp"
#include "crypto/keys.hpp"
#include "crypto/signature.hpp"
#include "http/message.hpp"

#include <cstdint>
#include <string_view>
#include <type_traits>

/// Requests that carry their sender's signature: the headers SW-Public, SW-Nonce and SW-Sig over
/// the body and the nonce. Method, path and query are not covered. Pure; who remembers the nonces
/// is the server's concern. spec/services-http.md section 2.
namespace skywire::http {

/// Why a signed request is refused. The context of the Error is the network's own sentence, which
/// clients compare.
enum class auth_errc {
    ok = 0,
    /// No SW-Public, or an empty one.
    public_missing,
    /// SW-Public is no key.
    public_malformed,
    /// No SW-Sig, or an empty one.
    signature_missing,
    /// SW-Sig is no signature.
    signature_malformed,
    /// No SW-Nonce, or an empty one.
    nonce_missing,
    /// SW-Nonce is no decimal number of 64 bits.
    nonce_malformed,
    /// The nonce is not the one that is due.
    nonce_mismatch,
    /// The signature is another key's, or covers other bytes, or has a form that is refused.
    signature_wrong,
};

const boost::system::error_category& auth_category() noexcept;
ErrorCode make_error_code(auth_errc code) noexcept;

/// The value of a counter's `reason` label: the enumerator's name.
std::string_view reason(auth_errc code) noexcept;

/// What the headers say; nothing is verified.
struct SignedHeaders {
    /// May be the null key, which no signature verifies for.
    crypto::PublicKey caller;
    crypto::Signature signature;
    std::uint64_t nonce = 0;
};

/// Whether any of the three headers is there.
bool has_signed_headers(const Fields& fields) noexcept;

/// Reads the headers in the network's order: key, signature, nonce; the first failure is the
/// answer.
Result<SignedHeaders> read_signed_headers(const Fields& fields);

/// What a server answers, before it looks at the signature, to a nonce that is not due.
Error nonce_mismatch();

/// The digest that a request's signature is over: of its body and nonce.
crypto::Digest signed_digest(const SignedHeaders& headers, std::string_view body);

/// auth_errc::signature_wrong where the signature is not the caller's over the digest. Costs about
/// 42 us.
[[nodiscard]] Result<> check_signature(const SignedHeaders& headers, const crypto::Digest& digest);
[[nodiscard]] Result<> check_signature(const SignedHeaders& headers, std::string_view body);

/// Adds the three headers of a request with this body to `fields`.
void sign_request(
    Fields& fields, const crypto::KeyPair& keys, std::string_view body, std::uint64_t nonce
);

}  // namespace skywire::http

template <>
struct boost::system::is_error_code_enum<skywire::http::auth_errc> : std::true_type {};
