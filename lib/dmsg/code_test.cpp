#include "dmsg/code.hpp"

#include "base/test.hpp"

#include <set>

using namespace skywire;
using dmsg::Code;

TEST_CASE("dmsg codes: the network's numbers and sentences") {
    CHECK(make_error_code(Code::no_listener).value() == 306);
    CHECK(
        make_error_code(Code::no_listener).message() ==
        "dmsg error 306 - request has no associated listener"
    );
    CHECK(
        make_error_code(Code::extra_handshake_bytes).message() ==
        "dmsg error 203 - extra bytes received during session handshake"
    );
    CHECK(
        make_error_code(Code::no_next_session).message() ==
        "dmsg error 307 - request cannot be forwarded because the next session is non-existent"
    );
    CHECK(dmsg::code_category().message(999) == "dmsg error 999 - unknown");
    CHECK_FALSE(make_error_code(Code::ok).failed());
}

TEST_CASE("dmsg codes: 22 of them, each with a sentence and a reason of its own") {
    std::set<std::string> sentences;
    std::set<std::string_view> reasons;
    for (int value = 1; value < 1000; ++value) {
        const auto code = static_cast<Code>(value);
        if (dmsg::reason(code) == "unknown") continue;
        const std::string sentence = make_error_code(code).message();
        CHECK_FALSE(sentence.ends_with("unknown"));
        sentences.insert(sentence.substr(sentence.find('-')));
        reasons.insert(dmsg::reason(code));
    }
    CHECK(sentences.size() == 22);
    CHECK(reasons.size() == 22);
    CHECK(dmsg::reason(Code::ok) == "ok");
}
