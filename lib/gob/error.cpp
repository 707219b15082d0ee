#include "gob/error.hpp"

#include <string>

namespace skywire::gob {
namespace {

struct Category final : boost::system::error_category {
    const char* name() const noexcept override { return "skywire.gob"; }

    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::ok:
                return "success";
            case errc::truncated:
                return "the bytes end inside a value";
            case errc::out_of_range:
                return "a length, a type id or a number is outside of what the format or our "
                       "limits allow";
            case errc::unknown_type:
                return "a value of a type that no definition describes, or a definition that "
                       "contradicts itself";
            case errc::wrong_kind:
                return "a field has another kind than the reader expects";
            case errc::too_complex:
                return "definitions nest or repeat beyond our limits";
        }
        return "unknown error " + std::to_string(value);
    }
};

}  // namespace

const boost::system::error_category& gob_category() noexcept {
    static const Category category;
    return category;
}

ErrorCode make_error_code(errc code) noexcept {
    return {static_cast<int>(code), gob_category()};
}

std::string_view reason(errc code) noexcept {
    switch (code) {
        case errc::ok:
            return "ok";
        case errc::truncated:
            return "truncated";
        case errc::out_of_range:
            return "out_of_range";
        case errc::unknown_type:
            return "unknown_type";
        case errc::wrong_kind:
            return "wrong_kind";
        case errc::too_complex:
            return "too_complex";
    }
    return "unknown";
}

}  // namespace skywire::gob
