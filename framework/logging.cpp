#include "framework/logging.hpp"

#include "framework/log_line.hpp"

#include <algorithm>
#include <atomic>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace skywire::framework {

namespace {

/// Standard error, one write per line; counts what the other end did not take.
class StandardError {
 public:
    explicit StandardError(std::atomic<std::uint64_t>& lost)
        : lost_(lost), logger_("stderr", std::make_shared<spdlog::sinks::stderr_sink_st>()) {
        logger_.set_pattern("%v");
        logger_.set_level(spdlog::level::trace);
        logger_.set_error_handler([this](const std::string&) { ++lost_; });
    }

    void write(std::string_view line) {
        // spdlog ends the line itself.
        if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
        logger_.log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
        if (std::ferror(stderr) != 0) {
            ++lost_;
            std::clearerr(stderr);
        }
    }

 private:
    std::atomic<std::uint64_t>& lost_;
    spdlog::logger logger_;
};

struct Temporary {
    log::Level back_to;
    SteadyTime due;
    WallTime until;
};

struct ScopeState {
    std::shared_ptr<log::Channel> channel;
    std::optional<Temporary> temporary;
    std::deque<std::string> ring;
};

}  // namespace

struct LogHub::Impl {
    Impl(Clock& clock_in, Format format_in, std::function<void(std::string_view)> write_line_in)
        : clock(clock_in), format(format_in), write_line(std::move(write_line_in)) {
        if (write_line) return;
        standard_error = std::make_unique<StandardError>(lost);
        write_line = [this](std::string_view line) { standard_error->write(line); };
    }

    void expire(SteadyTime now) {
        for (auto& [name, scope] : scopes) {
            if (!scope.temporary || scope.temporary->due > now) continue;
            scope.channel->set_level(scope.temporary->back_to);
            scope.temporary.reset();
        }
    }

    Clock& clock;
    const Format format;
    std::function<void(std::string_view)> write_line;
    std::unique_ptr<StandardError> standard_error;
    std::atomic<std::uint64_t> lost{0};

    /// Guards `scopes`. Never held while a line is written: a slow reader of standard error does
    /// not hold up whoever looks at the rings.
    std::mutex mutex;
    std::map<std::string, ScopeState, std::less<>> scopes;
    /// Keeps lines whole.
    std::mutex output_mutex;
};

LogHub::LogHub(Clock& clock, Format format, std::function<void(std::string_view)> write_line)
    : impl_(std::make_unique<Impl>(clock, format, std::move(write_line))) {}

LogHub::~LogHub() = default;

log::Logger LogHub::logger(const std::string& scope, log::Level level) {
    const std::scoped_lock lock(impl_->mutex);
    ScopeState& state = impl_->scopes[scope];
    if (!state.channel) state.channel = std::make_shared<log::Channel>(scope, level, *this);
    return log::Logger(state.channel);
}

bool LogHub::set_level(std::string_view scope, log::Level level, std::optional<Duration> expires) {
    const std::scoped_lock lock(impl_->mutex);
    const auto found = impl_->scopes.find(scope);
    if (found == impl_->scopes.end()) return false;
    const SteadyTime now = impl_->clock.now();
    impl_->expire(now);
    ScopeState& state = found->second;
    if (expires) {
        // A second temporary level falls back to what was there before the first.
        const log::Level back_to =
            state.temporary ? state.temporary->back_to : state.channel->level();
        state.temporary = Temporary{back_to, now + *expires, impl_->clock.wall() + *expires};
    } else {
        state.temporary.reset();
    }
    state.channel->set_level(level);
    return true;
}

std::vector<LogHub::LevelStatus> LogHub::levels() const {
    const std::scoped_lock lock(impl_->mutex);
    std::vector<LevelStatus> levels;
    for (const auto& [name, scope] : impl_->scopes) {
        LevelStatus status{name, scope.channel->level(), std::nullopt, std::nullopt};
        if (scope.temporary) {
            status.back_to = scope.temporary->back_to;
            status.until = scope.temporary->until;
        }
        levels.push_back(std::move(status));
    }
    return levels;
}

std::optional<SteadyTime> LogHub::expire_levels() {
    const std::scoped_lock lock(impl_->mutex);
    impl_->expire(impl_->clock.now());
    std::optional<SteadyTime> next;
    for (const auto& [name, scope] : impl_->scopes) {
        if (!scope.temporary) continue;
        next = next ? std::min(*next, scope.temporary->due) : scope.temporary->due;
    }
    return next;
}

std::optional<std::vector<std::string>> LogHub::recent(std::string_view scope) const {
    const std::scoped_lock lock(impl_->mutex);
    const auto found = impl_->scopes.find(scope);
    if (found == impl_->scopes.end()) return std::nullopt;
    return std::vector<std::string>(found->second.ring.begin(), found->second.ring.end());
}

std::uint64_t LogHub::lost() const noexcept {
    return impl_->lost.load();
}

void LogHub::write(
    log::Level level,
    std::string_view scope,
    std::string_view event,
    const log::Field* fields,
    std::size_t field_count
) {
    const LogEvent entry{impl_->clock.wall(), level, scope, event, fields, field_count};
    std::string line =
        impl_->format == Format::json ? format_log_json(entry) : format_log_text(entry);
    {
        const std::scoped_lock lock(impl_->mutex);
        const auto found = impl_->scopes.find(scope);
        if (found != impl_->scopes.end()) {
            std::deque<std::string>& ring = found->second.ring;
            ring.push_back(line);
            if (ring.size() > kRingLines) ring.pop_front();
        }
    }
    line += '\n';
    const std::scoped_lock lock(impl_->output_mutex);
    try {
        impl_->write_line(line);
    } catch (const std::exception&) {
        // Nobody is left to tell: a line that cannot be written must not end its writer.
        ++impl_->lost;
    }
}

}  // namespace skywire::framework
