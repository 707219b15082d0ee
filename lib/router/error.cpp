#include "router/error.hpp"

#include <string>

namespace skywire::router {
namespace {

struct Category final : boost::system::error_category {
    const char* name() const noexcept override { return "skywire.router"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "success";
            case errc::no_forward_hops:
                return "bidirectional route does not have forward hops";
            case errc::no_reverse_hops:
                return "bidirectional route does not have reverse hops";
            case errc::invalid_description:
                return "bidirectional route has an invalid route description";
            case errc::no_key:
                return "id reservoir has no key";
            case errc::too_many_hops:
                return "the route has too many hops";
            case errc::keep_alive_out_of_range:
                return "the keep-alive time is out of range";
            case errc::malformed_rule:
                return "malformed routing rule";
            case errc::wrong_kind:
                return "a routing rule of another kind is expected";
        }
        return "unknown error " + std::to_string(value);
    }
};

}  // namespace

const boost::system::error_category& router_category() noexcept {
    static const Category category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), router_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::no_forward_hops:
            return "no_forward_hops";
        case errc::no_reverse_hops:
            return "no_reverse_hops";
        case errc::invalid_description:
            return "invalid_description";
        case errc::no_key:
            return "no_key";
        case errc::too_many_hops:
            return "too_many_hops";
        case errc::keep_alive_out_of_range:
            return "keep_alive_out_of_range";
        case errc::malformed_rule:
            return "malformed_rule";
        case errc::wrong_kind:
            return "wrong_kind";
    }
    return "unknown";
}

}  // namespace skywire::router
