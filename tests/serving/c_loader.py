"""Runs a SavedModel through TensorFlow's C API, without Python's TensorFlow.

    python c_loader.py FOLDER_OF_THE_PACKAGE SAVED_MODEL REQUESTS ANSWERS

TensorFlow Serving loads a SavedModel with the same function, TF_LoadSessionFromSavedModel, and runs its
session. REQUESTS is a pickled list of pairs: the arrays to feed by tensor name, and the names of the tensors
to fetch. ANSWERS is written: a pickled list with the fetched arrays by tensor name, or the text of the error,
for each request. This script needs NumPy only.
"""

import ctypes
import math
import pickle
import sys
from pathlib import Path

import numpy as np

TF_STRING = 7
TYPES = {1: np.float32, 4: np.uint8, 9: np.int64, 10: np.bool_, TF_STRING: object}
STRING_BYTES = 24  # sizeof(TF_TString)


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Library:
    """The C API of one TensorFlow package."""

    def __init__(self, package: str) -> None:
        ctypes.CDLL(str(Path(package) / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self._c = ctypes.CDLL(str(Path(package) / "libtensorflow_cc.so.2"), ctypes.RTLD_GLOBAL)
        self.version = self.call("TF_Version", ctypes.c_char_p).decode()

    def call(self, name, result, *arguments):
        function = getattr(self._c, name)
        function.restype = result
        return function(*arguments)

    def pointer(self, name, *arguments) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.call(name, ctypes.c_void_p, *arguments))

    def check(self, status) -> None:
        if self.call("TF_GetCode", ctypes.c_int, status):
            raise RuntimeError(self.call("TF_Message", ctypes.c_char_p, status).decode())

    def to_tensor(self, array):
        kind = next(number for number, dtype in TYPES.items() if array.dtype == dtype)
        dimensions = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = array.size * STRING_BYTES if kind == TF_STRING else array.nbytes
        tensor = self.pointer("TF_AllocateTensor", kind, dimensions, array.ndim, ctypes.c_size_t(size))
        data = self.call("TF_TensorData", ctypes.c_void_p, tensor)
        if kind != TF_STRING:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
            return tensor
        for position, value in enumerate(array.ravel()):
            string = ctypes.c_void_p(data + position * STRING_BYTES)
            self.call("TF_StringInit", None, string)
            self.call("TF_StringCopy", None, string, ctypes.c_char_p(value), ctypes.c_size_t(len(value)))
        return tensor

    def to_array(self, tensor):
        kind = self.call("TF_TensorType", ctypes.c_int, tensor)
        rank = self.call("TF_NumDims", ctypes.c_int, tensor)
        shape = [self.call("TF_Dim", ctypes.c_int64, tensor, axis) for axis in range(rank)]
        data = self.call("TF_TensorData", ctypes.c_void_p, tensor)
        if kind != TF_STRING:
            size = self.call("TF_TensorByteSize", ctypes.c_size_t, tensor)
            return np.frombuffer(ctypes.string_at(data, size), TYPES[kind]).reshape(shape)
        values = np.empty(math.prod(shape), object)
        for position in range(len(values)):
            string = ctypes.c_void_p(data + position * STRING_BYTES)
            size = self.call("TF_StringGetSize", ctypes.c_size_t, string)
            start = self.call("TF_StringGetDataPointer", ctypes.c_void_p, string)
            values[position] = ctypes.string_at(start, size)
        return values.reshape(shape)


class Session:
    """One loaded SavedModel."""

    def __init__(self, library: Library, folder: str) -> None:
        self._library = library
        self._status = library.pointer("TF_NewStatus")
        self._graph = library.pointer("TF_NewGraph")
        options = library.pointer("TF_NewSessionOptions")
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = library.pointer(
            "TF_LoadSessionFromSavedModel",
            options,
            None,
            ctypes.c_char_p(folder.encode()),
            tags,
            1,
            self._graph,
            None,
            self._status,
        )
        library.check(self._status)

    def run(self, feeds, fetches):
        inputs = (Output * len(feeds))(*map(self._output, feeds))
        outputs = (Output * len(fetches))(*map(self._output, fetches))
        given = (ctypes.c_void_p * len(feeds))(*(self._library.to_tensor(a).value for a in feeds.values()))
        answers = (ctypes.c_void_p * len(fetches))()
        self._library.call(
            "TF_SessionRun",
            None,
            self._session,
            None,
            inputs,
            given,
            len(feeds),
            outputs,
            answers,
            len(fetches),
            None,
            0,
            None,
            self._status,
        )
        for tensor in given:
            self._library.call("TF_DeleteTensor", None, ctypes.c_void_p(tensor))
        self._library.check(self._status)
        arrays = {}
        for name, tensor in zip(fetches, answers, strict=True):
            arrays[name] = self._library.to_array(ctypes.c_void_p(tensor))
            self._library.call("TF_DeleteTensor", None, ctypes.c_void_p(tensor))
        return arrays

    def _output(self, tensor: str) -> Output:
        name, _, index = tensor.partition(":")
        operation = self._library.call(
            "TF_GraphOperationByName", ctypes.c_void_p, self._graph, ctypes.c_char_p(name.encode())
        )
        return Output(operation, int(index))


def main(package, folder, requests, answers) -> None:
    library = Library(package)
    session = Session(library, folder)
    results = []
    for feeds, fetches in pickle.loads(Path(requests).read_bytes()):
        try:
            results.append(session.run(feeds, fetches))
        except RuntimeError as error:
            results.append(str(error))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    result = {"version": library.version, "answers": results, "peak_kib": int(peak.split()[1])}
    Path(answers).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
