#include "cli/config_source.hpp"

namespace skywire::cli {

framework::LoadedConfig load_config(
    const std::string& file, const framework::ServiceRegistry& registry
) {
    if (file != kBuiltInName) return framework::load_deployment_file(file, registry);
    return framework::load_deployment(file, std::string(built_in_deployment()), registry);
}

void print_problems(
    std::ostream& to, const std::string& file, const framework::Problems& problems
) {
    for (const framework::Problem& problem : problems)
        to << problem.to_string(file) << '\n';
}

Option config_option(std::string& into, const std::string& help) {
    return {"-c,--config", "FILE", help, &into, ValueKind::file};
}

Option only_option(std::vector<std::string>& into, const std::string& help) {
    return {"--only", "LABEL,...", help, &into};
}

std::set<std::string> as_set(const std::vector<std::string>& labels) {
    return {labels.begin(), labels.end()};
}

}  // namespace skywire::cli
