/* The one file that sees CPython's internal headers: offsetof and addresses, nothing else.
 * Source: CPython Include/internal of 3.10, 3.11, 3.12 and 3.13; 3.13 and later also publish most
 * of these as _Py_DebugOffsets, but older ones do not, and one way for all is enough. */
#define Py_BUILD_CORE 1
#define PY_SSIZE_T_CLEAN
#include "pyapi/layout.h"

#include <Python.h>
#include <opcode.h>
#include <stddef.h>
#include <string.h>

#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_frame.h"
#else
#include <frameobject.h>
#endif

#define NONE UINT32_MAX
#define OFFSET(type, member) ((uint32_t)offsetof(type, member))

#ifndef Py_GIL_DISABLED

static void fill_threads(TricornPythonLayout* layout, PyInterpreterState* interpreter) {
#if PY_VERSION_HEX >= 0x030B0000
  layout->threads_head = (uint64_t)(uintptr_t)&interpreter->threads.head;
  layout->tstate_native_thread_id = OFFSET(PyThreadState, native_thread_id);
#else
  layout->threads_head = (uint64_t)(uintptr_t)&interpreter->tstate_head;
  layout->tstate_native_thread_id = NONE;
#endif
  layout->tstate_next = OFFSET(PyThreadState, next);
  layout->tstate_thread_id = OFFSET(PyThreadState, thread_id);
  layout->tstate_exceptions = OFFSET(PyThreadState, exc_info);
  layout->exception_value = OFFSET(_PyErr_StackItem, exc_value);
  layout->exception_previous = OFFSET(_PyErr_StackItem, previous_item);
  layout->cframe_current_frame = NONE;
#if PY_VERSION_HEX >= 0x030D0000
  layout->tstate_frame = OFFSET(PyThreadState, current_frame);
#elif PY_VERSION_HEX >= 0x030B0000
  layout->tstate_frame = OFFSET(PyThreadState, cframe);
  layout->cframe_current_frame = OFFSET(_PyCFrame, current_frame);
#else
  layout->tstate_frame = OFFSET(PyThreadState, frame);
#endif
}

static void fill_gil(TricornPythonLayout* layout, PyInterpreterState* interpreter) {
#if PY_VERSION_HEX >= 0x030C0000
  struct _gil_runtime_state* gil = interpreter->ceval.gil;
#else
  struct _gil_runtime_state* gil = &_PyRuntime.ceval.gil;
#endif
  layout->gil_start = (uint64_t)(uintptr_t)gil;
  layout->gil_bytes = sizeof *gil;
  layout->gil_locked = (uint64_t)(uintptr_t)&gil->locked;
  layout->gil_last_holder = (uint64_t)(uintptr_t)&gil->last_holder;
  layout->gc_collecting = (uint64_t)(uintptr_t)&interpreter->gc.collecting;
}

static void fill_frame(TricornPythonLayout* layout) {
  layout->frame_owner = NONE;
  layout->owner_cstack = NONE;
#if PY_VERSION_HEX >= 0x030B0000
  layout->frame_previous = OFFSET(_PyInterpreterFrame, previous);
  layout->frame_owner = OFFSET(_PyInterpreterFrame, owner);
#if PY_VERSION_HEX >= 0x030D0000
  layout->frame_code = OFFSET(_PyInterpreterFrame, f_executable);
  layout->frame_instruction = OFFSET(_PyInterpreterFrame, instr_ptr);
#else
  layout->frame_code = OFFSET(_PyInterpreterFrame, f_code);
  layout->frame_instruction = OFFSET(_PyInterpreterFrame, prev_instr);
#endif
#if PY_VERSION_HEX >= 0x030C0000
  layout->owner_cstack = FRAME_OWNED_BY_CSTACK;
#endif
#else
  layout->frame_previous = OFFSET(PyFrameObject, f_back);
  layout->frame_code = OFFSET(PyFrameObject, f_code);
  layout->frame_instruction = OFFSET(PyFrameObject, f_lasti);
#endif
}

static void fill_code(TricornPythonLayout* layout) {
  layout->code_type = (uint64_t)(uintptr_t)&PyCode_Type;
  layout->code_filename = OFFSET(PyCodeObject, co_filename);
  layout->code_name = OFFSET(PyCodeObject, co_name);
  layout->code_firstlineno = OFFSET(PyCodeObject, co_firstlineno);
  layout->code_linetable = OFFSET(PyCodeObject, co_linetable);
  layout->code_stacksize = OFFSET(PyCodeObject, co_stacksize);
#if PY_VERSION_HEX >= 0x030B0000
  layout->code_qualname = OFFSET(PyCodeObject, co_qualname);
  layout->code_instructions = OFFSET(PyCodeObject, co_code_adaptive);
  layout->code_nlocalsplus = OFFSET(PyCodeObject, co_nlocalsplus);
  layout->code_exceptiontable = OFFSET(PyCodeObject, co_exceptiontable);
  layout->frame_localsplus = OFFSET(_PyInterpreterFrame, localsplus);
  layout->code_bytes = NONE;
#else
  layout->code_nlocalsplus = NONE;
  layout->code_exceptiontable = NONE;
  layout->frame_localsplus = OFFSET(PyFrameObject, f_localsplus);
  layout->code_qualname = NONE;
  layout->code_instructions = NONE;
  layout->code_bytes = OFFSET(PyCodeObject, co_code);
#endif
}

static void fill_coroutines(TricornPythonLayout* layout) {
#if PY_VERSION_HEX >= 0x030B0000
  layout->generator_frame = OFFSET(PyGenObject, gi_iframe);
  layout->generator_state = OFFSET(PyGenObject, gi_frame_state);
  layout->frame_stack_top = OFFSET(_PyInterpreterFrame, stacktop);
  layout->frame_value_stack = NONE;
#else
  layout->generator_frame = OFFSET(PyGenObject, gi_frame);
  layout->generator_state = NONE;
  layout->frame_stack_top = OFFSET(PyFrameObject, f_stackdepth);
  layout->frame_value_stack = OFFSET(PyFrameObject, f_valuestack);
#endif
  layout->function_closure = OFFSET(PyFunctionObject, func_closure);
  layout->tuple_items = OFFSET(PyTupleObject, ob_item);
  layout->list_items = OFFSET(PyListObject, ob_item);
}

static void fill_objects(TricornPythonLayout* layout) {
  layout->bytes_size = OFFSET(PyVarObject, ob_size);
  layout->bytes_data = OFFSET(PyBytesObject, ob_sval);
  layout->unicode_length = OFFSET(PyASCIIObject, length);
  layout->unicode_state = OFFSET(PyASCIIObject, state);
  layout->unicode_ascii_data = (uint32_t)sizeof(PyASCIIObject);
  layout->unicode_compact_data = (uint32_t)sizeof(PyCompactUnicodeObject);
  layout->object_type = OFFSET(PyObject, ob_type);
  layout->type_name = OFFSET(PyTypeObject, tp_name);
  layout->bound_self = OFFSET(PyCFunctionObject, m_self);
}

/* With the forms they take when they are specialised or traced. */
static void fill_jumps(TricornPythonLayout* layout) {
  static const uint8_t jumps[] = {
#ifdef JUMP_ABSOLUTE
      JUMP_ABSOLUTE, /* 3.10 */
#endif
#ifdef JUMP_BACKWARD
      JUMP_BACKWARD,
#endif
#ifdef JUMP_BACKWARD_QUICK
      JUMP_BACKWARD_QUICK, /* 3.11 */
#endif
#ifdef JUMP_BACKWARD_NO_INTERRUPT
      JUMP_BACKWARD_NO_INTERRUPT,
#endif
#ifdef INSTRUMENTED_JUMP_BACKWARD
      INSTRUMENTED_JUMP_BACKWARD, /* 3.12 */
#endif
  };
  _Static_assert(sizeof jumps < sizeof layout->jump_opcodes, "the list ends with a 0");
  memcpy(layout->jump_opcodes, jumps, sizeof jumps);
}

static void* pointer_at(const void* base, uint32_t offset) {
  void* value;
  memcpy(&value, (const char*)base + offset, sizeof value);
  return value;
}

/* The code object of the innermost frame, found the way the arbiter finds it. NULL: there is none.
 */
static void* own_code(const TricornPythonLayout* layout, PyThreadState* tstate) {
  void* frame = pointer_at(tstate, layout->tstate_frame);
  if (frame != NULL && layout->cframe_current_frame != NONE) {
    frame = pointer_at(frame, layout->cframe_current_frame);
  }
  return frame == NULL ? NULL : pointer_at(frame, layout->frame_code);
}

static int same_attribute(PyObject* object, uint32_t offset, const char* name) {
  PyObject* value = PyObject_GetAttrString(object, name);
  if (value == NULL) {
    PyErr_Clear();
    return 0;
  }
  const int same = pointer_at(object, offset) == (void*)value;
  Py_DECREF(value);
  return same;
}

static int holds_gil_by_layout(const TricornPythonLayout* layout, const PyThreadState* tstate) {
  int locked;
  memcpy(&locked, (const void*)(uintptr_t)layout->gil_locked, sizeof locked);
  const void* holder = pointer_at((const void*)(uintptr_t)layout->gil_last_holder, 0);
  return locked == 1 && holder == (const void*)tstate;
}

/* A CPython whose structures differ from the headers (same minor version, patched) shows itself
 * here. */
static int reads_itself(const TricornPythonLayout* layout) {
  PyThreadState* tstate = PyThreadState_Get();
  if (!holds_gil_by_layout(layout, tstate)) return 0;
  PyFrameObject* frame = PyThreadState_GetFrame(tstate);
  if (frame == NULL) return 0;
  PyObject* code = (PyObject*)PyFrame_GetCode(frame);
  const int same = own_code(layout, tstate) == (void*)code &&
                   same_attribute(code, layout->code_filename, "co_filename") &&
                   same_attribute(code, layout->code_name, "co_name") &&
                   same_attribute(code, layout->code_linetable, "co_linetable");
  Py_DECREF(code);
  Py_DECREF(frame);
  return same;
}

#endif /* !Py_GIL_DISABLED */

int tricorn_fill_python_layout(TricornPythonLayout* layout) {
  memset(layout, 0, sizeof *layout);
#ifdef Py_GIL_DISABLED
  return -1;
#else
  PyInterpreterState* interpreter = PyInterpreterState_Main();
  layout->python_version = PY_VERSION_HEX;
  fill_threads(layout, interpreter);
  fill_gil(layout, interpreter);
  fill_frame(layout);
  fill_code(layout);
  fill_coroutines(layout);
  fill_objects(layout);
  fill_jumps(layout);
  if (!reads_itself(layout)) return -1;
  layout->filled = 1;
  return 0;
#endif
}
