#include "framework/metrics_text.hpp"

#include "net/scope.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <sstream>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

namespace skywire::framework {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricType type_of(MetricRegistry::Kind kind) {
    switch (kind) {
        case MetricRegistry::Kind::counter:
            return MetricType::Counter;
        case MetricRegistry::Kind::gauge:
            return MetricType::Gauge;
        case MetricRegistry::Kind::histogram:
            return MetricType::Histogram;
    }
    return MetricType::Untyped;
}

/// The serializer escapes label values but prints the help as it is.
std::string escape_help(std::string_view help) {
    std::string out;
    for (const char each : help) {
        if (each == '\\') {
            out += "\\\\";
        } else if (each == '\n') {
            out += "\\n";
        } else {
            out += each;
        }
    }
    return out;
}

ClientMetric metric_of(const MetricRegistry::Series& series) {
    ClientMetric metric;
    for (const auto& [name, value] : series.labels)
        metric.label.push_back({name, value});
    if (series.counter) metric.counter.value = static_cast<double>(series.counter->value());
    if (series.gauge) metric.gauge.value = series.gauge->value();
    if (series.histogram) {
        const Histogram::Snapshot snapshot = series.histogram->snapshot();
        metric.histogram.sample_count = snapshot.count;
        metric.histogram.sample_sum = snapshot.sum;
        for (const auto& [bound, count] : snapshot.cumulative) {
            metric.histogram.bucket.push_back({count, bound});
        }
        // The serializer writes the bucket +Inf itself.
    }
    return metric;
}

template <class Wanted>
std::vector<MetricFamily> collect(const MetricRegistry& registry, Wanted wanted) {
    std::vector<MetricFamily> families;
    registry.for_each([&](const MetricRegistry::Family& family) {
        MetricFamily collected;
        for (const auto& series : family.series) {
            if (wanted(*series)) collected.metric.push_back(metric_of(*series));
        }
        // Its series may have been forgotten: a heading without lines says nothing.
        if (collected.metric.empty()) return;
        collected.name = family.name;
        collected.help = escape_help(family.help);
        collected.type = type_of(family.kind);
        families.push_back(std::move(collected));
    });
    return families;
}

std::string serialize(const std::vector<MetricFamily>& families) {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
}

std::string read_proc(const char* path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// The fields of /proc/self/stat behind the program's name, which may hold blanks: [0] is the
/// state, field 3 of proc(5).
std::vector<std::string> stat_fields() {
    const std::string stat = read_proc("/proc/self/stat");
    const std::size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) return {};
    std::istringstream rest(stat.substr(name_end + 1));
    return {std::istream_iterator<std::string>(rest), {}};
}

/// When the machine was booted, in seconds of calendar time.
std::optional<double> boot_time() {
    std::istringstream lines(read_proc("/proc/stat"));
    std::string key;
    double value = 0;
    for (std::string line; std::getline(lines, line);) {
        if (std::istringstream(line) >> key >> value && key == "btime") return value;
    }
    return std::nullopt;
}

std::size_t open_files() {
    std::error_code failed;
    std::filesystem::directory_iterator place("/proc/self/fd", failed);
    if (failed) return 0;
    // The descriptor that reads the folder is among them.
    const auto count = std::distance(begin(place), end(place));
    return count > 0 ? static_cast<std::size_t>(count) - 1 : 0;
}

void add_process(std::vector<MetricFamily>& families) {
    const auto add = [&](const char* name, const char* help, MetricType type, double value) {
        MetricFamily family{name, help, type, {ClientMetric{}}};
        family.metric[0].counter.value = value;
        family.metric[0].gauge.value = value;
        families.push_back(std::move(family));
    };
    timespec cpu{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    add("process_cpu_seconds_total",
        "Processor time used, user and system, in seconds",
        MetricType::Counter,
        static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) / 1e9);

    // Indices are those of proc(5) minus 3.
    const std::vector<std::string> stat = stat_fields();
    if (stat.size() > 21) {
        const auto number = [&](std::size_t field) { return std::stod(stat[field - 3]); };
        add("process_threads", "Threads of the process", MetricType::Gauge, number(20));
        if (const auto boot = boot_time()) {
            add("process_start_time_seconds",
                "Start of the process since the Unix epoch, in seconds",
                MetricType::Gauge,
                *boot + number(22) / static_cast<double>(sysconf(_SC_CLK_TCK)));
        }
        add("process_virtual_memory_bytes",
            "Size of the address space in bytes",
            MetricType::Gauge,
            number(23));
        add("process_resident_memory_bytes",
            "Memory in RAM in bytes",
            MetricType::Gauge,
            number(24) * static_cast<double>(sysconf(_SC_PAGESIZE)));
    }
    add("process_open_fds",
        "Open file descriptors",
        MetricType::Gauge,
        static_cast<double>(open_files()));
    add("process_coroutines",
        "Coroutines that run in scopes",
        MetricType::Gauge,
        static_cast<double>(net::Scope::process_size()));
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    add("process_max_fds",
        "Most file descriptors that may be open",
        MetricType::Gauge,
        limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                        : static_cast<double>(limit.rlim_cur));
}

}  // namespace

std::string metrics_text(const MetricRegistry& registry, bool with_process) {
    auto families = collect(registry, [](const MetricRegistry::Series&) { return true; });
    if (with_process) add_process(families);
    return serialize(families);
}

std::string service_metrics_text(const MetricRegistry& registry, const std::string& service) {
    return serialize(collect(registry, [&](const MetricRegistry::Series& series) {
        return std::any_of(series.labels.begin(), series.labels.end(), [&](const auto& label) {
            return label.first == "service" && label.second == service;
        });
    }));
}

}  // namespace skywire::framework
