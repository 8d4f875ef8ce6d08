"""The BLAS under MLX on Linux: that it is there, right, fast, safe to build, and optional."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import needs

from mlx_speak import blas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only MLX on Linux needs a BLAS")
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, blas._COMPILERS)), reason="needs a C compiler"
)


def python(code, *, home, **environment):
    """Run code in a fresh interpreter, where the BLAS is not loaded yet."""
    environment = {"MLX_SPEAK_HOME": str(home), "MLX_SPEAK_BLAS": "", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the library is built by the first test that needs it, which takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The forwarding library, loaded for ourselves over the first provider there is."""
    folder = tmp_path_factory.mktemp("blas")
    for provider in blas._providers(""):
        target = folder / f"{provider.integer}.so"
        if blas._compile(target, provider.integer):
            library = ctypes.CDLL(str(target))
            names = (provider.path, provider.prefix, provider.suffix)
            if library.mlx_speak_blas_open(*map(os.fsencode, names), 2) == 0:
                return library
    needs(False, "a C compiler and an OpenBLAS")


def sgemm(shim, a, b, c, transpose_a, transpose_b, alpha, beta, gap):
    """c = alpha · op(a) op(b) + beta · c, every matrix with `gap` unused columns on the right."""
    pointer = ctypes.POINTER(ctypes.c_float)

    def wide(matrix):
        return np.pad(matrix, ((0, 0), (0, gap)), constant_values=np.nan)

    a_wide, b_wide, c_wide = wide(a), wide(b), wide(c)
    m, n = c.shape
    k = a.shape[0] if transpose_a else a.shape[1]
    shim.cblas_sgemm(
        101,
        112 if transpose_a else 111,
        112 if transpose_b else 111,
        m,
        n,
        k,
        ctypes.c_float(alpha),
        a_wide.ctypes.data_as(pointer),
        a_wide.shape[1],
        b_wide.ctypes.data_as(pointer),
        b_wide.shape[1],
        ctypes.c_float(beta),
        c_wide.ctypes.data_as(pointer),
        c_wide.shape[1],
    )
    assert np.isnan(c_wide[:, n:]).all(), "wrote outside the result"
    return c_wide[:, :n]


@pytest.mark.parametrize(
    ("m", "n", "k"), [*itertools.product([1, 2, 4, 5, 33], [1, 3, 40], [1, 7])]
)
def test_every_transpose_and_shape(shim, m, n, k):
    check_product(shim, m, n, k)


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        *itertools.product([1, 2, 3, 17, 32, 33], [5, 6, 13, 700], [16, 37, 500]),
        *itertools.product([4, 6, 7, 17, 64, 65], [5, 6, 700], [16, 1040]),
    ],
)
def test_few_rows(shim, m, n, k):
    check_product(shim, m, n, k)


def test_few_rows_too_long_to_be_kept(shim):
    check_product(shim, 20, 13, 8200)


@pytest.mark.parametrize(("n", "k"), [(100, 64), (700, 1024), (1003, 1000)])
def test_a_row_does_not_depend_on_the_others(shim, n, k):
    """A token's vector is the same to the last bit, verified with others or computed alone."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((64, k)).astype(np.float32)
    b = rng.standard_normal((n, k)).astype(np.float32)

    def product(rows):
        c = np.full((len(rows), n), np.nan, np.float32)
        return sgemm(shim, rows, b, c, False, True, 1.0, 0, gap=0)

    whole = product(a)
    for first, last in [(0, 1), (1, 4), (5, 18), (30, 64)]:
        assert np.array_equal(product(a[first:last]), whole[first:last])


@pytest.mark.parametrize("k", [16, 48, 1024])
@pytest.mark.parametrize("shift", [*range(16)])
def test_a_row_alone_wherever_the_matrix_lies(shim, k, shift):
    """It is loaded by lines of the cache; what stands before and after the matrix is not."""
    rng = np.random.default_rng(shift)
    space = np.full(5 * k + 48, np.nan, np.float32)
    begin = -(space.ctypes.data // 4) % 16 + shift
    space[begin : begin + 5 * k] = rng.standard_normal(5 * k)
    b = space[begin : begin + 5 * k].reshape(5, k)
    a = rng.standard_normal((2, k)).astype(np.float32)
    pointer = ctypes.POINTER(ctypes.c_float)

    def product(rows):
        c = np.full((len(rows), 5), np.nan, np.float32)
        sizes = (len(rows), 5, k, ctypes.c_float(1))
        a_at, b_at, c_at = (x.ctypes.data_as(pointer) for x in (rows, b, c))
        shim.cblas_sgemm(101, 111, 112, *sizes, a_at, k, b_at, k, ctypes.c_float(0), c_at, 5)
        return c

    both = product(a)
    assert np.array_equal(np.concatenate([product(a[:1]), product(a[1:])]), both)
    # With four lanes, as without AVX, each adds up 256 products: 2e-7 of sums of up to 100.
    np.testing.assert_allclose(both, a.astype(np.float64) @ b.T, rtol=0, atol=5e-5)


@pytest.mark.parametrize(("m", "n", "k"), [(2000, 70, 64), (70, 2000, 64), (1, 5000, 300)])
def test_products_that_threads_share(shim, m, n, k):
    check_product(shim, m, n, k)


def test_callers_on_several_threads(shim):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda m: check_product(shim, m, 300, 64), [900, 1000, 1100, 1200] * 3))


def test_products_after_a_fork(shim):
    check_product(shim, 2000, 70, 64)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(AssertionError):
            check_product(shim, 2000, 70, 64)
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def check_product(shim, m, n, k):
    rng = np.random.default_rng(m * n * k)
    for transpose_a, transpose_b, beta in itertools.product([False, True], [False, True], [0, 0.5]):
        a = rng.standard_normal((k, m) if transpose_a else (m, k)).astype(np.float32)
        b = rng.standard_normal((n, k) if transpose_b else (k, n)).astype(np.float32)
        # MLX hands over memory that it has not written: with beta = 0 it must not be read.
        c = rng.standard_normal((m, n)).astype(np.float32) if beta else np.full((m, n), np.nan)
        c = c.astype(np.float32)
        ours = sgemm(shim, a, b, c, transpose_a, transpose_b, 2.0, beta, gap=3)
        product = (a.T if transpose_a else a).astype(np.float64) @ (b.T if transpose_b else b)
        expected = 2 * product + (beta * c if beta else 0)
        # A float32 sum of k products of unit normals, about √k in size.
        assert abs(ours - expected).max() <= 2.0**-22 * 4 * k**0.5 * max(1, k**0.5)


PRODUCTS = """
import mlx_speak
import mlx.core as mx, numpy as np
rng = np.random.default_rng(0)
for m, k, n in [(1, 256, 1536), (3, 512, 2048), (64, 300, 200), (1, 64, 1), (200, 64, 1)]:
    a = rng.standard_normal((m, k)).astype(np.float32)
    b = rng.standard_normal((k, n)).astype(np.float32)
    stored = [(mx.array(a), mx.array(b)), (mx.array(a.T.copy()).T, mx.array(b.T.copy()).T)]
    for x in (stored[0][0], stored[1][0]):
        for y in (stored[0][1], stored[1][1]):
            assert np.allclose(np.array(x @ y), a @ b, rtol=0, atol=1e-3), (m, k, n)
x = rng.standard_normal((8, 8)).astype(np.complex64)
assert np.allclose(np.array(mx.array(x) @ mx.array(x)), x @ x, atol=1e-3)
from mlx_speak import blas
print(blas.describe())
"""

SECONDS = """
import time
import mlx_speak
import mlx.core as mx
a, b = mx.ones((512, 1024)), mx.ones((1024, 1024))
mx.eval(a, b)
def seconds():
    start = time.perf_counter()
    mx.eval(a @ b)
    return time.perf_counter() - start
print(min(seconds() for _ in range(10)))
"""


@needs_compiler
def test_mlx_uses_it_and_is_right(home):
    description = python(PRODUCTS, home=home).stdout
    assert "OpenBLAS" in description
    assert "threads" in description


@needs_compiler
def test_large_products_are_many_times_faster(home):
    # One thread, as the reference BLAS, so that a busy machine slows both alike.
    fast = float(python(SECONDS, home=home, OPENBLAS_NUM_THREADS="1").stdout)
    slow = float(python(SECONDS, home=home, MLX_SPEAK_BLAS="off").stdout)
    assert slow > 5 * fast  # 15 to 100 times on an idle machine


def test_it_can_be_refused(tmp_path):
    done = python(PRODUCTS, home=tmp_path, MLX_SPEAK_BLAS="off")
    assert done.stdout == "MLX's own BLAS\n"
    assert done.stderr == ""
    assert not any(tmp_path.iterdir())


@needs_compiler
def test_a_library_can_be_named(home):
    for provider in blas._providers(""):
        if os.path.exists(provider.path):
            done = python(PRODUCTS, home=home, MLX_SPEAK_BLAS=provider.path)
            assert provider.path in done.stdout


def test_a_library_that_is_none_is_said_to_be_so(home):
    done = python(PRODUCTS, home=home, MLX_SPEAK_BLAS="/no/such.so")
    assert done.stdout == "MLX's own BLAS\n"
    assert done.stderr.count("\n") == 1
    assert "MLX_SPEAK_BLAS=/no/such.so" in done.stderr


def test_without_compiler_and_openblas_the_way_out_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLX_SPEAK_HOME", str(tmp_path))
    monkeypatch.delenv("MLX_SPEAK_BLAS", raising=False)
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(blas, "_COMPILERS", ())
    monkeypatch.setattr(blas, "_SYSTEM_OPENBLAS", "libno-such-openblas.so")
    monkeypatch.setattr(blas, "_package_files", lambda *_: ["netlib.so"])
    blas.provide()
    (record,) = caplog.records
    assert "install a C compiler" in record.getMessage()


def test_without_the_cpu_wheel_there_is_nothing_to_say(home, monkeypatch, caplog):
    monkeypatch.setenv("MLX_SPEAK_BLAS", "/no/such.so")
    monkeypatch.setenv("MLX_SPEAK_HOME", str(home))
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.setattr(blas, "_package_files", lambda *_: [])
    blas.provide()
    assert not caplog.records


def test_mlx_imported_first_is_said(home):
    done = python("import mlx.core\n" + PRODUCTS, home=home)
    assert done.stdout == "MLX's own BLAS\n"
    assert "import mlx_speak before it" in done.stderr


@needs_compiler
def test_many_processes_may_build_it_at_once(tmp_path):
    code = "from mlx_speak import blas; print(blas.describe())"
    environment = os.environ | {"MLX_SPEAK_HOME": str(tmp_path), "MLX_SPEAK_BLAS": ""}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    descriptions = {process.communicate()[0] for process in running}
    assert len(descriptions) == 1
    assert "OpenBLAS" in descriptions.pop()
    (library,) = (tmp_path / "blas").iterdir()
    assert library.stat().st_mode & 0o777 == 0o700


@needs_compiler
def test_a_library_that_others_could_have_written_is_built_anew(tmp_path):
    python("import mlx_speak, mlx.core", home=tmp_path)
    (library,) = (tmp_path / "blas").iterdir()
    library.write_bytes(b"planted")
    library.chmod(0o777)
    assert "OpenBLAS" in python(PRODUCTS, home=tmp_path).stdout
    assert library.stat().st_mode & 0o777 == 0o700


@needs_compiler
def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert "OpenBLAS" in python(PRODUCTS, home=file).stdout


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(blas, "_providers", lambda choice: pytest.fail("looked for a BLAS"))
    blas.provide()


def test_threads_follow_the_users_variables(monkeypatch):
    for variable in blas._THREAD_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert 1 <= blas._cores() <= os.cpu_count()
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    assert blas._cores() >= 7
