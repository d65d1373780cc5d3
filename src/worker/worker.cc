#include "worker/worker.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>

#include "base/clock.h"
#include "gateway/wsgi/request_object.h"
#include "heartbeat/recorder.h"
#include "heartbeat/wire.h"
#include "pyapi/error.h"
#include "pyapi/interruption.h"
#include "pyapi/layout.h"
#include "worker/error_stream.h"
#include "worker/fatal_signals.h"
#include "worker/forked_copy.h"
#include "worker/interrupter.h"
#include "worker/stop_signals.h"

namespace tricorn::worker {

using gateway::wsgi::Environ;
using gateway::wsgi::Response;
using pyapi::Gil;
using pyapi::Ref;

namespace {

// App threads that are on their way out of a call get this long.
constexpr std::chrono::milliseconds kThreadsEnd{1000};
constexpr std::int64_t kLastLinesNs = 500'000'000;
constexpr int kLastLinesPauseMs = 10;

}  // namespace

Worker::Worker(Options options, std::vector<Listener> listeners, heartbeat::Page page,
               base::UniqueFd control, base::UniqueFd keeper)
    : options_(std::move(options)),
      listeners_(std::move(listeners)),
      page_(std::move(page)),
      control_(std::move(control)),
      notices_(control_.get()),
      keeper_(std::move(keeper)) {}

Worker::~Worker() = default;

base::Result<void> Worker::open_logs() {
  if (auto opened = log_.open(options_.error_log); !opened) return opened;
  if (auto opened = statsd_.open(options_.statsd); !opened) log_.warning(opened.error().text);
  if (statsd_.enabled()) log_.on_line([this](const base::Record& record) { statsd_.line(record); });
  if (!options_.syslog.address.empty()) {
    auto syslog = net::Syslog::open(options_.syslog);
    if (!syslog) return base::Unexpected{syslog.error()};
    log_.set_sink(std::move(*syslog));
  }
  if (!options_.access_syslog.address.empty()) {
    auto syslog = net::Syslog::open(options_.access_syslog);
    if (!syslog) return base::Unexpected{syslog.error()};
    access_log_.set_sink(std::move(*syslog));
  }
  return access_log_.open(options_.access_log);
}

bool Worker::introduce() {
  ::prctl(PR_SET_NAME, "tricorn-worker");
  heartbeat::Header& header = page_.header();
  header.pid.store(::getpid());
  header.requests_max.store(options_.requests_max);
  header.control_fd.store(control_.get());
  if (keeper::start(keeper_.get(), options_.identity) < 0) {
    log_.warning(fmt::format("No keeper for this worker ({}): if it is killed, its clients are cut",
                             std::strerror(errno)));
  }
  use_alternate_stack();
  install_handlers();
  if (!heartbeat::send_message(control_.get(), heartbeat::Verb::Hello, ::getpid(), nullptr, 0, -1,
                               0))
    return false;
  heartbeat::Message answer;
  base::UniqueFd passed;
  if (heartbeat::receive_message(control_.get(), answer, passed, 0) != heartbeat::Received::Message)
    return false;
  header.life.store(heartbeat::Life::Booting);
  if (tricorn_fill_python_layout(&header.python) == 0)
    header.layout_state.store(1, std::memory_order_release);
  heartbeat::Slot& slot = page_.slot(0);  // the boot runs on what becomes app thread 0
  slot.tstate.store(reinterpret_cast<std::uint64_t>(PyThreadState_Get()));
  slot.tid.store(::getpid());
  return answer.verb == heartbeat::Verb::Go;
}

void Worker::install_handlers() {
  install_fatal_handlers(page_.header(), control_.get());
  install_stop_handlers(page_.header().stop_sender);
}

void Worker::reopen_logs() {
  if (python_reopen_ >= 0) static_cast<void>(::write(python_reopen_, "r", 1) == 1);
  for (const auto& result : {log_.reopen(), access_log_.reopen()}) {
    if (!result) log_.error("Cannot reopen a log: " + result.error().text);
  }
  if (!options_.capture_output) return;
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(log_.fd(), standard);
}

void Worker::use_python_log(PyObject* access, PyObject* report, base::UniqueFd channel, int reopen,
                            base::Level threshold) {
  python_access_ = access;
  python_report_ = report;
  python_reopen_ = reopen;
  access_log_.disable();
  static_cast<void>(log_.divert(std::move(channel)));
  log_.set_threshold(threshold);
}

// On an app thread, under the GIL.
void Worker::report(base::Level level, std::string_view line, std::string_view traceback) {
  if (python_report_ == nullptr) return log_.write({level, line, 0, traceback});
  const Ref done = Ref::steal(
      PyObject_CallFunction(python_report_, "is#s#", static_cast<int>(level), line.data(),
                            static_cast<Py_ssize_t>(line.size()), traceback.data(),
                            static_cast<Py_ssize_t>(traceback.size())));
  if (done) return;
  PyErr_Clear();  // a logger that raises, or bytes that are no text: the line is not lost
  log_.write({level, line, 0, traceback});
}

void Worker::tell_python_access(const gateway::wsgi::Call& call, const Response& response,
                                PyObject* environ, std::int64_t duration_ns, const Gil& gil) {
  if (environ == nullptr) return;
  const Ref request =
      gateway::wsgi::request_object_new(hooks_.request_type, call.request, environ, gil);
  const Ref answer = Ref::steal(request ? gateway::wsgi::response_object_new(
                                              hooks_.response_type, request.get(), response, gil)
                                              .release()
                                        : nullptr);
  const Ref done = Ref::steal(
      request && answer ? PyObject_CallFunction(python_access_, "OOOL", answer.get(), request.get(),
                                                environ, static_cast<long long>(duration_ns / 1000))
                        : nullptr);
  if (!done) report(base::Level::Error, "Exception in the access log", pyapi::take_traceback(gil));
}

bool Worker::flush_logs() {
  access_log_.flush();
  if (const std::uint64_t lost = access_log_.take_dropped(); lost != 0)
    log_.warning(fmt::format("Access log reader too slow: {} lines dropped", lost));
  if (const std::string complaint = access_log_.complaint(); !complaint.empty())
    log_.warning(complaint);
  if (log_.behind()) log_.flush();
  const bool done = !log_.behind() && !access_log_.behind();
  if (done) readers_slow_.store(false, std::memory_order_relaxed);
  return done;
}

// Readers that are only slow get this long for what is pending when we leave.
void Worker::finish_logs() {
  const std::int64_t until = base::monotonic_ns() + kLastLinesNs;
  while (!flush_logs() && base::monotonic_ns() < until) ::poll(nullptr, 0, kLastLinesPauseMs);
}

bool Worker::prepare_environs(const Gil& gil) {
  const Ref errors = error_stream(log_, gil);
  if (!errors) return false;
  for (const Listener& listener : listeners_) {
    gateway::wsgi::EnvironBase base;
    const bool unix_socket = listener.endpoint.family == AF_UNIX;
    base.server_name = listener.endpoint.host;
    base.server_port = unix_socket ? "" : std::to_string(listener.endpoint.port);
    base.server_software = "tricorn/" TRICORN_VERSION;
    base.script_name = options_.script_name;
    base.multithread = options_.multithread;
    base.multiprocess = options_.multiprocess;
    environs_.push_back(std::make_unique<Environ>());
    if (!environs_.back()->prepare(base, options_.trust, errors.get(), gil)) return false;
  }
  return true;
}

bool Worker::serve(PyObject* callable, const gateway::wsgi::RequestHooks& hooks, const Gil& gil) {
  if (!gateway::wsgi::ready(gil) || !prepare_environs(gil)) return false;
  hooks_ = hooks;
  for (std::uint32_t i = 0; i < options_.threads; ++i)
    responses_.push_back(std::make_unique<Response>());
  std::vector<int> given_back = {control_.get(), keeper_.get()};
  for (const Listener& listener : listeners_) given_back.push_back(listener.fd);
  mark_forked_copies(page_, log_, std::move(given_back));
  application_ = std::make_unique<gateway::wsgi::Application>(
      callable, hooks,
      [this](base::Level level, std::string_view line, std::string_view traceback) {
        if (page_.header().abort_asked.load() != 0 && !is_forked_copy())
          return;  // the arbiter has told it already, better
        report(level, line, traceback);
      },
      [this](const gateway::wsgi::Failure& failure) { return tell_of_failure(failure); });
  const auto pass_on = [this](heartbeat::Verb verb) {
    return [this, verb](int fd, std::string_view read) {
      return heartbeat::send_message(control_.get(), verb, fd, read.data(), read.size(), fd,
                                     MSG_DONTWAIT);
    };
  };
  options_.loop.give_away = pass_on(heartbeat::Verb::GiveAway);
  options_.loop.offer = pass_on(heartbeat::Verb::Offer);
  options_.loop.leave_backlog = [this] {
    static_cast<void>(heartbeat::send_message(control_.get(), heartbeat::Verb::Backlog, 0, nullptr,
                                              0, -1, MSG_DONTWAIT));
  };
  options_.loop.tell = [this](const Notice& notice) {
    return notices_.tell(notice, base::monotonic_ns());
  };
  // Ready before it can accept: either the arbiter sees that it must not be interrupted any more,
  // or the loop sees that it is to leave and accepts nobody. Source: Arbiter::stop().
  heartbeat::Header& header = page_.header();
  header.ready_ns.store(base::monotonic_ns());
  header.life.store(heartbeat::Life::Ready);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  loop_ = std::make_unique<Loop>(options_.loop, listeners_, page_, log_);
  crew_ = std::make_unique<Crew>(
      *loop_, page_, options_.threads,
      [this](std::uint32_t index, Exchange& exchange, std::int64_t began_ns, const Gil& held) {
        run_request(index, exchange, began_ns, held);
      },
      [this] {
        if (!flush_logs() && !readers_slow_.exchange(true)) crew_->doorbell().raise();
      });
  Sentinel sentinel(*loop_, *crew_,
                    {control_.get(), options_.graceful_timeout,
                     [this](std::uint32_t index, std::uint32_t request_id) {
                       if (index < page_.slot_count())
                         interrupt_request(page_.slot(index), request_id);
                     },
                     [this] { reopen_logs(); }, [this] { return flush_logs(); }});
  sentinel.start();
  if (!start_threads(gil)) return false;
  static_cast<void>(heartbeat::send_message(control_.get(), heartbeat::Verb::Ready, ::getpid(),
                                            nullptr, 0, -1, 0));
  crew_->work(0);
  header.life.store(heartbeat::Life::Exiting);
  const pyapi::GilReleased released(
      gil);  // the sentinel needs no GIL, but the other app threads do to end
  crew_->wait_for_others(kThreadsEnd);
  finish_logs();
  return true;
}

// ---- app threads besides the main one
// --------------------------------------------------------------

namespace {

// What a threading.Thread runs: a callable that carries the crew and an index.
PyObject* run_app_thread(PyObject* capsule, PyObject* index) {
  auto* crew = static_cast<Crew*>(PyCapsule_GetPointer(capsule, "tricorn.crew"));
  if (crew == nullptr) return nullptr;
  crew->work(static_cast<std::uint32_t>(PyLong_AsLong(index)));
  Py_RETURN_NONE;
}

PyMethodDef kRunAppThread = {"app_thread", run_app_thread, METH_O, nullptr};

bool start_thread(PyObject* threading, PyObject* target, std::uint32_t index) {
  const Ref type = Ref::steal(PyObject_GetAttrString(threading, "Thread"));
  const Ref none = Ref::steal(PyTuple_New(0));
  const Ref keywords =
      Ref::steal(Py_BuildValue("{s:O,s:(I),s:N,s:O}", "target", target, "args", index, "name",
                               PyUnicode_FromFormat("app-%u", index + 1), "daemon", Py_True));
  if (!type || !none || !keywords) return false;
  const Ref thread = Ref::steal(PyObject_Call(type.get(), none.get(), keywords.get()));
  return thread && Ref::steal(PyObject_CallMethod(thread.get(), "start", nullptr));
}

}  // namespace

bool Worker::start_threads(const Gil& /*gil*/) {
  if (options_.threads == 1) return true;
  const Ref threading = Ref::steal(PyImport_ImportModule("threading"));
  const Ref capsule = Ref::steal(PyCapsule_New(crew_.get(), "tricorn.crew", nullptr));
  if (!threading || !capsule) return false;
  const Ref target = Ref::steal(PyCFunction_New(&kRunAppThread, capsule.get()));
  for (std::uint32_t i = 1; i < options_.threads; ++i) {
    if (!target || !start_thread(threading.get(), target.get(), i)) return false;
  }
  return true;
}

// ---- one request
// -----------------------------------------------------------------------------------

// REMOTE_ADDR and REMOTE_PORT as Python strings, made once a connection.
bool Worker::name_client(Connection& connection) {
  if (connection.remote_addr != nullptr) return true;
  const heartbeat::Client& client = connection.client;
  if (client.family != AF_UNIX) {
    connection.remote_port = PyUnicode_FromFormat("%u", static_cast<unsigned>(client.port));
    if (connection.remote_port == nullptr) return false;
  }
  connection.remote_addr = PyUnicode_FromString(heartbeat::text_of(client).c_str());
  return connection.remote_addr != nullptr;
}

void Worker::run_request(std::uint32_t index, Exchange& exchange, std::int64_t began_ns,
                         const Gil& gil) {
  Connection& connection = exchange.connection();
  const http::RequestHead& head = exchange.head();
  heartbeat::Slot& slot = page_.slot(index);
  heartbeat::note_hold(*connection.hold, heartbeat::Hold::InApp);
  heartbeat::begin_request(slot, head.method_text, head.path, connection.fd, connection.client,
                           began_ns);
  exchange.run_on(slot, page_.answer_marks(connection.fd));
  if (log_.enabled(base::Level::Debug))
    log_.debug(fmt::format("{} {}", head.method_text, head.path));
  const std::atomic<std::uint32_t>& abort_asked = page_.header().abort_asked;
  if (abort_asked.load() != 0) {  // this worker is about to be killed: nobody has seen the request
    static_cast<void>(heartbeat::end_request(slot));
    heartbeat::note_hold(*connection.hold, heartbeat::Hold::Queued);
    exchange.abandoned = true;
    return;
  }
  Response& response = *responses_[index];
  Ref environ;
  gateway::wsgi::Call call;
  bool told = false;
  const auto tell_slow_client = [&] {
    if (told || !(exchange.slow_upload || exchange.slow_read)) return std::string();
    told = true;
    return tell_of_slow_client(exchange, slot, began_ns);
  };
  if (name_client(connection)) {
    call.request.head = &head;
    call.request.remote_addr = connection.remote_addr;
    call.request.remote_port = connection.remote_port;
    call.request.trusted = connection.trusted;
    call.request.proxied = connection.proxied.get();
    call.environ = environs_[connection.listener].get();
    call.body = &exchange;
    call.sink = &exchange;
    call.abort_asked = &abort_asked;
    call.begun = &requests_begun_;
    call.tell_fault = std::ref(tell_slow_client);
    if (access_log_.wants_environ() || python_access_ != nullptr) call.environ_used = &environ;
    call.may_keep_alive = options_.loop.keepalive_ns > 0 && !exchange.close_after;
    application_->serve(call, response, gil);
    tell_slow_client();  // when the answer did not need it
    // No Python runs from here to the request's end.
    if (slot.is_abandoned()) pyapi::forget_interruption(gil);
    exchange.close_after = !response.keep_alive() || !exchange.body_taken();
    exchange.failed = response.cut() || response.client_gone();
  } else {
    PyErr_Clear();  // out of memory for two short strings: this connection goes
    exchange.failed = true;
  }
  if (abort_asked.load() != 0) {
    end_if_forked_copy(slot);
    if (slot.claim.load() == heartbeat::Claim::Pending) {
      exchange.abandoned = true;  // interrupted by it: the slot stays as it is for the arbiter
      loop_->ask_to_drain();
      return;
    }
  }
  heartbeat::note_hold(*connection.hold, heartbeat::Hold::Writing);
  if (!heartbeat::end_request(slot)) exchange.abandoned = true;
  if (abort_asked.load() != 0) loop_->ask_to_drain();
  if (python_access_ != nullptr)
    tell_python_access(call, response, environ.get(), base::monotonic_ns() - began_ns, gil);
  if (statsd_.enabled())
    statsd_.request(response.status_line().substr(0, 3), base::monotonic_ns() - began_ns);
  if (access_log_.enabled())
    note_access(exchange, response, slot, environ.get(), base::monotonic_ns() - began_ns);
  count_request();
}

// An app thread has waited for the client itself; those that the loop waits for are the loop's.
// @return for the client's answer
std::string Worker::tell_of_slow_client(const Exchange& exchange, const heartbeat::Slot& slot,
                                        std::int64_t began_ns) {
  const std::int64_t now = base::monotonic_ns();
  Notice notice;
  notice.cause = exchange.slow_upload ? "client.slow_upload" : "client.slow_read";
  notice.request = exchange.request_so_far();
  notice.client = exchange.connection().client;
  notice.bytes_in = slot.bytes_in.load(std::memory_order_relaxed);
  notice.bytes_out = slot.bytes_out.load(std::memory_order_relaxed);
  notice.ran_ns = now - began_ns;
  return notices_.tell(notice, now);
}

// Exceptions of a kind that says more than that the program failed. @return for the client's answer
std::string Worker::tell_of_failure(const gateway::wsgi::Failure& failure) {
  using Kind = gateway::wsgi::Failure::Kind;
  if (failure.kind == Kind::Exit) return reference_of_stop();
  const std::int64_t now = base::monotonic_ns();
  Notice notice;
  notice.cause = failure.kind == Kind::Memory ? "memory.limit" : "app.recursion";
  notice.request = failure.request;
  notice.error = failure.error;
  notice.stack = failure.stack;
  return notices_.tell(notice, now);
}

// Somebody's INT or QUIT ended the request: the arbiter will tell of it when this process is gone.
std::string Worker::reference_of_stop() {
  heartbeat::Header& header = page_.header();
  const std::int32_t sender = header.stop_sender.load();
  if (sender == 0 || sender == ::getppid()) return {};  // nobody's, or the arbiter's: no incident
  const std::string reference = new_reference();
  set_note(header.stop_reference, reference);
  return reference;
}

void Worker::note_access(const Exchange& exchange, const Response& response,
                         const heartbeat::Slot& slot, PyObject* environ, std::int64_t duration_ns) {
  const std::string address = heartbeat::text_of(exchange.connection().client);
  AccessFacts facts;
  facts.head = &exchange.head();
  facts.environ = environ;
  facts.remote_address = address;
  facts.response_fields = response.fields();
  facts.status = response.status_line().substr(0, 3);
  facts.body_bytes = response.body_bytes();
  facts.duration_ns = duration_ns;
  const std::uint32_t farewell = exchange.abandoned ? slot.farewell_status.load() : 0;
  const std::string farewell_text = std::to_string(farewell);
  if (farewell != 0) {  // what the client got is the arbiter's answer
    facts.response_fields = {};
    facts.status = farewell_text;
    facts.body_bytes = slot.farewell_bytes.load();
  }
  access_log_.add(facts);
}

void Worker::count_request() {
  page_.header().requests.store(++requests_, std::memory_order_relaxed);
  if (requests_ != options_.requests_max) return;
  log_.info("Autorestarting worker after current request.");
  leave("max_requests");
}

void Worker::leave(std::string_view why) {
  page_.header().life.store(heartbeat::Life::Draining);
  static_cast<void>(heartbeat::send_message(control_.get(), heartbeat::Verb::Leaving, ::getpid(),
                                            why.data(), why.size(), -1, MSG_DONTWAIT));
  if (loop_) loop_->ask_to_drain();
}

}  // namespace tricorn::worker
