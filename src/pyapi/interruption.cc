#include "pyapi/interruption.h"

namespace tricorn::pyapi {

PyObject* interruption_type(const Gil& /*gil*/) {
  static PyObject* const type =  // as long as the interpreter
      PyErr_NewExceptionWithDoc("tricorn.RequestTimeout",
                                "The request ran into --request-timeout and was answered already.",
                                PyExc_BaseException, nullptr);
  return type;
}

bool is_interruption(const Gil& gil) {
  PyObject* type = interruption_type(gil);
  return type != nullptr && PyErr_ExceptionMatches(type) != 0;
}

void interrupt_thread(const PyThreadState* tstate, const Gil& gil) {
  PyObject* type = interruption_type(gil);
  if (type == nullptr) {
    PyErr_Clear();  // out of memory: the arbiter sees that the thread does not come back
    return;
  }
  PyThreadState_SetAsyncExc(tstate->thread_id, type);
}

void forget_interruption(const Gil& /*gil*/) {
  PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), nullptr);
}

}  // namespace tricorn::pyapi
