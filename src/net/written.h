// How many bytes a TCP connection was given in all, as the kernel counts them.
#pragma once

#include <cstdint>
#include <optional>

namespace tricorn::net {

/// Bytes written to the socket since it was opened, whether sent yet or not.
/// System calls only: the keeper may call it. @return nothing when the socket is no TCP connection.
/// Source: tcp(7) TCP_INFO tcpi_bytes_acked, SIOCOUTQ
[[nodiscard]] std::optional<std::uint64_t> bytes_written(int fd);

}  // namespace tricorn::net
