#pragma once

#include "base/clock.hpp"
#include "base/log.hpp"

#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// Where the log lines of a process go: standard error, as text or JSON, and a ring of the newest
/// lines per service that the admin listener shows. Levels change at run time, for a while or for
/// good. Safe to use from any thread.
class LogHub final : public log::Sink {
 public:
    enum class Format { text, json };

    /// `write_line` gets each finished line with its newline; empty = standard error through
    /// spdlog.
    LogHub(Clock& clock, Format format, std::function<void(std::string_view)> write_line = {});
    ~LogHub() override;

    /// The logger of one service; the same scope gives the same channel.
    log::Logger logger(const std::string& scope, log::Level level = log::Level::info);

    /// Sets a level; with `expires` it falls back by itself to what it was. False: no such scope.
    bool set_level(
        std::string_view scope, log::Level level, std::optional<Duration> expires = std::nullopt
    );

    struct LevelStatus {
        std::string scope;
        log::Level level;
        /// The level it falls back to, and when; only while a temporary level holds.
        std::optional<log::Level> back_to;
        std::optional<WallTime> until;
    };
    std::vector<LevelStatus> levels() const;

    /// Reverts levels whose time has come; returns when the next one is due, if any. Called by the
    /// process once a second, and before levels are shown.
    std::optional<SteadyTime> expire_levels();

    /// The newest lines of a scope, oldest first; nothing for an unknown scope.
    std::optional<std::vector<std::string>> recent(std::string_view scope) const;

    /// Lines that could not be written.
    std::uint64_t lost() const noexcept;

    void write(
        log::Level level,
        std::string_view scope,
        std::string_view event,
        const log::Field* fields,
        std::size_t field_count
    ) override;

    static constexpr std::size_t kRingLines = 500;

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::framework
