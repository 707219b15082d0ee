// The file reader on arbitrary text: it never crashes, what it says stands inside the text, and
// there is a configuration exactly where there is no error.

#include "base/assert.hpp"
#include "base/json.hpp"
#include "framework/config_test_types.hpp"
#include "framework/graph.hpp"

namespace {

using namespace skywire::framework;

/// Whether a place is in the text, or just behind a line's or the text's end.
bool inside(const std::vector<std::size_t>& line_lengths, Position at) {
    if (at.line == 0) return at.column == 0;
    return at.line <= line_lengths.size() && at.column >= 1 &&
           at.column <= line_lengths[at.line - 1] + 1;
}

void read_everything(const DeploymentConfig& config) {
    const Graph graph(config.blocks);
    SKY_ASSERT(!graph.cycle());
    SKY_ASSERT(graph.order().size() == config.blocks.size());
    for (const BlockConfig& block : config.blocks) {
        SKY_ASSERT(block.type != nullptr && block.block != nullptr);
        SKY_ASSERT(config.find(block.label) == &block);
        for (const Field& field : block.type->fields) {
            if (field.legacy.empty()) static_cast<void>(block.block->has(field.name));
        }
        if (block.block->knows("whitelist_keys")) {
            static_cast<void>(block.block->public_keys("whitelist_keys"));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const ServiceRegistry registry = config_test::test_registry();
    const std::string text(data, data + size);
    std::vector<std::size_t> line_lengths{0};
    for (const char c : text) {
        if (c == '\n') {
            line_lengths.push_back(0);
        } else {
            ++line_lengths.back();
        }
    }
    const LoadedConfig loaded = load_deployment("fuzz.json", text, registry);
    for (const Problem& problem : loaded.problems) {
        SKY_ASSERT(inside(line_lengths, problem.position) && inside(line_lengths, problem.other));
        SKY_ASSERT(!problem.message.empty() && !problem.code.empty());
        static_cast<void>(problem.to_string("fuzz.json"));
        SKY_ASSERT(skywire::parse_json(problem.to_json("fuzz.json")).has_value());
    }
    SKY_ASSERT(loaded.config.has_value() != has_errors(loaded.problems));
    if (loaded.config) read_everything(*loaded.config);
    return 0;
}
