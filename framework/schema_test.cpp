#include "framework/schema.hpp"

#include "base/test.hpp"
#include "framework/config_test_types.hpp"

using namespace skywire;
using namespace skywire::framework;

namespace {

void each_field(const FieldTable& table, const std::function<void(const Field&)>& visit) {
    for (const Field& field : table) {
        visit(field);
        each_field(field.members, visit);
    }
}

}  // namespace

TEST_CASE("schema: the framework's own tables are complete") {
    for (const FieldTable* table : {&framework_fields(), &supervisor_fields()}) {
        each_field(*table, [](const Field& field) {
            CAPTURE(field.name);
            CHECK((!field.description.empty() || !field.legacy.empty()));
            CHECK((field.kind != FieldKind::choice || !field.choices.empty()));
            if (field.default_json.empty()) return;
            CHECK(parse_json(field.default_json).has_value());
        });
    }
}

TEST_CASE("schema: tables are joined and searched") {
    const FieldTable table = joined({{.name = "a"}}, {{.name = "b"}});
    REQUIRE(find_field(table, "b") != nullptr);
    CHECK(find_field(table, "b")->name == "b");
    CHECK(find_field(table, "B") == nullptr);
    CHECK(same_key("Entry_Timeout", "entry_timeout"));
    CHECK_FALSE(same_key("a", "ab"));
}

TEST_CASE("schema: the JSON Schema describes each type") {
    const std::string text = deployment_json_schema(config_test::test_registry());
    const auto parsed = parse_json(text, 64);
    REQUIRE(parsed.has_value());
    const json::object& schema = parsed->as_object();
    CHECK(test::text(schema, "$schema") == "https://json-schema.org/draft/2020-12/schema");
    const json::object& types = schema.at("$defs").as_object();
    CHECK(types.size() == 6);
    const json::object& stun = types.at("stun-server").as_object();
    CHECK(stun.at("additionalProperties") == false);
    CHECK(stun.at("required") == json::array({"type", "primary_ip", "secondary_ip"}));
    const json::object& properties = stun.at("properties").as_object();
    CHECK(properties.at("type") == json::object({{"const", "stun-server"}}));
    const json::object& port = properties.at("port").as_object();
    CHECK(port.at("type") == "integer");
    CHECK(port.at("minimum") == 0);
    CHECK(port.at("maximum") == 65535);
    CHECK(port.at("default") == 3478);
    CHECK(properties.at("restart").at("properties").at("policy").at("default") == "on-failure");
    const json::object& discovery = types.at("dmsg-discovery").at("properties").as_object();
    CHECK(discovery.at("test_mode").at("deprecated") == true);
    CHECK(discovery.at("test_mode").at("type") == "boolean");
    CHECK(discovery.at("enable_cxo").at("deprecated") == true);
    CHECK(discovery.at("whitelist_keys").at("items").at("type") == "string");
    CHECK(schema.at("properties").at("supervisor").at("additionalProperties") == false);
    // A secret's default is a secret.
    CHECK(text.find("hush") == std::string::npos);
}

TEST_CASE("schema: the reference lists every key once per table") {
    const std::string text = deployment_reference(config_test::test_registry());
    CHECK(
        text.find("| `port` | an integer | `3478` | First port. From 0 to 65535. |\n") !=
        std::string::npos
    );
    CHECK(
        text.find("| `dmsg.servers[].static` | a public key |  |  Required. |\n") !=
        std::string::npos
    );
    CHECK(text.find("| `test_mode` |  |  | Another name of `testing`. |\n") != std::string::npos);
    CHECK(text.find("Milestones: `http`, `dmsg`, `ready`.") != std::string::npos);
    CHECK(
        text.find("| `secret_key` | a secret key |  | The identity. Never printed. |") !=
        std::string::npos
    );
    CHECK(text.find("hush") == std::string::npos);
    CHECK(text.ends_with("|\n"));
    CHECK_FALSE(text.ends_with("\n\n"));
}
