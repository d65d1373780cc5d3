#include "gateway/wsgi/file_wrapper.h"

#include <structmember.h>
#include <sys/stat.h>

#include <cstddef>

namespace tricorn::gateway::wsgi {
namespace {

using pyapi::Gil;
using pyapi::Ref;

constexpr Py_ssize_t kBlockBytes = 8192;  // Gunicorn's FileWrapper default

struct FileWrapper {
  PyObject_HEAD PyObject* filelike;
  PyObject* close;  // the file's own close, or null: PEP 3333 wants it passed through
  Py_ssize_t blksize;
};

FileWrapper* self_of(PyObject* object) { return reinterpret_cast<FileWrapper*>(object); }

int wrapper_init(PyObject* object, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"filelike", "blksize", nullptr};
  PyObject* filelike = nullptr;
  Py_ssize_t blksize = kBlockBytes;
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "O|n", const_cast<char**>(names), &filelike,
                                  &blksize) == 0)
    return -1;
  FileWrapper* self = self_of(object);
  Py_INCREF(filelike);
  Py_XSETREF(self->filelike, filelike);
  Py_XSETREF(self->close, PyObject_GetAttrString(filelike, "close"));
  if (self->close == nullptr) PyErr_Clear();
  self->blksize = blksize;
  return 0;
}

PyObject* wrapper_next(PyObject* object) {
  FileWrapper* self = self_of(object);
  PyObject* data = PyObject_CallMethod(self->filelike, "read", "n", self->blksize);
  if (data != nullptr && PyObject_Size(data) == 0) Py_CLEAR(data);
  return data;
}

int wrapper_traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(self_of(object)->filelike);
  Py_VISIT(self_of(object)->close);
  return 0;
}

int wrapper_clear(PyObject* object) {
  Py_CLEAR(self_of(object)->filelike);
  Py_CLEAR(self_of(object)->close);
  return 0;
}

void wrapper_dealloc(PyObject* object) {
  PyObject_GC_UnTrack(object);
  wrapper_clear(object);
  Py_TYPE(object)->tp_free(object);
}

PyMemberDef kMembers[] = {
    {"filelike", T_OBJECT, offsetof(FileWrapper, filelike), READONLY, "the wrapped file"},
    {"blksize", T_PYSSIZET, offsetof(FileWrapper, blksize), READONLY, "bytes a read asks for"},
    {"close", T_OBJECT_EX, offsetof(FileWrapper, close), READONLY,
     "the file's own close, if it has one"},
    {nullptr, 0, 0, 0, nullptr},
};

PyTypeObject g_type = [] {
  PyTypeObject type{};
  type.ob_base = PyVarObject{PyObject_HEAD_INIT(nullptr) 0};
  type.tp_name = "tricorn.FileWrapper";
  type.tp_basicsize = sizeof(FileWrapper);
  type.tp_dealloc = wrapper_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE;
  type.tp_doc = "wsgi.file_wrapper(filelike, blksize=8192)";
  type.tp_traverse = wrapper_traverse;
  type.tp_clear = wrapper_clear;
  type.tp_iter = PyObject_SelfIter;
  type.tp_iternext = wrapper_next;
  type.tp_members = kMembers;
  type.tp_init = wrapper_init;
  type.tp_new = PyType_GenericNew;
  return type;
}();

// Only files whose bytes are the descriptor's bytes: a GzipFile has a descriptor too, but
// decompresses.
PyObject* g_plain_files = nullptr;  // (io.FileIO, io.BufferedReader, io.BufferedRandom)

bool load_plain_files() {
  const Ref io = Ref::steal(PyImport_ImportModule("io"));
  if (!io) return false;
  const Ref raw = Ref::steal(PyObject_GetAttrString(io.get(), "FileIO"));
  const Ref reader = Ref::steal(PyObject_GetAttrString(io.get(), "BufferedReader"));
  const Ref random = Ref::steal(PyObject_GetAttrString(io.get(), "BufferedRandom"));
  if (!raw || !reader || !random) return false;
  g_plain_files = PyTuple_Pack(3, raw.get(), reader.get(), random.get());
  return g_plain_files != nullptr;
}

// The position Python sees; a buffered file's descriptor is further on.
off_t position_of(PyObject* filelike) {
  const Ref told = Ref::steal(PyObject_CallMethod(filelike, "tell", nullptr));
  if (!told) {
    PyErr_Clear();
    return -1;
  }
  const long long position = PyLong_AsLongLong(told.get());
  if (position == -1) PyErr_Clear();
  return static_cast<off_t>(position);
}

}  // namespace

bool file_wrapper_ready(const Gil& /*gil*/) {
  return PyType_Ready(&g_type) == 0 && load_plain_files();
}

PyObject* file_wrapper_type() { return reinterpret_cast<PyObject*>(&g_type); }

SendableFile sendable_file(PyObject* iterable, const Gil& /*gil*/) {
  if (Py_TYPE(iterable) != &g_type) return {};
  PyObject* filelike = self_of(iterable)->filelike;
  if (PyObject_IsInstance(filelike, g_plain_files) != 1) {
    PyErr_Clear();
    return {};
  }
  const int fd = PyObject_AsFileDescriptor(filelike);
  if (fd < 0) {
    PyErr_Clear();  // closed already: iterating says so
    return {};
  }
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const off_t offset = position_of(filelike);
  if (offset < 0 || offset > status.st_size) return {};
  return SendableFile{fd, offset, status.st_size - offset};
}

}  // namespace tricorn::gateway::wsgi
