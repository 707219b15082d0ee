#include "base/test.hpp"
#include "cli/test_run.hpp"

#include <cstdio>

namespace skywire::cli {

namespace {

std::string output_of(const std::string& command) {
    std::string out;
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    char buffer[4096];
    for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
        out.append(buffer, n);
    }
    ::pclose(pipe);
    return out;
}

/// What bash offers for a line whose last word is being typed.
std::string complete(const TemporaryFolder& folder, const std::string& words, int index) {
    const std::string script = folder.write("skywire.bash", run_line({"completion", "bash"}).out);
    const std::string driver = folder.write(
        "driver.bash",
        "source " + script + "\nCOMP_WORDS=(" + words + ")\nCOMP_CWORD=" + std::to_string(index) +
            "\n_skywire\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    );
    return output_of("bash " + driver + " 2>&1");
}

}  // namespace

TEST_CASE("completion: bash offers commands, options and values where they belong") {
    const TemporaryFolder folder;
    CHECK(complete(folder, "skywire s", 1) == "svc\n");
    CHECK(complete(folder, "skywire svc st", 2) == "status\nstop\nstart\n");
    CHECK(complete(folder, "skywire svc run --co", 3) == "--config\n");
    CHECK(complete(folder, "skywire svc graph --format d", 4) == "dot\n");
    CHECK(complete(folder, "skywire keys ''", 2) == "gen\nshow\n--help\n");
    CHECK(complete(folder, "skywire svc log-level dmsgd de", 4) == "debug\n");
    CHECK(complete(folder, "skywire cli sd v", 3) == "vpn\nvisor\n");
    CHECK(complete(folder, "skywire cli ar r", 3) == "resolve\n");
    CHECK(complete(folder, "skywire svc env --keys n", 4) == "new\n");
}

TEST_CASE("completion: scripts name every command; an unknown shell is refused") {
    for (const std::string shell : {"bash", "zsh", "fish"}) {
        const Ran run = run_line({"completion", shell});
        INFO(shell);
        CHECK(run.code == kDone);
        for (const std::string word : {"log-level", "restart", "only", "token-file", "gen"}) {
            CHECK(run.out.find(word) != std::string::npos);
        }
    }
    CHECK(run_line({"completion", "tcsh"}).code == kUsage);
    CHECK(run_line({"completion"}).code == kUsage);
}

}  // namespace skywire::cli
