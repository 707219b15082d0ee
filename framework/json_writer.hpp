#pragma once

#include "base/clock.hpp"

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace skywire::framework {

/// Writes one JSON document, members in the order they are given. Text that is not UTF-8 is
/// mended, numbers keep their short form (Boost.JSON would print 0.25 as 2.5E-1).
///
///     JsonWriter out;
///     out.begin_object().member("ready", true).end_object();
///     out.take();
class JsonWriter {
 public:
    JsonWriter& begin_object() { return open('{'); }
    JsonWriter& end_object() { return close('}'); }
    JsonWriter& begin_array() { return open('['); }
    JsonWriter& end_array() { return close(']'); }

    /// The name of the member that comes next.
    JsonWriter& key(std::string_view name);

    JsonWriter& value(std::string_view text);
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    JsonWriter& value(double number);
    JsonWriter& value(WallTime time);
    template <std::integral Number>
    JsonWriter& value(Number number) {
        if constexpr (std::same_as<Number, bool>) return raw(number ? "true" : "false");
        return raw(std::to_string(number));
    }
    JsonWriter& null() { return raw("null"); }

    template <class Value>
    JsonWriter& member(std::string_view name, const Value& content) {
        return key(name).value(content);
    }
    /// "1.2s" under `name` and 1.2 under `name`_seconds.
    JsonWriter& duration(std::string_view name, Duration duration);

    /// The document with a newline behind it; the writer is empty again.
    std::string take();

 private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    JsonWriter& raw(std::string_view text);
    void separate();

    std::string out_;
    /// A value was written in the object or array that is open: a comma comes first.
    bool comma_ = false;
};

}  // namespace skywire::framework
