#include "dmsg/error.hpp"

namespace skywire::dmsg {
namespace {

std::string_view text(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::entry_not_found:
            return "entry of public key is not found";
        case errc::no_servers:
            return "no delegated dmsg servers available for remote";
        case errc::bad_input:
            return "error bad input";
        case errc::invalid_signature:
            return "invalid signature";
        case errc::unexpected:
            return "something unexpected happened";
        case errc::no_version:
            return "entry validation error: entry has no version";
        case errc::no_signature:
            return "entry validation error: entry has no signature";
        case errc::no_static_key:
            return "entry validation error: entry Keys is nil";
        case errc::no_role:
            return "entry validation error: entry has neither client or server field";
        case errc::no_server_address:
            return "entry validation error: server address cannot be empty";
        case errc::outdated_timestamp:
            return "entry validation error: advertised entry has outdated timestamp";
        case errc::loopback_address:
            return "entry validation error: advertising localhost listening address is not allowed "
                   "in production mode";
        case errc::wrong_sequence:
            return "entry validation error: sequence field of new entry is not sequence of old "
                   "entry + 1";
        case errc::older_timestamp:
            return "entry validation error: advertised entry timestamp is not greater than "
                   "previous";
    }
    return "unknown";
}

class DmsgCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.dmsg"; }
    std::string message(int value) const override {
        return std::string(text(static_cast<errc>(value)));
    }
};

}  // namespace

const boost::system::error_category& dmsg_category() noexcept {
    static const DmsgCategory category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), dmsg_category()};
}

std::optional<errc> errc_of_text(std::string_view sentence) noexcept {
    for (int value = 1; value <= static_cast<int>(errc::older_timestamp); ++value) {
        const auto code = static_cast<errc>(value);
        if (text(code) == sentence) return code;
    }
    return std::nullopt;
}

int http_status(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return 200;
        case errc::entry_not_found:
        case errc::no_servers:
            return 404;
        case errc::bad_input:
            return 400;
        case errc::invalid_signature:
            return 401;
        case errc::unexpected:
            return 500;
        case errc::no_version:
        case errc::no_signature:
        case errc::no_static_key:
        case errc::no_role:
        case errc::no_server_address:
        case errc::outdated_timestamp:
        case errc::loopback_address:
        case errc::wrong_sequence:
        case errc::older_timestamp:
            return 422;
    }
    return 500;
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::entry_not_found:
            return "entry_not_found";
        case errc::no_servers:
            return "no_servers";
        case errc::bad_input:
            return "bad_input";
        case errc::invalid_signature:
            return "invalid_signature";
        case errc::unexpected:
            return "unexpected";
        case errc::no_version:
            return "no_version";
        case errc::no_signature:
            return "no_signature";
        case errc::no_static_key:
            return "no_static_key";
        case errc::no_role:
            return "no_role";
        case errc::no_server_address:
            return "no_server_address";
        case errc::outdated_timestamp:
            return "outdated_timestamp";
        case errc::loopback_address:
            return "loopback_address";
        case errc::wrong_sequence:
            return "wrong_sequence";
        case errc::older_timestamp:
            return "older_timestamp";
    }
    return "unknown";
}

}  // namespace skywire::dmsg
