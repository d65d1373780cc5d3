/* Tells the arbiter how to read this interpreter's frames from outside. C, because CPython's
 * internal headers are; only this file's .c sees them. */
#pragma once

#include "heartbeat/python_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in addresses and offsets of the CPython this is compiled against and running in, then reads
 * the caller's own frame with them and compares it with what CPython itself says.
 * Call it with the GIL held and from a running Python function, once per worker, after the fork.
 * @return 0 valid; -1 this build cannot be read (free-threaded, or its structures differ from the
 *         headers): `filled` is 0 then and no Python error is set. */
int tricorn_fill_python_layout(TricornPythonLayout* layout);

#ifdef __cplusplus
}
#endif
