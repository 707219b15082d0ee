#include "framework/schema.hpp"

namespace skywire::framework {

namespace {

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

FieldTable restart_fields() {
    return {
        {.name = "policy",
         .kind = FieldKind::choice,
         .description = "When a service that ended or failed is started again; an end that nobody "
                        "asked for counts as a failure.",
         .default_json = "\"on-failure\"",
         .choices = {"always", "on-failure", "never"}},
        {.name = "min",
         .kind = FieldKind::duration,
         .description = "Pause before the first restart.",
         .default_json = "\"250ms\"",
         .min = 0},
        {.name = "max",
         .kind = FieldKind::duration,
         .description = "Longest pause between restarts.",
         .default_json = "\"30s\"",
         .min = 0},
        {.name = "factor",
         .kind = FieldKind::number,
         .description = "What the pause is multiplied by after each restart.",
         .default_json = "2",
         .min = 1,
         .max = 100},
        {.name = "jitter",
         .kind = FieldKind::number,
         .description = "Share of the pause by which it is shortened or lengthened at random.",
         .default_json = "0.2",
         .min = 0,
         .max = 1},
        {.name = "reset_after",
         .kind = FieldKind::duration,
         .description = "Being ready for so long sets the pause back to `min`.",
         .default_json = "\"1m\"",
         .min = 0},
        {.name = "max_in_window",
         .kind = FieldKind::integer,
         .description = "Restarts within `window` after which the supervisor gives up.",
         .default_json = "5",
         .min = 0,
         .max = 1000},
        {.name = "window",
         .kind = FieldKind::duration,
         .description = "The time over which restarts are counted.",
         .default_json = "\"1m\"",
         .min = 0},
        {.name = "on_give_up",
         .kind = FieldKind::choice,
         .description =
             "What follows when the supervisor gives up: dependents run on degraded, are "
             "stopped, or the whole process exits.",
         .default_json = "\"degrade\"",
         .choices = {"degrade", "stop-dependents", "exit"}},
    };
}

FieldTable dependency_fields() {
    return {
        {.name = "label",
         .kind = FieldKind::string,
         .description = "Label of the block that is needed.",
         .required = true},
        {.name = "milestone",
         .kind = FieldKind::string,
         .description = "What it must have reached.",
         .default_json = "\"ready\""},
        {.name = "gate",
         .kind = FieldKind::string,
         .description = "What of this block waits for it: \"start\", or one of its own milestones.",
         .default_json = "\"start\""},
        {.name = "on_restart",
         .kind = FieldKind::choice,
         .description = "What happens to this block when the other one restarts.",
         .default_json = "\"notify\"",
         .choices = {"notify", "restart", "ignore"}},
    };
}

FieldTable health_fields() {
    return {
        {.name = "interval",
         .kind = FieldKind::duration,
         .description = "Pause between two looks at the service's health.",
         .default_json = "\"1s\"",
         .min = 0.01},
        {.name = "failures",
         .kind = FieldKind::integer,
         .description = "Bad looks in a row until the service counts as degraded.",
         .default_json = "2",
         .min = 1,
         .max = 1000},
        {.name = "successes",
         .kind = FieldKind::integer,
         .description = "Good looks in a row until it counts as healthy again.",
         .default_json = "2",
         .min = 1,
         .max = 1000},
    };
}

/// What a block is and what it needs.
FieldTable block_fields() {
    return {
        {.name = "type",
         .kind = FieldKind::string,
         .description = "Type of the service.",
         .required = true},
        {.name = "name",
         .kind = FieldKind::string,
         .description = "Label of the block in messages, commands and dependencies; the type where "
                        "it is not given."},
        {.name = "log_level",
         .kind = FieldKind::log_level,
         .description = "Level of this service's log lines."},
        {.name = "keyfile",
         .kind = FieldKind::path,
         .description =
             "File that holds the secret key as 64 hex digits; made with a new key where "
             "it is missing. Ignored where secret_key is given."},
        {.name = "prefix",
         .kind = FieldKind::string,
         .description =
             "Path under which the service is mounted inside a visor; without effect in a "
             "deployment."},
        {.name = "depends_on",
         .kind = FieldKind::list,
         .description = "Blocks that this one needs, each as \"label\", \"label:milestone\" or an "
                        "object. Replaces what follows from the types; an empty list waits for "
                        "nothing.",
         .element = FieldKind::text_or_object,
         .members = dependency_fields()},
    };
}

/// How the supervisor treats it.
FieldTable supervision_fields() {
    return {
        {.name = "restart",
         .kind = FieldKind::object,
         .description = "What is done when the service fails.",
         .members = restart_fields()},
        {.name = "start_timeout",
         .kind = FieldKind::duration,
         .description = "How long a start may take, counted from when all it waits for is there.",
         .default_json = "\"30s\"",
         .min = 0.001},
        {.name = "drain_timeout",
         .kind = FieldKind::duration,
         .description = "How long work under way may go on after a stop is asked for.",
         .default_json = "\"5s\"",
         .min = 0},
        {.name = "stop_timeout",
         .kind = FieldKind::duration,
         .description = "How long taking down may take before it is reported as hanging.",
         .default_json = "\"5s\"",
         .min = 0},
        {.name = "isolation",
         .kind = FieldKind::choice,
         .description = "Where the service runs; \"process\" is not supported by this build.",
         .default_json = "\"in-process\"",
         .choices = {"in-process", "process"}},
        {.name = "critical",
         .kind = FieldKind::boolean,
         .description = "Whether the deployment is ready only when this service is.",
         .default_json = "true"},
        {.name = "health",
         .kind = FieldKind::object,
         .description = "How often the service's health is looked at, and what changes its state.",
         .members = health_fields()},
    };
}

FieldTable make_supervisor_fields() {
    return {
        {.name = "admin_addr",
         .kind = FieldKind::address,
         .description =
             "Where the admin listener is: \"unix:PATH\" or \"host:port\". A unix socket "
             "named after the file where it is not given.",
         .allowed_unix = true},
        {.name = "admin_token_file",
         .kind = FieldKind::path,
         .description =
             "File with the token that changes over a TCP admin listener need; without it "
             "such a listener is read-only."},
        {.name = "log_format",
         .kind = FieldKind::choice,
         .description = "Form of the log lines.",
         .default_json = "\"text\"",
         .choices = {"text", "json"}},
        {.name = "reload", .kind = FieldKind::any, .legacy = "has no effect yet"},
        {.name = "shutdown_timeout",
         .kind = FieldKind::duration,
         .description = "How long the whole process may take to stop.",
         .default_json = "\"15s\"",
         .min = 0.001},
        {.name = "state_dir",
         .kind = FieldKind::path,
         .description = "Directory of the stores that are kept on disk, one file per label; "
                        "$STATE_DIRECTORY, else /var/lib/skywire, where it is not given."},
    };
}

}  // namespace

std::string_view kind_name(FieldKind kind) noexcept {
    switch (kind) {
        case FieldKind::boolean:
            return "true or false";
        case FieldKind::integer:
            return "an integer";
        case FieldKind::number:
            return "a number";
        case FieldKind::string:
            return "a string";
        case FieldKind::duration:
            return "a duration";
        case FieldKind::public_key:
            return "a public key";
        case FieldKind::secret_key:
            return "a secret key";
        case FieldKind::address:
            return "an address";
        case FieldKind::ip:
            return "an IP address";
        case FieldKind::cidr:
            return "an IP network";
        case FieldKind::url:
            return "a URL";
        case FieldKind::redis_url:
            return "a Redis URL";
        case FieldKind::log_level:
            return "a log level";
        case FieldKind::path:
            return "a path";
        case FieldKind::choice:
            return "one word of a few";
        case FieldKind::list:
            return "a list";
        case FieldKind::object:
            return "an object";
        case FieldKind::one_or_list:
            return "one or a list";
        case FieldKind::text_or_object:
            return "a string or an object";
        case FieldKind::any:
            return "any value";
    }
    return "a value";
}

FieldTable joined(FieldTable first, const FieldTable& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

const Field* find_field(const FieldTable& table, std::string_view name) noexcept {
    const auto found = std::find_if(table.begin(), table.end(), [&](const Field& field) {
        return field.name == name;
    });
    return found == table.end() ? nullptr : &*found;
}

bool same_key(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
        return lower(x) == lower(y);
    });
}

const FieldTable& framework_fields() {
    static const FieldTable fields = joined(block_fields(), supervision_fields());
    return fields;
}

const FieldTable& supervisor_fields() {
    static const FieldTable fields = make_supervisor_fields();
    return fields;
}

}  // namespace skywire::framework
