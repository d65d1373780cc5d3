// tricorn._core: what the spawner and the workers see of the C++ side.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/process_title.h"
#include "heartbeat/page.h"
#include "net/address.h"
#include "pyapi/gil.h"
#include "pyapi/interruption.h"
#include "pyapi/layout.h"
#include "pyapi/ref.h"
#include "spawner/fork.h"
#include "worker/options.h"
#include "worker/worker.h"

namespace {

using tricorn::pyapi::Gil;
using tricorn::pyapi::GilReleased;
using tricorn::pyapi::Ref;
using tricorn::worker::Worker;

struct WorkerObject {
  PyObject_HEAD Worker* worker;
};

Worker* worker_of(PyObject* object) { return reinterpret_cast<WorkerObject*>(object)->worker; }

Worker* made(PyObject* object) {
  Worker* worker = worker_of(object);
  if (worker == nullptr) PyErr_SetString(PyExc_RuntimeError, "Worker.__init__ was not called");
  return worker;
}

PyObject* fail(const std::string& text) {
  PyErr_SetString(PyExc_RuntimeError, text.c_str());
  return nullptr;
}

bool read_listeners(PyObject* list, std::vector<tricorn::worker::Listener>& into) {
  const Ref fast = Ref::steal(PySequence_Fast(list, "listeners must be a list of (fd, name)"));
  if (!fast) return false;
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast.get()); ++i) {
    int fd = -1;
    const char* name = nullptr;
    if (PyArg_ParseTuple(PySequence_Fast_GET_ITEM(fast.get(), i), "is", &fd, &name) == 0)
      return false;
    into.push_back({fd, tricorn::net::local_endpoint(fd), name});
  }
  return true;
}

int worker_init(PyObject* object, PyObject* args, PyObject* /*kwargs*/) {
  const char* settings = nullptr;
  PyObject* listeners = nullptr;
  int page_fd = -1;
  int control_fd = -1;
  int keeper_fd = -1;
  int age = 0;
  if (PyArg_ParseTuple(args, "sOiiii", &settings, &listeners, &page_fd, &control_fd, &keeper_fd,
                       &age) == 0)
    return -1;
  const tricorn::base::UniqueFd owned_page(page_fd);
  tricorn::base::UniqueFd control(control_fd);
  tricorn::base::UniqueFd keeper(keeper_fd);
  std::vector<tricorn::worker::Listener> sockets;
  if (!read_listeners(listeners, sockets)) return -1;
  auto options = tricorn::worker::options_from_json(settings, static_cast<std::uint32_t>(age));
  if (!options) return fail(options.error().text), -1;
  auto page = tricorn::heartbeat::Page::attach(page_fd);
  if (!page.valid()) return PyErr_SetFromErrno(PyExc_OSError), -1;
  auto worker = std::make_unique<Worker>(std::move(*options), std::move(sockets), std::move(page),
                                         std::move(control), std::move(keeper));
  if (auto opened = worker->open_logs(); !opened) return fail(opened.error().text), -1;
  reinterpret_cast<WorkerObject*>(object)->worker =
      worker.release();  // lives as long as the process
  return 0;
}

PyObject* worker_introduce(PyObject* object, PyObject* /*none*/) {
  Worker* worker = made(object);
  return worker == nullptr ? nullptr : PyBool_FromLong(worker->introduce() ? 1 : 0);
}

PyObject* worker_log(PyObject* object, PyObject* args) {
  int level = 0;
  const char* text = nullptr;
  Py_ssize_t size = 0;
  Worker* worker = made(object);
  if (worker == nullptr || PyArg_ParseTuple(args, "is#", &level, &text, &size) == 0) return nullptr;
  if (level < 0 || level > 4)
    return PyErr_Format(PyExc_ValueError, "level %d is not one of 0 to 4", level);
  worker->log().write(static_cast<tricorn::base::Level>(level),
                      {text, static_cast<std::size_t>(size)});
  Py_RETURN_NONE;
}

PyObject* worker_note_boot_error(PyObject* object, PyObject* args) {
  const char* text = nullptr;
  const char* stack = nullptr;
  Py_ssize_t text_size = 0;
  Py_ssize_t stack_size = 0;
  Worker* worker = made(object);
  if (worker == nullptr ||
      PyArg_ParseTuple(args, "s#s#", &text, &text_size, &stack, &stack_size) == 0) {
    return nullptr;
  }
  tricorn::heartbeat::Header& header = worker->header();
  tricorn::heartbeat::set_note(header.boot_error, {text, static_cast<std::size_t>(text_size)});
  tricorn::heartbeat::set_note(header.boot_stack, {stack, static_cast<std::size_t>(stack_size)});
  Py_RETURN_NONE;
}

PyObject* worker_note_exit(PyObject* object, PyObject* args) {
  int status = 0;
  int tid = 0;
  Worker* worker = made(object);
  if (worker == nullptr || PyArg_ParseTuple(args, "ii", &status, &tid) == 0) return nullptr;
  worker->announce_exit(status, tid);
  Py_RETURN_NONE;
}

PyObject* worker_install_handlers(PyObject* object, PyObject* /*none*/) {
  Worker* worker = made(object);
  if (worker == nullptr) return nullptr;
  worker->install_handlers();
  Py_RETURN_NONE;
}

PyObject* worker_requests(PyObject* object, PyObject* /*none*/) {
  Worker* worker = made(object);
  return worker == nullptr ? nullptr : PyLong_FromUnsignedLongLong(worker->requests_begun());
}

PyObject* worker_leave(PyObject* object, PyObject* args) {
  const char* why = nullptr;
  Worker* worker = made(object);
  if (worker == nullptr || PyArg_ParseTuple(args, "s", &why) == 0) return nullptr;
  worker->leave(why);
  Py_RETURN_NONE;
}

PyObject* worker_reopen_logs(PyObject* object, PyObject* /*none*/) {
  Worker* worker = made(object);
  if (worker == nullptr) return nullptr;
  worker->reopen_logs();
  Py_RETURN_NONE;
}

PyObject* worker_use_python_log(PyObject* object, PyObject* args) {
  PyObject* access = nullptr;
  PyObject* report = nullptr;
  int channel = -1;
  int reopen = -1;
  int level = 0;
  Worker* worker = made(object);
  if (worker == nullptr ||
      PyArg_ParseTuple(args, "OOiii", &access, &report, &channel, &reopen, &level) == 0)
    return nullptr;
  if (level < 0 || level > 4)
    return PyErr_Format(PyExc_ValueError, "level %d is not one of 0 to 4", level);
  worker->use_python_log(Py_NewRef(access), Py_NewRef(report), tricorn::base::UniqueFd(channel),
                         reopen, static_cast<tricorn::base::Level>(level));
  Py_RETURN_NONE;
}

// None is no hook.
PyObject* hook_of(PyObject* hooks, const char* name) {
  PyObject* hook = PyDict_GetItemString(hooks, name);
  return hook == Py_None ? nullptr : hook;
}

PyObject* worker_serve(PyObject* object, PyObject* args) {
  PyObject* callable = nullptr;
  PyObject* hooks = nullptr;
  Worker* worker = made(object);
  if (worker == nullptr || PyArg_ParseTuple(args, "OO!", &callable, &PyDict_Type, &hooks) == 0)
    return nullptr;
  tricorn::gateway::wsgi::RequestHooks request_hooks;
  request_hooks.worker = hook_of(hooks, "worker");
  request_hooks.request_type = hook_of(hooks, "request_type");
  request_hooks.response_type = hook_of(hooks, "response_type");
  request_hooks.pre_request = hook_of(hooks, "pre_request");
  request_hooks.post_request = hook_of(hooks, "post_request");
  if (!worker->serve(callable, request_hooks, Gil::held_by_caller())) return nullptr;
  return PyLong_FromLong(0);
}

PyMethodDef kWorkerMethods[] = {
    {"introduce", worker_introduce, METH_NOARGS,
     "introduce() -> bool: meet the arbiter; False when it is gone"},
    {"log", worker_log, METH_VARARGS,
     "log(level, text): a line of the error log; 0 debug to 4 critical"},
    {"note_boot_error", worker_note_boot_error, METH_VARARGS,
     "note_boot_error(text, stack): why the boot failed, for the arbiter; stack is lines of "
     "\"LINE FUNCTION FILE\", innermost first"},
    {"note_exit", worker_note_exit, METH_VARARGS,
     "note_exit(status, tid): os._exit is being called"},
    {"install_handlers", worker_install_handlers, METH_NOARGS,
     "install_handlers(): after signal.signal changed them"},
    {"requests", worker_requests, METH_NOARGS,
     "requests() -> int: how many the application was called for"},
    {"leave", worker_leave, METH_VARARGS,
     "leave(why): finish what is held, then let serve() return; for another worker to come"},
    {"reopen_logs", worker_reopen_logs, METH_NOARGS, "reopen_logs(): after logrotate"},
    {"use_python_log", worker_use_python_log, METH_VARARGS,
     "use_python_log(access, report, channel_fd, reopen_fd, level): lines go to Python's logging"},
    {"serve", worker_serve, METH_VARARGS, "serve(app, hooks) -> 0: serve until drained"},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject g_worker_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn._core.Worker";
  type.tp_basicsize = sizeof(WorkerObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_doc = "Worker(settings_json, listeners, page_fd, control_fd, keeper_fd, age)";
  type.tp_methods = kWorkerMethods;
  type.tp_init = worker_init;
  type.tp_new = PyType_GenericNew;
  return type;
}();

PyObject* core_fork_worker(PyObject* /*module*/, PyObject* /*none*/) {
  const auto pid = tricorn::spawner::fork_worker();
  if (pid) return PyLong_FromLong(*pid);
  errno = pid.error().code;
  if (errno != 0) return PyErr_SetFromErrno(PyExc_OSError);
  return fail(pid.error().text);
}

PyObject* core_become_spawner(PyObject* /*module*/, PyObject* /*none*/) {
  ::prctl(PR_SET_NAME, "tricorn-spawner");
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody else could tell it that the arbiter is gone
  Py_RETURN_NONE;
}

PyObject* core_set_title(PyObject* /*module*/, PyObject* title) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(title, &size);
  if (text == nullptr) return nullptr;
  const bool all = tricorn::base::set_process_title({text, static_cast<std::size_t>(size)});
  return PyBool_FromLong(all ? 1 : 0);
}

PyObject* core_stay_readable(PyObject* /*module*/, PyObject* /*none*/) {
  ::prctl(PR_SET_DUMPABLE, 1);
  Py_RETURN_NONE;
}

PyObject* core_note_layout(PyObject* /*module*/, PyObject* number) {
  const long fd = PyLong_AsLong(number);
  if (fd == -1 && PyErr_Occurred() != nullptr) return nullptr;
  const auto page = tricorn::heartbeat::Page::attach(static_cast<int>(fd));
  if (!page.valid()) return PyErr_SetFromErrno(PyExc_OSError);
  tricorn::heartbeat::Header& header = page.header();
  if (tricorn_fill_python_layout(&header.python) == 0)
    header.layout_state.store(1, std::memory_order_release);
  Py_RETURN_NONE;
}

PyMethodDef kFunctions[] = {
    {"note_layout", core_note_layout, METH_O,
     "note_layout(fd): tells in the page `fd` how this process's Python is laid out"},
    {"stay_readable", core_stay_readable, METH_NOARGS,
     "stay_readable(): lets the arbiter look at this process after a change of user"},
    {"become_spawner", core_become_spawner, METH_NOARGS,
     "become_spawner(): from now on this process ends with its parent"},
    {"set_title", core_set_title, METH_O,
     "set_title(text) -> bool: what ps shows of this process; before it has other threads"},
    {"fork_worker", core_fork_worker, METH_NOARGS,
     "fork_worker() -> pid: 0 in the worker, which is the arbiter's child"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef g_module = {PyModuleDef_HEAD_INIT,
                        "tricorn._core",
                        "The C++ side of a Tricorn worker.",
                        -1,
                        kFunctions,
                        nullptr,
                        nullptr,
                        nullptr,
                        nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__core() {
  if (PyType_Ready(&g_worker_type) != 0) return nullptr;
  Ref module = Ref::steal(PyModule_Create(&g_module));
  PyObject* interruption = tricorn::pyapi::interruption_type(tricorn::pyapi::Gil::held_by_caller());
  if (!module || interruption == nullptr ||
      PyModule_AddObjectRef(module.get(), "Worker", reinterpret_cast<PyObject*>(&g_worker_type)) !=
          0 ||
      PyModule_AddObjectRef(module.get(), "RequestTimeout", interruption) != 0) {
    return nullptr;
  }
  return module.release();
}
