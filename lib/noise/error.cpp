#include "noise/error.hpp"

#include <string>

namespace skywire::noise {
namespace {

struct Category final : boost::system::error_category {
    const char* name() const noexcept override { return "skywire.noise"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "success";
            case errc::missing_key:
                return "the pattern needs the peer's key beforehand";
            case errc::wrong_turn:
                return "a message was written or read out of turn, or after the last one";
            case errc::short_message:
                return "a handshake message is too short for its pattern";
            case errc::invalid_point:
                return "a public key in a message is no point of the curve";
            case errc::not_authentic:
                return "a tag does not match: wrong key, or bytes changed on the way";
            case errc::short_record:
                return "a record is shorter than its nonce and tag";
            case errc::replayed_nonce:
                return "a nonce was seen before, is too old, or does not rise";
            case errc::nonces_exhausted:
                return "the counter is used up; the session must be made anew";
            case errc::frame_too_long:
                return "a frame is longer than the network allows";
        }
        return "unknown error " + std::to_string(value);
    }
};

}  // namespace

const boost::system::error_category& noise_category() noexcept {
    static const Category category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), noise_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::missing_key:
            return "missing_key";
        case errc::wrong_turn:
            return "wrong_turn";
        case errc::short_message:
            return "short_message";
        case errc::invalid_point:
            return "invalid_point";
        case errc::not_authentic:
            return "not_authentic";
        case errc::short_record:
            return "short_record";
        case errc::replayed_nonce:
            return "replayed_nonce";
        case errc::nonces_exhausted:
            return "nonces_exhausted";
        case errc::frame_too_long:
            return "frame_too_long";
    }
    return "unknown";
}

}  // namespace skywire::noise
