#include "framework/json_writer.hpp"

#include "base/json.hpp"

#include <cmath>

#include <fmt/format.h>

namespace skywire::framework {

void JsonWriter::separate() {
    if (comma_) out_ += ',';
}

JsonWriter& JsonWriter::open(char bracket) {
    separate();
    out_ += bracket;
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
    out_ += bracket;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view text) {
    separate();
    out_ += text;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    append_json_string(out_, name, JsonEscape::plain);
    out_ += ':';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    separate();
    append_json_string(out_, text, JsonEscape::plain);
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::value(double number) {
    // JSON has no word for infinity.
    return std::isfinite(number) ? raw(fmt::format("{}", number)) : null();
}

JsonWriter& JsonWriter::value(WallTime time) {
    return value(std::string_view(format_rfc3339(time)));
}

JsonWriter& JsonWriter::duration(std::string_view name, Duration duration) {
    member(name, std::string_view(format_duration(duration)));
    return member(std::string(name) + "_seconds", std::chrono::duration<double>(duration).count());
}

std::string JsonWriter::take() {
    std::string document = std::move(out_);
    document += '\n';
    out_.clear();
    comma_ = false;
    return document;
}

}  // namespace skywire::framework
