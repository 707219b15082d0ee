#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace skywire::framework {

/// One event of the log before it becomes text. The views live as long as the caller's.
struct LogEvent {
    WallTime at;
    log::Level level;
    std::string_view scope;
    std::string_view event;
    const log::Field* fields;
    std::size_t field_count;
};

/// No line is longer than this: a value that does not fit is cut, the fields behind it are left
/// out, and the field `truncated` says so.
inline constexpr std::size_t kLogLineBytesMax = 4096;

/// `2026-11-21T11:22:33.123456789Z INFO  [dmsgd] entry.registered pk=02ab type="visor x"`, without
/// a newline. Values are quoted where they hold more than plain words. Control characters, marks
/// that turn the reading direction and bytes that are not UTF-8 come out escaped: no value can
/// start a line of its own or move a terminal's cursor.
std::string format_log_text(const LogEvent& event);

/// `{"time":"...","level":"info","service":"dmsgd","event":"entry.registered","pk":"02ab"}`,
/// without a newline. A field named like one of the first four gets a `_` behind its name.
std::string format_log_json(const LogEvent& event);

}  // namespace skywire::framework
