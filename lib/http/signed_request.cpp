#include "http/signed_request.hpp"

#include "crypto/error.hpp"

#include <limits>

#include <fmt/format.h>

namespace skywire::http {
namespace {

constexpr std::string_view kPublic = "SW-Public";
constexpr std::string_view kSignature = "SW-Sig";
constexpr std::string_view kNonce = "SW-Nonce";

class AuthCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.http.auth"; }

    std::string message(int value) const override {
        return std::string(reason(static_cast<auth_errc>(value)));
    }
};

Error refused(auth_errc code, std::string text) {
    return {make_error_code(code), std::move(text)};
}

/// Digits alone. A number too large is found at the digit that makes it so, whatever follows.
Result<std::uint64_t> parse_nonce(std::string_view text) {
    constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') {
            return refused(auth_errc::nonce_malformed, "error parsing SW-Nonce: invalid syntax");
        }
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (kMax - digit) / 10) {
            return refused(
                auth_errc::nonce_malformed, "error parsing SW-Nonce: value out of range"
            );
        }
        value = value * 10 + digit;
    }
    return value;
}

}  // namespace

const boost::system::error_category& auth_category() noexcept {
    static const AuthCategory category;
    return category;
}

ErrorCode make_error_code(auth_errc code) noexcept {
    return {static_cast<int>(code), auth_category()};
}

std::string_view reason(auth_errc code) noexcept {
    switch (code) {
        case auth_errc::ok:
            return "ok";
        case auth_errc::public_missing:
            return "public_missing";
        case auth_errc::public_malformed:
            return "public_malformed";
        case auth_errc::signature_missing:
            return "signature_missing";
        case auth_errc::signature_malformed:
            return "signature_malformed";
        case auth_errc::nonce_missing:
            return "nonce_missing";
        case auth_errc::nonce_malformed:
            return "nonce_malformed";
        case auth_errc::nonce_mismatch:
            return "nonce_mismatch";
        case auth_errc::signature_wrong:
            return "signature_wrong";
    }
    return "unknown";
}

bool has_signed_headers(const Fields& fields) noexcept {
    return fields.get(kPublic) || fields.get(kSignature) || fields.get(kNonce);
}

Result<SignedHeaders> read_signed_headers(const Fields& fields) {
    SignedHeaders headers;
    const std::string_view key_text = fields.get(kPublic).value_or("");
    if (key_text.empty()) return refused(auth_errc::public_missing, "SW-Public missing");
    const auto key = crypto::PublicKey::from_text(key_text);
    if (!key) {
        return refused(
            auth_errc::public_malformed, "error parsing SW-Public: " + key.error().code().message()
        );
    }
    headers.caller = *key;

    const std::string_view signature_text = fields.get(kSignature).value_or("");
    if (signature_text.empty()) return refused(auth_errc::signature_missing, "SW-Sig missing");
    const auto signature = crypto::Signature::from_text(signature_text);
    if (!signature) {
        return refused(
            auth_errc::signature_malformed,
            fmt::format(
                "error parsing SW-Sig:'{}': {}", signature_text, signature.error().code().message()
            )
        );
    }
    headers.signature = *signature;

    const std::string_view nonce_text = fields.get(kNonce).value_or("");
    if (nonce_text.empty()) return refused(auth_errc::nonce_missing, "SW-Nonce missing");
    const auto nonce = parse_nonce(nonce_text);
    if (!nonce) return nonce.error();
    headers.nonce = *nonce;
    return headers;
}

Error nonce_mismatch() {
    return refused(auth_errc::nonce_mismatch, "SW-Nonce does not match");
}

crypto::Digest signed_digest(const SignedHeaders& headers, std::string_view body) {
    const std::string digits = std::to_string(headers.nonce);
    return crypto::sha256({as_bytes(body), as_bytes(digits)});
}

Result<> check_signature(const SignedHeaders& headers, const crypto::Digest& digest) {
    const auto verified = crypto::verify_digest(headers.caller, digest, headers.signature);
    if (verified) return {};
    return refused(auth_errc::signature_wrong, verified.error().code().message());
}

Result<> check_signature(const SignedHeaders& headers, std::string_view body) {
    return check_signature(headers, signed_digest(headers, body));
}

void sign_request(
    Fields& fields, const crypto::KeyPair& keys, std::string_view body, std::uint64_t nonce
) {
    const std::string signed_text = std::string(body) + std::to_string(nonce);
    fields.set(kPublic, keys.public_key.to_text());
    fields.set(kNonce, std::to_string(nonce));
    fields.set(kSignature, crypto::sign(keys.secret_key, as_bytes(signed_text)).to_text());
}

}  // namespace skywire::http
