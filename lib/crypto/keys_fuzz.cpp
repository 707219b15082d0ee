// Key and signature texts, and a signature over arbitrary bytes. The first byte chooses the
// decoder.

#include "crypto/signature.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const ByteSpan bytes = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0]) {
        case 'p':
            if (const auto key = crypto::PublicKey::from_text(as_text(bytes))) {
                check(crypto::PublicKey::from_text(key->to_text()).value() == *key);
            }
            break;
        case 's':
            if (const auto key = crypto::SecretKey::from_text(as_text(bytes))) {
                check(!crypto::public_key_of(*key).is_null());
            }
            break;
        case 'b':
            if (const auto key = crypto::PublicKey::from_bytes(bytes)) {
                const auto secret_key = crypto::deterministic_key_pair("fuzz").secret_key;
                check(crypto::ecdh(secret_key, *key).has_value());
            }
            break;
        default: {
            const auto signature = crypto::Signature::from_text(as_text(bytes));
            if (!signature) break;
            const auto digest = crypto::sha256(as_bytes("fuzz"));
            const auto key = crypto::recover(digest, *signature);
            if (key) check(!key->is_null());
        }
    }
    return 0;
}
