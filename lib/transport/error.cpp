#include "transport/error.hpp"

namespace skywire::transport {
namespace {

class TransportCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.transport"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "ok";
            case errc::json_syntax:
                return "not JSON";
            case errc::json_type:
                return "a member has the wrong type";
            case errc::invalid_id:
                return "transport ID is invalid";
            case errc::wrong_id:
                return "the id does not belong to the edges and the type";
            case errc::wrong_edges:
                return "the edges are not sorted or one is null";
            case errc::wrong_signature:
                return "a signature is not that of its edge";
            case errc::no_signature:
                return "a signature is missing";
            case errc::not_an_edge:
                return "the key is no edge of the transport";
            case errc::too_long:
                return "type or label is too long";
        }
        return "unknown";
    }
};

}  // namespace

const boost::system::error_category& transport_category() noexcept {
    static const TransportCategory category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), transport_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::json_syntax:
            return "json_syntax";
        case errc::json_type:
            return "json_type";
        case errc::invalid_id:
            return "invalid_id";
        case errc::wrong_id:
            return "wrong_id";
        case errc::wrong_edges:
            return "wrong_edges";
        case errc::wrong_signature:
            return "wrong_signature";
        case errc::no_signature:
            return "no_signature";
        case errc::not_an_edge:
            return "not_an_edge";
        case errc::too_long:
            return "too_long";
    }
    return "unknown";
}

}  // namespace skywire::transport
