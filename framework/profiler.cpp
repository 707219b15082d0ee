#include "framework/profiler.hpp"

#include "framework/elf_symbols.hpp"
#include "net/timer.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef SKYWIRE_NO_GPERFTOOLS
#include <gperftools/malloc_extension.h>
#include <gperftools/profiler.h>
#endif

namespace skywire::framework {

namespace {

/// Addresses answered in one request: google-pprof asks for all of a profile at once.
constexpr std::size_t kAddressesMax = 200'000;

#ifndef SKYWIRE_NO_GPERFTOOLS

constexpr Duration kShortest = std::chrono::seconds(1);
constexpr Duration kLongest = std::chrono::minutes(5);

/// A file without a name: profiles need no folder that can be written, and nothing is left behind.
class MemoryFile {
 public:
    MemoryFile() : descriptor_(memfd_create("cpu-profile", MFD_CLOEXEC)) {}
    ~MemoryFile() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    bool is_open() const noexcept { return descriptor_ >= 0; }
    std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

    std::string content() const {
        std::ifstream in(path(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

 private:
    int descriptor_;
};

/// Sampling as long as this lives, whichever way the coroutine ends.
class Sampling {
 public:
    Sampling(const std::string& path, bool& running)
        : running_(running), started_(ProfilerStart(path.c_str()) != 0) {
        if (started_) running_ = true;
    }
    ~Sampling() { stop(); }
    Sampling(const Sampling&) = delete;
    Sampling& operator=(const Sampling&) = delete;

    bool started() const noexcept { return started_; }

    void stop() {
        if (!started_) return;
        started_ = false;
        running_ = false;
        ProfilerStop();
    }

 private:
    bool& running_;
    bool started_;
};

#endif

/// Program arguments that hold a secret key or a password are shown without it.
std::string redact(std::string argument) {
    constexpr std::size_t kSecretKeyDigits = 64;
    const std::size_t equals = argument.find('=');
    const std::size_t start = equals == std::string::npos ? 0 : equals + 1;
    const std::string_view value = std::string_view(argument).substr(start);
    const bool is_key =
        value.size() == kSecretKeyDigits &&
        std::all_of(value.begin(), value.end(), [](unsigned char c) { return std::isxdigit(c); });
    if (is_key) return argument.substr(0, start) + "[redacted]";

    const std::size_t scheme = argument.find("://");
    const std::size_t at = argument.find('@', scheme == std::string::npos ? 0 : scheme);
    if (scheme == std::string::npos || at == std::string::npos) return argument;
    const std::size_t colon = argument.find(':', scheme + 3);
    if (colon < at) argument.replace(colon + 1, at - colon - 1, "[redacted]");
    return argument;
}

}  // namespace

#ifdef SKYWIRE_NO_GPERFTOOLS

Task<Result<std::string>> Profiler::cpu(const net::Context&, Duration) {
    co_return fail(errc::unsupported, "a build with sanitizers has no profiler");
}

Result<std::string> Profiler::heap() {
    return fail(errc::unsupported, "a build with sanitizers has no profiler");
}

#else

Task<Result<std::string>> Profiler::cpu(const net::Context& context, Duration duration) {
    if (duration < kShortest || duration > kLongest) {
        co_return fail(errc::out_of_range, "a CPU profile takes 1 s to 5 min");
    }
    if (cpu_running_) co_return fail(errc::wrong_state, "a CPU profile is being taken");
    const MemoryFile file;
    if (!file.is_open()) {
        co_return fail(errc::limit_reached, "cannot create a file for the profile");
    }
    Sampling sampling(file.path(), cpu_running_);
    if (!sampling.started()) {
        co_return fail(errc::wrong_state, "somebody else profiles this process (CPUPROFILE?)");
    }
    const bool whole = co_await net::sleep_for(context.clock, duration);
    sampling.stop();
    if (!whole) co_return fail(errc::cancelled, "the CPU profile was cancelled");
    co_return file.content();
}

Result<std::string> Profiler::heap() {
    std::string sample;
    MallocExtension::instance()->GetHeapSample(&sample);
    // Without sampling the answer is a text for people.
    if (!sample.starts_with("heap profile:") ||
        std::getenv("TCMALLOC_SAMPLE_PARAMETER") == nullptr) {
        return fail(
            errc::unsupported,
            "heap sampling is off: start the process with TCMALLOC_SAMPLE_PARAMETER=524288 in its "
            "environment"
        );
    }
    return sample;
}

#endif

std::string Profiler::symbols(std::string_view body) {
    if (body.empty()) return "num_symbols: 1\n";
    // Read once, when first asked for: some megabytes that most processes never need.
    static const ElfSymbols table = ElfSymbols::of_this_program();
    std::string out;
    for (std::size_t count = 0; !body.empty() && count < kAddressesMax; ++count) {
        const std::size_t end = std::min(body.find('+'), body.size());
        std::string_view digits = body.substr(0, end);
        body.remove_prefix(std::min(end + 1, body.size()));
        while (!digits.empty() && std::isspace(static_cast<unsigned char>(digits.back())) != 0) {
            digits.remove_suffix(1);
        }
        if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
        std::uint64_t address = 0;
        const auto [last, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), address, 16);
        if (error != std::errc() || last != digits.data() + digits.size()) continue;
        const std::string name = table.name(address);
        if (!name.empty()) out += fmt::format("0x{}\t{}\n", digits, name);
    }
    return out;
}

std::string Profiler::command_line() {
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    std::string out;
    for (std::string argument; std::getline(in, argument, '\0');) {
        out += redact(std::move(argument)) + '\n';
    }
    return out;
}

}  // namespace skywire::framework
