from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from jitgrad.intrinsics.catalogue import all_intrinsics
from jitgrad.intrinsics.exponential import exp
from jitgrad.intrinsics.registration import register
from jitgrad.intrinsics.trigonometric import sin

ROOT = Path(__file__).parents[2]


def test_twins_are_usable_without_numba() -> None:
    script = (
        "import sys\n"
        "from jitgrad.intrinsics.catalogue import all_intrinsics\n"
        "from jitgrad.intrinsics.exponential import exp\n"
        "assert exp(0.0) == 1.0\n"
        "assert 'numba' not in sys.modules and 'llvmlite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_registering_again_and_from_many_threads_is_harmless() -> None:
    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    register()
    import numba

    assert numba.njit("float64(float64)")(lambda x: exp(x))(0.0) == 1.0


def test_every_intrinsic_has_one_way_to_type_and_one_to_compile_it() -> None:
    for record in all_intrinsics():
        assert (record.kind_rule is None) != (record.type_rule is None), record.name
        assert (record.formula is None) != (record.lowering is None), record.name
        assert record.twin.__module__.startswith("jitgrad.intrinsics."), record.name


def test_compiled_code_survives_pickling() -> None:
    import numba

    register()

    def kernel(x, out):  # type: ignore[no-untyped-def]
        for i in range(out.shape[0]):
            out[i] = sin(x[i]) + exp(-x[i])

    compiled = numba.njit("void(float64[::1], float64[::1])", nogil=True)(kernel)
    (result,) = compiled.overloads.values()
    # object code that holds no address of this process: kept on disk, used by another
    state = pickle.loads(pickle.dumps(result.library.serialize_using_object_code()))
    library = result.library.codegen.unserialize_library(state)
    assert library.name == result.library.name
    x = np.array([0.5, 1e12])
    out = np.empty(2)
    compiled(x, out)
    np.testing.assert_allclose(out, np.sin(x) + np.exp(-x))
