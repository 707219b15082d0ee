#include "framework/profiler.hpp"

#include "base/test.hpp"
#include "framework/elf_symbols.hpp"
#include "net/deadline.hpp"
#include "net/test_loop.hpp"

#include <cstdlib>
#include <cstring>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <dlfcn.h>

namespace skywire::framework {

/// Known by name to the tests below.
[[gnu::noinline]] int a_function_to_be_found(int x) {
    return x * 3 + 1;
}

namespace {

[[gnu::noinline]] int a_local_function_to_be_found(int x) {
    return a_function_to_be_found(x) + 2;
}

std::string address_of(int (*function)(int)) {
    return fmt::format("{:#x}", reinterpret_cast<std::uintptr_t>(function));
}

TEST_CASE("profiler: symbols answer addresses with names, local functions too") {
    Profiler profiler;
    const std::string first = address_of(a_function_to_be_found);
    const std::string second = address_of(a_local_function_to_be_found);
    const std::string answer = profiler.symbols(first + "+" + second + "\n");
    CHECK(answer.find(first + "\tskywire::framework::a_function_to_be_found(int)\n") == 0);
    CHECK(answer.find(second + "\tskywire::framework::(anonymous") != std::string::npos);
    CHECK(answer.find("a_local_function_to_be_found") != std::string::npos);
}

TEST_CASE("profiler: symbols of shared libraries come from the loader") {
    Profiler profiler;
    CHECK(ElfSymbols::of_this_program().size() > 100);
    void* const library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    REQUIRE(library != nullptr);
    const auto address = reinterpret_cast<std::uintptr_t>(dlsym(library, "getenv"));
    dlclose(library);
    const auto answer = profiler.symbols(fmt::format("{:#x}", address));
    CHECK(answer.find("getenv") != std::string::npos);
}

TEST_CASE("profiler: addresses that are none are passed over") {
    Profiler profiler;
    CHECK(profiler.symbols("") == "num_symbols: 1\n");
    CHECK(profiler.symbols("+++").empty());
    CHECK(profiler.symbols("0xzz+hello+0x").empty());
    CHECK(profiler.symbols("0x1+0xffffffffffffffff+0xfffffffffffffffff").empty());
}

TEST_CASE("profiler: the command line is one argument a line") {
    Profiler profiler;
    CHECK(profiler.command_line().find("framework_test") != std::string::npos);
    CHECK(profiler.command_line().ends_with('\n'));
}

#ifdef SKYWIRE_NO_GPERFTOOLS

TEST_CASE("profiler: a build with sanitizers says that it has none") {
    net::TestLoop loop;
    Profiler profiler;
    const auto cpu = loop.run(profiler.cpu(loop.context, std::chrono::seconds(1)));
    REQUIRE_FALSE(cpu.has_value());
    CHECK(cpu.error().code() == errc::unsupported);
    CHECK(profiler.heap().error().code() == errc::unsupported);
}

#else

/// Moves the clock on once the profiler waits on it.
Task<bool> let_time_pass(net::TestLoop& loop, ManualClock& clock) {
    while (clock.waiting() == 0)
        co_await asio::post(loop.ioc, asio::use_awaitable);
    clock.advance(std::chrono::seconds(30));
    co_return true;
}

TEST_CASE("profiler: a CPU profile has the header that pprof reads, one at a time") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Profiler profiler;
    const auto take = [](Profiler& profiler, net::TestLoop& loop, ManualClock& clock
                      ) -> Task<std::array<Result<std::string>, 2> > {
        using namespace asio::experimental::awaitable_operators;
        auto [first, second, passed] = co_await (
            profiler.cpu(loop.context, std::chrono::seconds(30)) &&
            profiler.cpu(loop.context, std::chrono::seconds(30)) && let_time_pass(loop, clock)
        );
        REQUIRE(passed);
        co_return std::array<Result<std::string>, 2>{std::move(first), std::move(second)};
    };
    for (int round = 0; round < 2; ++round) {
        const auto profiles = loop.run(take(profiler, loop, clock));
        REQUIRE(profiles[0].has_value());
        const std::string& profile = *profiles[0];
        REQUIRE(profile.size() > 5 * sizeof(std::uint64_t));
        std::array<std::uint64_t, 5> words{};
        std::memcpy(words.data(), profile.data(), sizeof(words));
        CHECK(words[0] == 0);
        CHECK(words[1] == 3);
        CHECK(words[2] == 0);
        CHECK(words[3] > 0);
        CHECK(words[4] == 0);
        REQUIRE_FALSE(profiles[1].has_value());
        CHECK(profiles[1].error().code() == errc::wrong_state);
    }
}

TEST_CASE("profiler: cancelled, it gives nothing and can be asked again") {
    net::TestLoop loop;
    Profiler profiler;
    for (int round = 0; round < 2; ++round) {
        const auto profile = loop.run(net::with_deadline(
            loop.system_clock,
            loop.system_clock.now() + std::chrono::milliseconds(1),
            profiler.cpu(loop.context, std::chrono::minutes(5))
        ));
        REQUIRE_FALSE(profile.has_value());
        CHECK(profile.error().code() == errc::timed_out);
    }
}

TEST_CASE("profiler: durations outside of its range are refused") {
    net::TestLoop loop;
    Profiler profiler;
    for (const Duration bad : {Duration(0), Duration(std::chrono::minutes(6))}) {
        const auto profile = loop.run(profiler.cpu(loop.context, bad));
        REQUIRE_FALSE(profile.has_value());
        CHECK(profile.error().code() == errc::out_of_range);
    }
}

TEST_CASE("profiler: a heap sample, or the name of the variable that is missing") {
    Profiler profiler;
    const auto sample = profiler.heap();
    if (std::getenv("TCMALLOC_SAMPLE_PARAMETER") != nullptr) {
        REQUIRE(sample.has_value());
        CHECK(sample->starts_with("heap profile:"));
    } else {
        REQUIRE_FALSE(sample.has_value());
        CHECK(sample.error().code() == errc::unsupported);
        CHECK(sample.error().message().find("TCMALLOC_SAMPLE_PARAMETER") != std::string::npos);
    }
}

#endif

}  // namespace
}  // namespace skywire::framework
