/* A tiny extension for the probe: gives src/pyapi/layout.c's answer as bytes, and this thread's
 * state. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pyapi/layout.h"

static TricornPythonLayout filled;

static PyObject* fill(PyObject* module, PyObject* none) {
  (void)module;
  (void)none;
  if (tricorn_fill_python_layout(&filled) != 0) Py_RETURN_NONE;
  return PyBytes_FromStringAndSize((const char*)&filled, sizeof filled);
}

static PyObject* tstate(PyObject* module, PyObject* none) {
  (void)module;
  (void)none;
  return PyLong_FromVoidPtr(PyThreadState_Get());
}

static PyMethodDef methods[] = {{"fill", fill, METH_NOARGS, NULL},
                                {"tstate", tstate, METH_NOARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "layout_module", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_layout_module(void) { return PyModule_Create(&definition); }
