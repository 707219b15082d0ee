#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "net/context.hpp"

#include <string>

namespace skywire::framework {

/// CPU and heap profiles in the formats that `google-pprof` opens, through gperftools.
///
/// A sanitizer build has no gperftools: everything answers errc::unsupported with a sentence.
class Profiler {
 public:
    /// Samples the whole process's CPU for `duration` (1 s to 5 min). One at a time: a second one
    /// answers errc::wrong_state. Cancelled: sampling stops, nothing is returned.
    Task<Result<std::string>> cpu(const net::Context& context, Duration duration);

    /// A heap sample. errc::unsupported with the variable's name where sampling was not set when
    /// the process started (TCMALLOC_SAMPLE_PARAMETER).
    Result<std::string> heap();

    /// Answers of /pprof/symbol: a POST body of "0x...+0x..." to lines "0x...\tname"; a GET gives
    /// "num_symbols: 1".
    std::string symbols(std::string_view body);

    /// /pprof/cmdline.
    std::string command_line();

 private:
    /// Without use in a sanitizer build.
    [[maybe_unused]] bool cpu_running_ = false;
};

}  // namespace skywire::framework
