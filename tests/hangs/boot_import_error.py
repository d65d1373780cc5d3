"""Cannot be imported."""

import no_such_module_here  # noqa: F401  # <- boot_import_error
