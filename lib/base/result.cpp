#include "base/result.hpp"

#include <fmt/format.h>

namespace skywire {
namespace {

class BaseCategory final : public boost::system::error_category {
 public:
    const char* name() const noexcept override { return "skywire.base"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "ok";
            case errc::malformed:
                return "malformed input";
            case errc::out_of_range:
                return "value out of range";
            case errc::not_found:
                return "not found";
            case errc::limit_reached:
                return "limit reached";
            case errc::timed_out:
                return "timed out";
            case errc::cancelled:
                return "cancelled";
            case errc::closed:
                return "closed";
            case errc::unavailable:
                return "unavailable";
            case errc::forbidden:
                return "forbidden";
            case errc::wrong_state:
                return "wrong state";
            case errc::unsupported:
                return "unsupported";
            case errc::injected:
                return "fault injected by a test";
        }
        return "unknown";
    }
};

}  // namespace

std::string Error::message() const {
    return context_.empty() ? code_.message() : context_;
}

Error Error::within(std::string_view what) const {
    return {code_, fmt::format("{}: {}", what, message())};
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    throw ErrorException(error);
}

const boost::system::error_category& base_category() noexcept {
    static const BaseCategory category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), base_category()};
}

std::string quote_peer_text(std::string_view text, std::size_t limit) {
    std::string out = "\"";
    for (const char c : text.substr(0, limit)) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte > 0x7e) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    if (text.size() > limit) out += "...";
    out += '"';
    return out;
}

}  // namespace skywire
