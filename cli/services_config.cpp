#include "cli/services_config.hpp"

#include "cli/service_client.hpp"
#include "services/config_bootstrapper/config.hpp"
#include "services/config_bootstrapper/input_file.hpp"

#include <fmt/format.h>

namespace skywire::cli {

Result<std::string> services_config(
    const framework::DeploymentConfig& config, config_bootstrapper::Ways ways
) {
    config_bootstrapper::Document said;
    std::string domain(config_bootstrapper::kDefaultDomain);
    std::vector<framework::DeploymentBlock> blocks;
    blocks.reserve(config.blocks.size());
    for (const framework::BlockConfig& block : config.blocks) {
        framework::DeploymentBlock beside{block.label, block.type->name, block.facts};
        beside.facts.public_key = key_of_block(block);
        blocks.push_back(std::move(beside));
        if (block.type->name != "config-bootstrapper") continue;
        SystemRandom random;
        auto read = config_bootstrapper::read_config(*block.block, random);
        said = std::move(read.said);
        domain = read.domain;
        if (read.config_path.empty()) continue;
        const auto taken = config_bootstrapper::read_input_file(read.config_path, said);
        if (!taken && taken.error() != make_error_code(errc::not_found)) return taken.error();
    }
    auto document = config_bootstrapper::completed(std::move(said), blocks);
    config_bootstrapper::add_domain(document, domain);
    const std::string text = config_bootstrapper::to_json(document, ways);
    return fmt::format("{{\"prod\":{0},\"test\":{0}}}\n", text);
}

}  // namespace skywire::cli
