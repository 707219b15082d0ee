#include "base/test_faults.hpp"

#include <fmt/format.h>

namespace skywire {

void TestFaults::set(
    std::string point, std::string subject, std::size_t times, std::string message
) {
    const std::scoped_lock lock(mutex_);
    Fault& fault = faults_[{std::move(point), std::move(subject)}];
    fault.left = times;
    fault.message = std::move(message);
}

void TestFaults::set_delay(std::string point, std::string subject, Duration delay) {
    const std::scoped_lock lock(mutex_);
    faults_[{std::move(point), std::move(subject)}].delay = delay;
}

void TestFaults::clear(const std::string& point, const std::string& subject) {
    const std::scoped_lock lock(mutex_);
    const auto found = faults_.find({point, subject});
    if (found == faults_.end()) return;
    found->second.left = 0;
    found->second.delay = Duration(0);
}

std::size_t TestFaults::hits(const std::string& point, const std::string& subject) const {
    const std::scoped_lock lock(mutex_);
    const auto found = faults_.find({point, subject});
    return found == faults_.end() ? 0 : found->second.hits;
}

Result<> TestFaults::check(std::string_view point, std::string_view subject) {
    const std::scoped_lock lock(mutex_);
    const auto found = faults_.find({std::string(point), std::string(subject)});
    if (found == faults_.end() || found->second.left == 0) return {};
    Fault& fault = found->second;
    if (fault.left != kAlways) --fault.left;
    ++fault.hits;
    return fail(errc::injected, fmt::format("{} {}: {}", point, subject, fault.message));
}

Duration TestFaults::delay(std::string_view point, std::string_view subject) {
    const std::scoped_lock lock(mutex_);
    const auto found = faults_.find({std::string(point), std::string(subject)});
    return found == faults_.end() ? Duration(0) : found->second.delay;
}

}  // namespace skywire
