// start_response, write() and the bytes on the wire: PEP 3333's rules in one place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/wsgi/sink.h"
#include "http/message.h"
#include "pyapi/ref.h"

namespace tricorn::gateway::wsgi {

/// Makes the callable types known to Python. Once a process. @return false with a Python exception
/// set
[[nodiscard]] bool response_ready(const pyapi::Gil& gil);

/// One response. Used by one app thread under the GIL; reused for the next request.
///
///   Fresh --start_response--> Started --first byte or end--> HeadSent --end--> (done)
///     |                          |  start_response with exc_info: back to Started
///     +---- fail(): 500 page ----+
class Response {
 public:
  /// Starts over. @param may_keep_alive  what the server allows, besides what the client wishes
  void reset(const http::RequestHead& request, Sink& sink, bool may_keep_alive);

  /// start_response(status, headers, exc_info=None).
  /// @return false with a Python exception set (TypeError, ValueError, AssertionError, or exc_info
  /// re-raised)
  [[nodiscard]] bool start(PyObject* status, PyObject* headers, PyObject* exc_info,
                           const pyapi::Gil& gil);
  /// A part of the body, from the iterable or write(). Empty parts send nothing.
  /// @param last  the caller knows that nothing follows
  /// @return false with a Python exception set, or without one when the client is gone (see
  /// client_gone)
  [[nodiscard]] bool write(PyObject* bytes, bool last, const pyapi::Gil& gil);
  /// The rest of the body is this file. @return as write()
  [[nodiscard]] bool write_file(const SendableFile& file, const pyapi::Gil& gil);
  /// The iterable is exhausted. @return as write()
  [[nodiscard]] bool finish(const pyapi::Gil& gil);
  /// The application failed: a 500 page if nothing was sent yet, else the response is cut.
  /// @param reference  of the incident; may be empty
  void fail(std::string_view reference, const pyapi::Gil& gil) { answer(500, {}, gil, reference); }
  /// The server's own answer in place of the application's. @param message  for the page
  void answer(int status, std::string_view message, const pyapi::Gil& gil,
              std::string_view reference = {});

  /// The body's length is known to be this: becomes Content-Length when the application gave none.
  void body_is(std::uint64_t bytes) { known_length_ = bytes; }

  [[nodiscard]] bool head_sent() const { return phase_ == Phase::HeadSent; }
  [[nodiscard]] bool started() const { return phase_ != Phase::Fresh; }
  [[nodiscard]] bool client_gone() const { return client_gone_; }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }
  /// Another request may follow on this connection.
  [[nodiscard]] bool keep_alive() const { return keep_alive_ && !cut_ && !client_gone_; }
  /// The response is broken on the wire: the connection must end without looking complete.
  [[nodiscard]] bool cut() const { return cut_; }
  /// The application gave bytes of a body with a status that has none. RFC 9110 section 6.4.1.
  [[nodiscard]] bool body_dropped() const { return body_dropped_; }
  /// Content-Length of the answer, the application's or what its parts add up to.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const { return content_length_; }
  [[nodiscard]] bool chunked() const { return chunked_; }
  /// "Name: value\r\n" lines of the application, for the access log.
  [[nodiscard]] std::string_view fields() const { return fields_; }
  [[nodiscard]] std::string_view status_line() const { return status_text_; }

 private:
  enum class Phase { Fresh, Started, HeadSent };

  bool set_status(PyObject* status);
  bool add_fields(PyObject* headers);
  bool add_field(PyObject* name, PyObject* value);
  bool note_field(std::string_view name, std::string_view value, bool& drop);
  void build_head();
  [[nodiscard]] std::optional<std::uint64_t> counted_length() const;
  bool begin(std::string_view& head);
  bool check_started();
  bool send_body(PyObject* owner, std::string_view body, bool last, const pyapi::Gil& gil);
  bool sent(bool good);

  Sink* sink_ = nullptr;
  const http::RequestHead* request_ = nullptr;
  Phase phase_ = Phase::Fresh;
  bool may_keep_alive_ = false;
  bool keep_alive_ = false;
  bool chunked_ = false;
  bool no_body_ = false;
  bool body_dropped_ = false;
  bool cut_ = false;
  bool client_gone_ = false;
  int status_ = 0;
  std::string status_text_;  // "200 OK"
  std::string fields_;
  std::string head_;
  std::optional<std::uint64_t> content_length_;  // the application's
  std::optional<std::uint64_t> known_length_;    // ours
  std::uint64_t body_bytes_ = 0;
};

/// The Python callable for `response`; detached with start_response_detach when the request is
/// over.
/// @return null with MemoryError
[[nodiscard]] pyapi::Ref start_response_new(Response& response, const pyapi::Gil& gil);

/// What the application still holds of it raises RuntimeError from now on.
void start_response_detach(PyObject* start_response);

}  // namespace tricorn::gateway::wsgi
