#pragma once

#include "gob/reader.hpp"
#include "net/address.hpp"
#include "net/task.hpp"
#include "rpc/message.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace skywire::rpc {

/// What a method answers with.
struct Reply {
    Body body;
    /// One of them is called, where it is set: once the reply is written, or where the caller was
    /// gone before.
    std::function<void()> delivered = {};
    std::function<void()> undelivered = {};
};

template <class T>
Reply reply_of(const T& value) {
    return {body_of(value)};
}

/// What a server offers: methods by name.
class Methods {
 public:
    /// A call that is ready to run. An Error's `message()` becomes the text of the answer.
    using Work = std::function<Task<Result<Reply>>()>;
    /// Reads the argument, which is a view; an error ends the caller's stream.
    using Begin = std::function<Result<Work>(const net::Address& caller, const gob::Value&)>;

    void add(std::string name, Begin begin) { methods_[std::move(name)] = std::move(begin); }

    /// `call(net::Address caller, Argument argument)` is a coroutine that returns Result<Reply>.
    template <class Argument, class Call>
    void on(std::string name, Call call) {
        add(std::move(name),
            [call = std::move(call
             )](const net::Address& caller, const gob::Value& value) -> Result<Work> {
                Argument argument{};
                if (auto read = gob::read(value, argument); !read) return read.error();
                return Work([call, caller, argument = std::move(argument)] {
                    return call(caller, argument);
                });
            });
    }

    /// Null where there is no such method.
    const Begin* find(std::string_view name) const noexcept;

    /// The network's text for a name that `find` does not know.
    std::string unknown_text(std::string_view name) const;

 private:
    std::map<std::string, Begin, std::less<>> methods_;
};

}  // namespace skywire::rpc
