#include "rpc/error.hpp"

#include <string>

namespace skywire::rpc {
namespace {

constexpr std::size_t kTextMax = 256;

struct Category final : boost::system::error_category {
    const char* name() const noexcept override { return "skywire.rpc"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "success";
            case errc::refused:
                return "the peer has answered with an error";
            case errc::unexpected_answer:
                return "the peer has answered a call that nobody made";
            case errc::name_too_long:
                return "the name of a method is too long";
            case errc::too_many_calls:
                return "too many calls are under way on the stream";
        }
        return "unknown error " + std::to_string(value);
    }
};

}  // namespace

const boost::system::error_category& rpc_category() noexcept {
    static const Category category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), rpc_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::refused:
            return "refused";
        case errc::unexpected_answer:
            return "unexpected_answer";
        case errc::name_too_long:
            return "name_too_long";
        case errc::too_many_calls:
            return "too_many_calls";
    }
    return "unknown";
}

bool is_unknown_method(const Error& error) noexcept {
    const std::string_view text = error.context();
    return error == make_error_code(errc::refused) && (text.starts_with("rpc: can't find method") ||
                                                       text.starts_with("rpc: can't find service"));
}

Error refused_by_peer(std::string_view text) {
    const std::string quoted = quote_peer_text(text, kTextMax);
    return {make_error_code(errc::refused), quoted.substr(1, quoted.size() - 2)};
}

}  // namespace skywire::rpc
