#include "crypto/detail/curve.hpp"

#include "base/assert.hpp"

namespace skywire::crypto {

PublicKey PublicKeyAccess::make(const secp256k1_pubkey& point) {
    PublicKey key;
    std::size_t size = key.bytes_.size();
    SKY_ASSERT(
        secp256k1_ec_pubkey_serialize(
            detail::curve(),
            detail::raw_writable(key.bytes_),
            &size,
            &point,
            SECP256K1_EC_COMPRESSED
        ) == 1
    );
    return key;
}

}  // namespace skywire::crypto

namespace skywire::crypto::detail {
namespace {

void ignore_illegal_argument(const char*, void*) {}

const secp256k1_context* make_context() {
    secp256k1_context* context = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
    SKY_ASSERT(context != nullptr);
    secp256k1_context_set_illegal_callback(context, ignore_illegal_argument, nullptr);
    std::array<std::byte, 32> blinding;
    SystemRandom().fill(blinding);
    SKY_ASSERT(secp256k1_context_randomize(context, raw(blinding)) == 1);
    wipe(blinding);
    return context;
}

}  // namespace

const secp256k1_context* curve() {
    static const secp256k1_context* const context = make_context();
    return context;
}

}  // namespace skywire::crypto::detail
