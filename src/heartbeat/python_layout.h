/* Where things are inside one CPython, so that another process can walk its frames.
 * `_core` is compiled against that CPython's internal headers and fills this in at worker start
 * (src/pyapi/layout.c); the arbiter reads it from the shared page and needs no Python headers.
 * C, because CPython's internal headers are C. Addresses are in the worker's address space. */
#pragma once

#include <stdint.h>

#define TRICORN_LAYOUT_BYTES 1024

typedef struct TricornPythonLayout {
  uint32_t python_version; /* PY_VERSION_HEX of the headers */
  uint32_t filled;         /* 1 when every field below is valid */

  /* absolute addresses of the main interpreter's words */
  uint64_t threads_head;    /* PyThreadState*: first of the list */
  uint64_t gil_locked;      /* int: 1 while somebody holds the GIL */
  uint64_t gil_last_holder; /* PyThreadState* */
  uint64_t gc_collecting;   /* int */
  uint64_t code_type;       /* &PyCode_Type, to recognise code objects */
  uint64_t gil_start;       /* the GIL's structure: a futex inside it is a wait for the GIL */
  uint64_t gil_bytes;

  /* PyThreadState */
  uint32_t tstate_next;
  uint32_t tstate_thread_id;        /* pthread_t */
  uint32_t tstate_native_thread_id; /* 3.11+, else UINT32_MAX */
  uint32_t tstate_frame;            /* 3.10: frame, 3.11/3.12: cframe, 3.13+: current_frame */
  uint32_t cframe_current_frame;    /* 3.11/3.12, else UINT32_MAX */

  /* PyFrameObject (3.10) or _PyInterpreterFrame (3.11+) */
  uint32_t frame_previous;
  uint32_t frame_code;        /* f_code or f_executable */
  uint32_t frame_instruction; /* 3.10: int f_lasti; else pointer to the instruction */
  uint32_t frame_owner;       /* 3.11+, else UINT32_MAX */
  uint32_t owner_cstack;      /* value of frame_owner for frames to skip (3.12+), else UINT32_MAX */

  /* PyCodeObject */
  uint32_t code_filename;
  uint32_t code_name;
  uint32_t code_qualname; /* 3.11+, else UINT32_MAX */
  uint32_t code_firstlineno;
  uint32_t code_linetable;
  uint32_t code_instructions; /* 3.11+: start of co_code_adaptive, else UINT32_MAX */

  /* what a frame holds: to find the lock that a thread waits for, and who has it */
  uint32_t frame_localsplus;
  uint32_t code_nlocalsplus; /* 3.11+, else UINT32_MAX */
  uint32_t code_stacksize;
  uint32_t code_exceptiontable; /* 3.11+, else UINT32_MAX */
  uint32_t type_name;           /* tp_name of PyTypeObject */
  uint32_t bound_self;          /* m_self of PyCFunctionObject */

  /* what a coroutine that is suspended keeps: to find what it awaits */
  uint32_t generator_frame; /* 3.11+: its frame lies here; 3.10: points to it */
  uint32_t generator_state; /* 3.11+: a byte, below 0 while it can go on; else UINT32_MAX */
  uint32_t frame_stack_top; /* int: entries in use, from localsplus (3.11+) or frame_value_stack */
  uint32_t frame_value_stack; /* 3.10, else UINT32_MAX */
  uint32_t function_closure;  /* func_closure */
  uint32_t tuple_items;       /* ob_item, in place */
  uint32_t list_items;        /* ob_item, points to them */

  /* the exceptions that a thread is handling, innermost first */
  uint32_t tstate_exceptions;  /* exc_info, points to the first */
  uint32_t exception_value;    /* exc_value of a _PyErr_StackItem */
  uint32_t exception_previous; /* previous_item */

  /* PyBytesObject, PyUnicodeObject, PyObject */
  uint32_t bytes_size;
  uint32_t bytes_data;
  uint32_t unicode_length;
  uint32_t unicode_state;
  uint32_t unicode_ascii_data;   /* sizeof(PyASCIIObject) */
  uint32_t unicode_compact_data; /* sizeof(PyCompactUnicodeObject) */
  uint32_t object_type;          /* ob_type */

  uint32_t code_bytes;     /* 3.10: co_code, a bytes object; else UINT32_MAX */
  uint8_t jump_opcodes[8]; /* unconditional ones, which run nothing else; 0 after the last */

  char reserved[TRICORN_LAYOUT_BYTES - 8 - 7 * 8 - 40 * 4 - 8];
} TricornPythonLayout;
