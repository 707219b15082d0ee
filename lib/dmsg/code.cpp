#include "dmsg/code.hpp"

#include <string>

#include <fmt/format.h>

namespace skywire::dmsg {
namespace {

std::string_view text(Code code) noexcept {
    switch (code) {
        case Code::ok:
            return "success";
        case Code::entry_not_found:
            return "entry is not found in discovery";
        case Code::entry_not_of_server:
            return "entry is not of server in discovery";
        case Code::entry_not_of_client:
            return "entry is not of client in discovery";
        case Code::no_delegated_servers:
            return "client entry in discovery has no delegated servers";
        case Code::entity_closed:
            return "local entity closed";
        case Code::session_closed:
            return "local session closed";
        case Code::no_delegated_connection:
            return "cannot connect to delegated server";
        case Code::extra_handshake_bytes:
            return "extra bytes received during session handshake";
        case Code::request_signature:
            return "request has invalid signature";
        case Code::request_timestamp:
            return "request timestamp should be higher than last";
        case Code::request_source_key:
            return "request has invalid source public key";
        case Code::request_destination_key:
            return "request has invalid destination public key";
        case Code::request_source_port:
            return "request has invalid source port";
        case Code::request_destination_port:
            return "request has invalid destination port";
        case Code::no_listener:
            return "request has no associated listener";
        case Code::no_next_session:
            return "request cannot be forwarded because the next session is non-existent";
        case Code::response_signature:
            return "response has invalid signature";
        case Code::response_hash:
            return "response has invalid hash of associated request";
        case Code::response_rejected:
            return "response rejected associated request without reason";
        case Code::signed_object_invalid:
            return "signed object is invalid";
        case Code::port_occupied:
            return "port already occupied";
        case Code::accept_queue_full:
            return "listener accept chan maxed";
    }
    return "unknown";
}

class CodeCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.dmsg.stream"; }
    std::string message(int value) const override {
        return fmt::format("dmsg error {} - {}", value, text(static_cast<Code>(value)));
    }
};

}  // namespace

const boost::system::error_category& code_category() noexcept {
    static const CodeCategory category;
    return category;
}

ErrorCode make_error_code(Code code) noexcept {
    return {static_cast<int>(code), code_category()};
}

std::string_view reason(Code code) noexcept {
    switch (code) {
        case Code::ok:
            return "ok";
        case Code::entry_not_found:
            return "entry_not_found";
        case Code::entry_not_of_server:
            return "entry_not_of_server";
        case Code::entry_not_of_client:
            return "entry_not_of_client";
        case Code::no_delegated_servers:
            return "no_delegated_servers";
        case Code::entity_closed:
            return "entity_closed";
        case Code::session_closed:
            return "session_closed";
        case Code::no_delegated_connection:
            return "no_delegated_connection";
        case Code::extra_handshake_bytes:
            return "extra_handshake_bytes";
        case Code::request_signature:
            return "request_signature";
        case Code::request_timestamp:
            return "request_timestamp";
        case Code::request_source_key:
            return "request_source_key";
        case Code::request_destination_key:
            return "request_destination_key";
        case Code::request_source_port:
            return "request_source_port";
        case Code::request_destination_port:
            return "request_destination_port";
        case Code::no_listener:
            return "no_listener";
        case Code::no_next_session:
            return "no_next_session";
        case Code::response_signature:
            return "response_signature";
        case Code::response_hash:
            return "response_hash";
        case Code::response_rejected:
            return "response_rejected";
        case Code::signed_object_invalid:
            return "signed_object_invalid";
        case Code::port_occupied:
            return "port_occupied";
        case Code::accept_queue_full:
            return "accept_queue_full";
    }
    return "unknown";
}

}  // namespace skywire::dmsg
