#include "base/random.hpp"
#include "cli/command.hpp"
#include "framework/json_writer.hpp"
#include "framework/key_file.hpp"

#include <fmt/format.h>

namespace skywire::cli {

namespace {

class KeysGen final : public Command {
 public:
    std::vector<std::string> path() const override { return {"keys", "gen"}; }
    std::string summary() const override { return "Make a new key pair"; }

    std::string details() const override {
        return "With --out the secret key goes to a new file of mode 0600, for the keyfile of a\n"
               "block, and only the public key is printed. Without it both are printed as JSON.\n"
               "\n"
               "Examples:\n"
               "  skywire keys gen --out /etc/skywire/dmsgd.key\n"
               "  skywire keys gen\n"
               "\n"
               "--seed makes the same pair for the same text: for tests, never for real keys.";
    }

    std::vector<Option> options() override {
        return {
            {"-o,--out", "FILE", "Where the secret key goes; must not exist", &out_, ValueKind::file
            },
            {"--seed", "TEXT", "Derive the pair from this text", &seed_},
        };
    }

    int run(Session& session) override {
        SystemRandom random;
        const crypto::KeyPair pair = seed_.empty() ? crypto::generate_key_pair(random)
                                                   : crypto::deterministic_key_pair(seed_);
        if (out_.empty()) {
            framework::JsonWriter out;
            out.begin_object();
            out.member("public_key", pair.public_key.to_text());
            out.member("secret_key", pair.secret_key.reveal_text());
            out.end_object();
            session.io.out << out.take();
            return kDone;
        }
        if (auto written = framework::write_key_file(out_, pair.secret_key, random); !written) {
            return failure(session, *this, written.error().message());
        }
        session.io.out << pair.public_key.to_text() << '\n';
        return kDone;
    }

 private:
    std::string out_;
    std::string seed_;
};

class KeysShow final : public Command {
 public:
    std::vector<std::string> path() const override { return {"keys", "show"}; }
    std::string summary() const override { return "Print the public key of a key file"; }
    std::string details() const override {
        return "Example:\n  skywire keys show /etc/skywire/dmsgd.key";
    }

    std::vector<Option> options() override {
        return {{"FILE", "FILE", "The key file", &file_, ValueKind::file, {}, true}};
    }

    int run(Session& session) override {
        const auto key = framework::read_key_file(file_);
        if (!key) return failure(session, *this, key.error().message());
        if (const auto mode = key->readable_by_others) {
            session.io.err << fmt::format(
                "warning: {} has mode {:04o}: others may read it\n", file_, *mode
            );
        }
        session.io.out << key->public_key.to_text() << '\n';
        return kDone;
    }

 private:
    std::string file_;
};

}  // namespace

std::unique_ptr<Command> make_keys_gen() {
    return std::make_unique<KeysGen>();
}

std::unique_ptr<Command> make_keys_show() {
    return std::make_unique<KeysShow>();
}

}  // namespace skywire::cli
