#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The interface through which lib/ counts. framework/ prints what is registered at /metrics.
///
/// A name is registered once with its help; label values come from closed sets, never from a peer.
/// Keep the reference: looking a series up takes a lock, adding to it does not.
namespace skywire {

class Counter {
 public:
    void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
    std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
    std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
    void set(double value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void add(double by) noexcept {
        double seen = value_.load(std::memory_order_relaxed);
        while (!value_.compare_exchange_weak(seen, seen + by, std::memory_order_relaxed)) {
        }
    }
    double value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
    std::atomic<double> value_{0};
};

/// Cumulative buckets (`le`) over seconds, bytes or whatever the name says.
class Histogram {
 public:
    explicit Histogram(std::span<const double> upper_bounds);

    void observe(double value) noexcept;

    struct Snapshot {
        std::vector<std::pair<double, std::uint64_t>> cumulative;
        std::uint64_t count = 0;
        double sum = 0;
    };
    Snapshot snapshot() const;

 private:
    std::vector<double> bounds_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
    std::atomic<double> sum_{0};
};

/// 100 us to 10 s, for request and operation times.
inline constexpr std::array<double, 12> kLatencyBuckets{
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 10
};

using Labels = std::vector<std::pair<std::string, std::string>>;

/// A place where series are registered. The same name and labels give the same object again.
class Metrics {
 public:
    virtual ~Metrics() = default;
    virtual Counter& counter(std::string_view name, std::string_view help, Labels labels = {}) = 0;
    virtual Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {}) = 0;
    virtual Histogram& histogram(
        std::string_view name,
        std::string_view help,
        Labels labels = {},
        std::span<const double> upper_bounds = kLatencyBuckets
    ) = 0;
};

/// Series of this process kept in memory: what tests read, and the base of the printed registry.
/// Safe to call from any thread; series live as long as the registry.
class MetricRegistry : public Metrics {
 public:
    enum class Kind { counter, gauge, histogram };

    Counter& counter(std::string_view name, std::string_view help, Labels labels = {}) override;
    Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {}) override;
    Histogram& histogram(
        std::string_view name,
        std::string_view help,
        Labels labels = {},
        std::span<const double> upper_bounds = kLatencyBuckets
    ) override;

    struct Series {
        Labels labels;
        std::unique_ptr<Counter> counter;
        std::unique_ptr<Gauge> gauge;
        std::unique_ptr<Histogram> histogram;
    };
    struct Family {
        std::string name;
        std::string help;
        Kind kind;
        std::vector<std::unique_ptr<Series>> series;
    };

    /// Calls `visit(const Family&)` for every family in order of registration, under the lock.
    template <class Visit>
    void for_each(Visit&& visit) const {
        const std::scoped_lock lock(mutex_);
        for (const auto& family : families_)
            visit(*family);
    }

    /// Forgets every series that carries this label; references to them die.
    void forget(std::string_view label, std::string_view value);

 private:
    Series& series(std::string_view name, std::string_view help, Kind kind, Labels labels);

    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<Family>> families_;
};

/// Adds fixed labels (the service's name) to all that is registered through it.
class LabelledMetrics final : public Metrics {
 public:
    LabelledMetrics(Metrics& target, Labels labels) : target_(target), labels_(std::move(labels)) {}

    Counter& counter(std::string_view name, std::string_view help, Labels labels = {}) override;
    Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {}) override;
    Histogram& histogram(
        std::string_view name,
        std::string_view help,
        Labels labels = {},
        std::span<const double> upper_bounds = kLatencyBuckets
    ) override;

 private:
    Labels with_ours(Labels labels) const;

    Metrics& target_;
    Labels labels_;
};

}  // namespace skywire
