#include "gateway/wsgi/response.h"

#include "http/h1/known_fields.h"
#include "http/h1/writer.h"

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

// The bytes of a native string as PEP 3333 wants it: latin-1. Empty data() with an exception
// otherwise.
bool latin1(PyObject* text, const char* what, std::string_view& into) {
  if (!PyUnicode_Check(text)) {
    PyErr_Format(PyExc_TypeError, "%s must be str, not %s", what, Py_TYPE(text)->tp_name);
    return false;
  }
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(text) != 0) return false;
#endif
  if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
    PyErr_Format(PyExc_ValueError, "%s has characters beyond latin-1: %R", what, text);
    return false;
  }
  into = {reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(text)),
          static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))};
  return true;
}

// exc_info given: the application found an error after its first start_response.
bool reraise(PyObject* exc_info) {
  if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
    PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple (type, value, traceback)");
    return false;
  }
  PyObject* value = PyTuple_GET_ITEM(exc_info, 1);
  PyObject* traceback = PyTuple_GET_ITEM(exc_info, 2);
  if (value != Py_None && PyException_SetTraceback(value, traceback) != 0) PyErr_Clear();
  PyErr_SetObject(PyTuple_GET_ITEM(exc_info, 0), value);
  return false;
}

}  // namespace

void Response::reset(const http::RequestHead& request, Sink& sink, bool may_keep_alive) {
  sink_ = &sink;
  request_ = &request;
  phase_ = Phase::Fresh;
  may_keep_alive_ = may_keep_alive;
  keep_alive_ = chunked_ = no_body_ = body_dropped_ = cut_ = client_gone_ = false;
  status_ = 0;
  status_text_.clear();
  fields_.clear();
  content_length_.reset();
  known_length_.reset();
  body_bytes_ = 0;
}

bool Response::start(PyObject* status, PyObject* headers, PyObject* exc_info, const Gil& /*gil*/) {
  if (exc_info != nullptr && head_sent()) return reraise(exc_info);
  if (exc_info == nullptr && started()) {
    PyErr_SetString(PyExc_AssertionError, "Response headers already set!");
    return false;
  }
  fields_.clear();  // with exc_info the new headers replace the old ones
  content_length_.reset();
  phase_ = Phase::Fresh;
  if (!set_status(status) || !add_fields(headers)) return false;
  phase_ = Phase::Started;
  return true;
}

bool Response::set_status(PyObject* status) {
  std::string_view text;
  if (!latin1(status, "status", text)) return false;
  if (!http::h1::valid_status(text)) {
    PyErr_Format(PyExc_ValueError, "status must be three digits, a space and a reason: %R", status);
    return false;
  }
  status_ = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  status_text_.assign(text);
  if (text.size() == 3) status_text_.push_back(' ');  // RFC 9112 section 4: the space stays
  return true;
}

bool Response::add_fields(PyObject* headers) {
  if (!PyList_Check(headers) && !PyTuple_Check(headers)) {
    PyErr_Format(PyExc_TypeError, "headers must be a list of tuples, not %s",
                 Py_TYPE(headers)->tp_name);
    return false;
  }
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(headers);
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* pair = PySequence_Fast_GET_ITEM(headers, i);
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
      PyErr_Format(PyExc_TypeError, "header %zd must be a tuple (name, value), not %R", i, pair);
      return false;
    }
    if (!add_field(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1))) return false;
  }
  return true;
}

bool Response::add_field(PyObject* name, PyObject* value) {
  std::string_view name_text;
  std::string_view value_text;
  if (!latin1(name, "header name", name_text) || !latin1(value, "header value", value_text))
    return false;
  if (!http::valid_field_name(name_text)) {
    PyErr_Format(PyExc_ValueError, "Invalid header name: %R", name);
    return false;
  }
  if (!http::valid_field_value(value_text)) {
    PyErr_Format(PyExc_ValueError, "Invalid header value of %U: %R", name, value);
    return false;
  }
  bool drop = false;
  if (!note_field(name_text, value_text, drop)) return false;
  if (!drop) fields_.append(name_text).append(": ").append(value_text).append("\r\n");
  return true;
}

// What a field means for framing. Content-Length is written by build_head, not copied.
bool Response::note_field(std::string_view name, std::string_view value, bool& drop) {
  if (http::h1::known_field(name) == http::KnownField::ContentLength) {
    const auto length = http::parse_content_length(value);
    if (!length || (content_length_ && *content_length_ != *length)) {
      PyErr_SetString(PyExc_ValueError, "Content-Length of the response is not one number");
      return false;
    }
    content_length_ = *length;
    drop = true;
    return true;
  }
  drop = http::h1::is_server_owned(name);
  return true;
}

// What the parts add up to. With an answer that has no body this says nothing about the length a
// GET would have had: RFC 9110 section 8.6.
std::optional<std::uint64_t> Response::counted_length() const {
  const bool bodiless = status_ == 304 || request_->method == http::Method::Head;
  return bodiless && known_length_ == 0U ? std::nullopt : known_length_;
}

void Response::build_head() {
  http::h1::ResponseFacts facts;
  facts.method = request_->method;
  facts.version_minor = request_->version_minor;
  facts.status = status_;
  facts.content_length = content_length_ ? content_length_ : counted_length();
  facts.client_keeps_alive = request_->keep_alive && may_keep_alive_ && !sink_->must_close();
  const http::h1::Framing framing = http::h1::frame(facts);
  keep_alive_ = framing.keep_alive;
  sink_->will_live_on(keep_alive_);
  chunked_ = framing.chunked;
  no_body_ = !framing.send_body;
  content_length_ = facts.content_length;
  head_.clear();
  http::h1::append_head(head_, facts, framing, status_text_, fields_);
}

bool Response::sent(bool good) {
  if (!good) client_gone_ = cut_ = true;
  return good;
}

// Begins the head if it has not gone yet. @return false: somebody else answers this client
bool Response::begin(std::string_view& head) {
  head_.clear();
  if (!sink_->begin()) return sent(false);
  if (phase_ != Phase::HeadSent) {
    build_head();
    phase_ = Phase::HeadSent;
  }
  head = head_;
  return true;
}

bool Response::send_body(PyObject* owner, std::string_view body, bool last, const Gil& gil) {
  std::string_view head;
  if (!begin(head)) return false;
  if (no_body_) {
    body_dropped_ = body_dropped_ || (!body.empty() && request_->method != http::Method::Head);
    body = {};
  }
  if (content_length_ &&
      body.size() > *content_length_ - body_bytes_) {  // never more than promised
    body = body.substr(0, *content_length_ - body_bytes_);
  }
  body_bytes_ += body.size();
  if (content_length_ && body_bytes_ == *content_length_) last = true;
  if (head.empty() && body.empty()) return true;
  if (!chunked_ || body.empty()) return sent(sink_->send(head, owner, body, {}, last, gil));
  http::h1::append_chunk_head(head_, body.size());
  return sent(sink_->send(head_, owner, body, http::h1::kChunkEnd, last, gil));
}

bool Response::check_started() {
  if (started()) return true;
  PyErr_SetString(PyExc_AssertionError,
                  "the application gave a body before it called start_response");
  return false;
}

bool Response::write(PyObject* bytes, bool last, const Gil& gil) {
  if (!PyBytes_Check(bytes)) {
    PyErr_Format(PyExc_TypeError, "the application must give bytes, not %s",
                 Py_TYPE(bytes)->tp_name);
    return false;
  }
  if (!check_started()) return false;
  const std::string_view body(PyBytes_AS_STRING(bytes),
                              static_cast<std::size_t>(PyBytes_GET_SIZE(bytes)));
  if (body.empty()) return true;  // PEP 3333: headers wait for the first byte of the body
  return send_body(bytes, body, last, gil);
}

bool Response::write_file(const SendableFile& file, const Gil& gil) {
  if (!check_started()) return false;
  if (head_sent()) return false;
  SendableFile part = file;
  if (!content_length_) known_length_ = static_cast<std::uint64_t>(file.bytes);
  if (content_length_ && *content_length_ < static_cast<std::uint64_t>(part.bytes)) {
    part.bytes = static_cast<off_t>(*content_length_);
  }
  std::string_view head;
  if (!begin(head)) return false;
  if (no_body_) return sent(sink_->send(head, nullptr, {}, {}, true, gil));
  body_bytes_ = static_cast<std::uint64_t>(part.bytes);
  return sent(sink_->send_file(head, part, gil));
}

bool Response::finish(const Gil& gil) {
  if (!check_started()) return false;
  if (!head_sent()) {
    if (!content_length_)
      known_length_ = 0;  // no body came: say so instead of an empty chunked one
    if (!send_body(nullptr, {}, true, gil)) return false;
  }
  if (chunked_) {
    return sent(sink_->begin() && sink_->send(http::h1::kLastChunk, nullptr, {}, {}, true, gil));
  }
  // Fewer bytes than promised: only the end of the connection tells the client. RFC 9112 section 8.
  if (!no_body_ && content_length_ && body_bytes_ < *content_length_) cut_ = true;
  return true;
}

void Response::answer(int status, std::string_view message, const Gil& gil,
                      std::string_view reference) {
  if (head_sent()) {
    cut_ = true;
    return;
  }
  keep_alive_ = false;
  status_ = status;
  status_text_ = std::to_string(status).append(" ").append(http::h1::reason_phrase(status));
  fields_.clear();
  if (!sink_->begin()) {
    sent(false);
    return;
  }
  phase_ = Phase::HeadSent;
  head_ = http::h1::error_page(status, message, reference);
  std::string_view page = head_;
  if (request_->method == http::Method::Head) page = page.substr(0, page.find("\r\n\r\n") + 4);
  sent(sink_->send(page, nullptr, {}, {}, true, gil));
}

}  // namespace tricorn::gateway::wsgi
