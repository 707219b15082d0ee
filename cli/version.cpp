#include "base/build_info.hpp"
#include "cli/command.hpp"
#include "framework/json_writer.hpp"

#include <fmt/format.h>

namespace skywire::cli {

namespace {

class Version final : public Command {
 public:
    std::vector<std::string> path() const override { return {"version"}; }
    std::string summary() const override { return "Print the version, commit and date"; }

    std::vector<Option> options() override { return {{"--json", "", "As JSON", &json_}}; }

    int run(Session& session) override {
        const BuildInfo build = build_info();
        if (!json_) {
            session.io.out << fmt::format(
                "skywire {} (commit {}, {})\n", build.version, build.commit, build.date
            );
            return kDone;
        }
        framework::JsonWriter out;
        out.begin_object();
        out.member("version", build.version);
        out.member("commit", build.commit);
        out.member("date", build.date);
        out.end_object();
        session.io.out << out.take();
        return kDone;
    }

 private:
    bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_version() {
    return std::make_unique<Version>();
}

}  // namespace skywire::cli
