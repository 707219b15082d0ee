#include "crypto/error.hpp"

namespace skywire::crypto {
namespace {

class CryptoCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.crypto"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "ok";
            case errc::invalid_public_key:
                return "Invalid public key";
            case errc::invalid_public_key_length:
                return "Invalid public key length";
            case errc::invalid_secret_key:
                return "Invalid secret key";
            case errc::invalid_secret_key_length:
                return "Invalid secret key length";
            case errc::invalid_signature:
                return "Invalid signature";
            case errc::invalid_signature_length:
                return "Invalid signature length";
            case errc::not_recoverable:
                return "Failed to recover pubkey from signature";
            case errc::wrong_signer:
                return "Recovered pubkey does not match pubkey";
            case errc::not_canonical:
                return "VerifySignatureRecoverPubKey, VerifySignatureValidity failed";
            case errc::zero_digest:
                return "digest to sign is all zeros";
            case errc::invalid_nonce:
                return "signing nonce is out of range";
        }
        return "unknown";
    }
};

}  // namespace

const boost::system::error_category& crypto_category() noexcept {
    static const CryptoCategory category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), crypto_category()};
}

}  // namespace skywire::crypto
