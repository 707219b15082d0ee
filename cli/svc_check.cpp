#include "cli/config_source.hpp"
#include "framework/json_writer.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::cli {

namespace {

using framework::Problem;

void write_position(framework::JsonWriter& out, framework::Position position) {
    out.member("line", position.line);
    out.member("column", position.column);
}

std::string count_of(std::size_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

class SvcCheck final : public Command {
 public:
    std::vector<std::string> path() const override { return {"svc", "check"}; }
    std::string summary() const override { return "Look for mistakes in a deployment file"; }

    std::string details() const override {
        return "Reports syntax, unknown keys with the nearest right one, wrong values, and "
               "clashes\n"
               "between blocks (addresses, keys, databases, circles of depends_on), each with its\n"
               "place as FILE:LINE:COLUMN. Opens nothing and starts nothing.\n"
               "\n"
               "Examples:\n"
               "  skywire svc check deployment.json\n"
               "  skywire svc check --json deployment.json    for machines\n"
               "\n"
               "Exit code: 0 without errors (warnings do not count), 1 with errors.";
    }

    std::vector<Option> options() override {
        return {
            {"FILE", "FILE", "The file to check", &file_, ValueKind::file},
            config_option(config_, "The same, as other commands have it"),
            {"--json", "", "Print the problems as JSON", &json_},
        };
    }

    int run(Session& session) override {
        const std::string file = file_.empty() ? config_ : file_;
        if (file.empty()) return usage_error(session, *this, "a FILE is required");
        if (!file_.empty() && !config_.empty() && file_ != config_) {
            return usage_error(session, *this, "one FILE at a time");
        }
        const auto loaded = load_config(file, session.registry);
        const bool failed = !loaded.config;
        if (json_) {
            print_json(session, file, loaded.problems);
            return failed ? kFailed : kDone;
        }
        print_problems(session.io.out, file, loaded.problems);
        const std::size_t errors = count(loaded.problems, Problem::Severity::error);
        const std::size_t warnings = count(loaded.problems, Problem::Severity::warning);
        session.io.out << fmt::format(
            "{}: {}{}\n",
            file,
            failed ? count_of(errors, "error")
                   : fmt::format("ok, {}", count_of(loaded.config->blocks.size(), "service")),
            warnings == 0 ? "" : ", " + count_of(warnings, "warning")
        );
        return failed ? kFailed : kDone;
    }

 private:
    static std::size_t count(const framework::Problems& problems, Problem::Severity severity) {
        return static_cast<std::size_t>(std::count_if(
            problems.begin(),
            problems.end(),
            [severity](const Problem& problem) { return problem.severity == severity; }
        ));
    }

    static void print_json(
        Session& session, const std::string& file, const framework::Problems& problems
    ) {
        framework::JsonWriter out;
        out.begin_object();
        out.member("file", file);
        out.member("ok", !framework::has_errors(problems));
        out.member("errors", count(problems, Problem::Severity::error));
        out.member("warnings", count(problems, Problem::Severity::warning));
        out.key("problems").begin_array();
        for (const Problem& problem : problems) {
            const bool error = problem.severity == Problem::Severity::error;
            out.begin_object();
            out.member("severity", error ? "error" : "warning");
            out.member("code", problem.code);
            write_position(out, problem.position);
            out.member("label", problem.label);
            out.member("message", problem.message);
            if (!problem.suggestion.empty()) out.member("suggestion", problem.suggestion);
            if (problem.other != framework::Position()) {
                out.key("other").begin_object();
                write_position(out, problem.other);
                out.end_object();
            }
            out.end_object();
        }
        out.end_array();
        out.end_object();
        session.io.out << out.take();
    }

    std::string file_;
    std::string config_;
    bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_svc_check() {
    return std::make_unique<SvcCheck>();
}

}  // namespace skywire::cli
