#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

/// The interface through which lib/ logs. framework/ hangs the sinks on it.
///
/// `log::info(logger, "entry.registered", kv("pk", pk))`: the event's name first, fields after. A
/// name is lower case, words joined by dots, the same for every occurrence. info is the operator's
/// timeline and must not be triggerable at will by a peer; debug is one line per decision; trace
/// one per frame. Secrets have no formatter.
namespace skywire::log {

enum class Level { trace, debug, info, warn, error, off };

std::string_view level_name(Level level) noexcept;

/// Accepts the names of the existing network too: "warning", "fatal" and "panic" (as error).
std::optional<Level> parse_level(std::string_view name) noexcept;

struct Field {
    std::string_view key;
    std::string value;
};

/// `value` is anything fmt can print.
template <class T>
Field kv(std::string_view key, const T& value) {
    return {key, fmt::format("{}", value)};
}

/// Where lines go. Called from any thread.
class Sink {
 public:
    virtual ~Sink() = default;
    virtual void write(
        Level level,
        std::string_view scope,
        std::string_view event,
        const Field* fields,
        std::size_t field_count
    ) = 0;
};

/// One stream of lines with one level: a service's, or a part's. Safe to use from any thread.
class Channel {
 public:
    Channel(std::string scope, Level level, Sink& sink)
        : scope_(std::move(scope)), level_(level), sink_(sink) {}

    bool enabled(Level level) const noexcept {
        return level >= level_.load(std::memory_order_relaxed);
    }
    Level level() const noexcept { return level_.load(std::memory_order_relaxed); }
    void set_level(Level level) noexcept { level_.store(level, std::memory_order_relaxed); }
    const std::string& scope() const noexcept { return scope_; }
    Sink& sink() noexcept { return sink_; }

 private:
    std::string scope_;
    std::atomic<Level> level_;
    Sink& sink_;
};

/// A cheap handle on a Channel; the default one drops everything.
class Logger {
 public:
    Logger() = default;
    explicit Logger(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}

    bool enabled(Level level) const noexcept { return channel_ && channel_->enabled(level); }
    Channel* channel() const noexcept { return channel_.get(); }

 private:
    std::shared_ptr<Channel> channel_;
};

template <class... Fields>
void write(const Logger& logger, Level level, std::string_view event, Fields&&... fields) {
    if (!logger.enabled(level)) return;
    const std::array<Field, sizeof...(Fields) + 1> list{Field(std::forward<Fields>(fields))..., {}};
    logger.channel()->sink().write(
        level, logger.channel()->scope(), event, list.data(), sizeof...(Fields)
    );
}

template <class... Fields>
void trace(const Logger& logger, std::string_view event, Fields&&... fields) {
    write(logger, Level::trace, event, std::forward<Fields>(fields)...);
}
template <class... Fields>
void debug(const Logger& logger, std::string_view event, Fields&&... fields) {
    write(logger, Level::debug, event, std::forward<Fields>(fields)...);
}
template <class... Fields>
void info(const Logger& logger, std::string_view event, Fields&&... fields) {
    write(logger, Level::info, event, std::forward<Fields>(fields)...);
}
template <class... Fields>
void warn(const Logger& logger, std::string_view event, Fields&&... fields) {
    write(logger, Level::warn, event, std::forward<Fields>(fields)...);
}
template <class... Fields>
void error(const Logger& logger, std::string_view event, Fields&&... fields) {
    write(logger, Level::error, event, std::forward<Fields>(fields)...);
}

}  // namespace skywire::log
