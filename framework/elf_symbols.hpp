#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace skywire::framework {

/// Names of the functions of this program, read off its own file: a profile holds addresses, and
/// names of local functions stand in the symbol table of the file only, not in memory.
class ElfSymbols {
 public:
    /// Reads /proc/self/exe. A stripped or unreadable file gives an empty table.
    static ElfSymbols of_this_program();

    /// The demangled name of the function at an address of this process: of the program from the
    /// table, of a shared library where the loader knows it. "" where nobody does.
    std::string name(std::uintptr_t address) const;

    std::size_t size() const noexcept { return functions_.size(); }

 private:
    struct Function {
        /// As in the file, without the load address.
        std::uint64_t start;
        std::uint64_t size;
        std::uint32_t name;
    };

    void read(const std::vector<char>& file);

    /// By start.
    std::vector<Function> functions_;
    /// The file's string table: names end with a zero byte.
    std::vector<char> strings_;
    /// Where the program lies in memory.
    std::uint64_t load_address_ = 0;
    std::uint64_t begin_ = 0;
    std::uint64_t end_ = 0;
};

}  // namespace skywire::framework
