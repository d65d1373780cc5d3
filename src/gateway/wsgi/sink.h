// Where a response's bytes go.
#pragma once

#include <string_view>

#include "gateway/wsgi/file_wrapper.h"
#include "pyapi/gil.h"

namespace tricorn::gateway::wsgi {

/// The client's side of one response. Used by one app thread.
class Sink {
 public:
  virtual ~Sink() = default;
  /// Takes the right to answer; called before each part, the first one as well.
  /// @return false: somebody else has answered this client, send nothing (more).
  [[nodiscard]] virtual bool begin() = 0;
  /// A part of the request's body is still on the wire, so no further request can follow it.
  [[nodiscard]] virtual bool must_close() const = 0;
  /// Called once the head is made, before the first byte: whether a further request may follow.
  virtual void will_live_on(bool keep_alive) = 0;
  /// Sends `head`, then `body`, then `tail`, in one system call where the client takes them. What
  /// it does not take at once is kept: head and tail copied, the body by a reference to `owner`.
  /// Waits, without the GIL, while too much is kept, unless nothing follows (`last`).
  /// @return false: the client is gone or took nothing for --write-timeout
  [[nodiscard]] virtual bool send(std::string_view head, PyObject* owner, std::string_view body,
                                  std::string_view tail, bool last, const pyapi::Gil& gil) = 0;
  /// Sends `head`, then a file by sendfile(2); the last thing of a response.
  /// @return false: the client is gone, or the descriptor cannot be duplicated
  [[nodiscard]] virtual bool send_file(std::string_view head, const SendableFile& file,
                                       const pyapi::Gil& gil) = 0;
};

}  // namespace tricorn::gateway::wsgi
