#include "base/metrics.hpp"

#include "base/assert.hpp"

#include <algorithm>

namespace skywire {

Histogram::Histogram(std::span<const double> upper_bounds)
    : bounds_(upper_bounds.begin(), upper_bounds.end()),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {
    SKY_ASSERT(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double value) noexcept {
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
    counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
    double seen = sum_.load(std::memory_order_relaxed);
    while (!sum_.compare_exchange_weak(seen, seen + value, std::memory_order_relaxed)) {
    }
}

Histogram::Snapshot Histogram::snapshot() const {
    Snapshot snapshot;
    for (std::size_t i = 0; i < bounds_.size(); ++i) {
        snapshot.count += counts_[i].load(std::memory_order_relaxed);
        snapshot.cumulative.emplace_back(bounds_[i], snapshot.count);
    }
    snapshot.count += counts_[bounds_.size()].load(std::memory_order_relaxed);
    snapshot.sum = sum_.load(std::memory_order_relaxed);
    return snapshot;
}

MetricRegistry::Series& MetricRegistry::series(
    std::string_view name, std::string_view help, Kind kind, Labels labels
) {
    auto family = std::find_if(families_.begin(), families_.end(), [&](const auto& each) {
        return each->name == name;
    });
    if (family == families_.end()) {
        families_.push_back(std::make_unique<Family>());
        family = families_.end() - 1;
        (*family)->name = name;
        (*family)->help = help;
        (*family)->kind = kind;
    }
    SKY_ASSERT((*family)->kind == kind);
    for (const auto& each : (*family)->series) {
        if (each->labels == labels) return *each;
    }
    (*family)->series.push_back(std::make_unique<Series>());
    (*family)->series.back()->labels = std::move(labels);
    return *(*family)->series.back();
}

Counter& MetricRegistry::counter(std::string_view name, std::string_view help, Labels labels) {
    const std::scoped_lock lock(mutex_);
    Series& found = series(name, help, Kind::counter, std::move(labels));
    if (!found.counter) found.counter = std::make_unique<Counter>();
    return *found.counter;
}

Gauge& MetricRegistry::gauge(std::string_view name, std::string_view help, Labels labels) {
    const std::scoped_lock lock(mutex_);
    Series& found = series(name, help, Kind::gauge, std::move(labels));
    if (!found.gauge) found.gauge = std::make_unique<Gauge>();
    return *found.gauge;
}

Histogram& MetricRegistry::histogram(
    std::string_view name,
    std::string_view help,
    Labels labels,
    std::span<const double> upper_bounds
) {
    const std::scoped_lock lock(mutex_);
    Series& found = series(name, help, Kind::histogram, std::move(labels));
    if (!found.histogram) found.histogram = std::make_unique<Histogram>(upper_bounds);
    return *found.histogram;
}

void MetricRegistry::forget(std::string_view label, std::string_view value) {
    const std::scoped_lock lock(mutex_);
    for (const auto& family : families_) {
        std::erase_if(family->series, [&](const auto& each) {
            return std::any_of(each->labels.begin(), each->labels.end(), [&](const auto& pair) {
                return pair.first == label && pair.second == value;
            });
        });
    }
}

Labels LabelledMetrics::with_ours(Labels labels) const {
    labels.insert(labels.begin(), labels_.begin(), labels_.end());
    return labels;
}

Counter& LabelledMetrics::counter(std::string_view name, std::string_view help, Labels labels) {
    return target_.counter(name, help, with_ours(std::move(labels)));
}

Gauge& LabelledMetrics::gauge(std::string_view name, std::string_view help, Labels labels) {
    return target_.gauge(name, help, with_ours(std::move(labels)));
}

Histogram& LabelledMetrics::histogram(
    std::string_view name,
    std::string_view help,
    Labels labels,
    std::span<const double> upper_bounds
) {
    return target_.histogram(name, help, with_ours(std::move(labels)), upper_bounds);
}

}  // namespace skywire
