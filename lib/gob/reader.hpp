#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "gob/value.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

/// From a Value to a C++ type. How a type is read, its `Reads` says; a struct of ours:
///
///     template <>
///     struct gob::Reads<Hop> {
///         static constexpr Kind kKind = Kind::structure;
///         static Result<> read(const Value& value, Hop& hop) {
///             StructReader in(value);
///             in.field("From", hop.from);
///             in.field("To", hop.to);
///             return in.finish();
///         }
///     };
///
/// A `std::vector<Hop>` is then read too, and a struct with a field of either.
namespace skywire::gob {

/// For each type that can be read: `kKind`, the kind a sender must declare for it, and
/// `read(value, into)`, which gets a value of that kind.
template <class T>
struct Reads;

/// Reads any value; errc::wrong_kind, out_of_range, or what the type's `Reads` says.
template <class T>
[[nodiscard]] Result<> read(const Value& value, T& into) {
    if (value.kind() != Reads<T>::kKind) return wrong_kind(Reads<T>::kKind, value.kind());
    return Reads<T>::read(value, into);
}

/// Reads a struct's fields by name, in any order. What the sender does not have or has left out as
/// zero leaves the variable alone; what nobody asks for is passed over. A field declared with
/// another kind is errc::wrong_kind even where it is not set, as the network's decoder has it.
class StructReader {
 public:
    explicit StructReader(const Value& value) : value_(value) {
        auto members = value.members();
        if (!members) {
            failure_ = members.error();
            return;
        }
        set_.reserve(std::min<std::size_t>(value.type().fields.size(), 16));
        while (const auto member = members->next())
            set_.push_back(*member);
    }

    template <class T>
    void field(std::string_view name, T& into) {
        if (!failed()) keep(name, read_field(name, into));
    }

    /// True where the field is set.
    bool has(std::string_view name) const { return find(name) != nullptr; }

    /// The first failure, or success.
    [[nodiscard]] Result<> finish() const {
        if (failed()) return failure_;
        return {};
    }

 private:
    bool failed() const noexcept { return failure_.code().failed(); }

    /// Failures name the path: "Addr.Port: ...".
    void keep(std::string_view name, const Result<>& outcome) {
        if (!outcome) failure_ = outcome.error().within(name);
    }

    std::size_t index_of(std::string_view name) const {
        const auto& fields = value_.type().fields;
        const auto found = std::ranges::find(fields, name, &Field::name);
        return static_cast<std::size_t>(found - fields.begin());
    }

    const Value* find(std::string_view name) const {
        const auto found = std::ranges::find(set_, index_of(name), &Value::Member::index);
        return found == set_.end() ? nullptr : &found->value;
    }

    template <class T>
    Result<> read_field(std::string_view name, T& into) const {
        const std::size_t index = index_of(name);
        if (index == value_.type().fields.size()) return {};
        const Type* const declared = value_.type_of(value_.type().fields[index].type);
        if (declared == nullptr) return Error(errc::unknown_type);
        if (declared->kind != Reads<T>::kKind) {
            return wrong_kind(Reads<T>::kKind, declared->kind);
        }
        const Value* const value = find(name);
        return value == nullptr ? Result<>() : Reads<T>::read(*value, into);
    }

    Value value_;
    std::vector<Value::Member> set_;
    Error failure_;
};

template <>
struct Reads<bool> {
    static constexpr Kind kKind = Kind::boolean;
    static Result<> read(const Value& value, bool& into) {
        into = *value.as_bool();
        return {};
    }
};

/// Signed and unsigned numbers of any width; errc::out_of_range where the value is wider.
template <std::integral T>
struct Reads<T> {
    static constexpr Kind kKind = std::signed_integral<T> ? Kind::integer : Kind::unsigned_integer;
    static Result<> read(const Value& value, T& into) {
        if constexpr (std::signed_integral<T>) {
            return narrow(*value.as_int(), into);
        } else {
            return narrow(*value.as_uint(), into);
        }
    }

 private:
    template <class Wide>
    static Result<> narrow(Wide wide, T& into) {
        if (!std::in_range<T>(wide)) {
            return Error(
                errc::out_of_range, fmt::format("{} does not fit in {} bits", wide, sizeof(T) * 8)
            );
        }
        into = static_cast<T>(wide);
        return {};
    }
};

template <>
struct Reads<double> {
    static constexpr Kind kKind = Kind::floating;
    static Result<> read(const Value& value, double& into) {
        into = *value.as_float();
        return {};
    }
};

template <>
struct Reads<std::string> {
    static constexpr Kind kKind = Kind::text;
    static Result<> read(const Value& value, std::string& into) {
        into = *value.as_text();
        return {};
    }
};

template <>
struct Reads<Bytes> {
    static constexpr Kind kKind = Kind::bytes;
    static Result<> read(const Value& value, Bytes& into) {
        const ByteSpan bytes = *value.as_bytes();
        into.assign(bytes.begin(), bytes.end());
        return {};
    }
};

/// An array of bytes travels as that many unsigned numbers.
template <std::size_t N>
struct Reads<std::array<std::byte, N>> {
    static constexpr Kind kKind = Kind::array;
    static Result<> read(const Value& value, std::array<std::byte, N>& into) {
        auto elements = *value.elements();
        if (elements.left() != N) {
            return Error(
                errc::out_of_range,
                fmt::format("{} elements where {} are expected", elements.left(), N)
            );
        }
        for (std::byte& byte : into) {
            std::uint8_t number = 0;
            if (auto done = gob::read(*elements.next(), number); !done) return done;
            byte = std::byte{number};
        }
        return {};
    }
};

template <class T>
struct Reads<std::vector<T>> {
    static constexpr Kind kKind = Kind::slice;
    static Result<> read(const Value& value, std::vector<T>& into) {
        auto elements = *value.elements();
        into.clear();
        while (const auto element = elements.next()) {
            if (auto done = gob::read(*element, into.emplace_back()); !done) return done;
        }
        return {};
    }
};

}  // namespace skywire::gob
